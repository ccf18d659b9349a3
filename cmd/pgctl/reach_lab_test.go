//go:build lab

package main

import (
	"strings"
	"testing"

	"github.com/pgctl/pgctl/internal/lab"
)

// TestLabReach is what an operator reads when a host cannot be reached or PostgreSQL lets nobody in: one sentence with
// the cause, one remedy, and the remedy works.
func TestLabReach(t *testing.T) { reachStory(t, lab.Spec{}) }

func TestMatrixReach(t *testing.T) { reachStory(t, lab.Spec{Postgres: "10"}) }

func reachStory(t *testing.T, spec lab.Spec) {
	r := region(t, spec)
	box, db2 := r.Firstbox(), r.Host("db2")
	says := func(t *testing.T, code, message, hint string, args ...string) {
		t.Helper()
		doc, _ := settles(t, r, []string{code + " db2"}, args...)
		f := finding(doc, code, "db2")
		if !strings.Contains(f.Message, message) || !strings.Contains(f.Hint, hint) || strings.Contains(f.Message, "\n") {
			t.Errorf("says: %s\nhint: %s\nexpected: %s\nand: %s", f.Message, f.Hint, message, hint)
		}
		t.Logf("%s -> %s", f.Message, f.Hint)
	}
	t.Run("wrong SSH key", func(t *testing.T) {
		shell(t, box, "ssh-keygen -q -t ed25519 -N '' -f /tmp/other")
		out := pgctl(t, r, "find-master", "--set", "ssh.identity_files=/tmp/other")
		if out.Exit != exitUnhealthy {
			t.Errorf("%+v", out)
		}
		shell(t, db2, "mv /root/.ssh/authorized_keys /root/.ssh/authorized_keys.off")
		says(t, "host-unreachable", "198.51.100.12:22", "ssh-copy-id")
		shell(t, db2, "mv /root/.ssh/authorized_keys.off /root/.ssh/authorized_keys")
	})
	t.Run("unknown host key", func(t *testing.T) {
		shell(t, box, "cp ~/.ssh/known_hosts /tmp/known_hosts; sed -i '/^db2[ ,]/d; /198.51.100.12[ ,]/d' ~/.ssh/known_hosts; ! ssh-keygen -F db2")
		says(t, "host-unreachable", "is not known: ", "--accept-new-host-keys")
		settles(t, r, []string{}, "--accept-new-host-keys")
		settles(t, r, []string{}) // and was remembered
		shell(t, box, "cp /tmp/known_hosts ~/.ssh/known_hosts")
	})
	t.Run("changed host key", func(t *testing.T) {
		shell(t, box, `awk '$1 ~ /^db1/ { k = $3 } { l[NR] = $0; h[NR] = $1; t[NR] = $2 } END { for (i = 1; i <= NR; i++) print (h[i] ~ /db2|100\.12/ ? h[i] " " t[i] " " k : l[i]) }' /tmp/known_hosts > ~/.ssh/known_hosts`)
		says(t, "host-unreachable", "has changed: it shows ", "known_hosts -R db2")
		says(t, "host-unreachable", "has changed: it shows ", "known_hosts -R db2", "--accept-new-host-keys")
		shell(t, box, "cp /tmp/known_hosts ~/.ssh/known_hosts")
	})
	t.Run("connection refused", func(t *testing.T) {
		must(t, db2.Stop(t.Context(), "ssh"))
		says(t, "host-unreachable", "connection refused at 198.51.100.12:22", "sshd")
		must(t, db2.Start(t.Context(), "ssh"))
	})
	t.Run("unknown name", func(t *testing.T) {
		shell(t, box, "cp /etc/hosts /tmp/hosts; grep -v db2 /tmp/hosts > /etc/hosts")
		says(t, "host-unreachable", "unknown host name db2", "/etc/hosts")
		shell(t, box, "cat /tmp/hosts > /etc/hosts")
	})
	t.Run("PostgreSQL password", func(t *testing.T) { passwords(t, r, says) })
}

// passwords: db2 asks for a password where it took peer authentication before.
func passwords(t *testing.T, r *lab.Region, says func(t *testing.T, code, message, hint string, args ...string)) {
	box, db2 := r.Firstbox(), r.Host("db2")
	psql(t, r.Host("db1"), "ALTER ROLE postgres PASSWORD 'right'")
	hba := psql(t, db2, "SHOW hba_file")
	shell(t, db2, "cp -p "+hba+" /tmp/pg_hba.conf; sed -i 's/^local .*/local all all scram-sha-256/' "+hba)
	psql(t, db2, "SELECT pg_reload_conf()")
	says(t, "postgres-down", `wants a password for user "postgres"`, "~/.pgpass")
	shell(t, box, "umask 077; echo 'db2:*:*:postgres:wrong' > ~/.pgpass")
	says(t, "postgres-down", `refused the password of user "postgres"`, "~/.pgpass")
	shell(t, box, "echo 'db2:*:*:postgres:right' > ~/.pgpass")
	settles(t, r, []string{})
	// and where the socket lets nobody in at all: TCP
	shell(t, db2, "sed -i 's/^local .*/local all all reject/' "+hba+"; sed -i '1i host all postgres 127.0.0.1/32 scram-sha-256' "+hba+"; kill -HUP $(head -n 1 "+db2.DataDir()+"/postmaster.pid)")
	settles(t, r, []string{})
	out := pgctl(t, r, "overview", "-v")
	if strings.Contains(out.Stdout+out.Stderr, "right") {
		t.Error("the password was printed")
	}
	shell(t, db2, "cat /tmp/pg_hba.conf > "+hba+"; kill -HUP $(head -n 1 "+db2.DataDir()+"/postmaster.pid)")
	shell(t, box, "rm ~/.pgpass")
	settles(t, r, []string{})
}
