package remote_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgctl/pgctl/pkg/remote"
	"github.com/pgctl/pgctl/pkg/remote/remotetest"
)

// onBoth runs a test on the local machine and over SSH: both must behave alike.
func onBoth(t *testing.T, test func(t *testing.T, h remote.Host)) {
	t.Run("local", func(t *testing.T) {
		pool := remote.NewPool(remote.Options{LocalName: "here", NoSudo: true})
		test(t, pool.Host("here"))
	})
	t.Run("ssh", func(t *testing.T) {
		site := remotetest.NewSite(t, 1, nil)
		test(t, site.Pool(t).Host("h001"))
	})
}

func TestRun(t *testing.T) {
	onBoth(t, func(t *testing.T, h remote.Host) {
		cmd := remote.Script(`cat; printf '%s|' "$@"; echo oops >&2`, "a b", "it's", "$x\n*")
		cmd.Stdin = strings.NewReader("input\n")
		result, err := h.Run(t.Context(), cmd)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := string(result.Stdout), "input\na b|it's|$x\n*|"; got != want {
			t.Errorf("stdout %q, want %q", got, want)
		}
		if got := string(result.Stderr); got != "oops\n" {
			t.Errorf("stderr %q", got)
		}
	})
}

func TestRunBinaryAndLarge(t *testing.T) {
	data := make([]byte, 3<<20)
	for i := range data {
		data[i] = byte(i * 7)
	}
	onBoth(t, func(t *testing.T, h remote.Host) {
		result, err := h.Run(t.Context(), remote.Command{Args: []string{"cat"}, Stdin: bytes.NewReader(data)})
		if err != nil || !bytes.Equal(result.Stdout, data) {
			t.Errorf("%d bytes came back, %v", len(result.Stdout), err)
		}
	})
}

func TestRunExitCode(t *testing.T) {
	onBoth(t, func(t *testing.T, h remote.Host) {
		_, err := h.Run(t.Context(), remote.Script("echo $1 >&2; exit 7", "no  such\tthing"))
		var exit *remote.ExitError
		if !errors.As(err, &exit) {
			t.Fatalf("error %v", err)
		}
		if exit.Code != 7 || string(exit.Stderr) != "no such thing\n" {
			t.Errorf("exit %d, stderr %q", exit.Code, exit.Stderr)
		}
		if want := h.Name() + ": sh -c 'echo $1 >&2; exit 7' sh 'no such thing': exit code 7: no such thing"; err.Error() != want {
			t.Errorf("%s, want\n%s", err, want)
		}
		_, err = h.Run(t.Context(), remote.Command{Args: []string{"no-such-program-here"}})
		if !errors.As(err, &exit) || exit.Code != 127 {
			t.Errorf("unknown program: %v", err)
		}
	})
}

func TestRunRefusesNUL(t *testing.T) {
	onBoth(t, func(t *testing.T, h remote.Host) {
		_, err := h.Run(t.Context(), remote.Command{Args: []string{"echo", "a\x00b"}})
		if err == nil || err.Error() != h.Name()+": NUL byte in the arguments of echo" {
			t.Errorf("error %v", err)
		}
		if _, err = h.Run(t.Context(), remote.Command{}); err == nil {
			t.Error("an empty command ran")
		}
	})
}

func TestRunBrokenInput(t *testing.T) {
	onBoth(t, func(t *testing.T, h remote.Host) {
		file := filepath.Join(t.TempDir(), "done")
		cmd := remote.Script(`cat >/dev/null; echo >"$1"`, file)
		broken := errors.New("disk gone")
		cmd.Stdin = io.MultiReader(strings.NewReader("half"), &failing{broken})
		if _, err := h.Run(t.Context(), cmd); !errors.Is(err, broken) {
			t.Errorf("error %v", err)
		}
	})
}

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }

func TestRunDeadline(t *testing.T) {
	onBoth(t, func(t *testing.T, h remote.Host) {
		if _, err := h.Run(t.Context(), remote.Script("true")); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		started := time.Now()
		result, err := h.Run(ctx, remote.Script("echo begun; echo why >&2; exec sleep 5"))
		if took := time.Since(started); took > 2*time.Second {
			t.Errorf("took %s", took)
		}
		var late *remote.Interrupted
		if !errors.As(err, &late) || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("error %v", err)
		}
		if want := h.Name() + ": sh -c 'echo begun; echo why >&2; exec sleep 5' sh did not end within 200ms: why"; err.Error() != want {
			t.Errorf("%s, want\n%s", err, want)
		}
		if string(result.Stdout) != "begun\n" {
			t.Errorf("stdout %q", result.Stdout)
		}
	})
}

func TestLocalKillsTheGroup(t *testing.T) {
	file := filepath.Join(t.TempDir(), "alive")
	h := remote.NewPool(remote.Options{LocalName: "here", NoSudo: true}).Host("here")
	ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
	defer cancel()
	_, err := h.Run(ctx, remote.Script(`(sleep 0.6; echo >"$1") & wait`, file))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("error %v", err)
	}
	time.Sleep(800 * time.Millisecond)
	if _, err := os.Stat(file); err == nil {
		t.Error("the child of the command went on")
	}
}

func TestPipe(t *testing.T) {
	onBoth(t, func(t *testing.T, h remote.Host) {
		c, err := h.Pipe(t.Context(), remote.Command{Args: []string{"cat"}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, "ping"); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 4)
		if _, err := io.ReadFull(c, buf); err != nil || string(buf) != "ping" {
			t.Fatalf("read %q, %v", buf, err)
		}
		// A deadline that passes ends the read, not the connection.
		for range 2 {
			started := time.Now()
			_ = c.SetReadDeadline(started.Add(100 * time.Millisecond))
			_, err := c.Read(buf)
			var timeout net.Error
			if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() {
				t.Fatalf("read past the deadline: %v", err)
			}
			if took := time.Since(started); took < 90*time.Millisecond || took > 2*time.Second {
				t.Errorf("took %s", took)
			}
		}
		_ = c.SetDeadline(time.Now().Add(-time.Second))
		if _, err := c.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("write past the deadline: %v", err)
		}
		_ = c.SetDeadline(time.Time{})
		if _, err := io.WriteString(c, "pong"); err != nil {
			t.Fatal(err)
		}
		_ = c.(interface{ CloseWrite() error }).CloseWrite()
		if rest, err := io.ReadAll(c); err != nil || string(rest) != "pong" {
			t.Errorf("the rest is %q, %v", rest, err)
		}
	})
}

func TestPipeDeadlineMovedWhileReading(t *testing.T) {
	onBoth(t, func(t *testing.T, h remote.Host) {
		c, err := h.Pipe(t.Context(), remote.Command{Args: []string{"cat"}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		time.AfterFunc(100*time.Millisecond, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read: %v", err)
		}
	})
}

func TestPipeFailure(t *testing.T) {
	onBoth(t, func(t *testing.T, h remote.Host) {
		c, err := h.Pipe(t.Context(), remote.Script("echo hello; echo no such user >&2; exit 3"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		got, err := io.ReadAll(c)
		var exit *remote.ExitError
		if string(got) != "hello\n" || !errors.As(err, &exit) || exit.Code != 3 || string(exit.Stderr) != "no such user\n" {
			t.Errorf("read %q, %v", got, err)
		}
	})
}

func TestPipeCloseUnblocks(t *testing.T) {
	onBoth(t, func(t *testing.T, h remote.Host) {
		c, err := h.Pipe(t.Context(), remote.Script("exec sleep 3"))
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(50*time.Millisecond, func() { c.Close() })
		started := time.Now()
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) || time.Since(started) > time.Second {
			t.Errorf("read of a closed pipe after %s: %v", time.Since(started), err)
		}
		if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("write to a closed pipe: %v", err)
		}
		// A command that reads nothing: the write ends at its deadline.
		c, err = h.Pipe(t.Context(), remote.Script("exec sleep 3"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
		if _, err := c.Write(make([]byte, 8<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("write that nobody reads: %v", err)
		}
	})
}

func TestDial(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	for network, addr := range map[string]string{"tcp": "127.0.0.1:0", "unix": socket} {
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
		there := listener.Addr().String()
		onBoth(t, func(t *testing.T, h remote.Host) {
			c, err := h.Dial(t.Context(), network, there)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if got := c.RemoteAddr(); got.String() != there || got.Network() != network {
				t.Errorf("RemoteAddr %s %s", got.Network(), got)
			}
			_, _ = io.WriteString(c, "echo")
			_ = c.(interface{ CloseWrite() error }).CloseWrite()
			if got, err := io.ReadAll(c); err != nil || string(got) != "echo" {
				t.Errorf("read %q, %v", got, err)
			}
		})
	}
}

func TestDialRefused(t *testing.T) {
	onBoth(t, func(t *testing.T, h remote.Host) {
		for network, addr := range map[string]string{"tcp": "127.0.0.1:1", "unix": "/nowhere/.s"} {
			_, err := h.Dial(t.Context(), network, addr)
			var refused *remote.DialError
			if !errors.As(err, &refused) || refused.Addr != addr {
				t.Errorf("%s: %v", network, err)
			}
		}
		if _, err := h.Dial(t.Context(), "udp", "127.0.0.1:1"); err == nil {
			t.Error("udp dialled")
		}
	})
}

func TestLogHasTheFinalFormAndNoInput(t *testing.T) {
	site := remotetest.NewSite(t, 1, func(_ int, c *remotetest.Config) { c.Handler = remotetest.Echo })
	var mu sync.Mutex
	var lines []string
	site.Options.User = "ops"
	site.Options.Log = func(host, command string) {
		mu.Lock()
		defer mu.Unlock()
		lines = append(lines, host+"$ "+command)
	}
	cmd := remote.Script("a\nb", "it's")
	cmd.Stdin = strings.NewReader("geheim")
	result, err := site.Pool(t).Host("h001").Run(t.Context(), cmd)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(result.Stdout), "sudo -n -- /bin/sh -c 'a\nb' sh 'it'\\''s'\ngeheim"; got != want {
		t.Errorf("the host got %q, want %q", got, want)
	}
	want := `h001$ sudo -n -- /bin/sh -c 'a ...' sh 'it'\''s'`
	if len(lines) != 1 || lines[0] != want {
		t.Errorf("log %q, want %q", lines, want)
	}
}
