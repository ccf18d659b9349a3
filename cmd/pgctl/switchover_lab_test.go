//go:build lab

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pgctl/pgctl/internal/lab"
)

func TestLabSwitchover(t *testing.T) { switchoverStory(t, lab.Spec{}, 11) }

func TestMatrixSwitchover(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spec  lab.Spec
		every int
	}{
		{"PostgreSQL 10, three servers", lab.Spec{Postgres: "10", Servers: 3}, 5},
		{"PostgreSQL 10", lab.Spec{Postgres: "10"}, 6},
		{"a server without systemd", lab.Spec{NoSystemd: []string{"db2"}}, 6},
		{"PostgreSQL 15, three servers", lab.Spec{Servers: 3}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) { switchoverStory(t, tt.spec, tt.every) })
	}
}

// switchoverStory moves the master to and fro under writers, and kills pgctl at every so many reports of its steps.
func switchoverStory(t *testing.T, spec lab.Spec, every int) {
	r := region(t, spec)
	settles(t, r, []string{})
	t.Run("dry run", func(t *testing.T) { switchoverDry(t, r) })
	t.Run("refused", func(t *testing.T) { switchoverRefused(t, r) })
	t.Run("changed at the prompt", func(t *testing.T) { changedAtPrompt(t, r) })
	t.Run("to and fro under writers", func(t *testing.T) { toAndFro(t, r, 2) })
	t.Run("the candidate fails before the promotion", func(t *testing.T) { switchoverBack(t, r) })
	t.Run("interrupted", func(t *testing.T) { switchoverInterrupted(t, r) })
	t.Run("crashes", func(t *testing.T) { switchoverCrashes(t, r, every) })
}

// TestMatrixHundred is a hundred switchovers under writers (PGCTL_SWITCHOVERS of them, where it is set).
func TestMatrixHundred(t *testing.T) {
	n := 100
	if text := os.Getenv("PGCTL_SWITCHOVERS"); text != "" {
		var err error
		n, err = strconv.Atoi(text)
		must(t, err)
	}
	r := region(t, lab.Spec{})
	settles(t, r, []string{})
	toAndFro(t, r, n)
}

// world is what a dry run and a refusal may not change: files and processes of every host.
func world(t *testing.T, r *lab.Region) string {
	t.Helper()
	var all strings.Builder
	for _, h := range r.Hosts() {
		if h.Running() {
			fmt.Fprintln(&all, h.Name(), shell(t, h, `cd `+h.DataDir()+` 2>/dev/null || cd /var/empty 2>/dev/null || cd /media
find . /etc/postgresql /etc/pgpool2 /etc/supervisor /pitrix /etc/pgctl /usr/local/bin ~postgres/.pg* -maxdepth 5 -type f \
  \( -name '*.conf' -o -name '*.signal' -o -name '*.history' -o -path '/pitrix/*' -o -path '/etc/*' -o -path '/usr/local/*' -o -name '.pg*' \) -exec sha256sum {} + 2>/dev/null | sort
ls -d `+h.DataDir()+`* pg_replslot/* 2>/dev/null
pgrep -x 'postgres|pgpool' --oldest; pgrep -o -x pgpool; ls /var/lib/pgctl/journal 2>/dev/null; true`))
		}
	}
	return all.String()
}

// unchanged runs a command that may change nothing, and sees that it did not.
func unchanged(t *testing.T, r *lab.Region, exit int, says string, args ...string) lab.Result {
	t.Helper()
	before := world(t, r)
	out := pgctl(t, r, args...)
	if out.Exit != exit || !strings.Contains(out.Stdout+out.Stderr, says) {
		t.Errorf("pgctl %s: exit %d, expected %d and %q:\n%s%s", strings.Join(args, " "), out.Exit, exit, says, out.Stdout, out.Stderr)
	}
	if after := world(t, r); after != before {
		t.Errorf("pgctl %s changed something:\n%s", strings.Join(args, " "), strings.Join(append(without("-", before, after), without("+", after, before)...), "\n"))
	}
	return out
}

// without are the lines of one text that another one lacks.
func without(mark, text, other string) []string {
	var found []string
	for line := range strings.Lines(text) {
		if !strings.Contains(other, line) {
			found = append(found, mark+strings.TrimSpace(line))
		}
	}
	return found
}

// master is who is master, as pgctl says.
func master(t *testing.T, r *lab.Region) string {
	t.Helper()
	return strings.TrimSpace(pgctl(t, r, "find-master").Stdout)
}

func switchoverDry(t *testing.T, r *lab.Region) {
	out := unchanged(t, r, exitDone, "", "switchover", "--dry-run", "-o", "json")
	var doc changeDoc
	if err := json.Unmarshal([]byte(out.Stdout), &doc); err != nil || !doc.DryRun || doc.Facts["from"] != "db1" || doc.Facts["to"] != "db2" || len(doc.Steps) < 15 {
		t.Errorf("%v: %+v", err, doc)
	}
	unchanged(t, r, exitDone, "db1 is the master already", "switchover", "--to", "db1", "--yes")
	unchanged(t, r, exitUsage, "--yes is needed", "switchover")
}

func switchoverRefused(t *testing.T, r *lab.Region) {
	db2 := r.Host("db2")
	unchanged(t, r, exitUsage, "the inventory has no server db9", "switchover", "--to", "db9", "--yes")
	unchanged(t, r, exitDone, "db1 is the master already", "failover", "--to", "db1", "--yes")
	psql(t, db2, "SELECT pg_wal_replay_pause()")
	unchanged(t, r, exitRefused, "replay is paused on db2", "switchover", "--to", "db2", "--yes")
	psql(t, db2, "SELECT pg_wal_replay_resume()")
	must(t, db2.Stop(t.Context(), "postgresql"))
	unchanged(t, r, exitRefused, "PostgreSQL on db2 does not answer", "switchover", "--to", "db2", "--yes")
	must(t, db2.Start(t.Context(), "postgresql"))
	settles(t, r, []string{})
}

// changedAtPrompt: the names are changed while the operator reads the plan. What was planned is not done, and nothing else either.
func changedAtPrompt(t *testing.T, r *lab.Region) {
	db1 := r.Host("db1")
	names := psql(t, db1, "SHOW synchronous_standby_names")
	done := make(chan string)
	go func() {
		out, _ := r.Firstbox().Shell(t.Context(), `rm -f /tmp/answer; mkfifo /tmp/answer; sleep 60 >/tmp/answer & script -qfec 'pgctl switchover' /tmp/said </tmp/answer >/dev/null; echo "exit $?"; cat /tmp/said`)
		done <- out
	}()
	waitUntil(t, "the prompt", func() bool {
		return strings.Contains(shell(t, r.Firstbox(), "cat /tmp/said 2>/dev/null; true"), "Type yes:")
	})
	psql(t, db1, "ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (db2, db3)'")
	psql(t, db1, "SELECT pg_reload_conf()")
	before := world(t, r)
	shell(t, r.Firstbox(), "echo yes >/tmp/answer; pkill -f '^sleep 60$'; true")
	if out := <-done; !strings.Contains(out, "exit 4") || !strings.Contains(out, "the region has changed since the plan was made") {
		t.Errorf("got %s", out)
	}
	if after := world(t, r); after != before {
		t.Errorf("something was changed:\n%s", strings.Join(append(without("-", before, after), without("+", after, before)...), "\n"))
	}
	psql(t, db1, "ALTER SYSTEM SET synchronous_standby_names = '"+names+"'")
	psql(t, db1, "SELECT pg_reload_conf()")
	settles(t, r, []string{})
}

// toAndFro switches n times, while one client writes directly and one through each pool, every 10 ms.
func toAndFro(t *testing.T, r *lab.Region, n int) {
	var writers []*lab.Writer
	names := []string{"directly"}
	start := func(spec lab.WriterSpec) {
		w, err := r.StartWriter(t.Context(), spec)
		must(t, err)
		writers = append(writers, w)
	}
	start(lab.WriterSpec{Targets: r.Servers(), Port: r.Host("db1").Port()})
	for _, pool := range r.Pools() {
		start(lab.WriterSpec{Targets: []*lab.Host{pool}})
		names = append(names, "through the pool on "+pool.Name())
	}
	var took []time.Duration
	for i := range n {
		from := master(t, r)
		began := time.Now()
		out := pgctl(t, r, "switchover", "--yes")
		took = append(took, time.Since(began))
		if to := master(t, r); out.Exit != exitDone || to == from {
			t.Fatalf("switchover %d from %s to %s: exit %d\n%s", i+1, from, to, out.Exit, out.Stderr)
		}
		time.Sleep(300 * time.Millisecond)
	}
	settles(t, r, []string{})
	slices.Sort(took)
	t.Logf("%d switchovers, the command took %v in the median, %v at worst", n, took[n/2], took[n-1])
	for i, w := range writers {
		report, err := w.Stop()
		must(t, err)
		for _, server := range r.Servers() {
			lost, err := report.Lost(t.Context(), server)
			must(t, err)
			if len(lost) > 0 {
				t.Errorf("written %s: %s lacks %d acknowledged writes: %v", names[i], server.Name(), len(lost), lost)
			}
		}
		var gaps []time.Duration
		for _, g := range report.Gaps {
			gaps = append(gaps, g.Length().Round(10*time.Millisecond))
		}
		slices.Sort(gaps)
		if report.Acknowledged == 0 || len(gaps) == 0 {
			t.Errorf("written %s: %s", names[i], report)
			continue
		}
		t.Logf("written %s: %d acknowledged, none lost; %d gaps, shortest %v, median %v, worst %v", names[i], report.Acknowledged, len(gaps), gaps[0], gaps[len(gaps)/2], gaps[len(gaps)-1])
	}
}

// switchoverBack: the candidate replays nothing any more from the moment of the stop on. Nobody is promoted, and the old master is master again.
func switchoverBack(t *testing.T, r *lab.Region) {
	from := master(t, r)
	to := "db2"
	if from == "db2" {
		to = "db1"
	}
	must(t, r.Host(to).Freeze("recovering"))
	out := pgctl(t, r, "switchover", "--to", to, "--yes", "--timeout", "3s")
	must(t, r.Host(to).Thaw("recovering"))
	if out.Exit != exitFailed || !strings.Contains(out.Stderr, "everything is as it was before") || !strings.Contains(out.Stderr, " wrote up to ") {
		t.Errorf("%+v", out)
	}
	if now := master(t, r); now != from {
		t.Errorf("the master is %q, expected %s again", now, from)
	}
	settles(t, r, []string{})
	if text := psql(t, r.Host(from), "SELECT pg_is_in_recovery()"); text != "f" {
		t.Errorf("%s: in recovery %s", from, text)
	}
	if left := shell(t, r.Firstbox(), "ls /var/lib/pgctl/journal; true"); left != "" {
		t.Errorf("a journal is left: %s", left)
	}
}

// killedAt runs a command and kills pgctl when its n-th report comes; false when the command came to its end before.
func killedAt(t *testing.T, r *lab.Region, n int, command string) bool {
	t.Helper()
	out := shell(t, r.Firstbox(), fmt.Sprintf(`pgctl %s --yes 2>&1 >/dev/null | { n=0; while read -r line; do case $line in [0-9]*/*) n=$((n+1)); last=$line;; *) echo "$line";; esac
if [ $n = %d ]; then pkill -9 -x pgctl; echo "killed at $last"; break; fi; done; cat >/dev/null; }; while pgrep -x pgctl >/dev/null; do sleep 0.05; done`, command, n))
	t.Log(out)
	return strings.Contains(out, "killed")
}

// interruptedAt sends pgctl one SIGINT when a step of this text is running, and gives what it said and its exit code.
func interruptedAt(t *testing.T, r *lab.Region, step, command string) string {
	t.Helper()
	return shell(t, r.Firstbox(), fmt.Sprintf(`{ pgctl %s --yes 2>&1 >/dev/null; echo "exit $?"; } | while read -r line; do echo "$line"; case $line in *"%s"*": running") pkill -INT -x pgctl;; esac; done`, command, step))
}

// switchoverInterrupted: Ctrl-C while the old master is being stopped, or made a standby, takes everything back.
func switchoverInterrupted(t *testing.T, r *lab.Region) {
	for _, step := range []string{"stop PostgreSQL cleanly", "make its files those of a standby"} {
		from := master(t, r)
		out := interruptedAt(t, r, step, "switchover")
		if !strings.Contains(out, "exit 130") || !strings.Contains(out, "everything is as it was before") || !strings.Contains(out, "it ends after this step") {
			t.Errorf("interrupted at %q: %s", step, out)
		}
		settles(t, r, []string{})
		if now := master(t, r); now != from {
			t.Errorf("the master is %q, expected %s again", now, from)
		}
	}
}

// switchoverCrashes kills pgctl at every so many reports of its steps and runs it again: each time the switchover comes to its end.
func switchoverCrashes(t *testing.T, r *lab.Region, every int) {
	w := writes(t, r)
	for n := min(5, every); ; n += every {
		from := master(t, r)
		if !killedAt(t, r, n, "switchover") {
			break
		}
		if (n-min(5, every))/every%2 == 1 { // and once more, at the beginning of the run that goes on
			killedAt(t, r, 1, "switchover")
		}
		out := pgctl(t, r, "switchover", "--yes")
		if out.Exit != exitDone {
			t.Fatalf("after a crash at report %d: %+v", n, out)
		}
		settles(t, r, []string{})
		if to := master(t, r); to == from {
			t.Logf("the crash came after the end: %s went back", from)
		}
		if left := shell(t, r.Firstbox(), "ls /var/lib/pgctl/journal; true"); left != "" {
			t.Errorf("a journal is left: %s", left)
		}
	}
	nothingLost(t, r, w)
}

// writes has a client write to whoever is master, every 10 ms.
func writes(t *testing.T, r *lab.Region) *lab.Writer {
	t.Helper()
	w, err := r.StartWriter(t.Context(), lab.WriterSpec{Targets: r.Servers(), Port: r.Host("db1").Port()})
	must(t, err)
	return w
}

// nothingLost ends the writing, and sees that every server has every acknowledged write.
func nothingLost(t *testing.T, r *lab.Region, w *lab.Writer) {
	t.Helper()
	report, err := w.Stop()
	must(t, err)
	if report.Acknowledged == 0 {
		t.Error("nothing was written")
	}
	for _, server := range r.Servers() {
		if lost, err := report.Lost(t.Context(), server); err != nil || len(lost) > 0 {
			t.Errorf("%s lacks %d of %d acknowledged writes: %v, %v", server.Name(), len(lost), report.Acknowledged, lost, err)
		}
	}
}
