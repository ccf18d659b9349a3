package postgres

import (
	"cmp"
	"context"
	_ "embed" // the questions
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// OwnSQL is what the running server says in one new session.
type OwnSQL struct {
	Version  string // such as "15.18"
	SystemID uint64
	Recovery bool
	// Timeline that it writes or, of a standby, that it has replayed up to Replayed: pg_control learns of it at a restartpoint only, so the WAL
	// on disk is asked too.
	Timeline cluster.Timeline
	Rows     []cluster.Epoch // of pgctl.epoch by epoch and timeline; read after all but Current
	Received cluster.LSN     // pg_last_wal_receive_lsn; 0 nothing was received since the start
	Replayed cluster.LSN     // pg_last_wal_replay_lsn: the end of the last record; of a master where its last recovery ended, 0 if it had none
	Current  cluster.LSN     // pg_current_wal_insert_lsn, read after everything else; 0 of a standby
	// AtEnd: the startup process waits for WAL, and no whole record follows Replayed in the WAL on disk. That it waits is too little: it
	// also does so between two tries, before it has read what a receiver that has ended left (source: WaitForWALToBecomeAvailable).
	AtEnd  bool
	Paused bool // replay is paused

	Receiver    *OwnReceiver  // nil: no WAL receiver
	Names       string        // synchronous_standby_names
	Clock       int64         // the server's wall clock, microseconds since 1970
	Statements  []string      // up to 10: each statement of a client that runs, but for this session's, as "pid@start"
	Senders     []OwnSender   // by name, address and process id
	Slots       []OwnSlot     // by name
	WaitingSync bool          // a canary of this watcher waits for a standby
	SyncWaits   time.Duration // since when the oldest statement runs that waits for a standby, so that no commit has waited for longer; 0 none does
	// Settings are some settings as SHOW gives them; those that the version does not have are not there (restore_command up to 11).
	Settings map[string]string

	CheckpointTimeline cluster.Timeline
	CheckpointRedo     cluster.LSN
}

// OwnReceiver is the running WAL receiver.
type OwnReceiver struct {
	PID        int
	Status     string // such as "streaming"
	SenderHost string // whom it receives from
	Name       string // its application_name
	TLI        cluster.Timeline
}

// OwnSlot is one replication slot.
type OwnSlot struct {
	Name     string
	Physical bool
	Active   bool // somebody is connected to it
	Keeps    bool // it keeps WAL: from when somebody used it, or from when it was made to
	Lost     bool // it has lost WAL that its reader lacks; from 13 on
}

// OwnSender is one walsender.
type OwnSender struct {
	PID       int
	Name      string // application_name
	Address   string // of its client; "" over the Unix socket
	State     string
	SyncState string
	Priority  int
	Flush     cluster.LSN
	Started   int64 // by Clock; with the process id it is nobody else's
}

//go:embed own.sql
var ownSQL string

//go:embed ownnow.sql
var ownNowSQL string

// runningStatements are those of clients, for a version of which every backend goes by its own copy of the names.
const runningStatements = `(SELECT json_agg(pid || '@' || (extract(epoch FROM query_start) * 1000000)::bigint) FROM pg_stat_activity
  WHERE backend_type = 'client backend' AND state IN ('active', 'fastpath function call') AND pid <> pg_backend_pid())`

// ownAnswer is the row of own.sql.
type ownAnswer struct {
	InRecovery   bool    `json:"in_recovery"`
	SystemID     string  `json:"system_id"`
	Received     *lsn    `json:"received"`
	Replayed     *lsn    `json:"replayed"`
	StartupWaits *string `json:"startup_waits"`
	Paused       bool    `json:"paused"`
	Checkpoint   struct {
		Timeline uint32 `json:"timeline_id"`
		Redo     *lsn   `json:"redo_lsn"`
	} `json:"checkpoint"`
	RecoveryTimeline uint32 `json:"recovery_timeline"`
	Receiver         *struct {
		PID         int    `json:"pid"`
		Status      string `json:"status"`
		ReceivedTLI uint32 `json:"received_tli"`
		SenderHost  string `json:"sender_host"` // from 11 on
		ConnInfo    string `json:"conninfo"`
	} `json:"receiver"`
	ReceiverPID *int `json:"receiver_pid"`
	Senders     []struct {
		PID          int    `json:"pid"`
		Name         string `json:"application_name"`
		Address      string `json:"client_addr"`
		State        string `json:"state"`
		SyncState    string `json:"sync_state"`
		SyncPriority int    `json:"sync_priority"`
		Flush        *lsn   `json:"flush_lsn"`
		Started      int64  `json:"started"`
	} `json:"senders"`
	Slots       []OwnSlot          `json:"slots"`
	Names       string             `json:"names"`
	Clock       int64              `json:"clock"`
	Statements  []string           `json:"statements"`
	SyncWaits   *float64           `json:"sync_waits"`
	CanaryWaits bool               `json:"canary_waits"`
	HasRows     bool               `json:"has_rows"`
	Settings    map[string]*string `json:"settings"`
}

// askSQL asks everything, in two round trips: rows of a table that may not be there have a statement of their own.
func (o *Own) askSQL(ctx context.Context, s *session) (*OwnSQL, error) {
	version, _, _ := strings.Cut(s.ParameterStatus("server_version"), " ")
	major := majorIn(version)
	if major < 10 {
		return nil, fmt.Errorf("it runs PostgreSQL %s, pgctl asks 10 and later", version)
	}
	statements := "NULL"
	if major <= 10 {
		statements = runningStatements
	}
	first, err := one(ctx, s, strings.NewReplacer("$STATEMENTS", statements, "$OWN", o.everyPID()).Replace(ownSQL))
	if err != nil {
		return nil, err
	}
	var a ownAnswer
	if err := json.Unmarshal(first[0], &a); err != nil {
		return nil, fmt.Errorf("cannot read the server's answer: %w", err)
	}
	sql, want := ownNowSQL, 1
	if a.HasRows {
		sql, want = "SELECT json_agg(r) FROM (SELECT epoch, master, nonce, timeline, fork_lsn FROM pgctl.epoch ORDER BY epoch, timeline) r;\n"+ownNowSQL, 2
	}
	last, err := one(ctx, s, sql)
	if err != nil {
		return nil, err
	}
	if len(last) != want {
		return nil, fmt.Errorf("expected %d rows of the server, got %d", want, len(last))
	}
	q, err := a.read(version)
	if err != nil {
		return nil, err
	}
	if a.HasRows {
		if q.Rows, err = readRows(last[0]); err != nil {
			return nil, err
		}
	}
	return q, q.now(last[len(last)-1])
}

// majorIn is the first number of a version such as "15.18" or "18beta1"; 0 none.
func majorIn(version string) int {
	digits := version[:len(version)-len(strings.TrimLeft(version, "0123456789"))]
	major, err := strconv.Atoi(digits)
	if err != nil {
		return 0
	}
	return major
}

// one runs statements that each give one row of one column.
func one(ctx context.Context, s *session, sql string) ([][]byte, error) {
	results, err := s.Exec(ctx, sql).ReadAll()
	if err != nil {
		return nil, err
	}
	var all [][]byte
	for _, r := range results {
		if len(r.Rows) != 1 || len(r.Rows[0]) != 1 {
			return nil, fmt.Errorf("expected one value of the server, got %d rows", len(r.Rows))
		}
		all = append(all, r.Rows[0][0])
	}
	if len(all) == 0 {
		return nil, errors.New("the server gave no answer")
	}
	return all, nil
}

func (a *ownAnswer) read(version string) (*OwnSQL, error) {
	id, err := strconv.ParseUint(a.SystemID, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("its system identifier is %q", a.SystemID)
	}
	q := &OwnSQL{
		Version: version, SystemID: id, Recovery: a.InRecovery, Received: a.Received.value(), Replayed: a.Replayed.value(), Paused: a.Paused,
		Names: a.Names, Clock: a.Clock, Statements: a.Statements, Slots: a.Slots, WaitingSync: a.CanaryWaits, Settings: map[string]string{},
		CheckpointTimeline: cluster.Timeline(a.Checkpoint.Timeline), CheckpointRedo: a.Checkpoint.Redo.value(),
	}
	if d := seconds(a.SyncWaits); d != nil {
		q.SyncWaits = max(*d, 0)
	}
	if a.InRecovery {
		q.Timeline = cluster.Timeline(max(a.Checkpoint.Timeline, a.RecoveryTimeline))
		q.AtEnd = waitsForWAL(orEmpty(a.StartupWaits)) && !a.Paused
	}
	if r := a.Receiver; r != nil {
		q.Receiver = &OwnReceiver{
			PID: r.PID, Status: r.Status, TLI: cluster.Timeline(r.ReceivedTLI),
			SenderHost: cmp.Or(r.SenderHost, keyword(r.ConnInfo, "host")), Name: keyword(r.ConnInfo, "application_name"),
		}
	}
	if q.Receiver == nil && a.ReceiverPID != nil { // pg_stat_wal_receiver shows it from its connection on
		q.Receiver = &OwnReceiver{PID: *a.ReceiverPID}
	}
	for _, w := range a.Senders {
		q.Senders = append(q.Senders, OwnSender{
			PID: w.PID, Name: w.Name, Address: w.Address, State: w.State, SyncState: w.SyncState, Priority: w.SyncPriority, Flush: w.Flush.value(), Started: w.Started,
		})
	}
	for name, value := range a.Settings {
		if value != nil {
			q.Settings[name] = *value
		}
	}
	return q, nil
}

// waitsForWAL tells whether the startup process waits for WAL: from a receiver or for the next try. Up to 12 the first is RecoveryWalAll and the second
// RecoveryWalStream, from 13 on RecoveryWalStream and RecoveryRetrieveRetryInterval (source: WaitForWALToBecomeAvailable).
func waitsForWAL(event string) bool {
	return event == "RecoveryWalStream" || event == "RecoveryWalAll" || event == "RecoveryRetrieveRetryInterval"
}

func readRows(text []byte) ([]cluster.Epoch, error) {
	var rows []struct {
		Epoch    int64            `json:"epoch"`
		Master   string           `json:"master"`
		Nonce    string           `json:"nonce"`
		Timeline cluster.Timeline `json:"timeline"`
		Fork     *lsn             `json:"fork_lsn"`
	}
	if len(text) == 0 { // NULL: the table is empty
		return nil, nil
	}
	if err := json.Unmarshal(text, &rows); err != nil {
		return nil, fmt.Errorf("cannot read pgctl.epoch: %w", err)
	}
	var all []cluster.Epoch
	for _, r := range rows {
		all = append(all, cluster.Epoch{Epoch: r.Epoch, Master: r.Master, Nonce: r.Nonce, Timeline: r.Timeline, Fork: r.Fork.value()})
	}
	return all, nil
}

// now takes the row of ownnow.sql.
func (q *OwnSQL) now(text []byte) error {
	var n struct {
		InRecovery bool    `json:"in_recovery"`
		Segment    *string `json:"segment"`
		Current    *lsn    `json:"current"`
	}
	if err := json.Unmarshal(text, &n); err != nil {
		return fmt.Errorf("cannot read the server's answer: %w", err)
	}
	if n.InRecovery != q.Recovery {
		return ErrRoleChanged
	}
	if q.Recovery {
		return nil
	}
	segment := orEmpty(n.Segment)
	if n.Current == nil || len(segment) != 24 {
		return errors.New("cannot read the server's answer: a master without a position and a segment")
	}
	var err error
	q.Current = n.Current.value()
	q.Timeline, err = parseTimeline(segment[:8], 16)
	return err
}
