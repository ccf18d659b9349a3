//go:build lab

package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgctl/pgctl/internal/lab"
	"github.com/pgctl/pgctl/pkg/cluster"
)

// TestMatrixReset: the majority of the votes is lost for good. An operator makes the quorum anew out of what is left, and says who is master; the lost
// ones come back with the directories that they had, and disturb nobody. Nothing that was acknowledged is lost.
func TestMatrixReset(t *testing.T) {
	for _, tt := range []struct {
		name string
		spec lab.Spec
		lost []string // beside them, "master" or not
	}{
		{"both standbys", lab.Spec{Servers: 3}, []string{"standby", "standby"}},
		{"the master and a standby", lab.Spec{Servers: 3}, []string{"master", "standby"}},
		{"the standby and an arbiter", lab.Spec{}, []string{"standby", "arbiter"}},
		{"PostgreSQL 10, the master and a standby", lab.Spec{Servers: 3, Postgres: "10"}, []string{"master", "standby"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := keptRegion(t, tt.spec)
			before := whole(t, r, 90*time.Second)
			var lost []*lab.Host
			standbys := standbysOf(r, r.Host(before.Master))
			for _, which := range tt.lost {
				switch which {
				case "master":
					lost = append(lost, r.Host(before.Master))
				case "standby":
					lost, standbys = append(lost, standbys[0]), standbys[1:]
				case "arbiter":
					lost = append(lost, r.Arbiters()[0])
				}
			}
			resets(t, r, before, lost)
			if tt.spec.Postgres == "10" {
				forgetsReceivers(t, r)
			}
		})
	}
}

// resets has hosts lost, brings writes back by hand, and has the lost ones come back.
func resets(t *testing.T, r *lab.Region, before cluster.State, lost []*lab.Host) {
	t.Helper()
	if out := pgctl(t, r, "deploy", "--reset-quorum", "--yes", patient); out.Exit != exitRefused || !strings.Contains(out.Stderr, "there is an executor") {
		t.Errorf("beside a quorum: %+v", out)
	}
	apps := applications(t, r)
	time.Sleep(2 * time.Second)
	atOnce(t, lost, func(h *lab.Host) error { return h.Kill(t.Context()) })
	began := time.Now()
	time.Sleep(18 * time.Second) // who had been master has stopped by then: there is no quorum, and no standby answers
	const quick = "--timeout=6s"
	if out := pgctl(t, r, "deploy", "--reset-quorum", "--yes", quick); out.Exit != exitRefused || strings.Count(out.Stderr, "does not answer: if it is not lost") != len(lost) && !slices.Contains(lost, r.Host(before.Master)) {
		t.Errorf("without --accept: %+v", out)
	}
	if m := r.Host(before.Master); !m.Running() {
		if out := pgctl(t, r, "deploy", "--reset-quorum", "--accept=lost-hosts", "--yes", quick); out.Exit != exitRefused || !strings.Contains(out.Stderr, "pgctl failover first") {
			t.Errorf("without a master: %+v", out)
		}
		out := pgctl(t, r, "failover", "--to", furthest(t, r), "--accept=unfenced-master", "--accept=data-loss", "--accept=no-sync-standby", "--yes", quick)
		if out.Exit != exitPartway || !strings.Contains(out.Stderr, "left out: ") || !strings.Contains(out.Stderr, "pgctl deploy --reset-quorum") {
			t.Fatalf("%+v", out) // the pools of the lost are left out
		}
	}
	const command = "deploy --reset-quorum --accept=lost-hosts " + quick
	for _, n := range []int{1, 4} { // pgctl dies, and is run again
		killedAt(t, r, n, command)
	}
	if out := pgctl(t, r, append(strings.Fields(command), "--yes")...); out.Exit != exitDone || !strings.Contains(out.Stderr, "pgctl resume --adopt") {
		t.Fatalf("%+v", out)
	}
	if out := pgctl(t, r, "resume", "--adopt", quick); out.Exit != exitRefused || !strings.Contains(out.Stderr, "is not heard") {
		t.Errorf("adopted without --accept: %+v", out)
	}
	waitUntil(t, "the adoption", func() bool {
		return pgctl(t, r, "resume", "--adopt", "--accept=unfenced-master", quick).Exit == exitDone
	})
	writesAgain(t, r, before, began)
	atOnce(t, lost, func(h *lab.Host) error { return h.Boot(t.Context()) })
	after := whole(t, r, 2*time.Minute)
	t.Logf("records: %s", strings.Join(made(&before, &after), "; "))
	for _, h := range lost {
		if left := shell(t, h, "ls -d /var/lib/pgctl/raft.superseded-*/raft.db"); strings.Count(left, "\n") > 1 {
			t.Errorf("%s set its store aside more than once: %s", h.Name(), left)
		}
	}
	apps.end(t, r, "lost for good")
}

// writesAgain waits until the adopted master takes writes.
func writesAgain(t *testing.T, r *lab.Region, before cluster.State, began time.Time) {
	t.Helper()
	waitUntil(t, "writes", func() bool {
		s := latest(t.Context(), r)
		if s.Epoch <= before.Epoch || s.Phase != cluster.Serving || !s.Opened {
			return false
		}
		_, err := r.Host(s.Master).PSQL(t.Context(), "CREATE TABLE IF NOT EXISTS again (n int); INSERT INTO again VALUES (1)")
		return err == nil
	})
	t.Logf("writes go on %.1f s after the loss", time.Since(began).Seconds())
}

// forgetsReceivers: on PostgreSQL 10 a receiver that went on with a new timeline does not say any more whom it receives from. A watcher that has not seen it
// before has it begin anew.
func forgetsReceivers(t *testing.T, r *lab.Region) {
	t.Helper()
	s := latest(t.Context(), r)
	const learned = `grep -c 'learn whom the receiver receives from" is=done' /var/log/pgctl/watch.log || true`
	for _, h := range standbysOf(r, r.Host(s.Master)) {
		if says := psql(t, h, "SELECT conninfo FROM pg_stat_wal_receiver"); strings.Contains(says, "host=") {
			t.Logf("%s still says whom it receives from, as it was begun anew: %s", h.Name(), says)
			continue
		}
		before := shell(t, h, learned)
		must(t, h.Stop(t.Context(), "pg_watcher"))
		shell(t, h, `perl -pi -e 's/"receiver":\{[^}]*\}/"receiver":{}/' /run/pgctl/watch.json`)
		must(t, h.Start(t.Context(), "pg_watcher"))
		waitUntil(t, h.Name()+" to learn whom it receives from", func() bool {
			return shell(t, h, learned) != before && value(nodeOf(t, h).Upstream) == s.Master
		})
	}
	whole(t, r, 90*time.Second)
}
