//go:build lab

package postgres

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgctl/pgctl/pkg/remote"
)

// installed are the programs of the PostgreSQL versions that these tests run on, where they are: Debian's, and the one of the lab.
func installed(t testing.TB) map[string]string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("PostgreSQL is started as another user: needs root")
	}
	if _, err := user.Lookup("postgres"); err != nil {
		t.Skip("there is no user postgres on this host")
	}
	found := map[string]string{}
	for version, pattern := range map[string]string{"15": "/usr/lib/postgresql/15/bin", "10": "/var/cache/pgctl-lab/pg10-*/opt/pgsql-10.23/bin"} {
		dirs, err := filepath.Glob(pattern)
		if err == nil && len(dirs) > 0 && isFile(dirs[0]+"/initdb") {
			found[version] = dirs[0]
		}
	}
	if len(found) == 0 {
		t.Skip("no PostgreSQL is installed on this host")
	}
	return found
}

// onEach runs a test on every version that is installed.
func onEach(t *testing.T, test func(t *testing.T, bin string)) {
	for version, bin := range installed(t) {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			test(t, bin)
		})
	}
}

// realServer is a PostgreSQL in a directory of its own.
type realServer struct {
	*Own
	t    testing.TB
	bin  string
	dir  string // data directory
	port int
}

// asPostgres runs a program as the user postgres.
func asPostgres(t testing.TB, dir, name string, args ...string) {
	t.Helper()
	if out, err := command(dir, name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
}

func command(dir, name string, args ...string) *exec.Cmd {
	c := exec.Command("setpriv", append([]string{"--reuid=postgres", "--regid=postgres", "--clear-groups", name}, args...)...)
	c.Dir = dir
	c.Env = append(os.Environ(), "LC_ALL=C", "HOME=/nonexistent", "PGSERVICEFILE="+dir+"/service")
	return c
}

var templates sync.Map // by the directory of programs: a data directory that is copied

func TestMain(m *testing.M) {
	code := m.Run()
	templates.Range(func(_, made any) bool {
		os.RemoveAll(filepath.Dir(made.(func() string)()))
		return true
	})
	os.Exit(code)
}

// newServer makes a server that is not started, on a machine that pgctl calls db1.
func newServer(t testing.TB, bin string) *realServer {
	t.Helper()
	once, _ := templates.LoadOrStore(bin, sync.OnceValue(func() string {
		dir := workDir(t)
		asPostgres(t, dir, bin+"/initdb", "-D", dir+"/data", "-A", "peer", "-N", "-U", "postgres")
		return dir + "/data"
	}))
	template := once.(func() string)()
	dir := workDir(t)
	t.Cleanup(func() { os.RemoveAll(dir) })
	asPostgres(t, dir, "cp", "-a", template, dir+"/data")
	return serverIn(t, bin, "db1", dir)
}

func workDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "own")
	if err != nil {
		t.Fatal(err)
	}
	postgres, err := user.Lookup("postgres")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(postgres.Uid)
	gid, _ := strconv.Atoi(postgres.Gid)
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	return dir
}

// serverIn is the server whose data directory is dir/data.
func serverIn(t testing.TB, bin, host, dir string) *realServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	listener.Close()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	conf := fmt.Sprintf("port=%d\nlisten_addresses='127.0.0.1'\nunix_socket_directories='%s'\nwal_retrieve_retry_interval=1s\nhot_standby=on\nfsync=off\nautovacuum=off\n", port, dir)
	hba := "local all postgres peer\nlocal all pgctl peer\nlocal all all trust\nhost all all 127.0.0.1/32 trust\nhost replication all 127.0.0.1/32 trust\n"
	for name, text := range map[string]string{"postgresql.conf": conf, "pg_hba.conf": hba} {
		if err := os.WriteFile(dir+"/data/"+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	local := remote.NewPool(remote.Options{LocalName: host}).Host(host)
	r := &realServer{Own: OwnServer(local, Settings{DataDir: dir + "/data", Service: "pgctl-test-of-nothing.service"}), t: t, bin: bin, dir: dir + "/data", port: port}
	r.patience = time.Second
	r.service = dir + "/service"
	r.start = func(context.Context, string) error { return r.boot() }
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := r.Kill(ctx); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			if log, err := os.ReadFile(dir + "/log"); err == nil {
				lines := strings.Split(string(log), "\n")
				t.Logf("the log of %s:\n%s", host, strings.Join(lines[max(0, len(lines)-40):], "\n"))
			}
		}
	})
	return r
}

// boot starts the postmaster.
func (r *realServer) boot() error {
	base := filepath.Dir(r.dir)
	log, err := os.OpenFile(base+"/log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
	if err != nil {
		return err
	}
	defer log.Close()
	c := command(base, r.bin+"/postgres", "-D", r.dir)
	c.Stdout, c.Stderr = log, log
	if err := c.Start(); err != nil {
		return err
	}
	go func() { _ = c.Wait() }()
	return nil
}

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// eventually looks until what is seen is right.
func eventually(t testing.TB, o *Own, what string, right func(s OwnSight) bool) OwnSight {
	t.Helper()
	var s OwnSight
	for range 600 {
		if s = o.Look(within(t, time.Minute)); right(s) {
			return s
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("never seen: %s\n%+v\n%+v", what, s, s.SQL)
	return s
}

// up starts it, and waits until it answers.
func (r *realServer) up() OwnSight {
	r.t.Helper()
	if s := r.Look(within(r.t, time.Minute)); s.Running || s.Orphans > 0 {
		r.t.Fatalf("it runs: %+v", s)
	}
	if err := r.boot(); err != nil {
		r.t.Fatal(err)
	}
	return eventually(r.t, r.Own, "an answer", func(s OwnSight) bool { return s.SQL != nil })
}

// sql runs statements as the superuser.
func (r *realServer) sql(text string, args ...string) [][]string {
	r.t.Helper()
	rows, err := r.do(within(r.t, time.Minute), text, args...)
	if err != nil {
		r.t.Fatalf("%s: %v", text, err)
	}
	return rows
}

func BenchmarkOwnLook(b *testing.B) {
	for version, bin := range installed(b) {
		b.Run(version, func(b *testing.B) {
			r := newServer(b, bin)
			r.up()
			for b.Loop() {
				if s := r.Look(b.Context()); s.SQL == nil {
					b.Fatal(s.SQLErr)
				}
			}
			_ = r.Kill(context.Background())
		})
	}
}
