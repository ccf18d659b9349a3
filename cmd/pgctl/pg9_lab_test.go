//go:build lab

package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgctl/pgctl/internal/lab"
)

// TestLabPG9 is the story of a 9.x site: failover is let, the master's host dies, pgpool fails over, the old master comes back, and
// everything is brought in order.
func TestLabPG9(t *testing.T) {
	r := region(t, lab.Spec{PG9: true})
	settles(t, r, []string{})
	withoutRobot(t, r)
	began := time.Now()
	lap := func(what string) {
		t.Logf("%s: %s", what, time.Since(began).Round(100*time.Millisecond))
		began = time.Now()
	}
	otherKind(t, r)
	lap("other kind")
	switchFailover(t, r, true)
	lap("enable-failover")
	failsOver(t, r, "db1", "db2")
	lap("failover")
	out := pgctl(t, r, "pg9", "post-failover", "--yes")
	lap("post-failover")
	if out.Exit != exitDone || !strings.Contains(out.Stderr, "pg9 post-failover: done") || !strings.Contains(out.Stderr, "are gone from the site") ||
		!strings.Contains(out.Stderr, "db2 was promoted at ") {
		t.Fatalf("%+v", out)
	}
	inOrder(t, r, "db2", "db1")
	lap("in order")
}

// TestMatrixPG9 tells the rest: twice in a row, every step killed and run again, the site's own robot, every refusal.
func TestMatrixPG9(t *testing.T) {
	for name, story := range map[string]func(t *testing.T, r *lab.Region){
		"twice, by hand, every step killed": pg9Twice, "the robot": pg9Robot, "refusals": pg9Refusals, "flags": pg9Flags, "scripts": pg9Scripts,
	} {
		t.Run(name, func(t *testing.T) {
			r := region(t, lab.Spec{PG9: true})
			settles(t, r, []string{})
			story(t, r)
		})
	}
}

// withoutRobot makes the site one whose scripts know of no robot.
func withoutRobot(t *testing.T, r *lab.Region) {
	t.Helper()
	for _, h := range r.Servers() {
		shell(t, h, "sed -i /install_failover_cron/d /var/lib/postgresql/bin/configure_*.sh; rm -f /etc/cron.d/pg_failover")
	}
}

// otherKind: what is for sites with PostgreSQL 10 and later is refused with a pointer, and changes nothing.
func otherKind(t *testing.T, r *lab.Region) {
	t.Helper()
	for args, says := range map[string]string{"enable-ha --yes": "pgctl enable-failover", "disable-ha --yes": "pgctl disable-failover", "upmaster db2 --yes": "pgctl pg9 post-failover", "pgpool sync --yes": "this is a 9.x site"} {
		if out := pgctl(t, r, strings.Fields(args)...); out.Exit != exitRefused || !strings.Contains(out.Stderr, says) {
			t.Errorf("%s: %+v", args, out)
		}
	}
}

// switchFailover lets the pools fail over, or no longer: two values of each file, and nothing else.
func switchFailover(t *testing.T, r *lab.Region, on bool) {
	t.Helper()
	command, state, was, is := "enable-failover", "on", "DISALLOW_TO_FAILOVER", "ALLOW_TO_FAILOVER"
	if !on {
		command, state, was, is = "disable-failover", "off", is, was
	}
	before := fingerprint(t, r)
	dry := pgctl(t, r, command, "--dry-run", "-o", "json")
	var doc changeDoc
	if err := json.Unmarshal([]byte(dry.Stdout), &doc); err != nil || dry.Exit != exitDone || !doc.DryRun || doc.Facts["failover"] != state {
		t.Errorf("dry run: %v, %+v", err, dry)
	}
	if after := fingerprint(t, r); after != before {
		t.Errorf("the dry run changed something:\n%s\n%s", before, after)
	}
	for _, pool := range r.Pools() {
		shell(t, pool, "rm -f /etc/pgpool2/pgpool.conf.pgctl-*")
	}
	if out := pgctl(t, r, command, "--yes"); out.Exit != exitDone || !strings.Contains(out.Stderr, command+": done") {
		t.Fatalf("%+v", out)
	}
	for _, pool := range r.Pools() {
		want := fmt.Sprintf("< backend_flag0 = '%[1]s'\n> backend_flag0 = '%[2]s'\n< backend_flag1 = '%[1]s'\n> backend_flag1 = '%[2]s'", was, is)
		if got := shell(t, pool, "cd /etc/pgpool2; diff pgpool.conf.pgctl-* pgpool.conf | grep '^[<>]'; true"); got != want {
			t.Errorf("%s: the edit changed more, or less:\n%s", pool.Name(), got)
		}
	}
	if doc, _ := settles(t, r, []string{}); value(doc.Region.Failover) != state || value(doc.Pools[1].Failover) != state {
		t.Errorf("overview: %+v, %+v", doc.Region, doc.Pools)
	}
	if out := pgctl(t, r, command); out.Exit != exitDone || !strings.Contains(out.Stderr, "nothing to do") {
		t.Errorf("the second run: %+v", out)
	}
}

// failsOver kills the master's host, sees pgpool promote the slave and writes go on through both pools, and boots the host again, whose
// PostgreSQL comes back as the master that it was.
func failsOver(t *testing.T, r *lab.Region, master, slave string) {
	t.Helper()
	must(t, r.Host(master).Kill(t.Context()))
	writesGoOn(t, r, slave)
	if out := pgctl(t, r, "pg9", "post-failover", "--yes", "--timeout", "2s"); out.Exit != exitRefused || !strings.Contains(out.Stderr, "refused: "+master+" is out of reach") {
		t.Errorf("while the old master's host is down: %+v", out)
	}
	must(t, r.Host(master).Boot(t.Context()))
	doc, _ := settles(t, r, []string{"split-brain"})
	if f := finding(doc, "split-brain", ""); !strings.Contains(f.Hint, "pgctl pg9 post-failover") || strings.Contains(f.Hint, "upmaster") {
		t.Errorf("split-brain: %+v", f)
	}
	if out := pgctl(t, r, "find-master"); out.Exit != exitUnhealthy || out.Stdout != "" {
		t.Errorf("find-master: %+v", out)
	}
	if out := pgctl(t, r, "pg9", "verify"); out.Exit != exitUnhealthy || !strings.Contains(out.Stdout, "2 servers answer as master") {
		t.Errorf("verify: %+v", out)
	}
	writesGoOn(t, r, slave) // not to the one that came back
}

// writesGoOn waits until a client of each pool writes to the server.
func writesGoOn(t *testing.T, r *lab.Region, server string) {
	t.Helper()
	addr := r.Host(server).Addr()
	for _, pool := range r.Pools() {
		limit := time.Now().Add(60 * time.Second)
		for {
			got, err := r.AppSQL(t.Context(), pool, "CREATE TEMPORARY TABLE written (); SELECT host(inet_server_addr())")
			if err == nil && strings.HasSuffix(got, addr) {
				break
			}
			if time.Now().After(limit) {
				t.Fatalf("a client of %s is on %q, %v; expected %s", pool.Name(), got, err, server)
			}
			time.Sleep(300 * time.Millisecond)
		}
	}
}

// inOrder: the site is right by verify, overview and find-master, by the inventory, and by what a client sees; nothing is left to do.
func inOrder(t *testing.T, r *lab.Region, master, slave string) {
	t.Helper()
	out := pgctl(t, r, "pg9", "verify", "-o", "json")
	var doc verifyDoc
	if err := json.Unmarshal([]byte(out.Stdout), &doc); err != nil || out.Exit != exitDone || !doc.Right || value(doc.Master) != master || len(doc.Checks) < 15 {
		t.Errorf("verify: %v, %+v", err, out)
	}
	settles(t, r, []string{})
	if out := pgctl(t, r, "find-master"); out.Exit != exitDone || out.Stdout != master+"\n" {
		t.Errorf("find-master: %+v", out)
	}
	if out := pgctl(t, r, "status"); out.Exit != exitDone || strings.Contains(out.Stdout, "pg_watcher") {
		t.Errorf("status: %+v", out)
	}
	writesGoOn(t, r, master)
	if got := shell(t, r.Firstbox(), "cat /pitrix/conf/nodes/pgmaster /pitrix/conf/nodes/pgslave; ls -A /pitrix/conf/nodes | tr '\\n' ' '"); got != fmt.Sprintf("nodes=%q\nnodes=%q\npgmaster pgpool pgslave", master, slave) {
		t.Errorf("the inventory:\n%s", got)
	}
	if out := pgctl(t, r, "pg9", "post-failover"); out.Exit != exitDone || !strings.Contains(out.Stderr, "nothing to do") {
		t.Errorf("nothing is left, and yet: %+v", out)
	}
	for _, h := range r.Servers() {
		if got := shell(t, h, "ls -a /tmp/*.trigger 2>/dev/null; true"); got != "" {
			t.Errorf("%s: a trigger file is left: %s", h.Name(), got)
		}
	}
	// what is aside is the whole old data, and would start read-only
	if got := shell(t, r.Host(slave), "cd /var/lib/postgresql/9.3; for d in main.pgctl-*; do ls $d/PG_VERSION $d/recovery.conf; done; stat -c '%U %a' main"); !strings.HasSuffix(got, "postgres 700") {
		t.Errorf("what is aside: %s", got)
	}
}

// cutShort runs post-failover, kills pgctl when its progress has a line that matches, and says what was seen.
func cutShort(t *testing.T, r *lab.Region, command, line string) string {
	t.Helper()
	return shell(t, r.Firstbox(), fmt.Sprintf(`p='%s'; pgctl %s --yes 2>&1 >/dev/null | while read -r line; do echo "$line"; if [[ $line =~ $p ]]; then pkill -9 -x pgctl; break; fi; done; for i in 1 2 3 4 5 6 7 8 9; do pgrep -x pgctl >/dev/null || break; sleep 0.1; done; ! pgrep -x pgctl`, line, command))
}

// pg9Twice: over and back, each step of each killed as it begins and when it is done.
func pg9Twice(t *testing.T, r *lab.Region) {
	withoutRobot(t, r)
	switchFailover(t, r, true)
	for _, round := range [][2]string{{"db1", "db2"}, {"db2", "db1"}} {
		old, next := round[0], round[1]
		w, err := r.StartWriter(t.Context(), lab.WriterSpec{Targets: r.Pools()})
		must(t, err)
		failsOver(t, r, old, next)
		for _, at := range []string{
			old + ": stop PostgreSQL", next + ": stop PostgreSQL, run configure_master", old + ": set the old data aside", next + ": run base_backup",
			old + ": run configure_slave", old + ": start PostgreSQL", "pool1: make", "pool1: restart", "pool2: make", "pool2: restart", "firstbox: make",
		} {
			for _, state := range []string{"running", "(done|as it should be)"} { // a step that was killed comes to its end by itself
				seen := cutShort(t, r, "pg9 post-failover", at+".*: "+state+"$")
				if !strings.Contains(seen, at) && state == "running" {
					t.Errorf("not killed at %q: %s", at, seen)
				}
				if n := masters(t, r); n > 2 || at == old+": start PostgreSQL" && n != 1 {
					t.Errorf("killed at %q %s: %d masters", at, state, n)
				}
			}
		}
		if out := pgctl(t, r, "pg9", "post-failover", "--yes"); out.Exit != exitDone {
			t.Fatalf("after all the kills: %+v", out)
		}
		report, err := w.Stop()
		must(t, err)
		t.Logf("%s to %s: %s", old, next, report)
		inOrder(t, r, next, old)
		if got := shell(t, r.Host(old), "ls -d /var/lib/postgresql/9.3/main.pgctl-* | wc -l"); got != "1" {
			t.Errorf("%s pieces of old data are aside, expected 1", got)
		}
		if out := pgctl(t, r, "cleanup", "--yes"); out.Exit != exitDone {
			t.Errorf("cleanup: %+v", out)
		}
	}
}

// masters counts the servers that answer as master.
func masters(t *testing.T, r *lab.Region) int {
	t.Helper()
	n := 0
	for _, h := range r.Servers() {
		if out, err := h.PSQL(t.Context(), "SELECT pg_is_in_recovery()"); err == nil && strings.TrimSpace(out) == "f" {
			n++
		}
	}
	return n
}

// pg9Robot: with the robot in place pgctl waits for it, does nothing beside it, and says what it has done; over and back.
func pg9Robot(t *testing.T, r *lab.Region) {
	if out := pgctl(t, r, "pg9", "auto-failover", "--yes"); out.Exit != exitDone {
		t.Fatalf("%+v", out)
	}
	switchFailover(t, r, true)
	for _, round := range [][2]string{{"db1", "db2"}, {"db2", "db1"}} {
		old, next := round[0], round[1]
		for _, h := range r.Servers() { // cron, whose minute may be about to begin, comes when it is let
			shell(t, h, "service cron stop") // not a job that it has begun
		}
		must(t, r.Host(old).Kill(t.Context()))
		writesGoOn(t, r, next)
		must(t, r.Host(old).Boot(t.Context()))
		shell(t, r.Host(old), "service cron stop")
		settles(t, r, []string{"split-brain"})
		before := fingerprint(t, r)
		if out := pgctl(t, r, "pg9", "post-failover", "--yes"); out.Exit != exitRefused || !strings.Contains(out.Stderr, "the site's robot is installed on "+next+" (/etc/cron.d/pg_failover:1:") {
			t.Errorf("beside the robot: %+v", out)
		}
		if after := fingerprint(t, r); after != before {
			t.Errorf("the refusal changed something:\n%s\n%s", before, after)
		}
		for _, h := range r.Servers() {
			must(t, h.Start(t.Context(), "cron"))
		}
		waitFor(t, "the robot", func() bool {
			return strings.Contains(shell(t, r.Host(next), "cat /var/log/post_failover.log 2>/dev/null; true"), old+" becomes the slave of "+next)
		})
		out := pgctl(t, r, "pg9", "post-failover", "--yes")
		if out.Exit != exitDone || !strings.Contains(out.Stderr, "the site's robot runs on "+next+" (post_failover.sh): waiting for its end") || !strings.Contains(out.Stderr, "the site's robot has done the work on the servers") {
			t.Errorf("the robot at work: %+v", out)
		}
		inOrder(t, r, next, old)
	}
}

func waitFor(t *testing.T, what string, so func() bool) {
	t.Helper()
	for limit := time.Now().Add(90 * time.Second); !so(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("no %s within 90 s", what)
		}
	}
}

// pg9Refusals: in each doubt nothing is changed, and everything that is in the way is said.
func pg9Refusals(t *testing.T, r *lab.Region) {
	refused := func(says string, args ...string) {
		t.Helper()
		before := fingerprint(t, r)
		if out := pgctl(t, r, append(args, "--timeout", "3s")...); out.Exit != exitRefused || !strings.Contains(out.Stderr, says) || !strings.Contains(out.Stderr, "nothing was changed") {
			t.Errorf("%q: %+v\nexpected: %s", args, out, says)
		}
		if after := fingerprint(t, r); after != before {
			t.Errorf("%q: the refusal changed something:\n%s\n%s", args, before, after)
		}
	}
	post := []string{"pg9", "post-failover", "--yes"}
	db1, db2, pool1 := r.Host("db1"), r.Host("db2"), r.Pools()[0]

	// nothing has failed over
	must(t, db2.Stop(t.Context(), "postgresql")) // with both backends DISALLOW_TO_FAILOVER, pgpool 4 serves nobody then; the pgpool of 9.x sites did
	waitFor(t, "finding of the stopped slave", func() bool {
		doc, _ := overviewOf(t, r)
		return finding(doc, "postgres-down", "db2").Severity == "warning"
	})
	refused("nothing has failed over", post...)
	refused("postgres-down db2", "enable-failover", "--yes")
	must(t, db2.Start(t.Context(), "postgresql"))
	settles(t, r, []string{})

	// a failover that would promote nobody, or only for some
	shell(t, pool1, "cp -p /etc/pgpool2/pgpool.conf /tmp/p; sed -i \"s/^failover_command.*/failover_command = ''/\" /etc/pgpool2/pgpool.conf")
	refused("pool1: /etc/pgpool2/pgpool.conf sets no failover_command", "enable-failover", "--yes")
	shell(t, pool1, "sed -e \"s/^backend_hostname0.*/backend_hostname0 = 'db2'/; s/^backend_hostname1.*/backend_hostname1 = 'db1'/\" /tmp/p >/etc/pgpool2/pgpool.conf")
	refused("pool1: the backends in /etc/pgpool2/pgpool.conf are not the master db1 and then the slave", "enable-failover", "--yes")
	shell(t, pool1, "cat /tmp/p >/etc/pgpool2/pgpool.conf")
	must(t, pool1.Cut(t.Context()))
	refused("host-unreachable pool1", "enable-failover", "--yes")
	must(t, pool1.Heal(t.Context()))
	settles(t, r, []string{})

	// after a failover
	switchFailover(t, r, true)
	must(t, db1.Kill(t.Context()))
	writesGoOn(t, r, "db2")
	must(t, db1.Boot(t.Context()))
	settles(t, r, []string{"split-brain"})
	refused("configure_master.sh would install the site's robot", post...)
	withoutRobot(t, r)
	shell(t, db2, "touch /var/lib/postgresql/9.3/main/recovery.conf")
	refused("db2 answers as master and has a recovery.conf", post...)
	shell(t, db2, "rm /var/lib/postgresql/9.3/main/recovery.conf; mv /var/lib/postgresql/bin/base_backup.sh /tmp/")
	refused("db2: /var/lib/postgresql/bin/base_backup.sh is not there", post...)
	shell(t, db2, "mv /tmp/base_backup.sh /var/lib/postgresql/bin/")
	shell(t, db1, "mkdir /tmp/ts; ln -s /tmp/ts /var/lib/postgresql/9.3/main/pg_tblspc/1")
	refused("the data has tablespaces outside of its directory", post...)
	shell(t, db1, "rm /var/lib/postgresql/9.3/main/pg_tblspc/1")
	shell(t, db2, "sed -i 's/^.*db1$/198.51.100.99 db1/' /etc/hosts")
	refused("db2: it takes the name db1 for 198.51.100.99", post...)
	must(t, db2.MendNames())
	must(t, pool1.Freeze("pgpool"))
	refused("whom pool1 writes to cannot be told", post...)
	must(t, pool1.Thaw("pgpool"))
	must(t, db2.Stop(t.Context(), "postgresql"))
	refused("db1 answers as master on timeline 1, but db2 has the newer timeline 2", post...)
	must(t, db2.Start(t.Context(), "postgresql"))
	must(t, db1.Freeze(lab.Postmaster))
	refused("db1 runs PostgreSQL and does not answer", post...)
	must(t, db1.Thaw(lab.Postmaster))
	refused("split-brain", "enable-failover", "--yes")
	shell(t, db1, "mkdir -p /run; (exec 9>>/run/pgctl.pg9; flock 9; echo configure_slave.sh >/run/pgctl.pg9.what; exec sleep 3) >/dev/null 2>&1 &")
	refused("a step that an earlier pgctl began still runs on db1: configure_slave.sh", append(post, "--wait", "1ms")...)

	// the copy cannot fit
	must(t, db1.FillDisk())
	refused("and a copy beside its old data takes", post...)
	must(t, db1.FreeDisk())
	if out := pgctl(t, r, post...); out.Exit != exitDone {
		t.Fatalf("%+v", out)
	}
	inOrder(t, r, "db2", "db1")
}

// pg9Flags: interrupted, with a pool that is cut off, with one that cannot be asked, and while the site is broken.
func pg9Flags(t *testing.T, r *lab.Region) {
	pool1, pool2 := r.Pools()[0], r.Pools()[1]
	for _, at := range []string{"1/8.*done", "2/8.*running", "2/8.*done", "6/8.*running"} {
		seen := cutShort(t, r, "enable-failover", at+"$")
		if out := pgctl(t, r, "enable-failover", "--yes"); out.Exit != exitDone {
			t.Errorf("after a crash at %s: %+v\n%s", at, out, seen)
		}
		settles(t, r, []string{})
		switchFailover(t, r, false)
	}
	shell(t, pool1, "sed -i \"s/^sr_check_user.*/sr_check_user = ''/\" /etc/pgpool2/pgpool.conf")
	if out := pgctl(t, r, "enable-failover", "--yes"); out.Exit != exitDone || !strings.Contains(out.Stderr, "warning: pool1: what show pool_nodes says is unproven: cannot log in through pgpool") {
		t.Errorf("nobody can log in: %+v", out)
	}
	shell(t, pool1, "sed -i \"s/^sr_check_user.*/sr_check_user = 'pgpool'/\" /etc/pgpool2/pgpool.conf; service pgpool2 restart >/dev/null 2>&1")
	settles(t, r, []string{})
	// off, while the site is broken: the master is gone, a pool is not reached; and what pgpool knew of the dead node it goes on to know
	must(t, r.Host("db1").Kill(t.Context()))
	writesGoOn(t, r, "db2")
	must(t, pool2.Stop(t.Context(), "ssh"))
	out := pgctl(t, r, "disable-failover", "--yes", "--timeout", "2s")
	if out.Exit != exitPartway || !strings.Contains(out.Stderr, "left out: pool2") {
		t.Errorf("%+v", out)
	}
	must(t, pool2.Start(t.Context(), "ssh"))
	writesGoOn(t, r, "db2")
	doc, _ := overviewOf(t, r, "--timeout", "2s")
	if value(doc.Region.Failover) != "mixed" || value(doc.Pools[0].Failover) != "off" || !slices.Contains(codes(doc), "failover-differs") {
		t.Errorf("one pool is off, one is on: %+v, %q", doc.Region, codes(doc))
	}
	if out := pgctl(t, r, "disable-failover", "--yes", "--timeout", "2s"); out.Exit != exitDone {
		t.Errorf("%+v", out)
	}
	writesGoOn(t, r, "db2")
}

const oldFixup = `cd /var/lib/postgresql/bin; . ./utils.sh; install_failover_cron db1 db2
for f in configure_master.sh configure_slave.sh post_failover.sh; do cp $f $f.bak; done
sed -i '/install_failover_cron/d' configure_master.sh
sed -i '/install_failover_cron/d' configure_slave.sh
sed -i '/service pgpool2 restart/i\ssh root@${pgpool_server} "pgpool -m fast stop"' post_failover.sh
sed -i '/service pgpool2 restart/i\ssh root@${pgpool_server} "rm /var/lib/pgpool/.s.PGSQL.*"' post_failover.sh
sed -i 's/service pgpool2 restart/service pgpool2 start/g' post_failover.sh
touch auto_post_failover.done`

// pg9Scripts: the fixup, interrupted, beside the old script's, of a script that is not as expected, and taken back.
func pg9Scripts(t *testing.T, r *lab.Region) {
	scripts := func(h *lab.Host) string {
		return shell(t, h, "cd /var/lib/postgresql/bin; sha256sum *.sh; stat -c '%n %a %U' *.sh; ls")
	}
	db1, db2 := r.Host("db1"), r.Host("db2")
	before1, before2 := scripts(db1), scripts(db2)
	fix := []string{"pg9", "auto-failover", "--yes"}
	if out := pgctl(t, r, "pg9", "auto-failover", "--dry-run"); out.Exit != exitDone || scripts(db1) != before1 {
		t.Errorf("dry run: %+v", out)
	}
	for _, at := range []string{"1/.*running", "1/.*done", "2/.*running", "2/.*done", "3/.*running", "3/.*done", "7/.*done", "8/.*running", "8/.*done", "12/.*done"} {
		cutShort(t, r, "pg9 auto-failover", "^ *"+at+"$")
	}
	if out := pgctl(t, r, fix...); out.Exit != exitDone {
		t.Fatalf("%+v", out)
	}
	for _, h := range r.Servers() {
		if got := shell(t, h, "cd /var/lib/postgresql/bin; cat /etc/cron.d/pg_failover; grep -l install_failover_cron configure*.sh; for f in *.bak; do diff $f ${f%.bak} | grep -c '^[<>]'; done; head -c 5 auto_post_failover.done; bash -n post_failover.sh"); got !=
			"* * * * * root /var/lib/postgresql/bin/post_failover.sh db1 db2 >>/var/log/post_failover.log 2>&1\n1\n1\n4\npgctl" {
			t.Errorf("%s:\n%s", h.Name(), got)
		}
	}
	if out := pgctl(t, r, "pg9", "auto-failover"); out.Exit != exitDone || !strings.Contains(out.Stderr, "nothing to do") {
		t.Errorf("the second run: %+v", out)
	}
	cutShort(t, r, "pg9 auto-failover --remove", "^ *2/.*done$")
	if out := pgctl(t, r, append(fix, "--remove")...); out.Exit != exitDone || scripts(db1) != before1 || scripts(db2) != before2 {
		t.Errorf("taken back: %+v\n%s\n%s", out, before1, scripts(db1))
	}
	if out := pgctl(t, r, append(fix, "--remove")...); out.Exit != exitDone || !strings.Contains(out.Stderr, "nothing to do") {
		t.Errorf("taken back twice: %+v", out)
	}
	// the old script was here, on one of the two
	shell(t, db1, oldFixup)
	if out := pgctl(t, r, fix...); out.Exit != exitDone || !strings.Contains(out.Stderr, "db1: this has been done by the old script auto_failover.sh") || strings.Contains(out.Stderr, "db2: this has") {
		t.Errorf("beside the old script: %+v", out)
	}
	if out := pgctl(t, r, append(fix, "--remove")...); out.Exit != exitDone || scripts(db1) != before1 || scripts(db2) != before2 {
		t.Errorf("the old script's fixup taken back: %+v\n%s", out, scripts(db1))
	}
	// not edited blindly
	for change, says := range map[string]string{
		"sed -i 's/^install_failover_cron.*/install_failover_cron $1 $2 || exit 1/' configure_master.sh": "configure_master.sh:13: expected a line that only calls install_failover_cron",
		"sed -i 's/root@${pgpool_server} \"service/root@pool1 \"service/' post_failover.sh":              "expected ssh root@${pgpool_server}",
		"echo other >configure_slave.sh.bak":                                                             "configure_slave.sh.bak is there already",
		"mv utils.sh utils":                                                                              "/var/lib/postgresql/bin/utils.sh is not there",
		"mv /pitrix/ks/pgserver/conf/pgserver_hosts /tmp/":                                               "/pitrix/ks/pgserver/conf/pgserver_hosts is not there",
		"echo db1 >/pitrix/ks/pgserver/conf/pgserver_hosts":                                              "pgserver_hosts has 1 hosts, expected both servers",
		"printf 'db2\\ndb1\\n' >/pitrix/ks/pgserver/conf/pgserver_hosts":                                 "pgserver_hosts differs between the servers",
	} {
		shell(t, db1, "mkdir -p /tmp/keep && cp -a /var/lib/postgresql/bin /pitrix/ks/pgserver/conf/pgserver_hosts /tmp/keep/; cd /var/lib/postgresql/bin; "+change)
		broken := scripts(db1)
		if out := pgctl(t, r, fix...); out.Exit != exitRefused || !strings.Contains(out.Stderr, says) || scripts(db1) != broken || scripts(db2) != before2 {
			t.Errorf("%s: %+v", change, out)
		}
		shell(t, db1, "rm -rf /var/lib/postgresql/bin; cp -a /tmp/keep/bin /var/lib/postgresql/bin; cp -a /tmp/keep/pgserver_hosts /pitrix/ks/pgserver/conf/; rm -rf /tmp/keep")
	}
	// a script that was changed after the fixup is not overwritten by the way back
	if out := pgctl(t, r, fix...); out.Exit != exitDone {
		t.Fatalf("%+v", out)
	}
	shell(t, db2, "echo '# ours' >>/var/lib/postgresql/bin/configure_slave.sh")
	if out := pgctl(t, r, append(fix, "--remove")...); out.Exit != exitRefused || !strings.Contains(out.Stderr, "db2: /var/lib/postgresql/bin/configure_slave.sh was changed since the fixup") {
		t.Errorf("%+v", out)
	}
}
