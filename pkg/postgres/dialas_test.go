package postgres

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// nobody is a user that no test runs as.
func nobody(t *testing.T) identity {
	t.Helper()
	u, err := user.Lookup("nobody")
	if err != nil {
		t.Skip("there is no user nobody on this host")
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	return identity{uid, gid}
}

// openDir is a directory that everybody may look into.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "dial")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestDialAs: the other side sees the user, and every thread of the program is root's afterwards.
func TestDialAs(t *testing.T) {
	needRoot(t)
	who := nobody(t)
	path := filepath.Join(openDir(t), "socket")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if err := os.Chmod(path, 0o777); err != nil {
		t.Fatal(err)
	}
	const dials = 200
	seen := make(chan unix.Ucred, dials)
	go func() {
		for range dials {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			rawConn, _ := conn.(*net.UnixConn).SyscallConn()
			_ = rawConn.Control(func(fd uintptr) {
				if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
					seen <- *cred
				}
			})
			_, _ = io.WriteString(conn, "hello")
			conn.Close()
		}
	}()
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for range dials / 8 {
				conn, err := dialAs(t.Context(), who, path)
				if err != nil {
					t.Error(err)
					return
				}
				if text, err := io.ReadAll(conn); err != nil || string(text) != "hello" {
					t.Errorf("%q, %v", text, err)
				}
				conn.Close()
				if cred := <-seen; int(cred.Uid) != who.uid || int(cred.Gid) != who.gid || int(cred.Pid) != os.Getpid() {
					t.Errorf("the other side saw %+v", cred)
				}
			}
		})
	}
	wait.Wait()
	threads, err := filepath.Glob("/proc/self/task/*/status")
	if err != nil || len(threads) == 0 {
		t.Fatal(threads, err)
	}
	for _, name := range threads {
		status, _ := os.ReadFile(name)
		for line := range strings.Lines(string(status)) {
			if f := strings.Fields(line); len(f) > 4 && (f[0] == "Uid:" || f[0] == "Gid:") && strings.Join(f[1:5], " ") != "0 0 0 0" {
				t.Errorf("%s: %s", name, line)
			}
		}
	}
	if _, err := os.Open("/proc/self/mem"); err != nil { // what only root of every capability may
		t.Error(err)
	}
}

// TestDialAsKeptOut: a socket that the user may not get to is no way in, though root might.
func TestDialAsKeptOut(t *testing.T) {
	needRoot(t)
	path := filepath.Join(openDir(t), "socket")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for name, mode := range map[string]os.FileMode{"root's": 0o700, "a group's that root is in": 0o770} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if conn, err := dialAs(t.Context(), nobody(t), path); !errors.Is(err, errNoEntry) || !noLogin(err) {
			t.Errorf("%s: %v, %v", name, conn, err)
		}
	}
	if _, err := dialAs(t.Context(), nobody(t), path+".none"); err == nil || errors.Is(err, errNoEntry) {
		t.Errorf("no socket: %v", err)
	}
}

// TestDialAsFullQueue is a postmaster that is stopped: its queue fills, and nobody waits for longer than asked.
func TestDialAsFullQueue(t *testing.T) {
	path := filepath.Join(openDir(t), "socket")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: path}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o777); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	for range 10 {
		conn, err := dialAs(ctx, identity{os.Geteuid(), os.Getegid()}, path)
		if err != nil {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v", err)
			}
			return
		}
		defer conn.Close()
	}
	t.Error("the queue never filled")
}
