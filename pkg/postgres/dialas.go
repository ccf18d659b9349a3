package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// errNoEntry is returned, beside the reason, when an operating system user is not there, cannot be become, or may not get to the socket.
var errNoEntry = errors.New("no way to PostgreSQL's socket")

// identity is an operating system user, as peer authentication sees it.
type identity struct{ uid, gid int }

// dialAs connects to a Unix socket as that user. PostgreSQL's peer authentication asks the kernel who connected (manual, "Peer
// Authentication"; getpeereid in auth.c), and the kernel keeps the effective user of the thread that called connect (unix(7), SO_PEERCRED).
// So one thread becomes the user for that call, and no process is started. A program that is not root connects as whom it runs.
//
// A socket whose queue is full, as a stopped postmaster's is, is tried again until ctx ends.
func dialAs(ctx context.Context, as identity, path string) (net.Conn, error) {
	for {
		conn, err := tryDialAs(as, path)
		if !errors.Is(err, unix.EAGAIN) {
			return conn, err
		}
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return nil, fmt.Errorf("%s: its queue is full: %w", path, err)
		}
	}
}

// tryDialAs tries it once.
func tryDialAs(as identity, path string) (net.Conn, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	socket := os.NewFile(uintptr(fd), path)
	defer socket.Close() // net.FileConn takes a copy
	address := &unix.SockaddrUnix{Name: path}
	if os.Geteuid() != 0 || as.uid == 0 {
		err = unix.Connect(fd, address)
	} else {
		done := make(chan error, 1)
		go connectAs(as, fd, address, done)
		err = <-done
	}
	switch {
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return nil, fmt.Errorf("%w: %s: %w", errNoEntry, path, err)
	case err != nil:
		return nil, &net.OpError{Op: "dial", Net: "unix", Addr: &net.UnixAddr{Name: path, Net: "unix"}, Err: os.NewSyscallError("connect", err)}
	}
	return net.FileConn(socket)
}

// connectAs runs on a thread of its own, which ends with it unless it is again as it was. The calls are made raw, as those of the package
// syscall change every thread of the program.
func connectAs(as identity, fd int, address unix.Sockaddr, done chan<- error) {
	runtime.LockOSThread()
	was := identity{unix.Geteuid(), unix.Getegid()}
	groups, err := unix.Getgroups()
	if err == nil {
		if err = become(as, []int{as.gid}); err == nil {
			err = unix.Connect(fd, address)
		}
		if restore(was, groups) == nil {
			runtime.UnlockOSThread()
		}
	}
	done <- err
}

// become sets the groups, the effective group and the effective user of this thread, in the order in which it may; the real and the saved user stay.
func become(who identity, groups []int) error {
	return errors.Join(setGroups(groups), setEffective(unix.SYS_SETRESGID, who.gid), setEffective(unix.SYS_SETRESUID, who.uid))
}

// restore takes become back.
func restore(was identity, groups []int) error {
	return errors.Join(setEffective(unix.SYS_SETRESUID, was.uid), setEffective(unix.SYS_SETRESGID, was.gid), setGroups(groups))
}

func setGroups(groups []int) error {
	list := make([]uint32, len(groups)+1) // one more, so that it has an address
	for i, g := range groups {
		list[i] = uint32(g)
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(&list[0])), 0); errno != 0 {
		return errno
	}
	return nil
}

// setEffective is setresuid or setresgid that leaves the real and the saved one as they are.
func setEffective(call uintptr, id int) error {
	const keep = ^uintptr(0)
	if _, _, errno := unix.RawSyscall(call, keep, uintptr(id), keep); errno != 0 {
		return errno
	}
	return nil
}

// sleep waits so long, or until ctx ends: its error then.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
