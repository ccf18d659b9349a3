package remote_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgctl/pgctl/pkg/remote"
	"github.com/pgctl/pgctl/pkg/remote/remotetest"
)

// openSSH starts the sshd of this machine on a loopback port and gives options
// that reach it as "real". PGCTL_TEST_SSHD names another program to start.
func openSSH(t *testing.T, more string) remote.Options {
	t.Helper()
	program := os.Getenv("PGCTL_TEST_SSHD")
	if program == "" {
		program = "/usr/sbin/sshd"
	}
	if _, err := os.Stat(program); err != nil {
		t.Skipf("no OpenSSH server here (openssh-server is not installed): %v", err)
	}
	if os.Geteuid() == 0 && os.Getenv("PGCTL_TEST_SSHD") == "" {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Skipf("sshd needs /run/sshd: %v", err)
		}
	}
	dir := t.TempDir()
	hostKey, clientKey := remotetest.WriteKey(t, dir+"/host"), remotetest.WriteKey(t, dir+"/client")
	port := freePort(t)
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	mustWrite(t, dir+"/sshd_config", fmt.Sprintf(`ListenAddress 127.0.0.1:%d
HostKey %s
AuthorizedKeysFile %s.pub
PidFile none
StrictModes no
UsePAM no
PermitRootLogin yes
PasswordAuthentication no
MaxSessions 10
%s
`, port, hostKey, clientKey, more), 0o600)
	var log strings.Builder
	cmd := exec.Command(program, "-D", "-e", "-f", dir+"/sshd_config")
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Skipf("sshd does not start: %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	mustWrite(t, dir+"/known_hosts", fmt.Sprintf("[127.0.0.1]:%d %s", port, content(t, hostKey+".pub")), 0o600)
	mustWrite(t, dir+"/ssh_config", fmt.Sprintf("Host real\n HostName 127.0.0.1\n Port %d\n IdentityAgent none\n", port), 0o600)
	for range 100 {
		if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			c.Close()
			return remote.Options{
				User: me.Username, ConfigFile: dir + "/ssh_config", KnownHostsFiles: []string{dir + "/known_hosts"},
				IdentityFiles: []string{clientKey}, NoSudo: true, LocalName: "here",
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("sshd does not answer")
	return remote.Options{}
}

func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

func realHost(t *testing.T, options remote.Options) remote.Host {
	pool := remote.NewPool(options)
	t.Cleanup(func() { _ = pool.Close() })
	return pool.Host("real")
}

func TestOpenSSH(t *testing.T) {
	options := openSSH(t, "")
	h := realHost(t, options)
	cmd := remote.Script(`cat; printf '%s' "$1"; exit 3`, "it's\n")
	cmd.Stdin = strings.NewReader("in ")
	result, err := h.Run(t.Context(), cmd)
	var exit *remote.ExitError
	if !errors.As(err, &exit) || exit.Code != 3 || string(result.Stdout) != "in it's\n" {
		t.Fatalf("%q, %v", result.Stdout, err)
	}
	if _, err := h.Run(t.Context(), remote.Script("kill -9 $$")); !errors.As(err, &exit) || exit.Code != 137 {
		t.Errorf("killed: %v", err)
	}

	c, err := h.Pipe(t.Context(), remote.Command{Args: []string{"cat"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	echo(t, c)
	_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read past the deadline: %v", err)
	}

	path := filepath.Join(t.TempDir(), "conf")
	mustWrite(t, path, "old", 0o640)
	if backup, err := remote.WriteFile(t.Context(), h, path, []byte("new"), remote.WriteOptions{BackupSuffix: suffix}); err != nil || content(t, backup) != "old" || content(t, path) != "new" {
		t.Errorf("write: %v", err)
	}
}

func echo(t *testing.T, c net.Conn) {
	t.Helper()
	buf := make([]byte, 4)
	if _, err := io.WriteString(c, "ping"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, buf); err != nil || string(buf) != "ping" {
		t.Fatalf("read %q, %v", buf, err)
	}
}

func TestOpenSSHDial(t *testing.T) {
	h := realHost(t, openSSH(t, ""))
	without := realHost(t, openSSH(t, "AllowTcpForwarding no\nAllowStreamLocalForwarding no"))
	for network, addr := range map[string]string{"tcp": "127.0.0.1:0", "unix": filepath.Join(t.TempDir(), "s")} {
		listener, err := net.Listen(network, addr)
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		go func() {
			for {
				c, err := listener.Accept()
				if err != nil {
					return
				}
				go func() { _, _ = io.Copy(c, c); c.Close() }()
			}
		}()
		c, err := h.Dial(t.Context(), network, listener.Addr().String())
		if err != nil {
			t.Errorf("%s: %v", network, err)
			continue
		}
		echo(t, c)
		c.Close()
		var refused *remote.DialError
		if _, err := without.Dial(t.Context(), network, listener.Addr().String()); !errors.As(err, &refused) || !refused.Forbidden || refused.Refused {
			t.Errorf("%s forbidden: %v", network, err)
		}
		listener.Close()
		if _, err := h.Dial(t.Context(), network, listener.Addr().String()); !errors.As(err, &refused) || network == "tcp" && (!refused.Refused || refused.Forbidden) {
			t.Errorf("%s closed: %v", network, err)
		}
	}
}

func TestOpenSSHSessions(t *testing.T) {
	h := realHost(t, openSSH(t, ""))
	many := func(n int) {
		remote.Each(t.Context(), make([]int, n), 0, 20*time.Second, func(ctx context.Context, _ int) int {
			if _, err := h.Run(ctx, remote.Script("sleep 0.1")); err != nil {
				t.Error(err)
			}
			return 0
		})
	}
	many(20)
	// Commands that outlive their channel keep their sessions at the server.
	remote.Each(t.Context(), make([]int, 8), 0, 300*time.Millisecond, func(ctx context.Context, _ int) int {
		if _, err := h.Run(ctx, remote.Script("exec sleep 3")); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		return 0
	})
	many(20)
}
