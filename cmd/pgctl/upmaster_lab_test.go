//go:build lab

package main

import (
	"strings"
	"testing"
	"time"

	"github.com/pgctl/pgctl/internal/lab"
)

func TestLabUpmaster(t *testing.T) { upmasterStory(t, lab.Spec{}) }

func TestMatrixUpmaster(t *testing.T) {
	for name, spec := range map[string]lab.Spec{
		"PostgreSQL 15, three servers": {Servers: 3},
		"PostgreSQL 10":                {Postgres: "10"},
		"PostgreSQL 10, three servers": {Postgres: "10", Servers: 3},
	} {
		t.Run(name, func(t *testing.T) {
			r := upmasterStory(t, spec)
			t.Run("crashes", func(t *testing.T) { upmasterCrashes(t, r) })
			t.Run("full disk", func(t *testing.T) { fullDisk(t, r) })
			t.Run("cut off half-way", func(t *testing.T) { cutHalfWay(t, r) })
		})
	}
}

// upmasterStory: the master is db1 at its beginning and at its end.
func upmasterStory(t *testing.T, spec lab.Spec) *lab.Region {
	r := region(t, spec)
	settles(t, r, []string{})
	psql(t, r.Host("db1"), "CREATE TABLE kept (n int); INSERT INTO kept SELECT generate_series(1, 10000)")
	t.Run("nothing to do, and refusals", func(t *testing.T) { upmasterRefused(t, r) })
	t.Run("a standby that was stopped", func(t *testing.T) { stoppedStandby(t, r) })
	t.Run("a master killed, failover by hand", func(t *testing.T) { killedMaster(t, r) })
	t.Run("two masters with writes on both sides", func(t *testing.T) { bothSides(t, r) })
	tell(t, inMatrix, "an old master put back from a snapshot", func(t *testing.T) { putBack(t, r) })
	t.Run("an empty data directory", func(t *testing.T) { emptied(t, r) })
	t.Run("a host killed, and back as a second master", func(t *testing.T) { killedHost(t, r) })
	return r
}

func upmasterRefused(t *testing.T, r *lab.Region) {
	unchanged(t, r, exitDone, "as it should be", "upmaster", "db2", "--yes")
	unchanged(t, r, exitRefused, "db1 is the master", "upmaster", "db1", "--yes")
	unchanged(t, r, exitUsage, "the inventory has no server db9", "upmaster", "db9", "--yes")
	unchanged(t, r, exitUsage, "takes one argument, OLD_HOST", "upmaster")
	unchanged(t, r, exitUsage, "expected one of", "upmaster", "db2", "--accept=everything")
}

// rejoins runs upmaster and sees that everything is well afterwards, with the rows that were there at the beginning.
func rejoins(t *testing.T, r *lab.Region, host string, args ...string) string {
	t.Helper()
	before := pgctl(t, r, append([]string{"upmaster", host, "--dry-run"}, args...)...)
	if before.Exit != exitDone {
		t.Fatalf("dry run: %+v", before)
	}
	out := pgctl(t, r, append([]string{"upmaster", host, "--yes"}, args...)...)
	if out.Exit != exitDone || !strings.Contains(out.Stderr, "upmaster "+host+": done") {
		t.Fatalf("%s\n%s", out.Stdout, out.Stderr)
	}
	settles(t, r, []string{})
	if n := psql(t, r.Host(host), "SELECT count(*) FROM kept"); n != "10000" {
		t.Errorf("%s has %s rows of 10000", host, n)
	}
	return before.Stdout
}

func stoppedStandby(t *testing.T, r *lab.Region) {
	must(t, r.Host("db2").Stop(t.Context(), "postgresql"))
	if plan := rejoins(t, r, "db2"); strings.Contains(plan, "pg_rewind") || strings.Contains(plan, "pg_basebackup") {
		t.Errorf("a standby that was merely stopped is copied:\n%s", plan)
	}
}

// others are the servers beside db1 and db2: after a failover to db2 without them they have to rejoin.
func rejoinOthers(t *testing.T, r *lab.Region) {
	for _, s := range r.Servers()[2:] {
		if out := pgctl(t, r, "upmaster", s.Name(), "--yes", "--accept=lose-diverged-transactions"); out.Exit != exitDone {
			t.Errorf("%s: %+v", s.Name(), out)
		}
	}
}

// goesBack makes db1 master again.
func goesBack(t *testing.T, r *lab.Region) {
	t.Helper()
	if out := pgctl(t, r, "switchover", "--to", "db1", "--yes"); out.Exit != exitDone {
		t.Fatalf("%+v", out)
	}
	settles(t, r, []string{})
}

// killedMaster: db1's PostgreSQL dies, its host lives. failover sees on its disk that nothing is missing.
func killedMaster(t *testing.T, r *lab.Region) {
	db1 := r.Host("db1")
	must(t, db1.KillService(t.Context(), "postgresql"))
	args := []string{"failover", "--to", "db2", "--yes"}
	if len(r.Servers()) == 2 {
		unchanged(t, r, exitRefused, "--accept=no-sync-standby", args...)
		args = append(args, "--accept=no-sync-standby")
	}
	if out := pgctl(t, r, args...); out.Exit != exitDone || master(t, r) != "db2" {
		t.Fatalf("%+v", out)
	}
	shell(t, r.Firstbox(), "ssh db1 'systemctl start postgresql@15-main 2>/dev/null || systemctl start postgresql || service postgresql start'; true")
	if text := psql(t, db1, "SELECT pg_is_in_recovery()"); text != "t" {
		t.Errorf("the fenced master was started and accepts writes: in recovery %s", text)
	}
	rejoins(t, r, "db1")
	goesBack(t, r)
}

// bothSides: db2 is promoted by hand while db1 goes on, and both are written to.
func bothSides(t *testing.T, r *lab.Region) {
	db1, db2 := r.Host("db1"), r.Host("db2")
	promote(t, db2)
	for _, h := range r.Servers()[:2] {
		psql(t, h, "SET synchronous_commit = local; CREATE TABLE side (t text); INSERT INTO side VALUES ('"+h.Name()+"')")
	}
	unchanged(t, r, exitRefused, "and is the newer one", "upmaster", "db2", "--yes", "--accept=lose-diverged-transactions")
	out := unchanged(t, r, exitRefused, "--accept=lose-diverged-transactions", "upmaster", "db1", "--yes")
	if !strings.Contains(out.Stderr, " transactions that db2 lacks: ") || !strings.Contains(out.Stderr, "of WAL after 0/") {
		t.Errorf("the refusal does not say what would be lost: %s", out.Stderr)
	}
	clone := pgctl(t, r, "upmaster", "db1", "--dry-run", "--accept=lose-diverged-transactions")
	if strings.Contains(clone.Stdout, "pg_rewind") != (r.Host("db1").Port() == 5432) { // there is no pg_rewind of 10 here
		t.Errorf("the plan: %s", clone.Stdout)
	}
	rejoinsLater(t, r, "db1", "--accept=lose-diverged-transactions")
	rejoinOthers(t, r)
	if out := pgctl(t, r, "pgpool", "sync", "--yes"); out.Exit != exitDone {
		t.Errorf("%+v", out)
	}
	settles(t, r, []string{})
	if side := psql(t, db1, "SELECT t FROM side"); side != "db2" {
		t.Errorf("db1 has %q", side)
	}
	if doc, _ := overviewOf(t, r); len(serverDocOf(doc, "db1").Aside) == 0 {
		t.Error("overview does not list what was set aside")
	}
	unchanged(t, r, exitDone, " stays: it was set aside ", "cleanup", "--yes")
	if out := pgctl(t, r, "cleanup", "--yes", "--older-than", "0s"); out.Exit != exitDone {
		t.Errorf("cleanup: %+v", out)
	}
	if left := shell(t, db1, "ls -d "+db1.DataDir()+".pgctl-2* 2>/dev/null; true"); left != "" {
		t.Errorf("left after cleanup: %s", left)
	}
	goesBack(t, r)
}

// putBack: an old master's data is that of an earlier day again, with all rows of pgctl.epoch that it had then; it runs as a master once more, is
// written to, and dies. Its WAL does not reach the point where the region left its timeline: nothing of it is believed.
func putBack(t *testing.T, r *lab.Region) {
	db1 := r.Host("db1")
	psql(t, db1, "CREATE TABLE IF NOT EXISTS put (t text)")
	must(t, db1.Stop(t.Context(), "postgresql"))
	shell(t, db1, "rm -rf /var/tmp/snapshot; cp -a "+db1.DataDir()+" /var/tmp/snapshot")
	must(t, db1.Start(t.Context(), "postgresql"))
	settles(t, r, []string{})
	psql(t, db1, "INSERT INTO put VALUES ('acknowledged')")
	if out := pgctl(t, r, "switchover", "--to", "db2", "--yes"); out.Exit != exitDone {
		t.Fatalf("%+v", out)
	}
	settles(t, r, []string{})
	must(t, db1.Stop(t.Context(), "postgresql"))
	shell(t, db1, "find "+db1.DataDir()+" -mindepth 1 -delete; cp -a /var/tmp/snapshot/. "+db1.DataDir()+"; rm -rf /var/tmp/snapshot")
	must(t, db1.Start(t.Context(), "postgresql"))
	psql(t, db1, "SET synchronous_commit = local; INSERT INTO put VALUES ('of the second'); CHECKPOINT")
	must(t, db1.KillService(t.Context(), "postgresql"))
	shell(t, db1, "systemctl stop postgresql@15-main 2>/dev/null; systemctl stop postgresql 2>/dev/null; true")
	unchanged(t, r, exitRefused, "--accept=lose-diverged-transactions", "upmaster", "db1", "--yes")
	rejoinsLater(t, r, "db1", "--accept=lose-diverged-transactions")
	settles(t, r, []string{})
	if text := psql(t, db1, "SELECT string_agg(t, ',') FROM put"); text != "acknowledged" {
		t.Errorf("db1 has %q", text)
	}
	goesBack(t, r)
}

// rejoinsLater is rejoins for a region in which others have to rejoin too.
func rejoinsLater(t *testing.T, r *lab.Region, host string, args ...string) {
	t.Helper()
	if out := pgctl(t, r, append([]string{"upmaster", host, "--yes"}, args...)...); out.Exit != exitDone {
		t.Fatalf("%s\n%s", out.Stdout, out.Stderr)
	}
}

func serverDocOf(doc overviewDoc, host string) serverDoc {
	for _, s := range doc.Servers {
		if s.Host == host {
			return s
		}
	}
	return serverDoc{}
}

func emptied(t *testing.T, r *lab.Region) {
	db2 := r.Host("db2")
	must(t, db2.Stop(t.Context(), "postgresql"))
	shell(t, db2, "find "+db2.DataDir()+" -mindepth 1 -delete")
	if plan := rejoins(t, r, "db2"); !strings.Contains(plan, "pg_basebackup") {
		t.Errorf("the plan: %s", plan)
	}
}

// killedHost: the master's host dies, another server is made master, and the host comes back with its PostgreSQL as a master.
func killedHost(t *testing.T, r *lab.Region) {
	db1 := r.Host("db1")
	psql(t, db1, "CHECKPOINT")
	must(t, db1.Kill(t.Context()))
	out := unchanged(t, r, exitRefused, "--accept=unfenced-master", "failover", "--to", "db2", "--yes", "--timeout", "3s")
	if !strings.Contains(out.Stderr, "--accept=data-loss") {
		t.Errorf("one refusal names every risk: %s", out.Stderr)
	}
	out = pgctl(t, r, "failover", "--to", "db2", "--yes", "--timeout", "3s", "--accept=unfenced-master", "--accept=data-loss", "--accept=no-sync-standby")
	if out.Exit != exitDone && out.Exit != exitPartway || master(t, r) != "db2" {
		t.Fatalf("%+v", out)
	}
	must(t, db1.Boot(t.Context()))
	waitUntil(t, "PostgreSQL on db1", func() bool { return strings.Contains(shell(t, db1, "pgrep -x postgres; true"), "\n") })
	doc, _ := overviewOf(t, r)
	t.Log(codes(doc))
	rejoinsLater(t, r, "db1", "--accept=lose-diverged-transactions")
	rejoinOthers(t, r)
	out = pgctl(t, r, "pgpool", "sync", "--yes")
	if out.Exit != exitDone {
		t.Errorf("%+v", out)
	}
	settles(t, r, []string{})
	goesBack(t, r)
}

func waitUntil(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(40 * time.Second); !is(); time.Sleep(300 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited 40 s for %s", what)
		}
	}
}

// upmasterCrashes kills pgctl at every report while db2 is copied anew, and runs it again.
func upmasterCrashes(t *testing.T, r *lab.Region) {
	for n := 1; ; n++ {
		if !killedAt(t, r, n, "upmaster db2 --clone") {
			if n < 15 {
				t.Errorf("it came to its end before report %d", n)
			}
			break
		}
		waitUntil(t, "the copy to end", func() bool { return shell(t, r.Host("db2"), "pgrep -x pg_basebackup; true") == "" })
		if out := pgctl(t, r, "upmaster", "db2", "--yes"); out.Exit != exitDone {
			t.Fatalf("after a crash at report %d: %s\n%s", n, out.Stdout, out.Stderr)
		}
		settles(t, r, []string{})
		pgctl(t, r, "cleanup", "--yes", "--older-than", "0s")
	}
}

// fullDisk: there is no room for a copy. It is refused before anything is stopped.
func fullDisk(t *testing.T, r *lab.Region) {
	db2 := r.Host("db2")
	must(t, db2.FillDisk())
	out := pgctl(t, r, "upmaster", "db2", "--clone", "--yes")
	must(t, db2.FreeDisk())
	if out.Exit != exitRefused || !strings.Contains(out.Stderr, "db2: a copy of the master takes ") {
		t.Errorf("%+v", out)
	}
	settles(t, r, []string{})
}

// cutHalfWay: the network between the two is cut while the data is copied. The old data is still there, and a second run ends it.
func cutHalfWay(t *testing.T, r *lab.Region) {
	db1, db2 := r.Host("db1"), r.Host("db2")
	psql(t, db1, "CREATE TABLE big AS SELECT g, repeat('x', 500) FROM generate_series(1, 200000) g")
	done := make(chan lab.Result, 1)
	go func() {
		out, _ := r.Firstbox().Exec(t.Context(), "pgctl", "upmaster", "db2", "--clone", "--yes")
		done <- out
	}()
	if begun := shell(t, db2, "n=0; until [ -d "+db2.DataDir()+".pgctl-new/base ]; do n=$((n+1)); [ $n -lt 2000 ] || exit 0; sleep 0.02; done; echo yes"); begun != "yes" {
		t.Fatal("the copy did not begin")
	}
	must(t, db2.CutFrom(t.Context(), db1))
	select {
	case out := <-done:
		if out.Exit != exitPartway {
			t.Errorf("exit %d: %s", out.Exit, out.Stderr)
		}
	case <-time.After(10 * time.Second): // it waits for TCP; the operator does not
		shell(t, r.Firstbox(), "pkill -INT -x pgctl; sleep 1; pkill -INT -x pgctl; true")
		<-done
	}
	must(t, db2.Heal(t.Context()))
	waitUntil(t, "the copy to end", func() bool { return shell(t, db2, "pgrep -x pg_basebackup; true") == "" })
	if has := shell(t, db2, "test -f "+db2.DataDir()+"/PG_VERSION && echo yes"); has != "yes" {
		t.Error("the old data is gone")
	}
	if out := pgctl(t, r, "upmaster", "db2", "--yes"); out.Exit != exitDone {
		t.Errorf("%s\n%s", out.Stdout, out.Stderr)
	}
	settles(t, r, []string{})
	psql(t, db1, "DROP TABLE big")
}
