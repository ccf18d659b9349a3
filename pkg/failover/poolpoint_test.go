package failover

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pgctl/pgctl/pkg/pgpool"
	"github.com/pgctl/pgctl/pkg/remote"
)

// idlePool is a pgpool of this machine, as far as its restart script can tell: a process that the service's stop ends.
type idlePool struct {
	dir   string
	pools *Pools
}

func newIdlePool(t *testing.T, runs bool) *idlePool {
	t.Helper()
	p := &idlePool{dir: t.TempDir()}
	write := func(name, text string) string {
		path := filepath.Join(p.dir, name)
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	pid := ""
	if runs {
		c := exec.Command("sleep", "1000")
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		go func() { _ = c.Wait() }()
		t.Cleanup(func() { _ = c.Process.Kill() })
		pid = "echo " + strconv.Itoa(c.Process.Pid)
	}
	write("pgrep", "#!/bin/sh\n"+pid+"\n")
	service := "#!/bin/sh\ncase \"$*\" in *start*) echo start >>" + p.dir + "/said ;; *stop*) echo stop >>" + p.dir + "/said; p=$(pgrep); [ -z \"$p\" ] || kill $p ;; esac\n"
	write("service", service)
	write("systemctl", service)
	t.Setenv("PATH", p.dir+":"+os.Getenv("PATH"))
	conf := write("pgpool.conf", "port = 9999\nlogdir = '"+p.dir+"'\nsocket_dir = '"+p.dir+"'\n")
	host := remote.NewPool(remote.Options{LocalName: "db1", NoSudo: true}).Host("db1")
	p.pools = &Pools{Hosts: func(string) remote.Host { return host }, Settings: pgpool.Settings{Conf: conf}, Timeout: 10 * time.Second}
	return p
}

func (p *idlePool) said() string {
	text, _ := os.ReadFile(filepath.Join(p.dir, "said"))
	return strings.Join(strings.Fields(strings.ReplaceAll(string(text), "stop\nstop", "stop")), " ") // systemd is asked twice, the second time to wait
}

func (p *idlePool) await(t *testing.T, what string) {
	t.Helper()
	for range 200 {
		if p.said() == what {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("%q, expected %q", p.said(), what)
}

// TestHalt: a pool that was stopped for an election starts when it is told to, and whatever becomes of who told it to stop.
func TestHalt(t *testing.T) {
	t.Run("told", func(t *testing.T) {
		p := newIdlePool(t, true)
		h := p.pools.Halt(t.Context(), "db1", time.Minute)
		p.await(t, "stop")
		time.Sleep(300 * time.Millisecond)
		p.await(t, "stop")
		if started, err := h.Start(); !started || err != nil || p.said() != "stop start" {
			t.Errorf("%v %v %q", started, err, p.said())
		}
	})
	t.Run("nobody tells it", func(t *testing.T) {
		p := newIdlePool(t, true)
		h := p.pools.Halt(t.Context(), "db1", 300*time.Millisecond)
		<-h.Ended()
		p.await(t, "stop start")
		if started, err := h.Start(); started || err != nil {
			t.Errorf("%v %v: it did not wait for what its file says now", started, err)
		}
	})
	t.Run("who stopped it goes", func(t *testing.T) {
		p := newIdlePool(t, true)
		ctx, cancel := context.WithCancel(t.Context())
		h := p.pools.Halt(ctx, "db1", 500*time.Millisecond)
		p.await(t, "stop")
		cancel()
		<-h.Ended()
		p.await(t, "stop start")
	})
	t.Run("it does not run", func(t *testing.T) {
		p := newIdlePool(t, false)
		h := p.pools.Halt(t.Context(), "db1", time.Minute)
		<-h.Ended()
		if started, err := h.Start(); started || err != nil || p.said() != "" {
			t.Errorf("%v %v %q: whoever stopped it may not want it to start", started, err, p.said())
		}
	})
}

// TestHaltStarted: a pool that somebody else has started meanwhile goes by what its file said then, and has to start anew.
func TestHaltStarted(t *testing.T) {
	p := newIdlePool(t, true)
	h := p.pools.Halt(t.Context(), "db1", time.Minute)
	p.await(t, "stop")
	c := exec.Command("sleep", "1000")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Process.Kill(); _ = c.Wait() }()
	time.Sleep(300 * time.Millisecond)
	if err := os.WriteFile(filepath.Join(p.dir, "pgrep"), []byte("#!/bin/sh\necho "+strconv.Itoa(c.Process.Pid)+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if started, err := h.Start(); started || err != nil {
		t.Errorf("%v %v: it runs by another file", started, err)
	}
}
