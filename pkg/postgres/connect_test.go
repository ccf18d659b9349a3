package postgres

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgctl/pgctl/pkg/postgres/postgrestest"
	"github.com/pgctl/pgctl/pkg/remote"
	"github.com/pgctl/pgctl/pkg/remote/remotetest"
)

// host is a host whose relay leads to the given server, on the socket and over TCP.
func host(t *testing.T, unix, tcp postgrestest.Backend) *remotetest.Fake {
	t.Setenv("PGPASSFILE", filepath.Join(t.TempDir(), "none"))
	h := remotetest.NewFake(t, "db1")
	h.PipeFunc = func(_ context.Context, cmd remote.Command) (net.Conn, error) {
		ours, theirs := net.Pipe()
		backend := unix
		if cmd.Args[7] == "tcp" { // after sh -c TEXT sh, the data directory, the port and the user
			backend = tcp
		}
		go func() {
			_ = backend.Serve(theirs)
			theirs.Close()
		}()
		return ours, nil
	}
	return h
}

func pgpass(t *testing.T, line string) {
	path := filepath.Join(t.TempDir(), "pgpass")
	if err := os.WriteFile(path, []byte(line+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PGPASSFILE", path)
}

func TestConnect(t *testing.T) {
	peer := postgrestest.Backend{Version: "15.18"}
	noPeer := postgrestest.Backend{Refuse: &postgrestest.Refusal{Code: "28000", Message: `Peer authentication failed for user "postgres"`}}
	password := postgrestest.Backend{Version: "15.18", Password: "s3cret"}
	tests := []struct {
		name      string
		unix, tcp postgrestest.Backend
		pgpass    string
		located   bool // the host is asked for the port
		want      string
	}{
		{name: "peer", unix: peer},
		{name: "password on the socket", unix: password, pgpass: "db1:*:*:postgres:s3cret"},
		{name: "peer refused, password over TCP", unix: noPeer, tcp: password, pgpass: "db1:5433:*:postgres:s3cret", located: true},
		{name: "another port's password is not used", unix: noPeer, tcp: password, pgpass: "db1:5432:*:postgres:s3cret", located: true, want: `PostgreSQL wants a password for user "postgres", and there is none for it`},
		{name: "wrong password", unix: noPeer, tcp: password, pgpass: "db1:*:*:postgres:wrong", located: true, want: `PostgreSQL refused the password of user "postgres"`},
		{name: "starting", unix: postgrestest.Backend{Refuse: &postgrestest.Refusal{Code: "57P03", Message: "the database system is starting up"}}, want: "PostgreSQL lets nobody in yet: the database system is starting up"},
		{name: "full", unix: postgrestest.Backend{Refuse: &postgrestest.Refusal{Code: "53300", Message: "sorry, too many clients already"}}, want: "PostgreSQL is alive, but has no connection left: sorry, too many clients already"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := host(t, tt.unix, tt.tcp)
			if tt.pgpass != "" {
				pgpass(t, tt.pgpass)
			}
			if tt.located {
				h.Expect(remotetest.Step{Contains: "pg_locate", Stdout: "5433\n"})
			}
			conn, err := On(h, Settings{}).Connect(t.Context())
			if err == nil {
				conn.Close(t.Context())
			}
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("no session: %v", err)
			case tt.want != "" && err == nil:
				t.Errorf("got a session, expected: %s", tt.want)
			case tt.want != "":
				if f := Explain("db1", Settings{}, err, time.Second); f.Message != tt.want || f.Hint == "" {
					t.Errorf("explained as %q (hint %q), expected %q", f.Message, f.Hint, tt.want)
				}
			}
		})
	}
}

// TestConnectGivesUpAtTheDeadline is the frozen postmaster: the kernel accepts, nobody answers.
func TestConnectGivesUpAtTheDeadline(t *testing.T) {
	h := host(t, postgrestest.Backend{Delay: time.Hour}, postgrestest.Backend{})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := On(h, Settings{}).Probe(ctx)
	if waited := time.Since(began); err == nil || waited > 2*time.Second {
		t.Fatalf("after %s: %v", waited, err)
	}
	if f := Explain("db1", Settings{}, err, 50*time.Millisecond); !strings.Contains(f.Message, "gave no answer within") {
		t.Errorf("explained as %q", f.Message)
	}
}

// TestRelay runs the relay against a socket: as another user when the test is root, both ways, to the end.
func TestRelay(t *testing.T) {
	if _, err := exec.LookPath("perl"); err != nil {
		t.Skip("perl is not installed: the relay needs it")
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	dir, name := t.TempDir(), me.Username
	if me.Uid == "0" {
		name = "nobody"
	}
	path := filepath.Join(dir, ".s.PGSQL.5433")
	for d := dir; d != "/" && d != os.TempDir(); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if err := os.Chmod(path, 0o777); err != nil {
		t.Fatal(err)
	}
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_ = postgrestest.Backend{Version: "15.18", Rows: []string{`"a"`, `"b"`}}.Serve(conn)
	}()
	local := remote.NewPool(remote.Options{LocalName: "here"}).Host("here")
	data := dataDir(t, "4711", dir)
	conn, err := On(local, Settings{DataDir: data, OSUser: name}).Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	results, err := conn.Exec(t.Context(), "SELECT").ReadAll()
	if err != nil || len(results) != 2 || string(results[1].Rows[0][0]) != `"b"` {
		t.Errorf("got %v, %v", results, err)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// dataDir is a data directory with a postmaster.pid and nothing else.
func dataDir(t *testing.T, pid, socketDir string) string {
	dir := t.TempDir()
	text := strings.Join([]string{pid, dir, "1700000000", "5433", socketDir, "*", "  5433001  65536", "ready   ", ""}, "\n")
	for name, content := range map[string]string{"postmaster.pid": text, "PG_VERSION": "15\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestRelayFailures(t *testing.T) {
	local := remote.NewPool(remote.Options{LocalName: "here"}).Host("here")
	stopped := dataDir(t, "4711", "/nowhere")
	if err := os.Remove(filepath.Join(stopped, "postmaster.pid")); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		settings Settings
		want     string
	}{
		{Settings{DataDir: filepath.Join(t.TempDir(), "none")}, "no PostgreSQL data directory on this host"},
		{Settings{DataDir: stopped}, "PostgreSQL is not running: no postmaster.pid"},
		{Settings{DataDir: dataDir(t, "4711", "/nowhere"), OSUser: "nobody"}, "/nowhere/.s.PGSQL.5433: No such file or directory"},
		{Settings{DataDir: dataDir(t, "4711", "/nowhere"), OSUser: "no-such-user"}, "no user no-such-user on this host"},
	} {
		if os.Geteuid() != 0 && tt.settings.OSUser == "no-such-user" {
			continue // only root changes the user
		}
		_, err := On(local, tt.settings).Connect(t.Context())
		if noLogin(err) != (tt.settings.OSUser == "no-such-user") {
			t.Errorf("%+v: told apart wrongly: %v", tt.settings, err)
		}
		if err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%+v: %v", tt.settings, err)
			continue
		}
		if f := Explain("db1", tt.settings, err, time.Second); !strings.Contains(f.Message, tt.want) {
			t.Errorf("explained as %q, expected %q", f.Message, tt.want)
		}
	}
}
