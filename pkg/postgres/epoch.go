package postgres

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/remote"
)

// makeEpochs makes the table; commits of its session do not wait for a standby.
const makeEpochs = `SET synchronous_commit = local;
CREATE SCHEMA IF NOT EXISTS pgctl;
CREATE TABLE IF NOT EXISTS pgctl.epoch (epoch bigint PRIMARY KEY, master text NOT NULL, nonce text NOT NULL, timeline bigint NOT NULL,
  fork_lsn pg_lsn NOT NULL, made timestamptz NOT NULL DEFAULT now())`

// SignEpoch leaves the row that tells the master's present timeline from every other one of that number (cluster.Epoch says what it proves).
// It does not wait for a standby: names that match nobody yet would hold it for ever, and a row that is lost only makes copies unproven.
// Where a row of the timeline is there already, or the master is on another one by now, nothing is done. Of two that sign at one moment
// the key lets one through. The rows are kept beside the data then.
func (s *Server) SignEpoch(ctx context.Context, dataDir, nonce string, timeline cluster.Timeline) error {
	fork, err := s.forkOf(ctx, dataDir, timeline)
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
	_, err = queryOn(ctx, conn, `INSERT INTO pgctl.epoch (epoch, master, nonce, timeline, fork_lsn)
SELECT coalesce(max(epoch), 0) + 1, $1, $2, $3::bigint, $4::pg_lsn FROM pgctl.epoch
HAVING NOT coalesce(bool_or(timeline = $3::bigint AND fork_lsn = $4::pg_lsn), false)
  AND $3::bigint = ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::bigint`, s.host.Name(), nonce, strconv.Itoa(int(timeline)), fork)
	if err != nil {
		return err
	}
	return s.keepEpochs(ctx, dataDir)
}

// forkOf is where a timeline began, as the last line of its history file says; the first one has neither a file nor a fork.
func (s *Server) forkOf(ctx context.Context, dataDir string, timeline cluster.Timeline) (string, error) {
	if timeline == 1 {
		return cluster.LSN(0).String(), nil
	}
	history, err := remote.ReadFile(ctx, s.host, path.Join(dataDir, "pg_wal", fmt.Sprintf("%08X.history", uint32(timeline))))
	if err != nil {
		return "", err
	}
	line := strings.Fields(strings.TrimSpace(lastLine(string(history))))
	if len(line) < 2 {
		return "", fmt.Errorf("%s: the history of timeline %d does not say where it began", s.host.Name(), timeline)
	}
	return line[1], nil
}

func lastLine(text string) string {
	last := ""
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) > 1 && !strings.HasPrefix(fields[0], "#") {
			last = line
		}
	}
	return last
}

// Epochs are the rows that the server has, in their order; none where no pgctl has signed a timeline yet.
func (s *Server) Epochs(ctx context.Context) ([]cluster.Epoch, error) {
	there, err := s.scalar(ctx, "SELECT to_regclass('pgctl.epoch') IS NOT NULL")
	if err != nil || there != "t" {
		return nil, err
	}
	rows, err := s.query(ctx, "SELECT epoch, master, nonce, timeline, fork_lsn FROM pgctl.epoch ORDER BY epoch")
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
