package postgres

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/remote"
)

// makeEpochs makes the table; commits of its session do not wait for a standby.
const makeEpochs = `SET synchronous_commit = local;
CREATE SCHEMA IF NOT EXISTS pgctl;
CREATE TABLE IF NOT EXISTS pgctl.epoch (epoch bigint PRIMARY KEY, master text NOT NULL, nonce text NOT NULL, timeline bigint NOT NULL,
  fork_lsn pg_lsn NOT NULL, made timestamptz NOT NULL DEFAULT now())`

// SignEpoch leaves the row that tells the master's present timeline from every other one of that number, for an operator (cluster.Epoch says what it
// proves): at a deployment, or after a change by hand. An epoch of the quorum is signed by Own.WriteRow. It does not wait for a standby: names that
// match nobody yet would hold it for ever, and a row that is lost only makes copies unproven. Where a row of the timeline is there already, or the
// master is on another one by now, nothing is done; of two that sign at one moment one is let through. The rows are kept beside the data then.
func (s *Server) SignEpoch(ctx context.Context, dataDir, nonce string, timeline cluster.Timeline) error {
	history, err := s.historyOf(ctx, dataDir, timeline)
	if err != nil {
		return err
	}
	conn, err := s.Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := conn.Exec(ctx, makeEpochs).Close(); err != nil {
		return err
	}
	rows, err := s.Epochs(ctx)
	if err != nil {
		return err
	}
	if _, signed := history.RowOf(timeline, rows); !signed {
		if err := s.insertRow(ctx, conn, timeline, history, rows, cluster.HandNonce(nonce)); err != nil {
			return err
		}
	}
	return s.keepEpochs(ctx, dataDir)
}

// insertRow adds a row of the next epoch to those that are there.
func (s *Server) insertRow(ctx context.Context, conn *pgconn.PgConn, t cluster.Timeline, h cluster.History, rows []cluster.Epoch, nonce string) error {
	now, err := queryOn(ctx, conn, "SELECT pg_current_wal_insert_lsn()")
	if err != nil {
		return err
	}
	position, err := cluster.ParseLSN(now[0][0])
	if err != nil {
		return err
	}
	epoch := int64(1)
	if n := len(rows); n > 0 {
		epoch = rows[n-1].Epoch + 1
	}
	e := cluster.NewRow(epoch, s.host.Name(), nonce, t, h, rows, position)
	_, err = queryOn(ctx, conn, `INSERT INTO pgctl.epoch (epoch, master, nonce, timeline, fork_lsn)
SELECT $1::bigint, $2, $3, $4::bigint, $5::pg_lsn WHERE NOT EXISTS (SELECT FROM pgctl.epoch WHERE epoch >= $1::bigint)
  AND $4::bigint = ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::bigint`,
		strconv.FormatInt(e.Epoch, 10), e.Master, e.Nonce, strconv.Itoa(int(t)), e.Fork.String())
	return err
}

// historyOf is how a timeline came to be, as its history file says; the first one has none.
func (s *Server) historyOf(ctx context.Context, dataDir string, timeline cluster.Timeline) (cluster.History, error) {
	if timeline == 1 {
		return nil, nil
	}
	text, err := remote.ReadFile(ctx, s.host, path.Join(dataDir, "pg_wal", fmt.Sprintf("%08X.history", uint32(timeline))))
	if err != nil {
		return nil, err
	}
	h, err := parseHistory(string(text), timeline)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.host.Name(), err)
	}
	return h, nil
}

// parseHistory reads a timeline's history file (PostgreSQL source, timeline.c).
func parseHistory(text string, timeline cluster.Timeline) (cluster.History, error) {
	var h cluster.History
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		parent, err1 := parseTimeline(fields[0], 10)
		at, err2 := cluster.ParseLSN(fields[1])
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("cannot read the history of timeline %d: %w", timeline, err)
		}
		h = append(h, cluster.Fork{Parent: parent, At: at})
	}
	if len(h) == 0 {
		return nil, fmt.Errorf("the history of timeline %d does not say where it began", timeline)
	}
	return h, nil
}

// Epochs are the rows that the server has, in their order; none where no pgctl has signed a timeline yet.
func (s *Server) Epochs(ctx context.Context) ([]cluster.Epoch, error) {
	there, err := s.scalar(ctx, "SELECT to_regclass('pgctl.epoch') IS NOT NULL")
	if err != nil || there != "t" {
		return nil, err
	}
	rows, err := s.query(ctx, "SELECT epoch, master, nonce, timeline, fork_lsn FROM pgctl.epoch ORDER BY epoch, timeline")
	if err != nil {
		return nil, err
	}
	var all []cluster.Epoch
	for _, row := range rows {
		epoch, err1 := strconv.ParseInt(row[0], 10, 64)
		timeline, err2 := parseTimeline(row[3], 10)
		fork, err3 := cluster.ParseLSN(row[4])
		if err := errors.Join(err1, err2, err3); err != nil {
			return nil, fmt.Errorf("%s: cannot read pgctl.epoch: %w", s.host.Name(), err)
		}
		all = append(all, cluster.Epoch{Epoch: epoch, Master: row[1], Nonce: row[2], Timeline: timeline, Fork: fork})
	}
	return all, nil
}
