//go:build lab

package main

import (
	"cmp"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pgctl/pgctl/internal/lab"
	"github.com/pgctl/pgctl/pkg/watch"
)

// inPostgres is all that deploy may change in a server and around it, and what it must not: pg_hba.conf.
func inPostgres(t *testing.T, h *lab.Host) string {
	t.Helper()
	text := psql(t, h, "SELECT count(*), max(oid::text) FROM pg_roles; SELECT to_regclass('pgctl.epoch')")
	if strings.Contains(text, "pgctl.epoch") {
		text += "\n" + psql(t, h, "SELECT * FROM pgctl.epoch ORDER BY epoch")
	}
	return text + "\n" + hba(t, h) + "\n" + shell(t, h, "getent passwd pgctl; getent group pgctl; true")
}

func hba(t *testing.T, h *lab.Host) string {
	t.Helper()
	return shell(t, h, "sha256sum "+psql(t, h, "SHOW hba_file"))
}

// watcherRole: what deploy made in PostgreSQL is enough for the watcher, and no more.
func watcherRole(t *testing.T, r *lab.Region) {
	t.Helper()
	const attributes = `SELECT rolcanlogin, rolinherit, rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls, rolpassword IS NULL, rolconnlimit, rolvaliduntil IS NULL FROM pg_authid WHERE rolname = 'pgctl';
SELECT string_agg(g.rolname, ',') FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid WHERE m.member = 'pgctl'::regrole;
SELECT string_agg(privilege_type, ',') FROM information_schema.role_table_grants WHERE grantee = 'pgctl';
SELECT has_schema_privilege('pgctl', 'pgctl', 'USAGE'), has_schema_privilege('pgctl', 'pgctl', 'CREATE');
SELECT count(*) FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass AND refobjid = 'pgctl'::regrole AND deptype = 'o'`
	for _, h := range r.Servers() {
		if got, want := psql(t, h, attributes), "t|t|f|f|f|f|f|t|-1|t\npg_monitor\nSELECT\nt|f\n0"; got != want {
			t.Errorf("%s: got %q, expected %q", h.Name(), got, want)
		}
		if got := shell(t, h, "getent passwd pgctl | cut -d : -f 1,5,6,7; grep '^pgctl:' /etc/shadow | cut -d : -f 2; id -Gn pgctl"); !strings.HasPrefix(got, "pgctl:pgctl watcher (made by pgctl deploy):/nonexistent:/usr/sbin/nologin\n!") || !strings.HasSuffix(got, "\npgctl") {
			t.Errorf("%s: %q", h.Name(), got)
		}
		if got := psql(t, h, "SELECT epoch, master, timeline, fork_lsn > '0/0', length(nonce) FROM pgctl.epoch"); got != "1|"+r.Servers()[0].Name()+"|1|t|31" {
			t.Errorf("%s has the rows %q", h.Name(), got)
		}
		asksAs(t, h, 10*time.Second, "pgctl", "")
		askedAs(t, h)
	}
	for _, h := range r.Arbiters() {
		if got := shell(t, h, "getent passwd pgctl; true"); got != "" {
			t.Errorf("%s has no server and the user %q", h.Name(), got)
		}
	}
}

// asksAs waits until a watcher asks as a role, and says why.
func asksAs(t *testing.T, h *lab.Host, limit time.Duration, role, fallback string) {
	t.Helper()
	becomes(t, h, limit, "asks as "+role, func(_ watch.Monitor, n watch.Node) bool {
		return n.Error == nil && value(n.AskedAs) == role && strings.Contains(value(n.Fallback), fallback) && (n.Fallback == nil) == (fallback == "")
	})
}

// askedAs looks at it from the outside: for some seconds nobody but the role is let in by the name of pgctl, by peer authentication, so from a
// process of its user; and no relay is a process of postgres. One that is at work is not always caught: it lives for milliseconds.
func askedAs(t *testing.T, h *lab.Host) {
	t.Helper()
	psql(t, h, "ALTER SYSTEM SET log_connections = on; SELECT pg_reload_conf()")
	mark := "begin" + fmt.Sprint(time.Now().UnixNano())
	log := shell(t, h, `ls -t /var/log/postgresql/* /opt/postgresql/log/* /opt/postgresql/data/log/* 2>/dev/null | head -n 1; true`)
	sample := shell(t, h, fmt.Sprintf(`size=$(stat -c %%s %[1]s 2>/dev/null || echo 0); since=$(date +%%s)
for i in $(seq 60); do ps axww -o user:20,comm | awk '$2 == "perl" { print $1, $2 }'; sleep 0.05; done | sort | uniq -c
echo %[2]s
{ tail -c +$((size + 1)) %[1]s 2>/dev/null; journalctl --no-pager -o cat --since @$since 2>/dev/null; } | grep 'connection authorized'; true`, cmp.Or(log, "/nonexistent"), mark))
	psql(t, h, "ALTER SYSTEM RESET log_connections; SELECT pg_reload_conf()")
	ps, authorized, _ := strings.Cut(sample, mark)
	if strings.Contains(ps, "postgres perl") || !strings.Contains(authorized, "user=pgctl") {
		t.Errorf("%s: who asks:\n%s", h.Name(), sample)
	}
	for line := range strings.Lines(authorized) {
		if strings.Contains(line, "user=postgres") && strings.Contains(line, "application_name=pgctl") {
			t.Errorf("%s: a superuser asks: %s", h.Name(), line)
		}
	}
}

// deployNoPeer: a pg_hba.conf without Debian's line for everybody. The watcher goes on as before, deploy says which line would help, and with
// it the watcher changes by itself.
func deployNoPeer(t *testing.T, r *lab.Region) {
	h := r.Servers()[1]
	file := psql(t, h, "SHOW hba_file")
	edit := func(script string) {
		shell(t, h, fmt.Sprintf("f=%s; %s", file, script))
		psql(t, h, "SELECT pg_reload_conf()")
	}
	edit(`cp -p $f /tmp/pg_hba.conf; sed -i '/^local *all *all *peer/d' $f`)
	asksAs(t, h, 10*time.Second, "postgres", "no pg_hba.conf entry")
	before := hba(t, h)
	out := pgctl(t, r, "deploy")
	if out.Exit != exitDone || !strings.Contains(out.Stderr, "pgctl: warning: "+h.Name()+": its watcher asks as a superuser: PostgreSQL refused user \"pgctl\"") ||
		!strings.Contains(out.Stderr, "local postgres pgctl peer") || strings.Count(out.Stderr, "warning") != 1 {
		t.Errorf("%+v", out)
	}
	if after := hba(t, h); after != before {
		t.Errorf("pg_hba.conf was changed")
	}
	edit(`sed -i '1i local postgres pgctl peer' $f`)
	asksAs(t, h, 45*time.Second, "pgctl", "")
	if out := pgctl(t, r, "deploy"); out.Exit != exitDone || strings.Contains(out.Stderr, "warning") {
		t.Errorf("with the line: %+v", out)
	}
	edit(`cat /tmp/pg_hba.conf >$f`)
	settles(t, r, []string{})
}

// deployFull: a server whose connections are all taken is told from one that lets the role not in.
func deployFull(t *testing.T, r *lab.Region) {
	h := r.Servers()[1]
	shell(t, h, `setsid sh -c 'for i in $(seq 60); do setpriv --reuid=pgctl --regid=pgctl --clear-groups psql -p `+psql(t, h, "SHOW port")+` -XAtq -d postgres -c "SELECT pg_sleep(20)" & done; wait' >/dev/null 2>&1 </dev/null & true`)
	full := func(_ watch.Monitor, n watch.Node) bool {
		return n.Status == "available" && value(n.AskedAs) == "postgres" && strings.Contains(value(n.Fallback), "no connection left")
	}
	becomes(t, h, 15*time.Second, "full", full)
	asksAs(t, h, 40*time.Second, "pgctl", "")
	settles(t, r, []string{})
}

// deployRoleGone: the role is made anew where somebody dropped it, takes back what is too much, and the row is written once.
func deployRoleGone(t *testing.T, r *lab.Region) {
	master := r.Servers()[0]
	rows := psql(t, master, "SELECT * FROM pgctl.epoch")
	psql(t, master, "ALTER ROLE pgctl SUPERUSER CREATEDB PASSWORD 'x'; REVOKE pg_monitor FROM pgctl")
	deploys(t, r)
	psql(t, master, "REVOKE ALL ON pgctl.epoch FROM pgctl; REVOKE ALL ON SCHEMA pgctl FROM pgctl; DROP ROLE pgctl")
	shell(t, master, "usermod -s /bin/bash pgctl")
	deploys(t, r)
	if now := psql(t, master, "SELECT * FROM pgctl.epoch"); now != rows {
		t.Errorf("the rows were %q and are %q", rows, now)
	}
	for _, h := range r.Servers() {
		asksAs(t, h, 45*time.Second, "pgctl", "")
	}
	watcherRole(t, r)
}

// roleRemoved: neither role nor user is left, and the row stays.
func roleRemoved(t *testing.T, r *lab.Region) {
	t.Helper()
	for _, h := range r.Servers() {
		got := psql(t, h, "SELECT count(*) FROM pg_roles WHERE rolname = 'pgctl'; SELECT count(*) FROM pgctl.epoch") + shell(t, h, "getent passwd pgctl; getent group pgctl; true")
		if got != "0\n1" {
			t.Errorf("%s: %q", h.Name(), got)
		}
	}
}
