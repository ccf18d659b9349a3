package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// localHost is the machine the program runs on.
type localHost struct {
	name string
	sudo bool
	log  func(host string, argv []string)
}

func (h *localHost) Name() string { return h.name }

func (h *localHost) Run(ctx context.Context, cmd Command) (Result, error) {
	waited := stopwatch(ctx)
	p, err := h.start(ctx, cmd)
	if err != nil {
		return Result{}, err
	}
	return p.run(ctx, h.name, cmd, waited)
}

func (h *localHost) Pipe(ctx context.Context, cmd Command) (net.Conn, error) {
	if cmd.Stdin != nil {
		return nil, errPipeStdin
	}
	p, err := h.start(ctx, cmd)
	if err != nil {
		return nil, err
	}
	return p.pipe(h.name, cmd.Args), nil
}

func (h *localHost) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if err := checkNetwork(network); err != nil {
		return nil, err
	}
	var dialer net.Dialer
	c, err := dialer.DialContext(ctx, network, addr)
	if err != nil {
		return nil, &DialError{Host: h.name, Network: network, Addr: addr, Cause: err, Refused: errors.Is(err, syscall.ECONNREFUSED)}
	}
	return c, nil
}

// start starts the command in a process group of its own.
func (h *localHost) start(ctx context.Context, cmd Command) (*process, error) {
	argv, err := cmd.argv(h.sudo)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", h.name, err)
	}
	if err := ctx.Err(); err != nil {
		return nil, &Interrupted{Host: h.name, Args: cmd.Args, Cause: err}
	}
	h.log(h.name, argv)
	c := exec.Command(argv[0], argv[1:]...)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p, err := startLocal(c)
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
		// What a shell says, so that a caller sees the same here as over SSH.
		return nil, &ExitError{Host: h.name, Args: cmd.Args, Code: 127, Stderr: []byte(err.Error())}
	}
	if errors.Is(err, os.ErrPermission) {
		return nil, &ExitError{Host: h.name, Args: cmd.Args, Code: 126, Stderr: []byte(err.Error())}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", h.name, describe(cmd.Args), err)
	}
	return p, nil
}

// startLocal starts c with three pipes. The pipes are made here, not by c, so
// that waiting for the process does not wait for whoever else holds them.
func startLocal(c *exec.Cmd) (*process, error) {
	var ours, theirs []*os.File
	closeAll := func(files []*os.File) {
		for _, f := range files {
			f.Close()
		}
	}
	for range 3 {
		r, w, err := os.Pipe()
		if err != nil {
			closeAll(append(ours, theirs...))
			return nil, err
		}
		if len(ours) == 0 {
			r, w = w, r // of the first, standard input, we have the writing end
		}
		ours, theirs = append(ours, r), append(theirs, w)
	}
	c.Stdin, c.Stdout, c.Stderr = theirs[0], theirs[1], theirs[2]
	err := c.Start()
	closeAll(theirs)
	if err != nil {
		closeAll(ours)
		return nil, err
	}

	p := &process{stdin: ours[0], stdout: ours[1], stderr: ours[2], done: make(chan struct{})}
	var reaped sync.Mutex // held while the process is known to be there
	gone := false
	p.kill = func() {
		reaped.Lock()
		defer reaped.Unlock()
		// Once the process is reaped its number can be another's. What it left
		// behind is left alone: it may be a service that it started.
		if !gone {
			_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
		}
		closeAll(ours)
	}
	go func() {
		defer close(p.done)
		for {
			err := unix.Waitid(unix.P_PID, c.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
			if !errors.Is(err, unix.EINTR) {
				break
			}
		}
		reaped.Lock()
		defer reaped.Unlock()
		gone = true
		p.code, p.err = exitCode(c.Wait())
	}()
	return p, nil
}

// exitCode reads the answer of exec.Cmd.Wait as a shell would.
func exitCode(err error) (int, error) {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return 0, err
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return exit.ExitCode(), nil
}
