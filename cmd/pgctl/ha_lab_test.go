//go:build lab

package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pgctl/pgctl/internal/lab"
)

func TestLabHA(t *testing.T) { haStory(t, lab.Spec{}) }

func TestMatrixHA(t *testing.T) {
	for name, spec := range map[string]lab.Spec{
		"PostgreSQL 15":                {},
		"PostgreSQL 10, three servers": {Postgres: "10", Servers: 3},
	} {
		t.Run(name, func(t *testing.T) { haStory(t, spec) })
	}
}

// watcherStandIn is a watcher that tells each second which file it goes by. /etc/watcher-mode makes it one that does not take a new
// file (stuck), or one of before pgctl (old).
const watcherStandIn = `cat > /usr/local/bin/watcher-stand-in <<'END'
#!/bin/sh
f=/pitrix/conf/global/server.yaml
sum=none
while :; do
  mode=$(cat /etc/watcher-mode)
  [ "$mode" = stuck ] || sum=$(sha256sum $f | cut -d' ' -f1)
  if [ "$mode" = old ]; then
    echo 'status: active'
  else
    printf '{"program":"pgctl","version":"0","host":"%s","status":"active","time":"%s","config":{"file":"%s","sha256":"%s","inactive_failover":true,"using_master_by_ts":false,"error":null},"quorum":QUORUM}\n' "$(hostname)" "$(date -u +%FT%TZ)" $f "$sum"
  fi > /var/run/.watcher-stand-in
  mv /var/run/.watcher-stand-in /var/run/pg_watcher.PGMonitor
  sleep 1
done
END
chmod 755 /usr/local/bin/watcher-stand-in
echo pgctl > /etc/watcher-mode
printf '[program:pg_watcher]\ncommand=/usr/local/bin/watcher-stand-in\nstartsecs=1\n' > /etc/supervisor/conf.d/pg_watcher.conf
supervisorctl update`

// standIn is watcherStandIn on hosts that all hear each other; of an even number the last has no vote.
func standIn(watched []*lab.Host) string {
	var voters []string
	for _, h := range watched[:len(watched)-(len(watched)+1)%2] {
		voters = append(voters, `"`+h.Name()+`"`)
	}
	quorum := fmt.Sprintf(`{"executor":%s,"index":1,"epoch":0,"phase":"","master":null,"voters":[%s],"silent":[]}`, voters[0], strings.Join(voters, ","))
	return strings.Replace(watcherStandIn, "QUORUM", quorum, 1)
}

func haStory(t *testing.T, spec lab.Spec) {
	r := region(t, spec)
	settles(t, r, []string{})
	t.Run("refused without watchers", func(t *testing.T) {
		refusedHA(t, r, "watcher-down db1: pg_watcher is absent", "no-quorum: 0 of 3 watchers")
		doctorSays(t, r, exitUnhealthy, "watcher-down db1: pg_watcher is absent", "no-quorum: 0 of 3 watchers")
	})
	watched := append(r.Servers(), r.Arbiters()...)
	for _, h := range watched {
		shell(t, h, standIn(watched))
	}
	waitUntil(t, "the watchers", func() bool { return pgctl(t, r, "doctor", patient).Exit == exitDone }) // supervisor takes a second to call them running
	doctorSays(t, r, exitDone, "nothing would stop an operation or a failover")
	tell(t, always, "usage", func(t *testing.T) { usageHA(t, r) })
	tell(t, inMatrix, "refusals", func(t *testing.T) { refusalsHA(t, r) })
	tell(t, always, "dry run", func(t *testing.T) { dryRunHA(t, r) })
	tell(t, always, "enable and disable", func(t *testing.T) { onAndOff(t, r) })
	tell(t, inMatrix, "one zone", func(t *testing.T) { oneZone(t, r) })
	tell(t, inMatrix, "using_master_by_ts", func(t *testing.T) { byTS(t, r) })
	tell(t, always, "the build fails", func(t *testing.T) { buildFails(t, r) })
	tell(t, inMatrix, "the roll-out fails", func(t *testing.T) { rollOutFails(t, r) })
	tell(t, inMatrix, "edited meanwhile", func(t *testing.T) { editedHA(t, r) })
	tell(t, inMatrix, "crash after steps", func(t *testing.T) { crashesHA(t, r) })
	tell(t, inMatrix, "killed, then the build fails", func(t *testing.T) { crashThenBuildFails(t, r) })
	tell(t, inMatrix, "watchers", func(t *testing.T) { watchersHA(t, r) })
	tell(t, inMatrix, "lock", func(t *testing.T) { lockedHA(t, r) })
	tell(t, always, "the worst night", func(t *testing.T) { worstNight(t, r) })
}

// haFiles is what a refusal and a dry run may not change: the zones' files with all of their attributes, and each node's.
func haFiles(t *testing.T, r *lab.Region) string {
	t.Helper()
	var all strings.Builder
	fmt.Fprintln(&all, shell(t, r.Firstbox(), "cd /pitrix/conf/variables/global; sha256sum *; ls -la --time-style=full-iso; ls -la /pitrix/upgrade/build 2>&1; true"))
	for _, h := range append(r.Servers(), r.Arbiters()...) {
		if h.Running() {
			fmt.Fprintln(&all, h.Name(), shell(t, h, "cd /pitrix/conf/global; sha256sum *; stat -c '%i %Y' server.yaml"))
		}
	}
	return all.String()
}

func doctorSays(t *testing.T, r *lab.Region, exit int, parts ...string) {
	t.Helper()
	out := pgctl(t, r, "doctor", patient)
	text := strings.Join(strings.Fields(out.Stdout), " ")
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("doctor does not say %q: %+v", part, out)
		}
	}
	if out.Exit != exit {
		t.Errorf("doctor: %+v", out)
	}
}

// patient is for hosts that share their machine with others: a python that starts (supervisorctl) may take long.
const patient = "--timeout=12s"

// refusedHA: enable-ha names every part and changes nothing.
func refusedHA(t *testing.T, r *lab.Region, parts ...string) {
	t.Helper()
	before := haFiles(t, r)
	out := pgctl(t, r, "enable-ha", "--yes", patient)
	for _, part := range parts {
		if !strings.Contains(out.Stderr, "pgctl: refused: "+part) {
			t.Errorf("not refused for %q: %+v", part, out)
		}
	}
	if out.Exit != exitRefused || !strings.Contains(out.Stderr, "nothing was changed") {
		t.Errorf("%+v", out)
	}
	if after := haFiles(t, r); after != before {
		t.Errorf("a refusal changed something:\n%s\n%s", before, after)
	}
}

func usageHA(t *testing.T, r *lab.Region) {
	for _, tt := range []struct {
		says string
		args []string
	}{
		{"--yes is needed", []string{"enable-ha"}},
		{"--yes is needed", []string{"disable-ha", "--using-master-by-ts=1"}},
		{"--zone=nowhere: expected one of zone1a, zone1b", []string{"enable-ha", "--yes", "--zone=nowhere"}},
		{`--using-master-by-ts is "2", expected 0 or 1`, []string{"disable-ha", "--yes", "--using-master-by-ts=2"}},
	} {
		if out := pgctl(t, r, tt.args...); out.Exit != exitUsage || !strings.Contains(out.Stderr, tt.says) {
			t.Errorf("%q: %+v", tt.args, out)
		}
	}
	firstbox := r.Firstbox()
	shell(t, firstbox, "cd /pitrix/conf/variables/global; cp -p server.yaml.zone1b /root/; sed -i /inactive_failover:.*0$/d\\;/inactive_failover:.*1$/d server.yaml.zone1b")
	out := pgctl(t, r, "enable-ha", "--yes", patient)
	if out.Exit != exitUsage || !strings.Contains(out.Stderr, "server.yaml.zone1b:") || !strings.Contains(out.Stderr, "has no key inactive_failover") {
		t.Errorf("a file without the key: %+v", out)
	}
	shell(t, firstbox, "cp -p /root/server.yaml.zone1b /pitrix/conf/variables/global/")
}

// refusalsHA makes one thing wrong after the other, and mends it.
func refusalsHA(t *testing.T, r *lab.Region) {
	firstbox, db1, db2 := r.Firstbox(), r.Host("db1"), r.Host("db2")
	last := r.Servers()[len(r.Servers())-1]
	conf := db1.DataDir() + "/postgresql.auto.conf"
	on := func(h *lab.Host, script string) func() { return func() { shell(t, h, script) } }
	sql := func(h *lab.Host, text string) func() { return func() { psql(t, h, text) } }
	names := psql(t, db1, "SHOW synchronous_standby_names")
	for _, tt := range []struct {
		says       string
		break1     func()
		mend       func()
		alsoSettle bool
	}{
		{says: "watcher-down db2: pg_watcher is inactive", break1: on(db2, "supervisorctl stop pg_watcher"), mend: on(db2, "supervisorctl start pg_watcher")},
		{says: "config-file-error db1: " + conf, break1: on(db1, "cp -p "+conf+" /tmp/auto; echo 'garbage here' >> "+conf), mend: on(db1, "cp -p /tmp/auto "+conf)},
		{says: "unsafe-setting db2: fsync is off", break1: sql(db2, "ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf()"), mend: sql(db2, "ALTER SYSTEM RESET fsync; SELECT pg_reload_conf()")},
		{says: "unsafe-setting db1: full_page_writes is off", break1: sql(db1, "ALTER SYSTEM SET full_page_writes = off; SELECT pg_reload_conf()"), mend: sql(db1, "ALTER SYSTEM RESET full_page_writes; SELECT pg_reload_conf()")},
		{says: "unsafe-setting db1: synchronous_commit is local", break1: sql(db1, "ALTER SYSTEM SET synchronous_commit = local; SELECT pg_reload_conf()"), mend: sql(db1, "ALTER SYSTEM RESET synchronous_commit; SELECT pg_reload_conf()")},
		{says: "not-synchronous: a commit waits for 0 of ", break1: sql(db1, "ALTER SYSTEM SET synchronous_standby_names = ''; SELECT pg_reload_conf()"), mend: sql(db1, "ALTER SYSTEM SET synchronous_standby_names = '"+names+"'; SELECT pg_reload_conf()"), alsoSettle: true},
		{says: "pgpool-fails-over db1: the backend db1:", break1: on(db1, "cp -p /etc/pgpool2/pgpool.conf /tmp/; sed -i s/DISALLOW_TO_FAILOVER/ALLOW_TO_FAILOVER/ /etc/pgpool2/pgpool.conf"), mend: on(db1, "cp -p /tmp/pgpool.conf /etc/pgpool2/")},
		{says: "link-down db2: does not reach db1: ", break1: on(db2, "cp -p /etc/hosts /tmp/hosts; sed -i /db1/d /etc/hosts"), mend: on(db2, "cat /tmp/hosts > /etc/hosts"), alsoSettle: true},
		{says: fmt.Sprintf("link-down db1: does not reach PostgreSQL of db2 at port %d", db2.Port()), break1: on(db2, fmt.Sprintf(`nft add table inet x; nft add chain inet x input "{ type filter hook input priority 0; }"; nft add rule inet x input ip saddr %s tcp dport %d reject with tcp reset`, db1.Addr(), db2.Port())), mend: on(db2, "nft delete table inet x")},
		{says: "host-unreachable " + last.Name(), break1: func() { must(t, last.Cut(t.Context())) }, mend: func() { must(t, last.Heal(t.Context())) }, alsoSettle: true},
		{says: "postgres-down db2", break1: func() { must(t, db2.Stop(t.Context(), "postgresql")) }, mend: func() { must(t, db2.Start(t.Context(), "postgresql")) }, alsoSettle: true},
		{says: "ha-config-mismatch: /pitrix/conf/variables/global/server.yaml.zone1b differs from", break1: on(firstbox, "sed -i 's/^  pg_node_info:/  down_after: 90s\\n&/' /pitrix/conf/variables/global/server.yaml.zone1b"), mend: on(firstbox, "sed -i /down_after:/d /pitrix/conf/variables/global/server.yaml.zone1b")},
	} {
		tt.break1()
		refusedHA(t, r, tt.says)
		tt.mend()
		if tt.alsoSettle {
			settles(t, r, []string{})
		}
	}
	if len(r.Arbiters()) > 0 {
		shell(t, firstbox, "cp -rp /pitrix/conf/variables /tmp; sed -i /globals:/d /pitrix/conf/variables/global/*")
		refusedHA(t, r, "too-few-votes: ", "arbiter-missing: ")
		shell(t, firstbox, "cp -p /tmp/variables/global/* /pitrix/conf/variables/global/")
	}
	shell(t, db2, "supervisorctl stop pg_watcher; mkdir -p /opt/postgresql/work; touch /opt/postgresql/work/pg_upmaster")
	psql(t, db2, "ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf()")
	psql(t, db1, "CREATE ROLE hasty; ALTER ROLE hasty SET synchronous_commit = off")
	shell(t, db1, "cp -p /etc/pgpool2/pgpool.conf /tmp/; sed -i /^memqcache/d /etc/pgpool2/pgpool.conf; systemctl restart --job-mode=ignore-dependencies pgpool2")
	refusedHA(t, r, "watcher-down db2", "unsafe-setting db2: fsync is off")
	doctorSays(t, r, exitUnhealthy, "critical watcher-down db2", "critical unsafe-setting db2: fsync is off", "warning old-script db2", "warning pgpool-slow-start db1: each start")
	shell(t, db2, "supervisorctl start pg_watcher")
	shell(t, db1, "cp -p /tmp/pgpool.conf /etc/pgpool2/; systemctl restart --job-mode=ignore-dependencies pgpool2")
	psql(t, db2, "ALTER SYSTEM RESET fsync; SELECT pg_reload_conf()")
	out := pgctl(t, r, "enable-ha", patient, "--dry-run")
	for _, warning := range []string{"db2: /opt/postgresql/work/pg_upmaster goes round the quorum", "synchronous_commit is off for the role hasty"} {
		if out.Exit != exitDone || !strings.Contains(out.Stderr, warning) {
			t.Errorf("no warning %q: %+v", warning, out)
		}
	}
	shell(t, db2, "rm -r /opt/postgresql/work")
	psql(t, db1, "DROP ROLE hasty")
	doctorSays(t, r, exitDone, "nothing would stop")
}

func dryRunHA(t *testing.T, r *lab.Region) {
	before := haFiles(t, r)
	out := pgctl(t, r, "enable-ha", patient, "--dry-run", "--using-master-by-ts=1")
	for _, part := range []string{"set inactive_failover 1 -> 0, using_master_by_ts 0 -> 1 in", "\n-  inactive_failover: 1\n+  inactive_failover: 0\n", "\n--- /pitrix/conf/variables/global/server.yaml.zone1b\n"} {
		if out.Exit != exitDone || !strings.Contains(out.Stdout, part) {
			t.Errorf("%q is missing: %+v", part, out)
		}
	}
	out = pgctl(t, r, "enable-ha", patient, "--dry-run", "-o", "json")
	var doc changeDoc
	if err := json.Unmarshal([]byte(out.Stdout), &doc); err != nil || !doc.DryRun || len(doc.Diffs) != len(r.Servers()) || doc.Facts["master"] != "db1" {
		t.Errorf("%v, %+v", err, out)
	}
	for _, s := range doc.Steps {
		if s.State != "waiting" {
			t.Errorf("%+v", s)
		}
	}
	if out := pgctl(t, r, "disable-ha", patient, "--dry-run"); out.Exit != exitDone || strings.Contains(out.Stdout, "waiting") || !strings.Contains(out.Stderr, "synchronous_standby_names is ") {
		t.Errorf("%+v", out)
	}
	if after := haFiles(t, r); after != before {
		t.Errorf("a dry run changed something:\n%s\n%s", before, after)
	}
}

// changed lists the bytes in which each zone's file differs from its newest backup, as cmp -l prints them.
func changed(t *testing.T, r *lab.Region) []string {
	t.Helper()
	return strings.Split(shell(t, r.Firstbox(), `cd /pitrix/conf/variables/global; for f in server.yaml.*; do b=$(ls /var/lib/pgctl/backup/$f.* | tail -n 1); cmp -l $b $f; [ "$(stat -c '%s' $b)" = "$(stat -c '%s' $f)" ] || echo size; done; true`), "\n")
}

func switchHA(t *testing.T, r *lab.Region, want string, args ...string) lab.Result {
	t.Helper()
	out := pgctl(t, r, append(args, "--yes", patient)...)
	if out.Exit != exitDone || !strings.Contains(out.Stderr, args[0]+": ") {
		t.Fatalf("%q: %+v", args, out)
	}
	if doc, _ := overviewOf(t, r); doc.Region.HA != want {
		t.Errorf("%q: HA is %s, expected %s", args, doc.Region.HA, want)
	}
	return out
}

func onAndOff(t *testing.T, r *lab.Region) {
	attributes := shell(t, r.Firstbox(), "stat -c '%a %U:%G' /pitrix/conf/variables/global/*")
	for _, tt := range []struct{ command, ha, bytes string }{{"enable-ha", "enabled", "61  60"}, {"disable-ha", "disabled", "60  61"}} {
		switchHA(t, r, tt.ha, tt.command)
		got := changed(t, r)
		if len(got) != len(r.Servers()) {
			t.Errorf("%s changed: %q", tt.command, got)
		}
		for _, line := range got {
			if !strings.HasSuffix(line, tt.bytes) {
				t.Errorf("%s changed: %q", tt.command, line)
			}
		}
		for _, h := range append(r.Servers(), r.Arbiters()...) {
			zone := h.Zone()
			if zone == "global" {
				zone = "zone1a"
			}
			if want := shell(t, r.Firstbox(), "cat /pitrix/conf/variables/global/server.yaml."+zone); shell(t, h, "cat /pitrix/conf/global/server.yaml") != want {
				t.Errorf("%s: %s has not the file of %s", tt.command, h.Name(), zone)
			}
		}
		before := haFiles(t, r)
		out := pgctl(t, r, tt.command, patient)
		if out.Exit != exitDone || strings.Contains(out.Stdout, "waiting") || !strings.Contains(out.Stderr, tt.command+": nothing to do") || haFiles(t, r) != before {
			t.Errorf("%s again: %+v", tt.command, out)
		}
	}
	if now := shell(t, r.Firstbox(), "stat -c '%a %U:%G' /pitrix/conf/variables/global/*"); now != attributes {
		t.Errorf("attributes: %s, before %s", now, attributes)
	}
	if names := shell(t, r.Firstbox(), "ls /pitrix/upgrade/build/pitrix-global-conf 2>/dev/null || ls /pitrix/upgrade/build"); strings.Contains(names, "zone1a.") {
		t.Errorf("a backup was taken for a zone: %s", names)
	}
}

func oneZone(t *testing.T, r *lab.Region) {
	switchHA(t, r, "enabled", "enable-ha")
	out := switchHA(t, r, "disabled", "disable-ha", "--zone", "zone1b")
	if strings.Contains(out.Stderr, "db1: see") || strings.Contains(out.Stdout, "server.yaml.zone1a") || !strings.Contains(out.Stderr, "db2: see that it has the file of zone1b") {
		t.Errorf("%+v", out)
	}
	if got := shell(t, r.Firstbox(), "cd /pitrix/conf/variables/global; grep -c '^  inactive_failover: 1' server.yaml.zone1a server.yaml.zone1b; true"); got != "server.yaml.zone1a:1\nserver.yaml.zone1b:2" {
		t.Errorf("counted with zk_watcher's: %s", got)
	}
	switchHA(t, r, "disabled", "disable-ha")
	out = switchHA(t, r, "disabled", "enable-ha", "--zone", "zone1a")
	if !strings.Contains(out.Stderr, "HA stays off until every zone says 0") || len(r.Arbiters()) > 0 && !strings.Contains(out.Stderr, "arb1: see") {
		t.Errorf("%+v", out)
	}
	switchHA(t, r, "disabled", "disable-ha")
}

func byTS(t *testing.T, r *lab.Region) {
	switchHA(t, r, "enabled", "enable-ha", "--using-master-by-ts=1")
	if got := changed(t, r); len(got) != 2*len(r.Servers()) {
		t.Errorf("%q", got)
	}
	switchHA(t, r, "disabled", "disable-ha", "--using-master-by-ts=0")
	if got := changed(t, r); len(got) != 2*len(r.Servers()) {
		t.Errorf("%q", got)
	}
}

// scripted puts a script in front of one of the site's and gives what takes it away again.
func scripted(t *testing.T, r *lab.Region, name, text string) func() {
	t.Helper()
	shell(t, r.Firstbox(), fmt.Sprintf("cd /pitrix/upgrade; mv %[1]s real-%[1]s; rm -f /tmp/once; cat > %[1]s <<'END'\n#!/bin/bash\n%[2]s\nexec /pitrix/upgrade/real-%[1]s \"$@\"\nEND\nchmod 755 %[1]s", name, text))
	return func() { shell(t, r.Firstbox(), fmt.Sprintf("cd /pitrix/upgrade; mv real-%[1]s %[1]s", name)) }
}

// contents are the zones' files and what the nodes have, by their bytes alone.
func contents(t *testing.T, r *lab.Region) string {
	t.Helper()
	all := shell(t, r.Firstbox(), "sha256sum /pitrix/conf/variables/global/*")
	for _, h := range append(r.Servers(), r.Arbiters()...) {
		all += "\n" + h.Name() + " " + shell(t, h, "sha256sum /pitrix/conf/global/*")
	}
	return all
}

func journalHA(t *testing.T, r *lab.Region) string {
	t.Helper()
	return shell(t, r.Firstbox(), "ls /var/lib/pgctl/journal")
}

func buildFails(t *testing.T, r *lab.Region) {
	before := contents(t, r)
	for _, tt := range []struct {
		script string
		exit   int
		says   string
	}{
		{"echo boom; exit 1", exitPartway, "no node that answers has the new file"},
		{"[ -e /tmp/once ] || { touch /tmp/once; echo boom >&2; exit 7; }", exitFailed, "nothing is changed: the old files are back and rolled out"},
	} {
		mend := scripted(t, r, "build_global_conf.sh", tt.script)
		out := pgctl(t, r, "enable-ha", "--yes", patient)
		if out.Exit != tt.exit || !strings.Contains(out.Stderr, tt.says) || !strings.Contains(out.Stderr, "| boom") {
			t.Errorf("%s: %+v", tt.script, out)
		}
		if after := contents(t, r); after != before {
			t.Errorf("%s: the old files are not back:\n%s\n%s", tt.script, before, after)
		}
		mend()
	}
	if left := journalHA(t, r); left != "" {
		t.Errorf("the journal is left: %s", left)
	}
	settles(t, r, []string{})
}

// rollOutFails: update.sh fails once, for a node, and for a node that is cut off meanwhile.
func rollOutFails(t *testing.T, r *lab.Region) {
	before := contents(t, r)
	mend := scripted(t, r, "update.sh", "[ -e /tmp/once ] || { touch /tmp/once; /pitrix/upgrade/real-update.sh -f db1,db2 pitrix-global-conf; exit 1; }")
	out := pgctl(t, r, "enable-ha", "--yes", patient)
	last := r.Servers()[len(r.Servers())-1]
	if len(r.Arbiters()) > 0 {
		last = r.Arbiters()[1]
	}
	if out.Exit != exitFailed || !strings.Contains(out.Stderr, "nothing is changed: the old files are back and rolled out") || contents(t, r) != before {
		t.Errorf("it fails once: %+v", out)
	}
	mend()
	// a node that goes while the package is built
	mend = scripted(t, r, "build_global_conf.sh", fmt.Sprintf("ssh %s 'nft add table inet x; nft add chain inet x input \"{ type filter hook input priority 0; policy drop; }\"' & sleep 2", last.Name()))
	out = pgctl(t, r, "enable-ha", "--yes", patient)
	exit, says := exitPartway, "no node that answers has the new file; no answer from "+last.Name()
	if len(r.Arbiters()) == 0 { // it is a server, and without it the master is not certain: nothing is sent
		exit, says = exitFailed, last.Name()+" is out of reach and may be a master too"
	}
	if out.Exit != exit || !strings.Contains(out.Stderr, says) {
		t.Errorf("a node is lost: %+v", out)
	}
	mend()
	shell(t, last, "nft delete table inet x")
	if after := contents(t, r); after != before {
		t.Errorf("a node is lost, and the old files are not back:\n%s\n%s", before, after)
	}
	settles(t, r, []string{})
	switchHA(t, r, "enabled", "enable-ha")
	switchHA(t, r, "disabled", "disable-ha")
}

// editedHA: another editor changes a file after the plan was made; nothing of theirs is lost.
func editedHA(t *testing.T, r *lab.Region) {
	mend := scripted(t, r, "build_global_conf.sh", "echo '# theirs' >> /pitrix/conf/variables/global/server.yaml.zone1b; exit 1")
	out := pgctl(t, r, "enable-ha", "--yes", patient)
	mend()
	if out.Exit != exitPartway || !strings.Contains(out.Stderr, "server.yaml.zone1b was edited by somebody else") {
		t.Errorf("%+v", out)
	}
	if got := shell(t, r.Firstbox(), "tail -n 1 /pitrix/conf/variables/global/server.yaml.zone1b"); got != "# theirs" {
		t.Errorf("their line is gone: %s", got)
	}
	out = switchHA(t, r, "disabled", "disable-ha")
	shell(t, r.Firstbox(), "sed -i '/^# theirs/d' /pitrix/conf/variables/global/*; rm -f /var/lib/pgctl/journal/*")
	out = switchHA(t, r, "disabled", "disable-ha")
	if !strings.Contains(out.Stderr, "db2: its /pitrix/conf/global/server.yaml is not what /pitrix/conf/variables/global/server.yaml.zone1b is now") {
		t.Errorf("a file that was not rolled out is not told: %+v", out)
	}
}

// killAt runs a command on firstbox and kills it with SIGKILL when it reports a step as the pattern says.
func killAt(t *testing.T, r *lab.Region, command, at string) {
	t.Helper()
	seen := shell(t, r.Firstbox(), fmt.Sprintf(`p='^ *%s$'; pgctl %s --yes --timeout 12s 2>&1 >/dev/null | while read -r line; do echo "$line"; if [[ $line =~ $p ]]; then pkill -9 -x pgctl; break; fi; done; for i in $(seq 100); do pgrep -x pgctl >/dev/null || exit 0; sleep 0.1; done; exit 1`, at, command))
	if journal := journalHA(t, r); !strings.Contains(journal, command+".json") {
		t.Errorf("killed at %s: the journal is %q after\n%s", at, journal, seen)
	}
}

// crashesHA kills pgctl in the middle of steps and after them; run again, it comes to the end each time.
func crashesHA(t *testing.T, r *lab.Region) {
	n := len(r.Servers()) // edits, then build, roll-out, proofs
	points := []string{
		"1/.*: running", "1/.*: done", fmt.Sprintf("%d/.*: done", n), fmt.Sprintf("%d/.*: running", n+1), fmt.Sprintf("%d/.*: done", n+1),
		fmt.Sprintf("%d/.*: running", n+2), ". db1 .* ok", fmt.Sprintf("%d/.*: done", n+2),
	}
	for i, at := range points {
		command, ha := "enable-ha", "enabled"
		if i%2 == 1 {
			command, ha = "disable-ha", "disabled"
		}
		killAt(t, r, command, at)
		switchHA(t, r, ha, command)
		if left := journalHA(t, r); left != "" {
			t.Errorf("after a crash at %s and a second run the journal is still there: %s", at, left)
		}
	}
}

// crashThenBuildFails: what an unfinished run has edited is put back by the next one, from that run's backup.
func crashThenBuildFails(t *testing.T, r *lab.Region) {
	before := contents(t, r)
	killAt(t, r, "enable-ha", fmt.Sprintf("%d/.*: done", len(r.Servers())))
	mend := scripted(t, r, "build_global_conf.sh", "[ -e /tmp/once ] || { touch /tmp/once; exit 7; }")
	out := pgctl(t, r, "enable-ha", "--yes", patient)
	mend()
	if after := contents(t, r); out.Exit != exitFailed || after != before {
		t.Errorf("%+v\n%s\n%s", out, before, after)
	}
	if left := journalHA(t, r); left != "" {
		t.Errorf("the journal is left: %s", left)
	}
	killAt(t, r, "enable-ha", fmt.Sprintf("%d/.*: done", len(r.Servers())))
	switchHA(t, r, "disabled", "disable-ha")
	if left := journalHA(t, r); left != "" {
		t.Errorf("the journal of what was given up is left: %s", left)
	}
}

func watchersHA(t *testing.T, r *lab.Region) {
	db1, db2 := r.Host("db1"), r.Host("db2")
	shell(t, db2, "echo old > /etc/watcher-mode; sleep 2")
	if out := switchHA(t, r, "enabled", "enable-ha"); !strings.Contains(out.Stderr, "warning: db2: its watcher is not pgctl's: that it took the file cannot be proven") {
		t.Errorf("%+v", out)
	}
	shell(t, db2, "echo pgctl > /etc/watcher-mode; supervisorctl stop pg_watcher; touch -d '1 minute ago' /var/run/pg_watcher.PGMonitor")
	shell(t, db1, "supervisorctl stop pg_watcher; rm /var/run/pg_watcher.PGMonitor")
	out := switchHA(t, r, "disabled", "disable-ha")
	for _, warning := range []string{"warning: db1: no watcher has written", "warning: db2: "} {
		if !strings.Contains(out.Stderr, warning) {
			t.Errorf("no %q: %+v", warning, out)
		}
	}
	shell(t, db1, "supervisorctl start pg_watcher")
	shell(t, db2, "echo stuck > /etc/watcher-mode; supervisorctl start pg_watcher; sleep 2")
	out = pgctl(t, r, "enable-ha", "--yes", patient)
	if out.Exit != exitPartway || !strings.Contains(out.Stderr, "its watcher goes by another file still") {
		t.Errorf("a watcher that does not take it: %+v", out)
	}
	shell(t, db2, "echo pgctl > /etc/watcher-mode; sleep 2")
	switchHA(t, r, "enabled", "enable-ha")
	switchHA(t, r, "disabled", "disable-ha")
}

func lockedHA(t *testing.T, r *lab.Region) {
	before := contents(t, r)
	holder := shell(t, r.Host("db2"), `setsid flock /run/pgctl.lock sleep 60 >/dev/null 2>&1 & echo 'root@elsewhere, upmaster, pid 7' > /run/pgctl.owner; sleep 0.2; echo $!`)
	out := pgctl(t, r, "enable-ha", "--yes", patient)
	if out.Exit != exitRefused || !strings.Contains(out.Stderr, "another pgctl is at work on this region: root@elsewhere, upmaster, pid 7") || contents(t, r) != before {
		t.Errorf("%+v", out)
	}
	shell(t, r.Host("db2"), "kill -- -"+holder+" || kill "+holder)
}

// worstNight: the master is frozen and a node is gone. disable-ha works all the same, names who is left out, and a second run
// when that one is back finishes it.
func worstNight(t *testing.T, r *lab.Region) {
	switchHA(t, r, "enabled", "enable-ha")
	db1, db2 := r.Host("db1"), r.Host("db2")
	must(t, db2.Cut(t.Context()))
	must(t, db1.Freeze(lab.Postmaster))
	out := pgctl(t, r, "disable-ha", "--yes", patient)
	if out.Exit != exitPartway || !strings.Contains(out.Stderr, "left out: db2 (") || !strings.Contains(out.Stderr, "disable-ha: done") {
		t.Errorf("%+v", out)
	}
	if !slices.Contains(strings.Split(shell(t, db1, "cat /pitrix/conf/global/server.yaml"), "\n"), "  inactive_failover: 1") {
		t.Error("db1 was not told")
	}
	must(t, db1.Thaw(lab.Postmaster))
	must(t, db2.Heal(t.Context()))
	settles(t, r, []string{})
	switchHA(t, r, "disabled", "disable-ha")
}
