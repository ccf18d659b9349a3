//go:build lab

package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pgctl/pgctl/internal/lab"
)

func TestLabOverview(t *testing.T) { overviewStory(t, lab.Spec{}) }

func TestMatrixOverview(t *testing.T) {
	for name, spec := range map[string]lab.Spec{
		"PostgreSQL 10, two servers":          {Postgres: "10"},
		"PostgreSQL 10, three servers":        {Postgres: "10", Servers: 3},
		"PostgreSQL 15, three servers":        {Servers: 3},
		"pools on their own hosts":            {OwnPools: true},
		"a server and a pool without systemd": {OwnPools: true, NoSystemd: []string{"db2", "pool2"}},
	} {
		t.Run(name, func(t *testing.T) { overviewStory(t, spec) })
	}
}

// overviewStory breaks a healthy region in one way after the other, and each time overview must name exactly what is
// broken, lose no other row, and answer in time. What is promoted by hand comes last.
func overviewStory(t *testing.T, spec lab.Spec) {
	r := region(t, spec)
	settles(t, r, []string{})
	t.Run("field by field", func(t *testing.T) { fieldByField(t, r) })
	t.Run("layout", func(t *testing.T) { layout(t, r) })
	for _, f := range faults(r) {
		t.Run(f.name, func(t *testing.T) {
			f.do(t)
			doc, took := settles(t, r, f.want)
			otherRowsStand(t, doc, f)
			if limit := 5*time.Second + 1500*time.Millisecond; took > limit {
				t.Errorf("the answer took %s, expected at most the timeout of 5s and a little", took)
			}
			t.Logf("%s in %s: %s", f.name, took.Round(10*time.Millisecond), describeFindings(doc))
			f.undo(t)
			settles(t, r, []string{})
		})
	}
	t.Run("pg_master lies", func(t *testing.T) { lyingFile(t, r) })
	t.Run("everything but firstbox is dead", func(t *testing.T) { everythingDead(t, r) })
	t.Run("two masters", func(t *testing.T) { twoMasters(t, r) })
}

// fault is one way to break a region, and what overview must say of it.
type fault struct {
	name     string
	host     string // whose row may suffer
	do, undo func(*testing.T)
	want     []string
}

func faults(r *lab.Region) []fault {
	db1, db2, pool := r.Host("db1"), r.Host("db2"), r.Pools()[1]
	return append([]fault{
		{
			name: "standby stopped", host: "db2",
			do:   func(t *testing.T) { must(t, db2.Stop(t.Context(), "postgresql")) },
			undo: func(t *testing.T) { must(t, db2.Start(t.Context(), "postgresql")) },
			want: []string{"postgres-down db2"},
		},
		{
			name: "standby killed", host: "db2",
			do:   func(t *testing.T) { must(t, db2.KillService(t.Context(), "postgresql")) },
			undo: func(t *testing.T) { must(t, db2.Start(t.Context(), "postgresql")) },
			want: []string{"postgres-down db2"},
		},
		{
			name: "server cut off", host: "db2",
			do:   func(t *testing.T) { must(t, db2.Cut(t.Context())) },
			undo: func(t *testing.T) { must(t, db2.Heal(t.Context())) },
			want: []string{"host-unreachable db2"},
		},
		{
			name: "pool stopped", host: pool.Name(),
			do:   func(t *testing.T) { must(t, pool.Stop(t.Context(), "pgpool2")) },
			undo: func(t *testing.T) { must(t, pool.Start(t.Context(), "pgpool2")) },
			want: []string{"pgpool-down " + pool.Name()},
		},
		{
			name: "pool restarted with the wrong master", host: pool.Name(),
			do:   func(t *testing.T) { pointPool(t, pool, "db1", "db2", true) },
			undo: func(t *testing.T) { pointPool(t, pool, "db2", "db1", true) },
			want: []string{"pgpool-wrong-backend " + pool.Name()},
		},
		{
			name: "pool right in its file, wrong in its memory", host: pool.Name(),
			do: func(t *testing.T) {
				pointPool(t, pool, "db1", "db2", true)
				pointPool(t, pool, "db2", "db1", false)
			},
			undo: func(t *testing.T) {
				must(t, pool.Stop(t.Context(), "pgpool2"))
				must(t, pool.Start(t.Context(), "pgpool2"))
			},
			want: []string{"pgpool-wrong-backend " + pool.Name()},
		},
		{
			name: "replay paused", host: "db2",
			do:   func(t *testing.T) { psql(t, db2, "SELECT pg_wal_replay_pause()") },
			undo: func(t *testing.T) { psql(t, db2, "SELECT pg_wal_replay_resume()") },
			want: []string{"standby-lagging db2"},
		},
		{
			name: "postmaster of the standby frozen", host: "db2",
			do:   func(t *testing.T) { must(t, db2.Freeze(lab.Postmaster)) },
			undo: func(t *testing.T) { must(t, db2.Thaw(lab.Postmaster)) },
			want: []string{"postgres-down db2"},
		},
		{
			name: "disk of the standby full", host: "db2",
			do:   func(t *testing.T) { must(t, db2.FillDisk()) },
			undo: func(t *testing.T) { must(t, db2.FreeDisk()) },
			want: []string{"disk-low db2"},
		},
		{
			name: "no master", host: "db1",
			do:   func(t *testing.T) { must(t, db1.Stop(t.Context(), "postgresql")) },
			undo: func(t *testing.T) { must(t, db1.Start(t.Context(), "postgresql")) },
			want: append([]string{"no-master", "postgres-down db1"}, notStreaming(r)...),
		},
	}, arbiterFaults(r)...)
}

// notStreaming are the findings of all standbys when the master has gone.
func notStreaming(r *lab.Region) (want []string) {
	for _, s := range r.Servers()[1:] {
		want = append(want, "standby-not-streaming "+s.Name())
	}
	return want
}

func arbiterFaults(r *lab.Region) []fault {
	if len(r.Arbiters()) == 0 {
		return nil
	}
	arbiter := r.Arbiters()[0]
	return []fault{{
		name: "arbiter powered off", host: arbiter.Name(),
		do:   func(t *testing.T) { must(t, arbiter.Kill(t.Context())) },
		undo: func(t *testing.T) { must(t, arbiter.Boot(t.Context())) },
		want: []string{"host-unreachable " + arbiter.Name()},
	}}
}

// pointPool edits pgpool.conf, and restarts pgpool or leaves it as it was.
func pointPool(t *testing.T, pool *lab.Host, from, to string, restart bool) {
	t.Helper()
	shell(t, pool, fmt.Sprintf("sed -i \"s/^backend_hostname0 = '%s'/backend_hostname0 = '%s'/\" /etc/pgpool2/pgpool.conf && grep -q \"^backend_hostname0 = '%s'\" /etc/pgpool2/pgpool.conf", from, to, to))
	if restart {
		must(t, pool.Stop(t.Context(), "pgpool2"))
		must(t, pool.Start(t.Context(), "pgpool2"))
		// the start returns before pgpool has read its file; once it listens, it has
		shell(t, pool, "timeout 20 bash -c 'until (exec 3<>/dev/tcp/127.0.0.1/9999) 2>/dev/null; do sleep 0.1; done'")
	}
}

// otherRowsStand: what the fault does not touch is shown as before.
func otherRowsStand(t *testing.T, doc overviewDoc, f fault) {
	t.Helper()
	for _, s := range doc.Servers {
		if s.Host != f.host && (!s.Reachable || s.Role == "unknown" || s.Version == nil) {
			t.Errorf("%s suffers too: %+v", s.Host, s)
		}
	}
	for _, p := range doc.Pools {
		if p.Host != f.host && (!p.Reachable || p.Service != "active" || len(p.Backends) != 1) {
			t.Errorf("pool %s suffers too: %+v", p.Host, p)
		}
	}
	for _, a := range doc.Arbiters {
		if a.Host != f.host && !a.Reachable {
			t.Errorf("arbiter %s suffers too: %+v", a.Host, a)
		}
	}
}

// fieldByField compares overview with psql run by hand. Autovacuum may write between the questions: then ask again.
func fieldByField(t *testing.T, r *lab.Region) {
	for range 10 {
		before := psql(t, r.Host("db1"), "SELECT pg_current_wal_lsn()")
		doc, _ := overviewOf(t, r)
		if psql(t, r.Host("db1"), "SELECT pg_current_wal_lsn()") != before {
			continue
		}
		for i, s := range doc.Servers {
			serverByHand(t, r.Host(s.Host), s, i == 0)
		}
		if m := value(doc.Region.Master); m != "db1" || doc.Region.HA != "disabled" || doc.Region.Status != "healthy" {
			t.Errorf("region: %+v", doc.Region)
		}
		for _, p := range doc.Pools {
			if len(p.Backends) != 1 || p.Backends[0].Host != "db1" || p.Backends[0].Port != r.Host("db1").Port() || value(p.Backends[0].Flag) != "DISALLOW_TO_FAILOVER" ||
				len(p.Running) != 1 || p.Running[0].Host != "db1" || value(p.Running[0].Role) != "primary" {
				t.Errorf("pool %s: %+v, running %+v", p.Host, p.Backends, p.Running)
			}
		}
		return
	}
	t.Error("the master's position moved in every round")
}

func serverByHand(t *testing.T, h *lab.Host, s serverDoc, master bool) {
	t.Helper()
	role, position := "standby", "pg_last_wal_replay_lsn()"
	if master {
		role, position = "master", "pg_current_wal_lsn()"
	}
	row := strings.Split(psql(t, h, "SELECT split_part(current_setting('server_version'), ' ', 1), "+position+
		", (SELECT system_identifier FROM pg_control_system()), current_setting('port'), current_setting('data_directory')"), "|")
	got := []string{value(s.Version), value(s.LSN), strconv.FormatUint(value(s.SystemID), 10), strconv.Itoa(value(s.Port)), value(s.DataDir)}
	for i := range row {
		if row[i] != got[i] {
			t.Errorf("%s: overview says %q, psql %q", s.Host, got[i], row[i])
		}
	}
	if string(s.Role) != role || value(s.Timeline) != 1 || !s.Reachable || s.Service != "active" || value(s.Zone) != h.Zone() || value(s.PGMasterFile) != "db1" {
		t.Errorf("%s: %+v", s.Host, s)
	}
	if master {
		if s.LagBytes != nil || s.SyncState != nil || s.Upstream != nil {
			t.Errorf("%s, the master, has a lag or an upstream: %+v", s.Host, s)
		}
		return
	}
	if value(s.LagBytes) != 0 || s.LagBytes == nil || value(s.SyncState) != "sync" || value(s.Upstream) != "db1" || !value(s.Streaming) {
		t.Errorf("%s: %+v", s.Host, s)
	}
	if by := psql(t, h, "SELECT pg_last_wal_receive_lsn()"); by != value(s.ReceivedLSN) {
		t.Errorf("%s: received %q, psql %q", s.Host, value(s.ReceivedLSN), by)
	}
}

// layout: the table fits the page, marks the master, and says the same as YAML and JSON.
func layout(t *testing.T, r *lab.Region) {
	table := pgctl(t, r, "overview")
	for line := range strings.Lines(table.Stdout) {
		if n := len([]rune(strings.TrimRight(line, "\n"))); n > 100 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	if !regexp.MustCompile(`(?m)^\* db1 +zone1a +master +active`).MatchString(table.Stdout) {
		t.Errorf("the master is not marked:\n%s", table.Stdout)
	}
	if strings.Contains(table.Stdout, "\x1b") || table.Stderr != "" {
		t.Errorf("colours without a terminal, or noise: %q %q", table.Stdout, table.Stderr)
	}
	if yaml := pgctl(t, r, "overview", "-o", "yaml").Stdout; !strings.HasPrefix(yaml, "region:\n    master: db1\n") {
		t.Errorf("yaml:\n%s", yaml)
	}
	if !json.Valid([]byte(pgctl(t, r, "overview", "-o", "json").Stdout)) {
		t.Error("the JSON document is not JSON")
	}
	verbose := pgctl(t, r, "overview", "-v")
	if !strings.Contains(verbose.Stderr, "pgctl: db1: ") || strings.Contains(verbose.Stderr, lab.PoolPassword) {
		t.Errorf("-v: %s", verbose.Stderr)
	}
}

// lyingFile: /pitrix/run/pg_master names the standby. find-master is right, overview says that the file lies.
func lyingFile(t *testing.T, r *lab.Region) {
	db1 := r.Host("db1")
	shell(t, db1, "echo db2 > /pitrix/run/pg_master")
	if out := pgctl(t, r, "find-master"); out.Stdout != "db1\n" || out.Exit != exitDone || out.Stderr != "" {
		t.Errorf("find-master: %+v", out)
	}
	doc, _ := settles(t, r, []string{"pg-master-file-stale db1"})
	if f := finding(doc, "pg-master-file-stale", "db1"); !strings.Contains(f.Message, `says "db2", the master is db1`) {
		t.Errorf("%+v", f)
	}
	if doc.Region.Status != "degraded" {
		t.Errorf("status %s", doc.Region.Status)
	}
	shell(t, db1, finding(doc, "pg-master-file-stale", "db1").Hint[len("ssh db1 '"):len(finding(doc, "pg-master-file-stale", "db1").Hint)-1])
	settles(t, r, []string{})
}

// everythingDead: every host of the region is off the network, and the answer still comes with the timeout.
func everythingDead(t *testing.T, r *lab.Region) {
	var dead []*lab.Host
	for _, h := range r.Hosts() {
		if h.Name() != "firstbox" {
			must(t, h.Cut(t.Context()))
			dead = append(dead, h)
		}
	}
	began := time.Now()
	doc, code := overviewOf(t, r, "--timeout", "2s")
	if took := time.Since(began); took > 3500*time.Millisecond {
		t.Errorf("%d dead hosts took %s with a timeout of 2s", len(dead), took)
	}
	if code != exitUnhealthy || len(doc.Findings) != len(dead)+1 { // every host, and no-master
		t.Errorf("exit code %d, %q", code, codes(doc))
	}
	if out := pgctl(t, r, "find-master", "--timeout", "2s"); out.Exit != exitUnhealthy || out.Stdout != "" || !strings.Contains(out.Stderr, "pgctl: error: no server answers as master: db1 is out of reach") {
		t.Errorf("find-master: %+v", out)
	}
	for _, h := range dead {
		must(t, h.Heal(t.Context()))
	}
	settles(t, r, []string{})
}

// twoMasters promotes the standby by hand, then stops the old master after writes on both sides: that one has diverged.
func twoMasters(t *testing.T, r *lab.Region) {
	db1, db2 := r.Host("db1"), r.Host("db2")
	promote(t, db2)
	doc, _ := settles(t, r, []string{"split-brain"})
	if f := finding(doc, "split-brain", ""); !strings.Contains(f.Message, "2 servers answer as master: db1 on timeline 1 at ") || !strings.Contains(f.Message, "db2 on timeline 2 at ") {
		t.Errorf("%+v", f)
	}
	if out := pgctl(t, r, "find-master"); out.Exit != exitUnhealthy || out.Stdout != "" || !strings.Contains(out.Stderr, "2 servers answer as master") {
		t.Errorf("find-master: %+v", out)
	}
	diverged(t, r, db1, db2)
}

// promote promotes a standby by hand.
func promote(t *testing.T, h *lab.Host) {
	t.Helper()
	shell(t, h, fmt.Sprintf("runuser -u postgres -- $(ls -d /usr/lib/postgresql/15/bin /opt/postgresql/bin 2>/dev/null | head -n 1)/pg_ctl promote -w -D %s", h.DataDir()))
}

// TestMatrixPromotedTwice: two standbys are promoted by hand at the same position. Their timelines have the same number
// and the same history file; what opened them tells them apart.
func TestMatrixPromotedTwice(t *testing.T) {
	for _, postgres := range []string{"15", "10"} {
		t.Run("PostgreSQL "+postgres, func(t *testing.T) {
			r := region(t, lab.Spec{Postgres: postgres, Servers: 3})
			db1, db2, db3 := r.Host("db1"), r.Host("db2"), r.Host("db3")
			must(t, db1.Stop(t.Context(), "postgresql"))
			promote(t, db2)
			promote(t, db3)
			for _, h := range []*lab.Host{db2, db3} {
				psql(t, h, "SET synchronous_commit = local; CREATE TABLE on_"+h.Name()+" (n int); CHECKPOINT")
			}
			settles(t, r, []string{"postgres-down db1", "split-brain"})
			must(t, db3.Stop(t.Context(), "postgresql"))
			if a, b := shell(t, db2, "cat "+db2.DataDir()+"/pg_wal/00000002.history"), shell(t, db3, "cat "+db3.DataDir()+"/pg_wal/00000002.history"); a != b {
				t.Errorf("the history files differ, which is not what this story is about: %q, %q", a, b)
			}
			doc, _ := overviewOf(t, r)
			if f := finding(doc, "diverged", "db3"); f.Message != "it opened timeline 2 by a promotion of its own" {
				t.Errorf("findings:\n%s", describeFindings(doc))
			}
			if finding(doc, "diverged", "db1").Code != "" {
				t.Errorf("the old master stopped before the promotion, and is called diverged:\n%s", describeFindings(doc))
			}
		})
	}
}

// diverged: the old master wrote on after the promotion, and is stopped. Its files tell.
func diverged(t *testing.T, r *lab.Region, old, master *lab.Host) {
	psql(t, master, "ALTER SYSTEM SET synchronous_standby_names = ''; SELECT pg_reload_conf()")
	psql(t, old, "SET synchronous_commit = local; CREATE TABLE only_here (n int); CHECKPOINT")
	must(t, old.Stop(t.Context(), "postgresql"))
	deadline := time.Now().Add(30 * time.Second)
	for {
		doc, code := overviewOf(t, r)
		f := finding(doc, "diverged", old.Name())
		if strings.Contains(f.Message, " of WAL on timeline 1 after ") && code == exitUnhealthy && value(doc.Region.Master) == master.Name() {
			if down := finding(doc, "postgres-down", old.Name()); !strings.Contains(down.Hint, "do not start it as it is") {
				t.Errorf("%+v", down)
			}
			for _, p := range doc.Pools {
				if finding(doc, "pgpool-wrong-backend", p.Host).Code == "" {
					t.Errorf("pool %s still names the old master, and nothing says so", p.Host)
				}
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("findings:\n%s", describeFindings(doc))
		}
		time.Sleep(300 * time.Millisecond)
	}
}
