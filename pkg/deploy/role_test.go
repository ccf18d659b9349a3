package deploy

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgctl/pgctl/pkg/nodes"
	"github.com/pgctl/pgctl/pkg/plan"
	"github.com/pgctl/pgctl/pkg/postgres/postgrestest"
	"github.com/pgctl/pgctl/pkg/remote"
	"github.com/pgctl/pgctl/pkg/remote/remotetest"
)

const ownUser = "pgctl:x:999:997:" + userMark + ":/nonexistent:/usr/sbin/nologin"

func TestUserMissing(t *testing.T) {
	for line, want := range map[string]string{
		ownUser: "",
		"":      "there is no user pgctl",
		strings.Replace(ownUser, "/usr/sbin/nologin", "/bin/bash", 1): "has the shell /bin/bash",
		"pgctl:x:1000:1000:An operator:/home/pgctl:/bin/bash":         "", // the site's own: nothing of it is deploy's
	} {
		f := facts{}
		if line != "" {
			f["user"] = []string{line}
		}
		expect(t, userMissing(plan.Step{}, f), want)
	}
	expect(t, userLeft(plan.Step{}, facts{"user": {ownUser}}), "is still there")
	expect(t, userLeft(plan.Step{}, facts{"user": {"pgctl:x:1000:1000:An operator:/home/pgctl:/bin/bash"}}), "")
	expect(t, userLeft(plan.Step{}, facts{}), "")
}

// TestUserScripts runs them here, with programs that note what they are asked for.
func TestUserScripts(t *testing.T) {
	const site = "pgctl:x:1000:1000:An operator:/home/pgctl:/bin/bash"
	for _, tt := range []struct{ name, script, passwd, group, want string }{
		{"none yet", makeUserScript, "", "", "useradd --system --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin --comment " + userMark + " -U pgctl"},
		{"a group of that name", makeUserScript, "", "pgctl:x:7:", "useradd --system --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin --comment " + userMark + " -g pgctl pgctl"},
		{"made before", makeUserScript, ownUser, "", "usermod -d /nonexistent -s /usr/sbin/nologin pgctl"},
		{"the site's own", makeUserScript, site, "", ""},
		{"removed", dropUserScript, ownUser, "", "userdel pgctl"},
		{"the site's own stays", dropUserScript, site, "", ""},
		{"none to remove", dropUserScript, "", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range map[string]string{
				"getent":  `case $1 in passwd) [ -n "$PASSWD" ] && echo "$PASSWD" ;; group) [ -n "$GROUP" ] && echo "$GROUP" ;; esac`,
				"useradd": `echo "useradd $*" >>"$SAID"`, "usermod": `echo "usermod $*" >>"$SAID"`, "userdel": `echo "userdel $*" >>"$SAID"`,
			} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", tt.script, "sh", "pgctl", userMark)
			cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "PASSWD=" + tt.passwd, "GROUP=" + tt.group, "SAID=" + filepath.Join(dir, "said")}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			said, _ := os.ReadFile(filepath.Join(dir, "said"))
			if got := strings.TrimSpace(string(said)); got != tt.want {
				t.Errorf("got %q, expected %q", got, tt.want)
			}
		})
	}
}

// database is what a fake PostgreSQL has.
type database struct {
	comment *string               // of the role; nil: there is none
	faulty  bool                  // the role has too much
	refuse  *postgrestest.Refusal // for the role pgctl
}

func (b *database) answer(sql string, _ ...string) [][]string {
	switch {
	case strings.HasPrefix(sql, "SELECT coalesce(shobj_description") && b.comment != nil:
		return [][]string{{*b.comment}}
	case strings.HasPrefix(sql, "SELECT rolcanlogin") && b.comment != nil:
		return [][]string{{map[bool]string{true: "f", false: "t"}[b.faulty], "t", "t", "t"}}
	}
	return nil
}

// deployerOn is a deployer and a host db1 whose PostgreSQL is the given one.
func deployerOn(t *testing.T, b *database) (*Deployer, *remotetest.Fake) {
	t.Setenv("PGPASSFILE", filepath.Join(t.TempDir(), "none"))
	host := remotetest.NewFake(t, "db1")
	host.PipeFunc = func(_ context.Context, cmd remote.Command) (net.Conn, error) {
		backend := postgrestest.Backend{Version: "15.18", Answer: b.answer}
		if cmd.Args[6] == "pgctl" { // the user that the relay becomes
			backend.Refuse = b.refuse
		}
		ours, theirs := net.Pipe()
		go func() {
			_ = backend.Serve(theirs)
			theirs.Close()
		}()
		return ours, nil
	}
	d := newDeployer()
	d.Timeout = 5 * time.Second
	d.Hosts = func(string) remote.Host { return host }
	return d, host
}

func TestRoleSteps(t *testing.T) {
	text := func(s string) *string { return &s }
	const mark = "asks for pgctl watch, made by pgctl deploy"
	for _, tt := range []struct {
		name       string
		b          database
		want, left string // why deploy.role and deploy.drop_role are not done; "" they are
	}{
		{"none yet", database{}, "there is no role pgctl", ""},
		{"made", database{comment: text(mark)}, "", "is still there"},
		{"with too much", database{comment: text(mark), faulty: true}, "other attributes than it needs", "is still there"},
		{"the site's own", database{comment: text("ours"), faulty: true}, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, _ := deployerOn(t, &tt.b)
			for verb, want := range map[string]string{verbRole: tt.want, verbDropRole: tt.left} {
				done, err := d.Handlers()[verb].Done(t.Context(), plan.Step{Host: "db1"})
				expect(t, err, want)
				if done != (want == "") {
					t.Errorf("%s: done %t", verb, done)
				}
			}
		})
	}
}

func TestWarnings(t *testing.T) {
	text := func(s string) *string { return &s }
	const mark = "asks for pgctl watch, made by pgctl deploy"
	noLine := &postgrestest.Refusal{Code: "28000", Message: `no pg_hba.conf entry for host "[local]", user "pgctl"`}
	for _, tt := range []struct {
		name          string
		b             database
		user          string
		message, hint string // "" no warning
	}{
		{"let in", database{comment: text(mark)}, ownUser, "", ""},
		{"no line in pg_hba.conf", database{comment: text(mark), refuse: noLine}, ownUser, "db1: its watcher asks as a superuser: PostgreSQL refused user \"pgctl\"", "local postgres pgctl peer"},
		{"no role yet", database{refuse: &postgrestest.Refusal{Code: "28000", Message: `role "pgctl" does not exist`}}, ownUser, `role "pgctl" does not exist`, "comes with the master's stream"},
		{"no CONNECT", database{comment: text(mark), refuse: &postgrestest.Refusal{Code: "42501", Message: "permission denied"}}, ownUser, "permission denied", "GRANT CONNECT ON DATABASE postgres TO pgctl"},
		{"full", database{comment: text(mark), refuse: &postgrestest.Refusal{Code: "53300", Message: "too many clients"}}, ownUser, "", ""},
		{"a role of the site's own", database{comment: text("ours")}, ownUser, "db1: the role pgctl was there before", ""},
		{"a user of the site's own", database{comment: text(mark)}, "pgctl:x:1000:1000:An operator:/home/pgctl:/bin/bash", `db1: the user pgctl was there before, and is used as it is ("An operator")`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, host := deployerOn(t, &tt.b)
			host.Expect(remotetest.Step{Contains: "sh user", Stdout: "user " + tt.user + "\nend\n"})
			host.RunFunc = func(context.Context, remote.Command) (remote.Result, error) {
				return remote.Result{Stdout: []byte("5432\n")}, nil
			}
			all := d.Warnings(t.Context(), []string{"db1"})
			if tt.message == "" && len(all) == 0 {
				return
			}
			if len(all) != 1 || !strings.Contains(all[0].Message, tt.message) || !strings.Contains(all[0].Hint, tt.hint) || (all[0].Hint == "") != (tt.hint == "") {
				t.Errorf("got %q", all)
			}
		})
	}
	d := newDeployer()
	d.Settings = &nodes.File{Path: settingsPath, Data: []byte("postgres: {user: monitor}\n")}
	if all := d.Warnings(t.Context(), []string{"db1"}); len(all) != 1 || !strings.Contains(all[0].Message, "as pgctl.yaml says") {
		t.Errorf("a role of the site's own: %q", all)
	}
}
