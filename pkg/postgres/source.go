package postgres

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// source is what a copy needs to know of its master.
type source struct {
	base, wal   int64 // bytes outside of tablespaces
	tablespaces []tablespace
	freeSlots   int
}

type tablespace struct {
	location string
	bytes    int64
}

const sourceSQL = `
SELECT pg_tablespace_size('pg_default') + pg_tablespace_size('pg_global'), (SELECT coalesce(sum(size), 0) FROM pg_ls_waldir()),
  current_setting('max_replication_slots')::int - (SELECT count(*) FROM pg_replication_slots);
SELECT pg_tablespace_location(oid), pg_tablespace_size(oid) FROM pg_tablespace WHERE pg_tablespace_location(oid) LIKE '/%' ORDER BY 1`

// source asks the master.
func (s *Server) source(ctx context.Context) (source, error) {
	conn, err := s.Connect(ctx)
	if err != nil {
		return source{}, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	results, err := conn.Exec(ctx, sourceSQL).ReadAll()
	if err != nil {
		return source{}, fmt.Errorf("%s: its size: %w", s.host.Name(), err)
	}
	return readSource(results)
}

func readSource(results []*pgconn.Result) (found source, err error) {
	if len(results) != 2 || len(results[0].Rows) != 1 {
		return source{}, fmt.Errorf("expected two answers about the master's size, got %d", len(results))
	}
	number := func(text []byte) (n int64) {
		n, errNumber := strconv.ParseInt(string(text), 10, 64)
		if errNumber != nil {
			err = errNumber
		}
		return n
	}
	first := results[0].Rows[0]
	found.base, found.wal, found.freeSlots = number(first[0]), number(first[1]), int(number(first[2]))
	for _, row := range results[1].Rows {
		found.tablespaces = append(found.tablespaces, tablespace{string(row[0]), number(row[1])})
	}
	return found, err
}

// checkpoint makes the master write a checkpoint, and waits until its control file has the timeline: shortly after a promotion it may
// still have the old one, and pg_rewind goes by it.
func (s *Server) checkpoint(ctx context.Context, timeline uint32) error {
	conn, err := s.Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	has := ""
	for range 20 {
		results, err := conn.Exec(ctx, "CHECKPOINT; SELECT timeline_id FROM pg_control_checkpoint()").ReadAll()
		if err != nil {
			return fmt.Errorf("%s: checkpoint: %w", s.host.Name(), err)
		}
		if has = string(results[1].Rows[0][0]); has == strconv.FormatUint(uint64(timeline), 10) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(250 * time.Millisecond):
		}
	}
	return fmt.Errorf("%s is on timeline %s, expected %d", s.host.Name(), has, timeline)
}
