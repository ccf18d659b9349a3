package failover

import (
	"context"
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgctl/pgctl/pkg/postgres"
	"github.com/pgctl/pgctl/pkg/remote"
)

// onServer runs steps of pg9.sh here, in a folder of its own, with the site's scripts and the service replaced: what they are called with is
// in the file "said". A script fails when there is a file "fail".
type onServer struct {
	t   *testing.T
	dir string
}

func newOnServer(t *testing.T) *onServer {
	t.Helper()
	s := &onServer{t, t.TempDir()}
	s.write("main/PG_VERSION", "9.3\n")
	return s
}

func (s *onServer) path(name string) string { return filepath.Join(s.dir, name) }

func (s *onServer) write(name, text string) {
	s.t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(s.path(name)), 0o700), os.WriteFile(s.path(name), []byte(text), 0o600)); err != nil {
		s.t.Fatal(err)
	}
}

func (s *onServer) has(name string) bool {
	_, err := os.Stat(s.path(name))
	return err == nil
}

func (s *onServer) read(name string) string {
	text, _ := os.ReadFile(s.path(name))
	return strings.TrimSpace(string(text))
}

// step runs one, after extra shell.
func (s *onServer) step(ctx context.Context, extra, what, key string, more ...string) error {
	s.t.Helper()
	me, err := user.Current()
	if err != nil {
		s.t.Fatal(err)
	}
	const fakes = `
marks=$TOP/marks lock=$TOP/lock
pg_act() { echo "$1" >>"$TOP/said"; }
site_script() { shift; echo "$*" >>"$TOP/said"; [ ! -e "$TOP/fail" ]; }
`
	script := "TOP=$1; shift\n" + postgres.ActScript() + pg9Script + fakes + extra + "\npg9_step \"$@\""
	args := append([]string{s.dir, what, key, s.path("main"), "postgresql", me.Username}, more...)
	_, err = remote.NewPool(remote.Options{LocalName: "here", NoSudo: true}).Host("here").Run(ctx, remote.Script(script, args...))
	return err
}

// TestPG9Aside: F1, F2. Nothing is set aside that would start as a master, nor while PostgreSQL runs in it; what is, is renamed whole; and once
// is enough.
func TestPG9Aside(t *testing.T) {
	s := newOnServer(t)
	if err := s.step(t.Context(), "", "aside", "k1", "S1"); err == nil || !strings.Contains(err.Error(), "would start as a master") || !s.has("main/PG_VERSION") || s.has("main.pgctl-S1") {
		t.Fatalf("without a recovery.conf: %v", err)
	}
	s.write("main/recovery.conf", "standby_mode = 'on'\n")
	running := `pg_processes() { echo 123; }`
	if err := s.step(t.Context(), running, "aside", "k1", "S1"); err == nil {
		t.Error("set aside while PostgreSQL runs in it")
	}
	s = newOnServer(t)
	s.write("main/recovery.conf", "standby_mode = 'on'\n")
	s.write("main/base/1", "rows")
	if err := s.step(t.Context(), "", "aside", "k1", "S1"); err != nil || s.read("main.pgctl-S1/base/1") != "rows" || s.has("main/PG_VERSION") || !s.has("main") || s.read("marks/aside") != "k1" {
		t.Fatalf("%v; aside: %v", err, s.has("main.pgctl-S1"))
	}
	if info, err := os.Stat(s.path("main")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the new directory: %v, %v", info, err)
	}
	s.write("main/PG_VERSION", "9.3\n") // the copy
	if err := s.step(t.Context(), "", "aside", "k1", "S2"); err != nil || !s.has("main/PG_VERSION") || s.has("main.pgctl-S2") {
		t.Errorf("a second time: %v", err)
	}
	// a power failure after the rename: the rest is done
	s = newOnServer(t)
	if err := os.Rename(s.path("main"), s.path("main.pgctl-S1")); err != nil {
		t.Fatal(err)
	}
	if err := s.step(t.Context(), "", "aside", "k1", "S2"); err != nil || !s.has("main") || s.has("main.pgctl-S2") || s.read("marks/aside") != "k1" {
		t.Errorf("after a power failure: %v", err)
	}
}

// TestPG9Clear: F2. Only a copy that was begun for this very change of roles is removed.
func TestPG9Clear(t *testing.T) {
	s := newOnServer(t)
	for _, mark := range []string{"", "k0"} {
		if mark != "" {
			s.write("marks/aside", mark+"\n")
		}
		if err := s.step(t.Context(), "", "clear", "k1"); err == nil || !strings.Contains(err.Error(), "it is not removed") || !s.has("main/PG_VERSION") {
			t.Errorf("mark %q: %v", mark, err)
		}
	}
	s.write("marks/aside", "k1\n")
	if err := s.step(t.Context(), `pg_processes() { echo 123; }`, "clear", "k1"); err == nil || !s.has("main/PG_VERSION") {
		t.Errorf("removed while PostgreSQL runs in it: %v", err)
	}
	if err := s.step(t.Context(), "", "clear", "k1"); err != nil || s.has("main/PG_VERSION") || !s.has("main") {
		t.Errorf("the half copy stays: %v", err)
	}
}

// TestPG9MasterStartsAgain: F3. Whatever comes of the script, PostgreSQL is started again; only a script that did its work leaves a mark.
func TestPG9MasterStartsAgain(t *testing.T) {
	s := newOnServer(t)
	if err := s.step(t.Context(), "", "master", "k1", "172.31.30.3", "172.31.30.2"); err != nil || s.read("said") != "stop\nconfigure_master.sh 172.31.30.3 172.31.30.2\nstart" || s.read("marks/configure-master") != "k1" {
		t.Errorf("%v; said %q", err, s.read("said"))
	}
	s = newOnServer(t)
	s.write("fail", "")
	if err := s.step(t.Context(), "", "master", "k1", "172.31.30.3", "172.31.30.2"); err == nil || !strings.HasSuffix(s.read("said"), "\nstart") || s.has("marks/configure-master") {
		t.Errorf("the script failed: %v; said %q", err, s.read("said"))
	}
	// nobody is there any more to hear of it
	s = newOnServer(t)
	ctx, cancel := context.WithCancel(t.Context())
	gone := `site_script() { touch "$TOP/at-work"; i=0; while [ ! -e "$TOP/go" ] && [ $i -lt 100 ]; do i=$((i + 1)); sleep 0.1; done; echo script >>"$TOP/said"; }`
	done := make(chan error, 1)
	go func() { done <- s.step(ctx, gone, "master", "k1", "172.31.30.3", "172.31.30.2") }()
	await(t, func() bool { return s.has("at-work") })
	if err := s.step(t.Context(), "", "slave", "k1", "172.31.30.2", "172.31.30.3"); err == nil || !strings.Contains(err.Error(), "a step that an earlier pgctl began still runs here: configure_master.sh") {
		t.Errorf("two at once: %v", err)
	}
	_ = cancel // the local host ends a command with its context; over SSH it goes on, and the lab tells that
	s.write("go", "")
	if err := <-done; err != nil || !strings.HasSuffix(s.read("said"), "start") {
		t.Errorf("%v; said %q", err, s.read("said"))
	}
	cancel()
}

func await(t *testing.T, so func() bool) {
	t.Helper()
	for range 100 {
		if so() {
			return
		}
		pause(t.Context(), 50_000_000)
	}
	t.Fatal("it did not come")
}

// TestPG9Backup: base_backup.sh leaves a mark when it was begun, and one when it has ended well.
func TestPG9Backup(t *testing.T) {
	s := newOnServer(t)
	s.write("fail", "")
	if err := s.step(t.Context(), "", "backup", "k1", "172.31.30.2"); err == nil || s.read("marks/backup-begun") != "k1" || s.has("marks/backup") {
		t.Errorf("it failed: %v", err)
	}
	if err := os.Remove(s.path("fail")); err != nil {
		t.Fatal(err)
	}
	if err := s.step(t.Context(), "", "backup", "k1", "172.31.30.2"); err != nil || s.read("marks/backup") != "k1" || s.read("said") != "base_backup.sh 172.31.30.2\nbase_backup.sh 172.31.30.2" {
		t.Errorf("%v; said %q", err, s.read("said"))
	}
	if err := s.step(t.Context(), "", "backup", "k2", "172.31.30.2"); err != nil || s.read("marks/backup") != "k2" {
		t.Errorf("the next change of roles: %v", err)
	}
}

// TestPG9Slave: F4. A configure_slave.sh that leaves no recovery.conf has made no slave.
func TestPG9Slave(t *testing.T) {
	s := newOnServer(t)
	if err := s.step(t.Context(), "", "slave", "k1", "172.31.30.2", "172.31.30.3"); err == nil || !strings.Contains(err.Error(), "has left no") || s.has("marks/configure-slave") {
		t.Errorf("no recovery.conf: %v", err)
	}
	s.write("main/recovery.conf", "standby_mode = 'on'\n")
	if err := s.step(t.Context(), "", "slave", "k1", "172.31.30.2", "172.31.30.3"); err != nil || s.read("marks/configure-slave") != "k1" {
		t.Errorf("%v", err)
	}
	if said := s.read("said"); strings.Contains(said, "start") {
		t.Errorf("said %q: it must not be started before its recovery.conf is seen", said)
	}
}
