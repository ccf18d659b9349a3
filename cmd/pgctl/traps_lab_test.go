//go:build lab

package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pgctl/pgctl/internal/lab"
)

// TestLabTraps: hosts and regions as they are found at night, in which an answer that is nearly right costs data.
func TestLabTraps(t *testing.T) { trapsStory(t, lab.Spec{}) }

func TestMatrixTraps(t *testing.T) {
	for name, spec := range map[string]lab.Spec{"PostgreSQL 10": {Postgres: "10"}, "three servers": {Servers: 3}} {
		t.Run(name, func(t *testing.T) { trapsStory(t, spec) })
	}
}

func trapsStory(t *testing.T, spec lab.Spec) {
	r := region(t, spec)
	settles(t, r, []string{})
	db1, db2 := r.Host("db1"), r.Host("db2")
	t.Run("a login shell that talks", func(t *testing.T) {
		shell(t, db1, "echo 'echo Welcome to $(hostname); echo oops >&2' > /root/.bashrc; cp /root/.bashrc /root/.profile")
		settles(t, r, []string{})
		shell(t, db1, "rm /root/.bashrc /root/.profile")
	})
	t.Run("files that are no history", func(t *testing.T) {
		shell(t, db1, fmt.Sprintf(`cd %s/pg_wal; printf '1\tdeadbeefxyz/zz\tx\n' > 00000008.history; printf '1\t0x1,a[$(touch /tmp/made)]/1\tx\n' > 00000009.history`, db1.DataDir()))
		settles(t, r, []string{})
		shell(t, db1, fmt.Sprintf("! [ -e /tmp/made ]; rm %s/pg_wal/0000000[89].history", db1.DataDir()))
	})
	t.Run("another cluster beside", func(t *testing.T) {
		shell(t, db2, "d=/var/lib/postgresql/13/other; mkdir -p $d; echo 13 > $d/PG_VERSION; printf '1\n%s\n1\n5499\n/tmp\n*\n' $d > $d/postmaster.pid")
		settles(t, r, []string{})
		must(t, db2.Stop(t.Context(), "postgresql"))
		doc, _ := settles(t, r, []string{"postgres-down db2"})
		if f := finding(doc, "postgres-down", "db2"); spec.Postgres != "10" && !strings.HasPrefix(f.Message, "PostgreSQL is not running: postgresql@15-main.service is ") {
			t.Errorf("%+v", f)
		}
		must(t, db2.Start(t.Context(), "postgresql"))
		shell(t, db2, "rm -r /var/lib/postgresql/13")
		settles(t, r, []string{})
	})
	t.Run("libpq's variables", func(t *testing.T) {
		out := shell(t, r.Firstbox(), "PGTARGETSESSIONATTRS=read-only PGSERVICE=x PGHOST=nowhere PGPORT=1 PGOPTIONS=-cfoo=bar pgctl find-master")
		if out != "db1" {
			t.Errorf("find-master says %q", out)
		}
	})
	t.Run("pgpool frozen", func(t *testing.T) {
		pool := r.Pools()[0]
		must(t, pool.Freeze("pgpool"))
		doc, _ := settles(t, r, []string{"pgpool-down " + pool.Name()}, "--timeout", "2s")
		if f := finding(doc, "pgpool-down", pool.Name()); !strings.Contains(f.Message, "accepts connections and serves nobody") {
			t.Errorf("%+v", f)
		}
		must(t, pool.Thaw("pgpool"))
		settles(t, r, []string{})
	})
	t.Run("commits wait for nobody who exists", func(t *testing.T) {
		names := psql(t, db1, "SHOW synchronous_standby_names")
		psql(t, db1, "ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 (nobody)'; SELECT pg_reload_conf()")
		doc, _ := settles(t, r, []string{"standby-not-streaming db1"})
		if f := finding(doc, "standby-not-streaming", "db1"); !strings.Contains(f.Message, "every commit waits") {
			t.Errorf("%+v", f)
		}
		psql(t, db1, "ALTER SYSTEM SET synchronous_standby_names = '"+names+"'; SELECT pg_reload_conf()")
		settles(t, r, []string{})
	})
	t.Run("the hint for a pool does not start PostgreSQL", func(t *testing.T) { poolHint(t, r) })
	t.Run("an old master answers alone", func(t *testing.T) { oldMasterAlone(t, r) })
}

// poolHint: the restart that a finding advises leaves a stopped PostgreSQL on the same host stopped.
func poolHint(t *testing.T, r *lab.Region) {
	db2 := r.Host("db2")
	shell(t, db2, "systemctl stop postgresql.service 2>/dev/null; true") // else it wants nothing
	must(t, db2.Stop(t.Context(), "postgresql"))
	must(t, db2.Stop(t.Context(), "pgpool2"))
	doc, _ := settles(t, r, []string{"pgpool-down db2", "postgres-down db2"})
	hint := finding(doc, "pgpool-down", "db2").Hint
	for _, command := range []string{hint, strings.Replace(hint, " start ", " restart ", 1)} {
		shell(t, r.Firstbox(), command)
		settles(t, r, []string{"postgres-down db2"})
	}
	shell(t, db2, "systemctl start postgresql.service; true")
	must(t, db2.Start(t.Context(), "postgresql"))
	settles(t, r, []string{})
}

// oldMasterAlone: the standby was promoted and is down now; the old master is the only one that answers. It must not be
// named, and nothing may be advised that throws away what the promoted one has.
func oldMasterAlone(t *testing.T, r *lab.Region) {
	db1, db2 := r.Host("db1"), r.Host("db2")
	promote(t, db2)
	must(t, db2.KillService(t.Context(), "postgresql"))
	doc := settlesOn(t, r, "no-master")
	if doc.Region.Master != nil {
		t.Errorf("%s is named as master", *doc.Region.Master)
	}
	for _, f := range doc.Findings {
		for _, bad := range []string{"rejoin", "only backend", "pgpool sync", "echo db1", "systemctl start postgresql"} {
			if strings.Contains(f.Hint, bad) {
				t.Errorf("%s %s advises: %s", f.Code, value(f.Host), f.Hint)
			}
		}
	}
	out := pgctl(t, r, "find-master")
	if out.Exit != exitUnhealthy || out.Stdout != "" || !strings.Contains(out.Stderr, "db1 answers as master on timeline 1, but db2 has timeline 2") {
		t.Errorf("find-master: %+v", out)
	}
	if out := pgctl(t, r, "pgpool", "sync", "--yes", "--accept=unfenced-master"); out.Exit != exitRefused || !strings.Contains(out.Stderr, "db1 is an old master") {
		t.Errorf("pgpool sync: %+v", out)
	}
	must(t, db1.Stop(t.Context(), "postgresql")) // now both are down
	doc = settlesOn(t, r, "postgres-down")
	if f := finding(doc, "postgres-down", "db1"); strings.Contains(f.Hint, "systemctl start") {
		t.Errorf("both down, the old one: %+v", f)
	}
}

// settlesOn asks until overview has a finding of this code.
func settlesOn(t *testing.T, r *lab.Region, code string) overviewDoc {
	t.Helper()
	for range 60 {
		doc, _ := overviewOf(t, r)
		for _, f := range doc.Findings {
			if string(f.Code) == code {
				return doc
			}
		}
	}
	t.Fatalf("no finding %s", code)
	return overviewDoc{}
}
