//go:build lab

package main

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgctl/pgctl/internal/lab"
	"github.com/pgctl/pgctl/pkg/watch"
)

func TestLabDeploy(t *testing.T) { deployStory(t, lab.Spec{}) }

func TestMatrixDeploy(t *testing.T) {
	for name, spec := range map[string]lab.Spec{
		"PostgreSQL 15":                {},
		"PostgreSQL 10, three servers": {Postgres: "10", Servers: 3},
		"hosts without systemd":        {OwnPools: true, NoSystemd: []string{"pool2", "arb1"}},
	} {
		t.Run(name, func(t *testing.T) { deployStory(t, spec) })
	}
}

func deployStory(t *testing.T, spec lab.Spec) {
	r := region(t, spec)
	settles(t, r, []string{})
	t.Run("dry run", func(t *testing.T) {
		before := deployed(t, r)
		out := pgctl(t, r, "deploy", "--dry-run")
		if out.Exit != exitDone || !strings.Contains(out.Stdout, "waiting") {
			t.Errorf("%+v", out)
		}
		if out := pgctl(t, r, "deploy"); out.Exit != exitUsage || !strings.Contains(out.Stderr, "--yes is needed") {
			t.Errorf("without --yes and a terminal: %+v", out)
		}
		if after := deployed(t, r); after != before {
			t.Errorf("something changed:\n%s\n%s", before, after)
		}
	})
	tell(t, always, "from nothing", func(t *testing.T) { deployFirst(t, r) })
	tell(t, always, "nothing to do", func(t *testing.T) { deployAgain(t, r) })
	tell(t, always, "a role for the watcher", func(t *testing.T) { watcherRole(t, r) })
	tell(t, always, "pg_hba.conf without it", func(t *testing.T) { deployNoPeer(t, r) })
	tell(t, inMatrix, "no connection left", func(t *testing.T) { deployFull(t, r) })
	tell(t, inMatrix, "the role is gone", func(t *testing.T) { deployRoleGone(t, r) })
	tell(t, inMatrix, "settings", func(t *testing.T) { deploySettings(t, r) })
	tell(t, inMatrix, "upgrade", func(t *testing.T) { deployUpgrade(t, r) })
	tell(t, inMatrix, "rotate certificates", func(t *testing.T) { deployRotate(t, r) })
	tell(t, inMatrix, "a host down", func(t *testing.T) { deployLeftOut(t, r) })
	tell(t, always, "server.yaml", func(t *testing.T) { watchConfig(t, r) })
	tell(t, always, "PostgreSQL", func(t *testing.T) { watchPostgres(t, r) })
	tell(t, inMatrix, "failover on", func(t *testing.T) { deployHA(t, r) })
	tell(t, always, "remove", func(t *testing.T) { deployRemove(t, r) })
	tell(t, inMatrix, "crashes", func(t *testing.T) { deployCrashes(t, r) })
	tell(t, inMatrix, "another watcher", func(t *testing.T) { deployReplace(t, r) })
}

// watchedHosts are the hosts that get a watcher, in the order of the plan: arbiters, pools, standbys, master.
func watchedHosts(r *lab.Region) []*lab.Host {
	all := r.Arbiters()
	for _, h := range append(r.Pools(), r.Servers()...) {
		if !slices.ContainsFunc(r.Servers(), func(s *lab.Host) bool { return s.Name() == h.Name() }) {
			all = append(all, h)
		}
	}
	servers := r.Servers()
	return append(append(all, servers[1:]...), servers[0])
}

// deployed is all that deploy may change on any host: files with modes and times, and processes.
func deployed(t *testing.T, r *lab.Region) string {
	t.Helper()
	var all strings.Builder
	for _, h := range r.Hosts() {
		fmt.Fprintln(&all, h.Name(), shell(t, h, `find /etc/pgctl /etc/supervisor /usr/local/bin /var/lib/pgctl /var/log/pgctl -not -name '*.log' -printf '%p %m %u %T@ ' -type f -exec sha256sum {} \; -o -printf '%p\n' 2>/dev/null | sort
ls /var/run | grep pg_watcher; pgrep -a -x pgctl | grep -v deploy; pgrep -x supervisord; pgrep -o -x postgres; true`))
	}
	for _, h := range r.Servers() {
		fmt.Fprintln(&all, h.Name(), inPostgres(t, h))
	}
	return all.String()
}

// deploys runs deploy to its end.
func deploys(t *testing.T, r *lab.Region, args ...string) lab.Result {
	t.Helper()
	out := pgctl(t, r, append([]string{"deploy", "--yes"}, args...)...)
	if out.Exit != exitDone {
		t.Fatalf("%v: %+v", args, out)
	}
	return out
}

func deployFirst(t *testing.T, r *lab.Region) {
	var lines []string
	for _, h := range r.Servers() {
		lines = append(lines, hba(t, h))
	}
	const sampler = `setsid sh -c 'for i in $(seq 600); do ps axww -o args; sleep 0.05; done' >/tmp/ps.txt 2>/dev/null </dev/null & echo $!`
	samplers := map[string]string{}
	for _, h := range r.Hosts() {
		samplers[h.Name()] = shell(t, h, sampler)
	}
	out := deploys(t, r, "-v", "-o", "json")
	var doc changeDoc
	if err := json.Unmarshal([]byte(out.Stdout), &doc); err != nil {
		t.Fatalf("%v\n%s", err, out.Stdout)
	}
	var order []string
	for _, s := range doc.Steps {
		if s.State != "done" {
			t.Errorf("%+v", s)
		}
		if strings.HasSuffix(s.ID, "/deploy.program") {
			order = append(order, s.Host)
		}
	}
	var want []string
	said := out.Stdout + out.Stderr
	var keys []string
	for _, h := range r.Hosts() {
		shell(t, h, "kill -- -"+samplers[h.Name()]+" 2>/dev/null || true")
		said += shell(t, h, "cat /tmp/ps.txt; rm /tmp/ps.txt; cat /var/log/pgctl/* 2>/dev/null; true")
		keys = append(keys, shell(t, h, "cat /etc/pgctl/tls/*.key"))
	}
	for _, h := range watchedHosts(r) {
		want = append(want, h.Name())
	}
	if !slices.Equal(order, want) {
		t.Errorf("the order was %q, expected %q", order, want)
	}
	secrets := 0
	for _, key := range keys {
		for line := range strings.Lines(key) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "-----") {
				secrets++
				if strings.Contains(said, line) {
					t.Errorf("a line of a private key was shown")
				}
			}
		}
	}
	if secrets < 3*len(r.Hosts()) || strings.Contains(said, "PRIVATE KEY") || !strings.Contains(out.Stderr, "host.key") {
		t.Errorf("%d lines of keys; the log does not tell of any, or shows one", secrets)
	}
	modes(t, r)
	certificates(t, r)
	for i, h := range r.Servers() {
		if hba(t, h) != lines[i] {
			t.Errorf("%s: pg_hba.conf was changed", h.Name())
		}
	}
	settles(t, r, []string{})
	watcherColumns(t, r)
}

// modes: nobody but root reads a key, and only firstbox has the authority's.
func modes(t *testing.T, r *lab.Region) {
	t.Helper()
	const script = "cd /etc/pgctl; stat -c '%n %a %U' tls tls/* /var/lib/pgctl | tr '\n' ','"
	if got := shell(t, r.Firstbox(), script); got != "tls 700 root,tls/ca.crt 644 root,tls/ca.key 600 root,/var/lib/pgctl 700 root," {
		t.Errorf("firstbox: %s", got)
	}
	for _, h := range watchedHosts(r) {
		if got := shell(t, h, script); got != "tls 700 root,tls/ca.crt 644 root,tls/host.crt 644 root,tls/host.key 600 root,/var/lib/pgctl 700 root," {
			t.Errorf("%s: %s", h.Name(), got)
		}
		if got := shell(t, h, "stat -c '%a %U' /usr/local/bin/pgctl /var/run/pg_watcher.PG* | tr '\n' ','; ls -A /usr/local/bin /etc/pgctl/tls | grep -c '^[.]' || true"); got != "755 root,644 root,644 root,0" {
			t.Errorf("%s: %s", h.Name(), got)
		}
	}
}

// certificates: every host's is signed by firstbox's authority, for its name and its part, and belongs to its key.
func certificates(t *testing.T, r *lab.Region) {
	t.Helper()
	ca := shell(t, r.Firstbox(), "cat /etc/pgctl/tls/ca.crt")
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(ca))
	for _, h := range watchedHosts(r) {
		role := "pool"
		if slices.ContainsFunc(r.Servers(), func(s *lab.Host) bool { return s.Name() == h.Name() }) {
			role = "server"
		} else if strings.HasPrefix(h.Name(), "arb") {
			role = "arbiter"
		}
		block, _ := pem.Decode([]byte(shell(t, h, "cat /etc/pgctl/tls/host.crt")))
		cert, err := x509.ParseCertificate(block.Bytes)
		must(t, err)
		for _, use := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
			if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: h.Name(), KeyUsages: []x509.ExtKeyUsage{use}}); err != nil {
				t.Errorf("%s: %v", h.Name(), err)
			}
		}
		keyBlock, _ := pem.Decode([]byte(shell(t, h, "cat /etc/pgctl/tls/host.key")))
		key, err := x509.ParsePKCS8PrivateKey(keyBlock.Bytes)
		must(t, err)
		if own, ok := key.(*ecdsa.PrivateKey); !ok || !own.PublicKey.Equal(cert.PublicKey) {
			t.Errorf("%s: the key does not belong to the certificate", h.Name())
		}
		if len(cert.URIs) != 1 || cert.URIs[0].String() != "pgctl://"+h.Name()+"/"+role || shell(t, h, "cat /etc/pgctl/tls/ca.crt") != ca {
			t.Errorf("%s: %v", h.Name(), cert.URIs)
		}
	}
}

// watcherColumns: what overview shows of every watcher.
func watcherColumns(t *testing.T, r *lab.Region) {
	t.Helper()
	doc, _ := overviewOf(t, r, patient)
	for _, s := range doc.Servers {
		want := "available"
		if s.Role == "master" {
			want = "active"
		}
		if w := s.Watcher; value(w.Service) != "active" || !well(w.Monitor) || value(w.Node) != want {
			t.Errorf("%s: %s %s %s", s.Host, value(w.Service), value(w.Monitor), value(w.Node))
		}
	}
	for _, a := range doc.Arbiters {
		if w := a.Watcher; value(w.Service) != "active" || !well(w.Monitor) || value(w.Node) != "available" {
			t.Errorf("%s: %s %s %s", a.Host, value(w.Service), value(w.Monitor), value(w.Node))
		}
	}
}

// well: the executor is active, all others are available.
func well(status *string) bool { return value(status) == "available" || value(status) == "active" }

func deployAgain(t *testing.T, r *lab.Region) {
	before := deployed(t, r)
	out := pgctl(t, r, "deploy")
	if out.Exit != exitDone || strings.Contains(out.Stdout, "waiting") || !strings.Contains(out.Stdout, "as it should be") {
		t.Errorf("%+v", out)
	}
	if after := deployed(t, r); after != before {
		t.Errorf("something changed:\n%s\n%s", before, after)
	}
}

// deploySettings: pgctl.yaml goes to every host, whose own section watch stays, and the watcher takes it.
func deploySettings(t *testing.T, r *lab.Region) {
	master := r.Servers()[0]
	shell(t, master, "umask 077; printf 'watch:\\n  metrics: :9099 # here\\n' > /etc/pgctl/pgctl.yaml")
	shell(t, r.Firstbox(), "printf 'postgres:\\n  os_user: postgres # ours\\nwatch:\\n  listen: :1\\n' > /etc/pgctl/pgctl.yaml")
	deploys(t, r)
	if got, want := shell(t, master, "cat /etc/pgctl/pgctl.yaml; stat -c '%a %U' /etc/pgctl/pgctl.yaml"), "postgres:\n  os_user: postgres # ours\nwatch:\n  metrics: :9099 # here\n600 root"; got != want {
		t.Errorf("got %q, expected %q", got, want)
	}
	if got := shell(t, r.Servers()[1], "cat /etc/pgctl/pgctl.yaml; stat -c '%a %U' /etc/pgctl/pgctl.yaml"); got != "postgres:\n  os_user: postgres # ours\n600 root" {
		t.Errorf("got %q", got)
	}
	deployAgain(t, r)
	if m := monitorOf(t, master); m.Setting != shell(t, master, "sha256sum </etc/pgctl/pgctl.yaml | cut -d ' ' -f 1") {
		t.Errorf("the watcher has not taken its settings: %+v", m)
	}
}

func monitorOf(t *testing.T, h *lab.Host) (m watch.Monitor) {
	t.Helper()
	must(t, json.Unmarshal([]byte(shell(t, h, "cat /var/run/pg_watcher.PGMonitor")), &m))
	return m
}

func nodeOf(t *testing.T, h *lab.Host) (n watch.Node) {
	t.Helper()
	must(t, json.Unmarshal([]byte(shell(t, h, "cat /var/run/pg_watcher.PGNode")), &n))
	return n
}

// deployUpgrade: another version arrives host by host, and nothing else is done.
func deployUpgrade(t *testing.T, r *lab.Region) {
	binary := filepath.Join(t.TempDir(), "pgctl")
	build := exec.CommandContext(t.Context(), "go", "build", "-ldflags", "-X main.version=upgraded", "-o", binary, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	must(t, r.Firstbox().Push(t.Context(), binary, "/usr/local/bin/pgctl", 0o755))
	out := deploys(t, r)
	began := time.Time{}
	for _, h := range watchedHosts(r) {
		if m := monitorOf(t, h); m.Version != "upgraded" {
			t.Errorf("%s runs %s", h.Name(), m.Version)
		}
		text := shell(t, h, "grep msg=begins /var/log/pgctl/watch.log | tail -n 1 | sed 's/time=\\([^ ]*\\).*/\\1/'")
		at, err := time.Parse(time.RFC3339, text)
		must(t, err)
		if !at.After(began.Add(time.Second / 2)) {
			t.Errorf("%s began at %s, the one before at %s: not one after the other", h.Name(), at, began)
		}
		began = at
	}
	for line := range strings.Lines(out.Stderr) {
		if strings.Contains(line, "certificate as") && !strings.Contains(line, "as it should be") {
			t.Errorf("an upgrade made a certificate: %s", line)
		}
	}
	deployAgain(t, r)
}

func deployRotate(t *testing.T, r *lab.Region) {
	ca := shell(t, r.Firstbox(), "sha256sum /etc/pgctl/tls/ca.*")
	before := map[string]string{}
	sums := func(h *lab.Host) string {
		return shell(t, h, "cd /etc/pgctl/tls; sha256sum ca.crt; sha256sum host.crt host.key")
	}
	pids := map[string]string{}
	for _, h := range watchedHosts(r) {
		before[h.Name()], pids[h.Name()] = sums(h), shell(t, h, "pgrep -x pgctl")
	}
	time.Sleep(1100 * time.Millisecond) // certificates count in seconds
	deploys(t, r, "--rotate-certs")
	if got := shell(t, r.Firstbox(), "sha256sum /etc/pgctl/tls/ca.*"); got != ca {
		t.Errorf("the authority changed: %s", got)
	}
	for _, h := range watchedHosts(r) {
		old, now := strings.Split(before[h.Name()], "\n"), strings.Split(sums(h), "\n")
		if old[0] != now[0] || old[1] == now[1] || old[2] == now[2] {
			t.Errorf("%s: %q became %q", h.Name(), old, now)
		}
		if pid := shell(t, h, "pgrep -x pgctl"); pid != pids[h.Name()] {
			t.Errorf("%s: its watcher was restarted", h.Name())
		}
	}
	certificates(t, r)
	modes(t, r)
	deployAgain(t, r)
}

func deployLeftOut(t *testing.T, r *lab.Region) {
	down := r.Servers()[1]
	must(t, down.Cut(t.Context()))
	shell(t, r.Servers()[0], "rm /etc/pgctl/tls/host.key; supervisorctl stop pg_watcher >/dev/null")
	out := pgctl(t, r, "deploy", "--yes")
	if out.Exit != exitPartway || !strings.Contains(out.Stderr, "left out: "+down.Name()) || !strings.Contains(out.Stderr, "deploy: done") {
		t.Errorf("%+v", out)
	}
	must(t, down.Heal(t.Context()))
	settles(t, r, []string{})
	deployAgain(t, r)
	certificates(t, r)
}

// becomes waits until a host's watcher reports what is wanted, and never stops reporting meanwhile.
func becomes(t *testing.T, h *lab.Host, limit time.Duration, what string, is func(watch.Monitor, watch.Node) bool) {
	t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(200 * time.Millisecond) {
		m, n := monitorOf(t, h), nodeOf(t, h)
		at, err := time.Parse(time.RFC3339, m.Time)
		must(t, err)
		if time.Since(at) > 5*time.Second { // one a second, on a machine that may be busy
			t.Errorf("%s: its report is %s old", h.Name(), time.Since(at))
		}
		if is(m, n) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: not within %s: %s: %+v, %+v", h.Name(), limit, what, m, n)
		}
	}
}

// watchConfig: a changed server.yaml is taken, a broken one refused, without a restart.
func watchConfig(t *testing.T, r *lab.Region) {
	const file = "/pitrix/conf/global/server.yaml"
	h := r.Servers()[1]
	pid, before := monitorOf(t, h).PID, shell(t, h, "cat "+file)
	shell(t, h, "cp -p "+file+" /tmp/server.yaml")
	edit := func(sed string) string {
		shell(t, h, "sed '"+sed+"' /tmp/server.yaml > /tmp/new.yaml; cat /tmp/new.yaml > "+file)
		sum := sha256.Sum256([]byte(shell(t, h, "cat "+file) + "\n"))
		return hex.EncodeToString(sum[:])
	}
	sum := edit("s/using_master_by_ts: 0/using_master_by_ts: 1/")
	becomes(t, h, 6*time.Second, "the change is taken", func(m watch.Monitor, _ watch.Node) bool {
		return value(m.Config.SHA256) == sum && value(m.Config.UsingMasterByTS) && well(&m.Status)
	})
	edit("s/using_master_by_ts: 0/using_master_by_ts: perhaps/")
	becomes(t, h, 6*time.Second, "the broken one is refused", func(m watch.Monitor, _ watch.Node) bool {
		return value(m.Config.SHA256) == sum && value(m.Config.UsingMasterByTS) &&
			strings.HasPrefix(value(m.Config.Error), file+":") && strings.Contains(value(m.Config.Error), "using_master_by_ts")
	})
	settles(t, r, []string{"watcher-unhealthy " + h.Name()})
	edit("")
	becomes(t, h, 6*time.Second, "the old one is back", func(m watch.Monitor, _ watch.Node) bool {
		return m.Config.Error == nil && !value(m.Config.UsingMasterByTS) && m.PID == pid
	})
	if after := shell(t, h, "cat "+file); after != before {
		t.Errorf("the story did not put it back")
	}
	settles(t, r, []string{})
}

// watchPostgres: whatever PostgreSQL does, the watcher goes on and says so.
func watchPostgres(t *testing.T, r *lab.Region) {
	h := r.Servers()[1]
	must(t, h.Stop(t.Context(), "postgresql"))
	becomes(t, h, 6*time.Second, "stopped", func(m watch.Monitor, n watch.Node) bool {
		return well(&m.Status) && n.Role == "unknown" && strings.Contains(n.Status, "PostgreSQL does not run")
	})
	must(t, h.Start(t.Context(), "postgresql"))
	streams := func(_ watch.Monitor, n watch.Node) bool { return n.Status == "available" && n.Role == "standby" }
	becomes(t, h, 20*time.Second, "streams again", streams)
	must(t, h.Freeze(lab.Postmaster))
	becomes(t, h, 8*time.Second, "frozen", func(_ watch.Monitor, n watch.Node) bool { return n.Status == "PostgreSQL gives no answer" })
	for range 24 { // longer than one question may take
		becomes(t, h, 8*time.Second, "frozen still", func(_ watch.Monitor, n watch.Node) bool {
			return n.Status == "PostgreSQL gives no answer" && value(n.Age) > 3
		})
		time.Sleep(500 * time.Millisecond)
	}
	if relays := shell(t, h, "pgrep -c -x perl; true"); relays != "0" && relays != "1" {
		t.Errorf("%s questions hang at once", relays)
	}
	must(t, h.Thaw(lab.Postmaster))
	becomes(t, h, 15*time.Second, "thawed", streams)
	settles(t, r, []string{})
	pid := shell(t, h, "pgrep -x pgctl")
	shell(t, h, "kill -STOP "+pid)
	time.Sleep(11 * time.Second)
	doc, _ := settles(t, r, []string{"watcher-unhealthy " + h.Name(), "watcher-unhealthy " + h.Name()})
	if f := finding(doc, "watcher-unhealthy", h.Name()); !strings.Contains(f.Message, "silent since") {
		t.Errorf("a frozen watcher: %+v", f)
	}
	shell(t, h, "kill -CONT "+pid)
	settles(t, r, []string{})
	must(t, h.Stop(t.Context(), "pg_watcher"))
	if text := shell(t, h, "ls /var/run/pg_watcher.PG*; tail -n 3 /var/log/pgctl/watch.log"); !strings.Contains(text, "PGNode") || !strings.Contains(text, "msg=ends") {
		t.Errorf("stopped: %s", text)
	}
	must(t, h.Start(t.Context(), "pg_watcher"))
	becomes(t, h, 10*time.Second, "started", streams)
	settles(t, r, []string{})
}

// deployHA: with failover on the watchers form a quorum, and stay.
func deployHA(t *testing.T, r *lab.Region) {
	roll := func(value string) {
		shell(t, r.Firstbox(), `sed -i '/^pg_watcher:/,/^zk_watcher/s/inactive_failover: ./inactive_failover: `+value+`/' /pitrix/conf/variables/global/server.yaml.*; /pitrix/upgrade/build_global_conf.sh; /pitrix/upgrade/update.sh -f all pitrix-global-conf`)
	}
	roll("0")
	becomes(t, r.Servers()[0], 30*time.Second, "the master of an epoch that serves", func(m watch.Monitor, _ watch.Node) bool {
		return m.Quorum != nil && m.Quorum.Opened && value(m.Quorum.Master) == r.Servers()[0].Name()
	})
	settles(t, r, []string{})
	if out := pgctl(t, r, "deploy", "--remove", "--yes"); out.Exit != exitRefused || !strings.Contains(out.Stderr, "pgctl disable-ha") {
		t.Errorf("%+v", out)
	}
	roll("1")
	settles(t, r, []string{})
}

func deployRemove(t *testing.T, r *lab.Region) {
	deploys(t, r, "--remove")
	if got := shell(t, r.Firstbox(), "ls /etc/pgctl/tls /usr/local/bin | tr '\n' ' '"); got != "/etc/pgctl/tls: ca.crt ca.key  /usr/local/bin: pgctl" {
		t.Errorf("firstbox: %s", got)
	}
	for _, h := range watchedHosts(r) {
		left := shell(t, h, "ls -d /etc/pgctl/tls /usr/local/bin/pgctl /var/run/pg_watcher* /etc/supervisor/conf.d/* /var/lib/pgctl 2>/dev/null; pgrep -x pgctl; supervisorctl status pg_watcher | grep -v 'no such'; true")
		if left != "" {
			t.Errorf("%s: %s", h.Name(), left)
		}
	}
	if out := pgctl(t, r, "deploy", "--remove"); out.Exit != exitDone || strings.Contains(out.Stdout, "waiting") {
		t.Errorf("again: %+v", out)
	}
	roleRemoved(t, r)
	settles(t, r, []string{})
}

// deployCrashes kills pgctl in the middle of steps and after them, and each time a second run brings all to its end. Before
// each the site has no authority, and the first host has nothing.
func deployCrashes(t *testing.T, r *lab.Region) {
	deploys(t, r)
	shell(t, r.Firstbox(), "[ -f /etc/pgctl/pgctl.yaml ] || echo 'postgres: {os_user: postgres}' > /etc/pgctl/pgctl.yaml") // step 4
	first := watchedHosts(r)[0]
	for _, at := range []string{"1.*running", "3.*running", "5.*running", "6.*running", "6.*done"} {
		shell(t, r.Firstbox(), "rm -f /etc/pgctl/tls/ca.*")
		shell(t, first, "rm -rf /etc/pgctl /usr/local/bin/pgctl /var/lib/pgctl /etc/supervisor/conf.d/pg_watcher.conf; supervisorctl stop pg_watcher; supervisorctl reread; supervisorctl remove pg_watcher; rm -rf /var/log/pgctl; true")
		seen := shell(t, r.Firstbox(), fmt.Sprintf(`p='^ *%s$'; pgctl deploy --yes 2>&1 >/dev/null | while read -r line; do echo "$line"; if [[ $line =~ $p ]]; then pkill -9 -x pgctl; break; fi; done; ! pgrep -x pgctl`, strings.Replace(at, ".*", "/.*: ", 1)))
		if journal := shell(t, r.Firstbox(), "ls /var/lib/pgctl/journal"); journal != "deploy.json" {
			t.Errorf("killed at %s: the journal is %q after\n%s", at, journal, seen)
		}
		deploys(t, r)
		if journal := shell(t, r.Firstbox(), "ls /var/lib/pgctl/journal"); journal != "" {
			t.Errorf("after a crash at %s and a second run the journal is still there: %s", at, journal)
		}
		modes(t, r)
		certificates(t, r)
	}
	deployAgain(t, r)
	deploys(t, r, "--remove")
}

const oldWatcher = "#!/bin/sh\n# the old watcher\nwhile :; do echo 'status: active' > /var/run/pg_watcher.PGMonitor; sleep 1; done\n"

// deployReplace: a watcher that is not pgctl's is refused, replaced when asked to, and put back as it was.
func deployReplace(t *testing.T, r *lab.Region) {
	hosts := watchedHosts(r)
	for i, h := range hosts {
		conf := []string{"pg_watcher.conf", "old watcher.conf"}[i%2]
		must(t, h.WriteFile(t.Context(), "/opt/old_watcher.sh", strings.NewReader(oldWatcher), 0o755))
		must(t, h.WriteFile(t.Context(), "/etc/supervisor/conf.d/"+conf, strings.NewReader("[program:pg_watcher]\r\ncommand = /opt/old_watcher.sh --one ; old\r\n; the site's own\r\n"), 0o640))
		shell(t, h, "touch -d 2020-01-02 '/etc/supervisor/conf.d/"+conf+"'; supervisorctl reread >/dev/null; supervisorctl add pg_watcher")
	}
	last := hosts[len(hosts)-1]
	must(t, last.Stop(t.Context(), "pg_watcher")) // one of them does not run, and must not afterwards
	time.Sleep(1500 * time.Millisecond)
	prints := func() (all string) {
		for _, h := range hosts {
			all += shell(t, h, `cd /etc/supervisor/conf.d; sha256sum *; stat -c '%n %a %U %Y' *; supervisorctl status pg_watcher | awk '{ print $1, $2 }'; pgrep -f '^/bin/sh /opt/old_watcher.sh --one' >/dev/null && echo runs; ls -d /var/lib/pgctl 2>/dev/null; true`) + "\n"
		}
		return all
	}
	before := prints()
	for _, args := range [][]string{{"--yes"}, {"--dry-run"}} {
		out := pgctl(t, r, append([]string{"deploy"}, args...)...)
		if out.Exit != exitRefused || !strings.Contains(out.Stderr, `runs "/opt/old_watcher.sh --one"`) || !strings.Contains(out.Stderr, "--accept=replace-watcher") {
			t.Errorf("%v: %+v", args, out)
		}
	}
	if after := prints(); after != before {
		t.Errorf("a refusal changed something:\n%s\n%s", before, after)
	}
	must(t, hosts[0].Cut(t.Context()))
	if out := pgctl(t, r, "deploy", "--yes", "--accept=replace-watcher"); out.Exit != exitRefused || !strings.Contains(out.Stderr, hosts[0].Name()+" is left out and may run the old pg_watcher") {
		t.Errorf("a host that may run the old one: %+v", out)
	}
	must(t, hosts[0].Heal(t.Context()))
	out := deploys(t, r, "--accept=replace-watcher")
	if stopped, started := strings.LastIndex(out.Stderr, "keep its files in /var/lib/pgctl/replaced-watcher: done"), strings.Index(out.Stderr, "and see that it reports: running"); stopped < 0 || started < stopped {
		t.Errorf("one of pgctl's started at %d, before the last other one stopped at %d:\n%s", started, stopped, out.Stderr)
	}
	for _, h := range hosts {
		if n := shell(t, h, "pgrep -c -f '^/bin/sh /opt/old_watcher.sh'; ls /etc/supervisor/conf.d"); n != "0\npg_watcher.conf" {
			t.Errorf("%s: %s", h.Name(), n)
		}
	}
	deployAgain(t, r)
	settles(t, r, []string{})
	deploys(t, r, "--remove")
	if after := prints(); after != before {
		t.Errorf("not as it was:\n%s\n%s", before, after)
	}
}
