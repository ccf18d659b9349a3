package remote_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/pgctl/pgctl/pkg/remote"
	"github.com/pgctl/pgctl/pkg/remote/remotetest"
)

// unreachable runs true on a host, which must fail with exactly this sentence.
func unreachable(t *testing.T, h remote.Host, timeout time.Duration, message, hint string) *remote.Unreachable {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	_, err := h.Run(ctx, remote.Command{Args: []string{"true"}})
	var gone *remote.Unreachable
	if !errors.As(err, &gone) {
		t.Fatalf("error %v", err)
	}
	if gone.Host != h.Name() || gone.Message != message || err.Error() != message {
		t.Errorf("message %s\nwant    %s", gone.Message, message)
	}
	if !strings.Contains(gone.Hint, hint) || gone.Hint == "" {
		t.Errorf("hint %q, want %q in it", gone.Hint, hint)
	}
	return gone
}

func TestUnknownName(t *testing.T) {
	site := remotetest.NewSite(t, 0, nil)
	gone := unreachable(t, site.Pool(t).Host("nowhere.invalid"), 5*time.Second,
		"nowhere.invalid: unknown host name nowhere.invalid", "/etc/hosts")
	var dns *net.DNSError
	if !errors.As(gone, &dns) {
		t.Errorf("cause %v", gone.Cause)
	}
}

func TestBadName(t *testing.T) {
	pool := remotetest.NewSite(t, 0, nil).Pool(t)
	for _, name := range []string{"", "-oProxyCommand=x", "a b", "a\nb", "a;b"} {
		unreachable(t, pool.Host(name), time.Second, fmt.Sprintf("%s: %q is not a host name", name, name), "inventory")
	}
}

func TestConnectionRefused(t *testing.T) {
	site := remotetest.NewSite(t, 1, nil)
	site.Servers[0].Close()
	unreachable(t, site.Pool(t).Host("h001"), time.Second,
		fmt.Sprintf("h001: connection refused at %s", site.Servers[0].Addr()), "systemctl status ssh")
}

func TestNotSSH(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for n := 0; ; n++ {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			if n > 0 {
				_, _ = io.WriteString(c, "220 mail ready\r\n\x00\x00\x00\x00")
			}
			c.Close()
		}
	}()
	site := remotetest.NewSite(t, 0, nil)
	site.Configure(t, fmt.Sprintf("Host x\n HostName 127.0.0.1\n Port %d", listener.Addr().(*net.TCPAddr).Port))
	pool := site.Pool(t)
	unreachable(t, pool.Host("x"), time.Second,
		fmt.Sprintf("x: %s closed the connection during the SSH handshake", listener.Addr()), "MaxStartups")
}

func TestHostKeyUnknown(t *testing.T) {
	site := remotetest.NewSite(t, 2, nil)
	known := filepath.Join(t.TempDir(), "ssh", "known_hosts")
	site.Options.KnownHostsFiles = []string{known}
	server := site.Servers[0]
	unreachable(t, site.Pool(t).Host("h001"), time.Second,
		fmt.Sprintf("h001: the host key of %s is not known: ssh-ed25519 %s", server.Addr(), ssh.FingerprintSHA256(server.HostKey())),
		"--accept-new-host-keys")
	site.Options.AcceptNewHostKeys = true
	pool := site.Pool(t)
	for _, name := range site.Names {
		if _, err := pool.Host(name).Run(t.Context(), remote.Script("true")); err != nil {
			t.Fatal(err)
		}
	}
	if lines := strings.Count(content(t, known), "\n"); lines != 2 {
		t.Errorf("%d lines in known_hosts", lines)
	}
	site.Options.AcceptNewHostKeys = false
	if _, err := site.Pool(t).Host("h002").Run(t.Context(), remote.Script("true")); err != nil {
		t.Error(err)
	}
}

func TestHostKeyChangedIsNeverAccepted(t *testing.T) {
	site := remotetest.NewSite(t, 2, nil)
	known := site.Options.KnownHostsFiles[0]
	lines := strings.Split(strings.TrimSpace(content(t, known)), "\n")
	first, second := strings.Fields(lines[0]), strings.Fields(lines[1])
	mustWrite(t, known, "# comment\n"+first[0]+" "+second[1]+" "+second[2]+"\n", 0o600)
	site.Options.AcceptNewHostKeys = true
	server := site.Servers[0]
	unreachable(t, site.Pool(t).Host("h001"), time.Second,
		fmt.Sprintf("h001: the host key of %s has changed: it shows ssh-ed25519 %s, not what is at %s:2",
			server.Addr(), ssh.FingerprintSHA256(server.HostKey()), known),
		fmt.Sprintf("ssh-keygen -f %s -R '[127.0.0.1]:%d'", known, server.Addr().Port))
	if strings.Count(content(t, known), "\n") != 2 {
		t.Error("known_hosts was changed")
	}
}

func TestHostKeyRevoked(t *testing.T) {
	site := remotetest.NewSite(t, 1, nil)
	known := site.Options.KnownHostsFiles[0]
	mustWrite(t, known, "@revoked * "+string(ssh.MarshalAuthorizedKey(site.Servers[0].HostKey()))+content(t, known), 0o600)
	unreachable(t, site.Pool(t).Host("h001"), time.Second,
		fmt.Sprintf("h001: the host key of %s is revoked at %s:1: ssh-ed25519 %s", site.Servers[0].Addr(), known,
			ssh.FingerprintSHA256(site.Servers[0].HostKey())), "new key")
}

func TestKnownHostsUnreadable(t *testing.T) {
	site := remotetest.NewSite(t, 1, nil)
	known := site.Options.KnownHostsFiles[0]
	mustWrite(t, known, "h001 ssh-ed25519 !!\n", 0o600)
	unreachable(t, site.Pool(t).Host("h001"), time.Second,
		fmt.Sprintf("h001: known hosts cannot be read: %s:1: illegal base64 data at input byte 0", known), "line")
}

func TestNotLetIn(t *testing.T) {
	other := remotetest.NewKey(t)
	site := remotetest.NewSite(t, 1, func(_ int, c *remotetest.Config) { c.Keys = []ssh.PublicKey{other.PublicKey()} })
	key := site.Options.IdentityFiles[0]
	site.Options.IdentityFiles = append(site.Options.IdentityFiles, "/no/key", encryptedKey(t, site.Dir))
	unreachable(t, site.Pool(t).Host("h001"), time.Second,
		fmt.Sprintf("h001: root is not let in at %s (tried %s; skipped /no/key: no such file, %s/locked: encrypted and not in the agent)",
			site.Servers[0].Addr(), key, site.Dir), "authorized_keys of root")

	site.Options.IdentityFiles = nil
	site.Options.User = "ops"
	unreachable(t, site.Pool(t).Host("h001"), time.Second,
		fmt.Sprintf("h001: ops is not let in at %s (tried no key, there is none)", site.Servers[0].Addr()), "authorized_keys of ops")
}

func TestNoAlgorithmInCommon(t *testing.T) {
	site := remotetest.NewSite(t, 1, func(_ int, c *remotetest.Config) {
		c.Algorithms.KeyExchanges = []string{"diffie-hellman-group1-sha1"}
	})
	unreachable(t, site.Pool(t).Host("h001"), time.Second,
		fmt.Sprintf("h001: no key exchange in common with %s, which offers diffie-hellman-group1-sha1, kex-strict-s-v00@openssh.com", site.Servers[0].Addr()),
		"sshd")
}

func TestBadConfiguration(t *testing.T) {
	for text, message := range map[string]string{
		"Port 99999":              `h001: port "99999" is not a number from 1 to 65535`,
		"ProxyCommand nc %h %p":   "h001: the SSH configuration reaches it by a ProxyCommand, which is not supported: use ProxyJump",
		"ProxyJump h001":          "h001: more than 8 jump hosts: is there a circle in ProxyJump?",
		"ProxyJump -oProxy=x":     `h001: jump host "-oProxy=x": "-oProxy=x" is not a host name`,
		"ProxyJump root@jump:abc": `h001: jump host "root@jump:abc": port "abc" is not a number from 1 to 65535`,
	} {
		site := remotetest.NewSite(t, 1, nil)
		site.Configure(t, "Host h001\n "+text)
		unreachable(t, site.Pool(t).Host("h001"), time.Second, message, "configuration")
	}
	site := remotetest.NewSite(t, 1, nil)
	site.Options.ConfigFile = "/no/such/config"
	unreachable(t, site.Pool(t).Host("h001"), time.Second, "h001: open /no/such/config: no such file or directory", "configuration")
}

// TestHangs: whatever a host hangs in costs the deadline, and says so.
func TestHangs(t *testing.T) {
	const timeout = 300 * time.Millisecond
	for stage, message := range map[remotetest.Stage]string{
		remotetest.HangGreet:   "h001: %s accepts connections but sent no SSH greeting within 300ms",
		remotetest.HangVersion: "h001: the SSH key exchange with %s did not end within 300ms",
		remotetest.HangKeys:    "h001: the SSH key exchange with %s did not end within 300ms",
		remotetest.HangLogin:   "h001: the login as root at %s did not end within 300ms",
		remotetest.HangAuth:    "h001: the login as root at %s did not end within 300ms",
		remotetest.HangOpen:    "h001: connected, but sshd did not start a command within 300ms",
		remotetest.HangExec:    "h001: connected, but sshd did not start a command within 300ms",
		remotetest.HangOutput:  "h001: true did not end within 300ms",
	} {
		t.Run(fmt.Sprint(stage), func(t *testing.T) {
			t.Parallel()
			site := remotetest.NewSite(t, 1, func(_ int, c *remotetest.Config) { c.Hang = stage })
			h := site.Pool(t).Host("h001")
			if strings.Contains(message, "%s") {
				message = fmt.Sprintf(message, site.Servers[0].Addr())
			}
			calls := map[string]func(context.Context) error{
				"Run": func(ctx context.Context) error {
					_, err := h.Run(ctx, remote.Command{Args: []string{"true"}})
					return err
				},
				"Pipe": func(ctx context.Context) error {
					_, err := h.Pipe(ctx, remote.Command{Args: []string{"true"}})
					return err
				},
				"Dial": func(ctx context.Context) error {
					_, err := h.Dial(ctx, "tcp", site.Servers[0].Addr().String())
					return err
				},
			}
			for name, call := range calls {
				ctx, cancel := context.WithTimeout(t.Context(), timeout)
				started := time.Now()
				err := call(ctx)
				took := time.Since(started)
				cancel()
				if took > timeout+2*time.Second {
					t.Errorf("%s took %s", name, took)
				}
				if name == "Run" && (err == nil || err.Error() != message) {
					t.Errorf("%v, want\n%s", err, message)
				}
				if stage < remotetest.HangExec && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
}

// TestNoAnswer needs a route that swallows packets; a listener whose queue is
// full does it on the loopback interface.
func TestNoAnswer(t *testing.T) {
	addr := fullListener(t)
	site := remotetest.NewSite(t, 0, nil)
	site.Configure(t, fmt.Sprintf("Host x\n HostName 127.0.0.1\n Port %d", addr.Port))
	started := time.Now()
	unreachable(t, site.Pool(t).Host("x"), 300*time.Millisecond, fmt.Sprintf("x: no answer from %s within 300ms", addr), "firewall")
	if took := time.Since(started); took > 2*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestCancel(t *testing.T) {
	site := remotetest.NewSite(t, 1, func(_ int, c *remotetest.Config) { c.Hang = remotetest.HangGreet })
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	_, err := site.Pool(t).Host("h001").Run(ctx, remote.Script("true"))
	want := fmt.Sprintf("h001: interrupted while connecting to %s", site.Servers[0].Addr())
	if !errors.Is(err, context.Canceled) || err.Error() != want {
		t.Errorf("%v, want\n%s", err, want)
	}
}

func TestAgentHangs(t *testing.T) {
	site := remotetest.NewSite(t, 1, nil)
	socket := filepath.Join(t.TempDir(), "agent")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	site.Options.AgentSocket = socket
	unreachable(t, site.Pool(t).Host("h001"), 200*time.Millisecond, "h001: the SSH agent gave no keys within 200ms", "ssh-add")
}

func TestLostConnection(t *testing.T) {
	site := remotetest.NewSite(t, 1, nil)
	h := site.Pool(t).Host("h001")
	time.AfterFunc(200*time.Millisecond, site.Servers[0].Drop)
	_, err := h.Run(t.Context(), remote.Command{Args: []string{"sleep", "2"}})
	if err == nil || err.Error() != "h001: the SSH connection was lost while sleep 2 ran" {
		t.Errorf("error %v", err)
	}
	if _, err := h.Run(t.Context(), remote.Script("true")); err != nil {
		t.Errorf("not connected again: %v", err)
	}
}

func TestClosedPool(t *testing.T) {
	site := remotetest.NewSite(t, 1, nil)
	pool := site.Pool(t)
	h := pool.Host("h001")
	if _, err := h.Run(t.Context(), remote.Script("true")); err != nil {
		t.Fatal(err)
	}
	_ = pool.Close()
	if _, err := h.Run(t.Context(), remote.Script("true")); err == nil || err.Error() != "h001: the connection pool is closed" {
		t.Errorf("error %v", err)
	}
	if err := os.Remove(site.Options.ConfigFile); err != nil {
		t.Fatal(err)
	}
}
