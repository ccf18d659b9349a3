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

// TestMatrixGuide is what a site does to accept automatic failover, step by step and with the timers that it has by default: two minutes of judgement.
// It enables it, looks at the services, has the slave go down, then the master, and brings the old master back by hand.
func TestMatrixGuide(t *testing.T) {
	for name, spec := range map[string]lab.Spec{
		"PostgreSQL 10":                     {Postgres: "10"},
		"PostgreSQL 15, pools on their own": {OwnPools: true},
	} {
		t.Run(name, func(t *testing.T) { guideStory(t, spec) })
	}
}

func guideStory(t *testing.T, spec lab.Spec) {
	r := region(t, spec)
	settles(t, r, []string{})
	deploys(t, r, patient)
	waitUntil(t, "the watchers", func() bool { return pgctl(t, r, "doctor", patient).Exit == exitDone })
	if out := pgctl(t, r, "enable-ha", "--yes", patient); out.Exit != exitDone {
		t.Fatalf("%+v", out)
	}
	before := whole(t, r, 90*time.Second)
	keepAccepted(t, r)
	master := r.Host(before.Master)
	slave := standbysOf(r, master)[0]

	apps := applications(t, r)
	must(t, slave.Kill(t.Context()))
	soon(t, r, 3*time.Minute, "the slave to be taken out", func(s cluster.State) bool {
		n, _ := s.Newest()
		return len(s.Configs) == 1 && n.K == 0
	})
	must(t, slave.Boot(t.Context()))
	whole(t, r, 3*time.Minute)
	if out := apps.end(t, r, "slave down"); out.direct > 2*time.Minute {
		t.Errorf("nothing was acknowledged for %s", out.direct)
	}

	apps = applications(t, r)
	time.Sleep(time.Second)
	must(t, master.Kill(t.Context()))
	soon(t, r, 3*time.Minute, "the slave to be master, and the pools that are there on it", func(s cluster.State) bool {
		down := func(pool string) bool { return pool == master.Name() }
		return s.Master == slave.Name() && s.Opened && !slices.ContainsFunc(s.Pools, func(pool string) bool { return !down(pool) })
	})
	must(t, master.Boot(t.Context()))
	waitUntil(t, "the old master to be up, and read-only", func() bool {
		out, err := master.PSQL(t.Context(), "SELECT pg_is_in_recovery()")
		return err == nil && out == "t"
	})
	if doc, _ := overviewOf(t, r, patient); value(doc.Region.Master) != slave.Name() {
		t.Errorf("overview says that %s is master", value(doc.Region.Master))
	}
	out := pgctl(t, r, "upmaster", master.Name(), "--yes", patient)
	if strings.Contains(out.Stderr, "lose-diverged-transactions") { // nobody was told that they are done
		out = pgctl(t, r, "upmaster", master.Name(), "--yes", patient, "--accept=lose-diverged-transactions")
	}
	if out.Exit != exitDone {
		t.Fatalf("%+v", out)
	}
	if after := whole(t, r, 90*time.Second); after.Master != slave.Name() {
		t.Errorf("%s is master", after.Master)
	}
	if out := apps.end(t, r, "master down"); out.direct > 150*time.Second || out.pool > 150*time.Second {
		t.Errorf("nothing was acknowledged for %s, through the pools for %s", out.direct, out.pool)
	}
	keepAccepted(t, r)
	settles(t, r, []string{}, patient)
}

// soon waits for a state of the quorum.
func soon(t *testing.T, r *lab.Region, limit time.Duration, what string, is func(cluster.State) bool) {
	t.Helper()
	began := time.Now()
	for ; !is(latest(t.Context(), r)); time.Sleep(500 * time.Millisecond) {
		if time.Since(began) > limit {
			t.Fatalf("waited %s for %s", limit, what)
		}
	}
	t.Logf("%s took %.1f s", what, time.Since(began).Seconds())
}
