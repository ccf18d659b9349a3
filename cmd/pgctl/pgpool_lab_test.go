//go:build lab

package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/pgctl/pgctl/internal/lab"
)

func TestLabPgpool(t *testing.T) { pgpoolStory(t, lab.Spec{}) }

func TestMatrixPgpool(t *testing.T) {
	for name, spec := range map[string]lab.Spec{
		"PostgreSQL 10, three servers": {Postgres: "10", Servers: 3},
		"pools without systemd":        {OwnPools: true, NoSystemd: []string{"pool2"}},
	} {
		t.Run(name, func(t *testing.T) { pgpoolStory(t, spec) })
	}
}

func pgpoolStory(t *testing.T, spec lab.Spec) {
	r := region(t, spec)
	settles(t, r, []string{})
	t.Run("nothing to do", func(t *testing.T) {
		before := fingerprint(t, r)
		if out := pgctl(t, r, "pgpool", "sync"); out.Exit != exitDone || strings.Contains(out.Stdout, "waiting") {
			t.Errorf("%+v", out)
		}
		if out := pgctl(t, r, "pgpool", "show"); out.Exit != exitDone {
			t.Errorf("%+v", out)
		}
		if after := fingerprint(t, r); after != before {
			t.Errorf("something changed:\n%s\n%s", before, after)
		}
	})
	t.Run("both pools wrong", func(t *testing.T) { bothWrong(t, r) })
	t.Run("crash after every step", func(t *testing.T) { crashes(t, r) })
	t.Run("PostgreSQL stopped beside a pool", func(t *testing.T) { stoppedBeside(t, r) })
	t.Run("pool stopped", func(t *testing.T) {
		must(t, r.Pools()[0].Stop(t.Context(), "pgpool2"))
		syncPools(t, r)
	})
	t.Run("nobody can log in", func(t *testing.T) { noLogin(t, r) })
	if spec.OwnPools { // else its host carries a server too, and the cut is a refusal
		t.Run("a pool cut off is left out", func(t *testing.T) { leftOutPool(t, r) })
	}
	t.Run("lock", func(t *testing.T) { locked(t, r) })
	t.Run("refused", func(t *testing.T) { refusedSync(t, r) })
}

// fingerprint is what a dry run may not change: every pgpool.conf, byte for byte, and every pgpool and PostgreSQL process.
func fingerprint(t *testing.T, r *lab.Region) string {
	t.Helper()
	var all strings.Builder
	for _, h := range r.Hosts() {
		if h.Running() {
			fmt.Fprintln(&all, h.Name(), shell(t, h, "sha256sum /etc/pgpool2/* 2>/dev/null; ls -la /etc/pgpool2; pgrep -o -x pgpool; pgrep -o -x postgres; true"))
		}
	}
	return all.String()
}

// mislead points every pool at the standby, in its file and in its memory.
func mislead(t *testing.T, r *lab.Region) {
	t.Helper()
	for _, pool := range r.Pools() {
		pointPool(t, pool, "db1", "db2", true)
	}
}

// syncPools makes all pools right, and checks that they are by overview and by a client's own write.
func syncPools(t *testing.T, r *lab.Region) {
	t.Helper()
	out := pgctl(t, r, "pgpool", "sync", "--yes")
	if out.Exit != exitDone || !strings.Contains(out.Stderr, "pgpool sync: done") {
		t.Fatalf("%+v", out)
	}
	for _, pool := range r.Pools() {
		if got, err := r.AppSQL(t.Context(), pool, "SELECT pg_is_in_recovery()"); err != nil || got != "f" {
			t.Errorf("a client of %s is on %q, %v", pool.Name(), got, err)
		}
	}
}

func bothWrong(t *testing.T, r *lab.Region) {
	mislead(t, r)
	if out := pgctl(t, r, "pgpool", "show"); out.Exit != exitUnhealthy || !strings.Contains(out.Stdout, "pgpool.conf sends clients to db2") {
		t.Errorf("show: %+v", out)
	}
	before := fingerprint(t, r)
	dry := pgctl(t, r, "pgpool", "sync", "--dry-run", "-o", "json")
	var doc changeDoc
	if err := json.Unmarshal([]byte(dry.Stdout), &doc); err != nil || dry.Exit != exitDone || !doc.DryRun || len(doc.Steps) != 6 || doc.Facts["master"] != "db1" {
		t.Errorf("dry run: %v, %+v", err, dry)
	}
	for _, s := range doc.Steps {
		if s.State != "waiting" {
			t.Errorf("dry run: %+v", s)
		}
	}
	if out := pgctl(t, r, "pgpool", "sync"); out.Exit != exitUsage || !strings.Contains(out.Stderr, "--yes is needed") {
		t.Errorf("without --yes and a terminal: %+v", out)
	}
	if after := fingerprint(t, r); after != before {
		t.Errorf("the dry run changed something:\n%s\n%s", before, after)
	}
	syncPools(t, r)
	settles(t, r, []string{})
	for _, pool := range r.Pools() {
		changed := shell(t, pool, "cd /etc/pgpool2; for b in pgpool.conf.pgctl-*; do diff $b pgpool.conf; done; stat -c '%a %U:%G' pgpool.conf $b; true")
		lines := strings.Split(changed, "\n")
		if len(lines) != 6 || lines[1] != "< backend_hostname0 = 'db2'" || lines[3] != "> backend_hostname0 = 'db1'" || lines[4] != lines[5] {
			t.Errorf("%s: the edit changed more than one value:\n%s", pool.Name(), changed)
		}
	}
}

// crashes kills pgctl in the middle of steps and after them, runs it again, and each time the pools end up right.
func crashes(t *testing.T, r *lab.Region) {
	for _, at := range []string{"1.*running", "1.*done", "2.*running", "2.*done", "3.*as it should be", "4.*done", "5.*running", "5.*done"} {
		mislead(t, r)
		seen := shell(t, r.Firstbox(), fmt.Sprintf(`p='^ *%s$'; pgctl pgpool sync --yes 2>&1 >/dev/null | while read -r line; do echo "$line"; if [[ $line =~ $p ]]; then pkill -9 -x pgctl; break; fi; done; ! pgrep -x pgctl`, strings.Replace(at, ".*", "/.*: ", 1)))
		if journal := shell(t, r.Firstbox(), "ls /var/lib/pgctl/journal"); journal != "pgpool-sync.json" {
			t.Errorf("killed at %s: the journal is %q after\n%s", at, journal, seen)
		}
		if out := pgctl(t, r, "pgpool", "sync", "--yes"); out.Exit != exitDone {
			t.Errorf("after a crash at %s: %+v", at, out)
		}
		if journal := shell(t, r.Firstbox(), "ls /var/lib/pgctl/journal"); journal != "" {
			t.Errorf("after a crash at %s and a second run the journal is still there: %s", at, journal)
		}
		settles(t, r, []string{})
	}
}

// stoppedBeside: on Debian pgpool2.service wants postgresql.service. A restart of the pool must not start what was stopped.
func stoppedBeside(t *testing.T, r *lab.Region) {
	db2 := r.Host("db2")
	mislead(t, r)
	must(t, db2.Stop(t.Context(), "postgresql"))
	syncPools(t, r)
	if n := shell(t, db2, "pgrep -c -x postgres; true"); n != "0" {
		t.Errorf("PostgreSQL was started beside the pool: %s processes", n)
	}
	must(t, db2.Start(t.Context(), "postgresql"))
	settles(t, r, []string{})
}

// noLogin: without a user to log in as, the file, the restart and the port are proven, and the rest is said to be unproven.
func noLogin(t *testing.T, r *lab.Region) {
	pool := r.Pools()[0]
	shell(t, pool, "cp -p /etc/pgpool2/pgpool.conf /tmp/pgpool.conf; sed -i \"s/^sr_check_user.*/sr_check_user = ''/\" /etc/pgpool2/pgpool.conf")
	pointPool(t, pool, "db1", "db2", true)
	out := pgctl(t, r, "pgpool", "sync", "--yes")
	if out.Exit != exitDone || !strings.Contains(out.Stderr, "warning: "+pool.Name()+": the write path is unproven: cannot log in through pgpool") {
		t.Errorf("%+v", out)
	}
	if got, err := r.AppSQL(t.Context(), pool, "SELECT pg_is_in_recovery()"); err != nil || got != "f" {
		t.Errorf("a client of %s is on %q, %v", pool.Name(), got, err)
	}
	shell(t, pool, "cat /tmp/pgpool.conf > /etc/pgpool2/pgpool.conf")
	must(t, pool.Stop(t.Context(), "pgpool2"))
	must(t, pool.Start(t.Context(), "pgpool2"))
	settles(t, r, []string{})
}

func leftOutPool(t *testing.T, r *lab.Region) {
	pool := r.Pools()[1]
	pointPool(t, r.Pools()[0], "db1", "db2", true)
	must(t, pool.Cut(t.Context()))
	out := pgctl(t, r, "pgpool", "sync", "--yes", "--timeout", "2s")
	if out.Exit != exitPartway || !strings.Contains(out.Stderr, "left out: "+pool.Name()) {
		t.Errorf("%+v", out)
	}
	must(t, pool.Heal(t.Context()))
	settles(t, r, []string{})
}

// locked: two at work on one region; the second is told who holds the lock, and gets it when the first has gone.
func locked(t *testing.T, r *lab.Region) {
	pointPool(t, r.Pools()[0], "db1", "db2", true)
	holder := shell(t, r.Host("db1"), `setsid flock /run/pgctl.lock sleep 60 >/dev/null 2>&1 & echo 'root@elsewhere, upmaster, pid 7' > /run/pgctl.owner; sleep 0.2; echo $!`)
	out := pgctl(t, r, "pgpool", "sync", "--yes")
	if out.Exit != exitRefused || !strings.Contains(out.Stderr, "refused: another pgctl is at work on this region: root@elsewhere, upmaster, pid 7") {
		t.Errorf("%+v", out)
	}
	shell(t, r.Host("db1"), "kill -- -"+holder+" || kill "+holder)
	syncPools(t, r)
}

func refusedSync(t *testing.T, r *lab.Region) {
	db2 := r.Host("db2")
	pointPool(t, r.Pools()[0], "db1", "db2", true)
	before := fingerprint(t, r)
	must(t, db2.Freeze(lab.Postmaster))
	out := pgctl(t, r, "pgpool", "sync", "--yes", "--timeout", "2s")
	if out.Exit != exitRefused || !strings.Contains(out.Stderr, "refused: db2 runs PostgreSQL, does not answer, and may be a master too") || !strings.Contains(out.Stderr, "--accept=unfenced-master") {
		t.Errorf("a server that does not answer: %+v", out)
	}
	must(t, db2.Thaw(lab.Postmaster))
	if after := fingerprint(t, r); after != before {
		t.Errorf("a refusal changed something:\n%s\n%s", before, after)
	}
	must(t, db2.Freeze(lab.Postmaster))
	if out := pgctl(t, r, "pgpool", "sync", "--yes", "--timeout", "2s", "--accept=unfenced-master"); out.Exit != exitDone {
		t.Errorf("accepted: %+v", out)
	}
	must(t, db2.Thaw(lab.Postmaster))
	settles(t, r, []string{})
	promote(t, db2)
	settles(t, r, []string{"split-brain"})
	if out := pgctl(t, r, "pgpool", "sync", "--yes"); out.Exit != exitRefused || !strings.Contains(out.Stderr, "2 servers answer as master") {
		t.Errorf("two masters: %+v", out)
	}
}
