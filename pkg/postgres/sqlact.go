package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/remote"
)

// query runs one statement with text arguments in a session of its own and gives the rows as text.
func (s *Server) query(ctx context.Context, sql string, args ...string) ([][]string, error) {
	conn, err := s.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return queryOn(ctx, conn, sql, args...)
}

func queryOn(ctx context.Context, conn *pgconn.PgConn, sql string, args ...string) ([][]string, error) {
	values := make([][]byte, len(args))
	for i, a := range args {
		values[i] = []byte(a)
	}
	result := conn.ExecParams(ctx, sql, values, nil, nil, nil).Read()
	if result.Err != nil {
		return nil, result.Err
	}
	rows := make([][]string, len(result.Rows))
	for i, row := range result.Rows {
		for _, v := range row {
			rows[i] = append(rows[i], string(v))
		}
	}
	return rows, nil
}

// scalar is the only value of the only row.
func (s *Server) scalar(ctx context.Context, sql string, args ...string) (string, error) {
	rows, err := s.query(ctx, sql, args...)
	if err != nil {
		return "", err
	}
	if len(rows) != 1 || len(rows[0]) != 1 {
		return "", fmt.Errorf("%s: expected one value, got %d rows", s.host.Name(), len(rows))
	}
	return rows[0][0], nil
}

// InRecovery tells whether the running server is a standby.
func (s *Server) InRecovery(ctx context.Context) (bool, error) {
	v, err := s.scalar(ctx, "SELECT pg_is_in_recovery()")
	return v == "t", err
}

// Checkpoint writes one. On a busy server that takes as long as its disk needs.
func (s *Server) Checkpoint(ctx context.Context) error {
	_, err := s.query(ctx, "CHECKPOINT")
	return err
}

// Checkpointed tells whether the last checkpoint of a master is younger than the given interval, such as "30 seconds", and of its present
// timeline: pg_rewind believes nothing else.
func (s *Server) Checkpointed(ctx context.Context, within string) (bool, error) {
	v, err := s.scalar(ctx, `SELECT NOT pg_is_in_recovery() AND checkpoint_time > now() - $1::interval
  AND timeline_id = CASE WHEN NOT pg_is_in_recovery() THEN ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int END
FROM pg_control_checkpoint()`, within)
	return v == "t", err
}

// EndReceiver ends the standby's WAL receiver, which the startup process starts again. SIGTERM is the only way: pg_terminate_backend
// refuses it.
func (s *Server) EndReceiver(ctx context.Context) error {
	rows, err := s.query(ctx, "SELECT pid FROM pg_stat_wal_receiver")
	if err != nil || len(rows) == 0 {
		return err
	}
	_, err = s.host.Run(ctx, remote.Script(`read -r line 2>/dev/null <"/proc/$1/stat" || exit 0
case $line in *'(postgres)'*) kill -TERM "$1" ;; esac`, rows[0][0]))
	return err
}

// Promote ends recovery. It returns when that has been asked for; whether it has come is InRecovery's to say. A replay that is paused
// goes on first: up to 12 a promotion would wait for it for ever, while the receiver goes on.
func (s *Server) Promote(ctx context.Context, dataDir string) error {
	if _, err := s.query(ctx, "SELECT pg_wal_replay_resume() WHERE pg_is_in_recovery() AND pg_is_wal_replay_paused()"); err != nil {
		return err
	}
	// what pg_ctl promote does (PostgreSQL source, pg_ctl.c, do_promote): the same on every version since 9.4
	_, err := s.host.Run(ctx, remote.Script(locateScript+`
pg_alive "$1" || { echo "PostgreSQL is not running in $1" >&2; exit 1; }
: >"$1/promote" && kill -USR1 "$pid"`, dataDir))
	return err
}

// SyncNames is synchronous_standby_names as a new session has it: the postmaster has read it.
func (s *Server) SyncNames(ctx context.Context) (string, error) {
	return s.scalar(ctx, "SELECT current_setting('synchronous_standby_names')")
}

// SetSyncNames sets synchronous_standby_names in postgresql.auto.conf and has it read. Whether it is in effect is SyncNames' to say.
func (s *Server) SetSyncNames(ctx context.Context, names string) error {
	return s.setting(ctx, "synchronous_standby_names", names)
}

func (s *Server) setting(ctx context.Context, name, value string) error {
	conn, err := s.Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := conn.Exec(ctx, "ALTER SYSTEM SET "+name+" = "+quoteSetting(value)).Close(); err != nil {
		return err
	}
	_, err = queryOn(ctx, conn, "SELECT pg_reload_conf()")
	return err
}

// Reload has the server read its configuration, which also wakes a startup process that waits to ask its master again.
func (s *Server) Reload(ctx context.Context) error {
	_, err := s.query(ctx, "SELECT pg_reload_conf()")
	return err
}

// HasSlot tells whether there is a physical slot of that name that keeps WAL.
func (s *Server) HasSlot(ctx context.Context, name string) (bool, error) {
	rows, err := s.query(ctx, "SELECT 1 FROM pg_replication_slots WHERE slot_name = $1 AND slot_type = 'physical' AND (active OR restart_lsn IS NOT NULL)", name)
	return len(rows) > 0, err
}

// MakeSlot makes a physical slot that keeps WAL from now on, also in place of one that keeps none and that nobody is connected to.
func (s *Server) MakeSlot(ctx context.Context, name string) error {
	_, err := s.query(ctx, `SELECT pg_create_physical_replication_slot($1, true) FROM (
  SELECT count(pg_drop_replication_slot(slot_name)) AS dropped FROM pg_replication_slots
  WHERE slot_name = $1 AND slot_type = 'physical' AND NOT active AND restart_lsn IS NULL) d WHERE dropped >= 0`, name)
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "42710" { // somebody is connected to it by now, so that it keeps WAL ("Error Codes", duplicate_object)
		return nil
	}
	return err
}

// ReadySlot makes a physical slot that keeps WAL from its first use on, on a master or a standby.
func (s *Server) ReadySlot(ctx context.Context, name string) error {
	_, err := s.query(ctx, "SELECT pg_create_physical_replication_slot($1, false)", name)
	return err
}

// DropSlot drops a physical slot that nobody uses; one that is not there is no error.
func (s *Server) DropSlot(ctx context.Context, name string) error {
	_, err := s.query(ctx, dropSlot, name)
	return err
}

// DropSlotOfStandby does it unless the server has become a master meanwhile.
func (s *Server) DropSlotOfStandby(ctx context.Context, name string) error {
	_, err := s.query(ctx, dropSlot+" AND pg_is_in_recovery()", name)
	return err
}

const dropSlot = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND slot_type = 'physical' AND NOT active"

// OldestWAL is the start of the oldest segment that the server still has.
func (s *Server) OldestWAL(ctx context.Context) (cluster.LSN, error) {
	v, err := s.scalar(ctx, `SELECT min(right(name, 16)) || ' ' || current_setting('wal_segment_size')
FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$'`)
	if err != nil {
		return 0, err
	}
	name, size, _ := strings.Cut(v, " ")
	bytes, err := parseSize(size)
	if err != nil || len(name) != 16 {
		return 0, fmt.Errorf("%s: cannot read its oldest segment of WAL out of %q", s.host.Name(), v)
	}
	high, err1 := strconv.ParseUint(name[:8], 16, 32)
	low, err2 := strconv.ParseUint(name[8:], 16, 32)
	return cluster.LSN(high<<32 + low*bytes), errors.Join(err1, err2)
}

// parseSize reads what the server shows a size in bytes as, such as "16MB".
func parseSize(text string) (uint64, error) {
	unit := strings.TrimLeft(text, "0123456789")
	n, err := strconv.ParseUint(strings.TrimSuffix(text, unit), 10, 64)
	switch unit {
	case "kB":
		n <<= 10
	case "MB":
		n <<= 20
	case "GB":
		n <<= 30
	}
	return n, err
}
