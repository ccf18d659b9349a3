//go:build lab

package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/pgctl/pgctl/internal/lab"
)

// TestMatrixFailover kills the master's PostgreSQL under a writer, and pgctl at every report of the failover by hand that follows.
func TestMatrixFailover(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spec  lab.Spec
		every int
	}{
		{"PostgreSQL 15", lab.Spec{}, 1},
		{"PostgreSQL 10", lab.Spec{Postgres: "10"}, 3},
		{"PostgreSQL 15, three servers", lab.Spec{Servers: 3}, 2},
		{"PostgreSQL 10, three servers", lab.Spec{Postgres: "10", Servers: 3}, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := region(t, tt.spec)
			settles(t, r, []string{})
			failoverCrashes(t, r, tt.every)
		})
	}
}

// failoverCrashes: whatever pgctl had done when it died, run again it comes to its end, and the old master rejoins. What it had written and not
// acknowledged yet when it was killed is given up, as pgctl cannot know that nobody was told of it; the client can: nothing acknowledged is lost.
func failoverCrashes(t *testing.T, r *lab.Region, every int) {
	w := writes(t, r)
	for n := every; ; n += every {
		from := master(t, r)
		time.Sleep(500 * time.Millisecond) // some writes
		must(t, r.Host(from).KillService(t.Context(), "postgresql"))
		to := furthest(t, r)
		command := "failover --to " + to + " --accept=no-sync-standby --accept=data-loss"
		killed := killedAt(t, r, n, command)
		if killed {
			out := pgctl(t, r, "failover", "--to", to, "--accept=no-sync-standby", "--accept=data-loss", "--yes")
			if out.Exit != exitDone {
				t.Fatalf("after a crash at report %d: %+v", n, out)
			}
		}
		if now := master(t, r); now != to {
			t.Fatalf("after a crash at report %d the master is %q, expected %s", n, now, to)
		}
		if out := pgctl(t, r, "upmaster", from, "--accept=lose-diverged-transactions", "--yes"); out.Exit != exitDone {
			t.Fatalf("after a crash at report %d: %+v", n, out)
		}
		settles(t, r, []string{})
		if left := shell(t, r.Firstbox(), "ls /var/lib/pgctl/journal; true"); left != "" {
			t.Errorf("a journal is left: %s", left)
		}
		if !killed {
			if n < 15 {
				t.Errorf("it came to its end before report %d", n)
			}
			break
		}
	}
	nothingLost(t, r, w)
}

// furthest is the first candidate that pgctl shows.
func furthest(t *testing.T, r *lab.Region) string {
	t.Helper()
	var all []candidateDoc
	if out := pgctl(t, r, "failover", "-o", "json"); json.Unmarshal([]byte(out.Stdout), &all) != nil || len(all) == 0 || all[0].Note != nil {
		t.Fatalf("no candidate: %+v", out)
	}
	return all[0].Host
}

// TestLabUnsync: a standby's host is lost and writes hang; they go on without it, and it is taken in again.
func TestLabUnsync(t *testing.T) {
	r := region(t, lab.Spec{})
	settles(t, r, []string{})
	psql(t, r.Host("db1"), "CREATE TABLE kept (n int)")
	must(t, r.Host("db2").Kill(t.Context()))
	doc, _ := settles(t, r, []string{"host-unreachable db2"}, "--timeout", "2s")
	if f := finding(doc, "host-unreachable", "db2"); f.Hint == "" || !strings.Contains(f.Hint, "pgctl unsync db2") {
		t.Errorf("the finding does not say how writes go on: %+v", f)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second) // statement_timeout does not end such a wait
	defer cancel()
	if _, err := r.Host("db1").PSQL(ctx, "INSERT INTO kept VALUES (1)"); err == nil {
		t.Error("a commit did not wait for the lost standby")
	}
	unchanged(t, r, exitRefused, "--accept=no-sync-standby", "unsync", "db2", "--yes", "--timeout", "2s")
	unchanged(t, r, exitRefused, "--accept=unfenced-master", "unsync", "db2", "--yes", "--timeout", "2s")
	accepted := []string{"unsync", "db2", "--accept=no-sync-standby", "--accept=unfenced-master", "--timeout", "2s"}
	unchanged(t, r, exitDone, "have commits wait for", append(accepted, "--dry-run")...)
	if out := pgctl(t, r, append(accepted, "--yes")...); out.Exit != exitDone {
		t.Fatalf("%+v", out)
	}
	psql(t, r.Host("db1"), "INSERT INTO kept VALUES (2)")
	unchanged(t, r, exitDone, "nothing to do", append(accepted, "--yes")...)
	must(t, r.Host("db2").Boot(t.Context()))
	settles(t, r, []string{"not-synchronous db2"})
	if out := pgctl(t, r, "upmaster", "db2", "--yes"); out.Exit != exitDone {
		t.Fatalf("%+v", out)
	}
	settles(t, r, []string{})
	if names := psql(t, r.Host("db1"), "SHOW synchronous_standby_names"); !strings.Contains(names, "db2") {
		t.Errorf("a commit does not wait for db2 again: %s", names)
	}
}
