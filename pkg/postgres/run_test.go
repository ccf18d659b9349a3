package postgres

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pgctl/pgctl/pkg/remote"
)

func me(t *testing.T) string {
	t.Helper()
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return u.Username
}

// TestFollow runs a long command: progress in lines that return to their beginning, an exit code, and its last words.
func TestFollow(t *testing.T) {
	s := On(remote.NewPool(remote.Options{LocalName: "here"}).Host("here"), Settings{})
	var seen []int64
	script := `head -c 5; perl -e "$1" "$2" sh -c 'printf "1/4 kB (25%%), 0/1 tablespace\r3/4 kB (75%%), 0/1 tablespace\r"; echo no room >&2; echo "$PGHOST"; exit 7' || { code=$?; echo "it ended with $code" >&2; exit $code; }`
	t.Setenv("PGHOST", "elsewhere")
	err := s.follow(t.Context(), remote.Script(script, runProgram, me(t)), "said\n", func(p Progress) { seen = append(seen, p.Done>>10) })
	var f *failure
	if !errors.As(err, &f) || f.code != 7 || err.Error() != "here: it ended with 7: said / no room" {
		t.Errorf("%v", err)
	}
	if len(seen) != 2 || seen[0] != 1 || seen[1] != 3 {
		t.Errorf("progress %v", seen)
	}
}

// TestRunEnds: when whoever asked has gone, the program ends, with those that it started.
func TestRunEnds(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	c := exec.CommandContext(t.Context(), "setsid", "sh", "-c", `perl -e "$1" "$2" sh -c 'sleep 61 & echo $! $$ > "$1.part"; mv "$1.part" "$1"; wait' sh "$3"`, "sh", runProgram, me(t), pids)
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var text []byte
	for text == nil {
		if ctx.Err() != nil {
			t.Fatal("it did not start")
		}
		text, _ = os.ReadFile(pids)
		time.Sleep(10 * time.Millisecond)
	}
	_ = in.Close()
	_ = c.Wait()
	for pid := range strings.FieldsSeq(string(text)) {
		if n, err := strconv.Atoi(pid); err != nil || alive(n) {
			t.Errorf("process %s is still there, %v", pid, err)
		}
	}
}

func alive(pid int) bool {
	for range 50 {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return false
		}
		time.Sleep(10 * time.Millisecond)
	}
	return true
}

// TestListen: the socket leads to standard input and output, both ways, until one side ends.
func TestListen(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "s")
	c := exec.CommandContext(t.Context(), "perl", "-e", listenProgram, me(t), socket)
	in, errIn := c.StdinPipe()
	out, errOut := c.StdoutPipe()
	if err := errors.Join(errIn, errOut, c.Start()); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	read := func(want string) {
		t.Helper()
		n, err := out.Read(buf)
		if string(buf[:n]) != want {
			t.Fatalf("got %q, %v, expected %q", buf[:n], err, want)
		}
	}
	read("listening\n")
	client := dialUnix(t, socket)
	read("accepted\n")
	if _, err := client.Write([]byte("ask")); err != nil {
		t.Fatal(err)
	}
	read("ask")
	if _, err := in.Write([]byte("answer")); err != nil {
		t.Fatal(err)
	}
	if n, err := client.Read(buf); string(buf[:n]) != "answer" {
		t.Errorf("got %q, %v", buf[:n], err)
	}
	_ = in.Close()
	if err := c.Wait(); err != nil {
		t.Error(err)
	}
}

func dialUnix(t *testing.T, path string) net.Conn {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// TestRunKilled: a program that is killed has ended, although one that it started stays and holds its output.
func TestRunKilled(t *testing.T) {
	s := On(remote.NewPool(remote.Options{LocalName: "here"}).Host("here"), Settings{})
	script := `perl -e "$1" "$2" sh -c 'sleep 30 & kill -9 $$' || { code=$?; echo "it ended with $code" >&2; exit $code; }`
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var f *failure
	if err := s.follow(ctx, remote.Script(script, runProgram, me(t)), "", nil); !errors.As(err, &f) || f.code != 137 {
		t.Errorf("%v", err)
	}
}
