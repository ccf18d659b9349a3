//go:build lab

package main

import (
	"context"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pgctl/pgctl/internal/lab"
	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/postgres"
	"github.com/pgctl/pgctl/pkg/remote"
)

// labHost is a host of the region, entered from this machine and not over SSH.
type labHost struct {
	remote.Host
	host *lab.Host
}

// serverOn is the PostgreSQL of a host of the region.
func serverOn(h *lab.Host) *postgres.Server {
	local := remote.NewPool(remote.Options{LocalName: h.Name()}).Host(h.Name())
	return postgres.On(labHost{local, h}, postgres.Settings{})
}

func (l labHost) Pipe(ctx context.Context, cmd remote.Command) (net.Conn, error) {
	inside, err := l.host.Command(ctx, cmd.Args...)
	if err != nil {
		return nil, err
	}
	return l.Host.Pipe(ctx, remote.Command{Args: inside.Args})
}

// TestLabTail counts what a server holds past a position: while it runs, after it was killed, and after another was promoted
// there. PostgreSQL's own pg_waldump has to agree to the byte.
func TestLabTail(t *testing.T) {
	tailStory(t, lab.Spec{Arbiters: lab.NoArbiters}, func(t *testing.T, h *lab.Host, from cluster.LSN) (cluster.LSN, int) {
		out := shell(t, h, "/usr/lib/postgresql/15/bin/pg_waldump -p "+h.DataDir()+"/pg_wal -t 1 -s "+from.String()+" 2>&1 || true")
		end := regexp.MustCompile(`(?:invalid record length at |could not find a valid record after )([0-9A-F]+/[0-9A-F]+)`).FindStringSubmatch(out)
		if end == nil {
			t.Fatalf("pg_waldump: %s", out[max(0, len(out)-300):])
		}
		return lsnIn(t, end[1]), strings.Count(out, "desc: COMMIT ")
	})
}

// TestMatrixTail has no pg_waldump of its version: the server's own position stands in for it, and what was written is known.
func TestMatrixTail(t *testing.T) {
	tailStory(t, lab.Spec{Postgres: "10", Arbiters: lab.NoArbiters}, nil)
}

// judge is another's opinion about the WAL past a position: where it ends, and the number of commits.
type judge func(t *testing.T, h *lab.Host, from cluster.LSN) (cluster.LSN, int)

func tailStory(t *testing.T, spec lab.Spec, judged judge) {
	r := region(t, spec)
	db1, db2 := r.Host("db1"), r.Host("db2")
	psql(t, db1, "CREATE TABLE tail (id int)")
	began := time.Now()
	from := lsnIn(t, psql(t, db1, "SELECT pg_current_wal_insert_lsn()"))
	insert := func(n int) {
		for range n {
			psql(t, db1, "SET synchronous_commit = local; INSERT INTO tail VALUES (1)")
		}
	}
	check := func(t *testing.T, at cluster.LSN, written int) cluster.Tail {
		t.Helper()
		tail := settledTail(t, db1, at, judged)
		// autovacuum may commit something, but not often
		if tail.Transactions < written || tail.Transactions > written+5 || tail.More || tail.From != at || tail.End <= at {
			t.Errorf("got %+v, expected %d transactions past %s", tail, written, at)
		}
		if tail.First.Before(began) || tail.Last.Before(tail.First) || tail.Last.After(time.Now()) {
			t.Errorf("made from %s to %s, expected after %s", tail.First, tail.Last, began)
		}
		t.Logf("%+v, to %s", tail, tail.End)
		return tail
	}

	insert(6)
	running := check(t, from, 6)
	if at := lsnIn(t, psql(t, db1, "SELECT pg_current_wal_lsn()")); running.End > at {
		t.Errorf("to %s, and the server is at %s", running.End, at)
	}
	psql(t, db1, "SELECT pg_switch_wal()")
	insert(3)
	check(t, from, 9) // over two segments
	holdsAfter(t, "db2 has it all", func() bool {
		return psql(t, db1, "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn = pg_current_wal_lsn()") == "1"
	})
	must(t, db1.KillService(t.Context(), "postgresql"))
	check(t, from, 9)

	fork := promotedAt(t, db2)
	if tail, err := serverOn(db2).Tail(t.Context(), db2.DataDir(), 1, fork); err != nil || tail.End != fork || tail.Transactions != 0 {
		t.Errorf("db2 left timeline 1 at %s, and has %+v, %v", fork, tail, err)
	}
	psql(t, db2, "CREATE TABLE apart ()")
	if tail, err := serverOn(db2).Tail(t.Context(), db2.DataDir(), 2, fork); err != nil || tail.Transactions == 0 {
		t.Errorf("db2 on its timeline: %+v, %v", tail, err)
	}
	must(t, db1.Start(t.Context(), "postgresql"))
	must(t, db1.WaitPostgres(t.Context(), time.Minute))
	insert(7)
	must(t, db1.KillService(t.Context(), "postgresql"))
	check(t, fork, 7)
}

// settledTail asks until the judge sees the same before and after: a server that runs writes by itself, too.
func settledTail(t *testing.T, h *lab.Host, from cluster.LSN, judged judge) cluster.Tail {
	t.Helper()
	for range 10 {
		var before, after cluster.LSN
		var commits int
		if judged != nil {
			before, commits = judged(t, h, from)
		}
		tail, err := serverOn(h).Tail(t.Context(), h.DataDir(), 1, from)
		must(t, err)
		if judged == nil {
			return tail
		}
		if after, _ = judged(t, h, from); after != before {
			continue
		}
		if tail.End != after || tail.Transactions != commits {
			t.Errorf("%d transactions to %s, pg_waldump: %d to %s", tail.Transactions, tail.End, commits, after)
		}
		return tail
	}
	t.Fatal("the server does not come to rest")
	return cluster.Tail{}
}

// promotedAt makes a standby a master and returns where its new timeline begins.
func promotedAt(t *testing.T, h *lab.Host) cluster.LSN {
	t.Helper()
	bin := "/usr/lib/postgresql/15/bin"
	if h.Port() == 5433 {
		bin = "/opt/postgresql/bin"
	}
	shell(t, h, "runuser -u postgres -- "+bin+"/pg_ctl -D "+h.DataDir()+" promote -w >/dev/null")
	psql(t, h, "ALTER SYSTEM SET synchronous_standby_names = ''")
	psql(t, h, "SELECT pg_reload_conf()")
	return lsnIn(t, shell(t, h, "awk '{ print $2 }' "+h.DataDir()+"/pg_wal/00000002.history"))
}

// lsnIn reads a position that a host printed.
func lsnIn(t *testing.T, s string) cluster.LSN {
	t.Helper()
	l, err := cluster.ParseLSN(s)
	must(t, err)
	return l
}

// holdsAfter polls a condition for some seconds.
func holdsAfter(t *testing.T, what string, is func() bool) {
	t.Helper()
	for range 100 {
		if is() {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("not within 10 s: %s", what)
}
