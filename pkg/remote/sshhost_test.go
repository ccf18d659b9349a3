package remote_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/pgctl/pgctl/pkg/remote"
	"github.com/pgctl/pgctl/pkg/remote/remotetest"
)

func encryptedKey(t *testing.T, dir string) string {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "locked")
	mustWrite(t, path, string(pem.EncodeToMemory(block)), 0o600)
	return path
}

// fullListener is an address at which TCP connections get no answer.
func fullListener(t *testing.T) *net.TCPAddr {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	bound, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1).To4(), Port: bound.(*syscall.SockaddrInet4).Port}
	for range 4 {
		if c, err := net.DialTimeout("tcp", addr.String(), 100*time.Millisecond); err == nil {
			t.Cleanup(func() { c.Close() })
		} else {
			return addr
		}
	}
	t.Skip("a full listener answers on this system")
	return nil
}

func TestOneConnectionAHost(t *testing.T) {
	site := remotetest.NewSite(t, 1, func(_ int, c *remotetest.Config) { c.MaxSessions = 10 })
	pool := site.Pool(t)
	remote.Each(t.Context(), make([]int, 20), 0, 5*time.Second, func(ctx context.Context, _ int) int {
		if _, err := pool.Host("h001").Run(ctx, remote.Script("sleep 0.05")); err != nil {
			t.Error(err)
		}
		return 0
	})
	if n := site.Servers[0].Connections(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestFewSessions(t *testing.T) {
	for _, limit := range []int{1, 3} {
		site := remotetest.NewSite(t, 1, func(_ int, c *remotetest.Config) { c.MaxSessions = limit })
		h := site.Pool(t).Host("h001")
		remote.Each(t.Context(), make([]int, 12), 0, 10*time.Second, func(ctx context.Context, _ int) int {
			if _, err := h.Run(ctx, remote.Script("sleep 0.02")); err != nil {
				t.Errorf("limit %d: %v", limit, err)
			}
			return 0
		})
		if n := site.Servers[0].Connections(); n != 1 {
			t.Errorf("limit %d: %d connections", limit, n)
		}
	}
}

func TestTooManyCommandsWait(t *testing.T) {
	site := remotetest.NewSite(t, 1, nil)
	h := site.Pool(t).Host("h001")
	for range 8 {
		c, err := h.Pipe(t.Context(), remote.Command{Args: []string{"cat"}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	unreachable(t, h, 200*time.Millisecond, "h001: 8 commands were running there already, none ended within 200ms", "fewer")
}

func TestConnectionIsMadeAgain(t *testing.T) {
	site := remotetest.NewSite(t, 1, nil)
	h := site.Pool(t).Host("h001")
	for i := range 3 {
		if _, err := h.Run(t.Context(), remote.Script("true")); err != nil {
			t.Fatalf("run %d: %v", i, err)
		}
		site.Servers[0].Drop()
	}
	if n := site.Servers[0].Connections(); n != 3 {
		t.Errorf("%d connections", n)
	}
	if n := len(site.Servers[0].Commands()); n != 3 {
		t.Errorf("%d commands", n)
	}
}

// TestHungConnectionIsReplaced: after a deadline on a connection its next user
// asks for a sign of life first.
func TestHungConnectionIsReplaced(t *testing.T) {
	site := remotetest.NewSite(t, 1, nil)
	h := site.Pool(t).Host("h001")
	if _, err := h.Run(t.Context(), remote.Script("true")); err != nil {
		t.Fatal(err)
	}
	site.Servers[0].SetHang(remotetest.HangOpen)
	unreachable(t, h, 100*time.Millisecond, "h001: connected, but sshd did not start a command within 100ms", "hang")
	ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
	defer cancel()
	time.AfterFunc(100*time.Millisecond, func() { site.Servers[0].SetHang(remotetest.HangNever) })
	if _, err := h.Run(ctx, remote.Script("true")); err != nil {
		t.Error(err)
	}
	if n := site.Servers[0].Connections(); n != 2 {
		t.Errorf("%d connections", n)
	}
}

// TestImpatientUserDoesNotSpoilTheDial: the dial goes on for who still waits.
func TestImpatientUserDoesNotSpoilTheDial(t *testing.T) {
	site := remotetest.NewSite(t, 1, nil)
	slow, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	var accepted sync.WaitGroup
	go func() {
		for {
			c, err := slow.Accept()
			if err != nil {
				return
			}
			accepted.Go(func() {
				time.Sleep(300 * time.Millisecond)
				there, err := net.Dial("tcp", site.Servers[0].Addr().String())
				if err != nil {
					return
				}
				go func() { _, _ = io.Copy(there, c) }()
				_, _ = io.Copy(c, there)
			})
		}
	}()
	site.Configure(t, fmt.Sprintf("Host slow\n HostName 127.0.0.1\n Port %d\n HostKeyAlias known", slow.Addr().(*net.TCPAddr).Port))
	key := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(site.Servers[0].HostKey())))
	mustWrite(t, site.Options.KnownHostsFiles[0], "known "+key+"\n", 0o600)
	h := site.Pool(t).Host("slow")
	first := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := h.Run(ctx, remote.Script("true"))
		first <- err
	}()
	time.Sleep(20 * time.Millisecond)
	if _, err := h.Run(t.Context(), remote.Script("true")); err != nil {
		t.Errorf("the patient one: %v", err)
	}
	if err := <-first; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the impatient one: %v", err)
	}
	if n := site.Servers[0].Connections(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestProxyJump(t *testing.T) {
	site := remotetest.NewSite(t, 3, nil)
	site.Configure(t, fmt.Sprintf("Host far\n HostName 127.0.0.1\n Port %d\n ProxyJump h001,root@h002\n", site.Servers[2].Addr().Port))
	pool := site.Pool(t)
	for range 2 {
		if out, err := pool.Host("far").Run(t.Context(), remote.Script("echo there")); err != nil || string(out.Stdout) != "there\n" {
			t.Fatalf("%s, %v", out.Stdout, err)
		}
	}
	if _, err := pool.Host("h001").Run(t.Context(), remote.Script("true")); err != nil {
		t.Fatal(err)
	}
	for i, server := range site.Servers {
		if n := server.Connections(); n != 1 {
			t.Errorf("server %d: %d connections", i, n)
		}
	}
	site.Servers[1].Drop() // the connection of far dies with it
	time.Sleep(50 * time.Millisecond)
	if _, err := pool.Host("far").Run(t.Context(), remote.Script("true")); err != nil {
		t.Errorf("after the jump host lost its connections: %v", err)
	}
}

func TestProxyJumpFailures(t *testing.T) {
	site := remotetest.NewSite(t, 4, func(i int, c *remotetest.Config) {
		switch i {
		case 0:
			c.NoTCP = true
		case 2:
			c.Hang = remotetest.HangGreet
		}
	})
	dead := site.Servers[3].Addr()
	site.Servers[3].Close()
	site.Configure(t, fmt.Sprintf(`Host a
 ProxyJump h001
Host b
 ProxyJump h002
Host c
 ProxyJump h003
Host d
 ProxyJump h004
Host e
 ProxyJump nobody.invalid
Host a b c d e
 HostName 127.0.0.1
 Port %d
`, dead.Port))
	pool := site.Pool(t)
	unreachable(t, pool.Host("a"), time.Second, fmt.Sprintf("a: jump host h001 cannot connect to %s: open failed", dead), "AllowTcpForwarding")
	unreachable(t, pool.Host("b"), time.Second, fmt.Sprintf("b: jump host h002 cannot connect to %s: Connection refused", dead), "sshd of b")
	unreachable(t, pool.Host("c"), 300*time.Millisecond,
		fmt.Sprintf("c: jump host h003: %s accepts connections but sent no SSH greeting within 300ms", site.Servers[2].Addr()), "console")
	unreachable(t, pool.Host("d"), time.Second, fmt.Sprintf("d: jump host h004: connection refused at %s", dead), "sshd")
	unreachable(t, pool.Host("e"), time.Second, "e: jump host nobody.invalid: unknown host name nobody.invalid", "HostName")
}

func TestAgent(t *testing.T) {
	keyring := agent.NewKeyring()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	if err := keyring.Add(agent.AddedKey{PrivateKey: private, Comment: "test"}); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "agent")
	serveAgent(t, keyring, socket)

	site := remotetest.NewSite(t, 30, func(_ int, c *remotetest.Config) { c.Keys = []ssh.PublicKey{signer.PublicKey()} })
	site.Options.IdentityFiles = nil
	site.Options.AgentSocket = socket
	pool := site.Pool(t)
	remote.Each(t.Context(), site.Names, 0, 5*time.Second, func(ctx context.Context, name string) int {
		if _, err := pool.Host(name).Run(ctx, remote.Script("true")); err != nil {
			t.Error(err)
		}
		return 0
	})

	// Only the configured keys, and this one is not among them.
	site.Configure(t, "IdentitiesOnly yes\n")
	unreachable(t, site.Pool(t).Host("h001"), time.Second,
		fmt.Sprintf("h001: root is not let in at %s (tried no key, there is none)", site.Servers[0].Addr()), "ssh-add")
	// Configured by its public half.
	mustWrite(t, site.Dir+"/half.pub", string(ssh.MarshalAuthorizedKey(signer.PublicKey())), 0o600)
	site.Options.IdentityFiles = []string{"~/half"}
	if _, err := site.Pool(t).Host("h001").Run(t.Context(), remote.Script("true")); err != nil {
		t.Error(err)
	}
}

func serveAgent(t *testing.T, keyring agent.Agent, socket string) {
	t.Helper()
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { _ = agent.ServeAgent(keyring, c) }()
		}
	}()
}

// TestOldServer: the algorithms of OpenSSH 6.6, whose RSA is SHA-1 only.
func TestOldServer(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	rsaSigner, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	sha1Only, err := ssh.NewSignerWithAlgorithms(rsaSigner.(ssh.AlgorithmSigner), []string{ssh.KeyAlgoRSA})
	if err != nil {
		t.Fatal(err)
	}
	site := remotetest.NewSite(t, 2, func(i int, c *remotetest.Config) {
		c.Algorithms = ssh.Config{
			KeyExchanges: []string{"curve25519-sha256@libssh.org", "ecdh-sha2-nistp256", "diffie-hellman-group-exchange-sha256"},
			Ciphers:      []string{"aes128-ctr", "aes192-ctr", "aes256-ctr"},
			MACs:         []string{"hmac-sha2-256", "hmac-sha2-512"},
		}
		c.PublicKeyAuth = []string{ssh.KeyAlgoRSA}
		c.Keys = []ssh.PublicKey{rsaSigner.PublicKey()}
		if i == 1 {
			c.HostKey = sha1Only
		}
	})
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	mustWrite(t, site.Dir+"/rsa", string(pem.EncodeToMemory(block)), 0o600)
	site.Options.IdentityFiles = []string{site.Dir + "/rsa"}
	pool := site.Pool(t)
	for _, name := range site.Names {
		if _, err := pool.Host(name).Run(t.Context(), remote.Script("true")); err != nil {
			t.Error(err)
		}
	}
}

func TestMatchIsReadBySSH(t *testing.T) {
	if _, err := exec.LookPath("ssh"); err != nil {
		t.Skip("there is no ssh program to read a Match")
	}
	site := remotetest.NewSite(t, 1, nil)
	included := filepath.Join(site.Dir, "more")
	mustWrite(t, included, fmt.Sprintf("Match originalhost db? exec \"true\"\n HostName 127.0.0.1\n Port %d\n User ops\n IdentityFile ~/none\n IdentityFile %%d/id_ed25519\n",
		site.Servers[0].Addr().Port), 0o600)
	site.Configure(t, "Include "+included)
	site.Options.IdentityFiles = nil
	site.Options.NoSudo = true
	if out, err := site.Pool(t).Host("db7").Run(t.Context(), remote.Script("echo $0", "x")); err != nil || string(out.Stdout) != "sh\n" {
		t.Errorf("%s, %v", out.Stdout, err)
	}
	mustWrite(t, included, "Match exec \"sleep 3\"\n User x\n", 0o600)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	started := time.Now()
	_, err := site.Pool(t).Host("db7").Run(ctx, remote.Script("true"))
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(started) > 2*time.Second {
		t.Errorf("after %s: %v", time.Since(started), err)
	}
}

// TestFanOut: one slow host costs its own row only.
func TestFanOut(t *testing.T) {
	site := remotetest.NewSite(t, 60, func(i int, c *remotetest.Config) {
		c.Handler = remotetest.Echo
		if i == 17 {
			c.Hang = remotetest.HangOutput
		}
	})
	pool := site.Pool(t)
	type row struct {
		err  error
		took time.Duration
	}
	started := time.Now()
	rows := remote.Each(t.Context(), site.Names, 64, 10*time.Second, func(ctx context.Context, name string) row {
		_, err := pool.Host(name).Run(ctx, remote.Command{Args: []string{"uptime"}})
		return row{err, time.Since(started)}
	})
	for i, r := range rows {
		if (r.err != nil) != (i == 17) || i != 17 && r.took > 9500*time.Millisecond {
			t.Errorf("%s: %s, %v", site.Names[i], r.took, r.err)
		}
	}
	if total := time.Since(started); total > 10500*time.Millisecond {
		t.Errorf("took %s", total)
	}
}

func BenchmarkFanOut300(b *testing.B) {
	site := remotetest.NewSite(b, 300, func(_ int, c *remotetest.Config) { c.Handler = remotetest.Echo })
	for b.Loop() {
		pool := remote.NewPool(site.Options)
		remote.Each(b.Context(), site.Names, 0, 10*time.Second, func(ctx context.Context, name string) int {
			if _, err := pool.Host(name).Run(ctx, remote.Command{Args: []string{"uptime"}}); err != nil {
				b.Error(err)
			}
			return 0
		})
		_ = pool.Close()
	}
}
