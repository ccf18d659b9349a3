package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// sshHost is a host that is reached over SSH.
type sshHost struct {
	pool *Pool
	name string

	mu     sync.Mutex
	target *target // once it is known
}

func (h *sshHost) Name() string { return h.name }

func (h *sshHost) Run(ctx context.Context, cmd Command) (Result, error) {
	waited := stopwatch(ctx)
	p, c, err := h.start(ctx, cmd)
	if err != nil {
		return Result{}, err
	}
	result, err := p.run(ctx, h.name, cmd, waited)
	var late *Interrupted
	if errors.As(err, &late) {
		c.suspect.Store(true)
	}
	return result, err
}

func (h *sshHost) Pipe(ctx context.Context, cmd Command) (net.Conn, error) {
	if cmd.Stdin != nil {
		return nil, errPipeStdin
	}
	p, _, err := h.start(ctx, cmd)
	if err != nil {
		return nil, err
	}
	return p.pipe(h.name, cmd.Args), nil
}

func (h *sshHost) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if err := checkNetwork(network); err != nil {
		return nil, err
	}
	waited := stopwatch(ctx)
	for try := 0; ; try++ {
		l, c, err := h.client(ctx)
		if err != nil {
			return nil, err
		}
		conn, err := c.dial(ctx, network, addr)
		var refused *ssh.OpenChannelError
		switch {
		case err == nil:
			return conn, nil
		case errors.As(err, &refused):
			return nil, &DialError{
				Host: h.name, Network: network, Addr: addr, Cause: errors.New(refused.Message),
				Refused:   strings.Contains(refused.Message, "Connection refused"), // strerror(3), which sshd never translates
				Forbidden: refused.Reason == ssh.Prohibited,
			}
		case ctx.Err() != nil:
			cause := fmt.Errorf("no answer within %s: %w", round(waited()), ctx.Err())
			return nil, &DialError{Host: h.name, Network: network, Addr: addr, Cause: cause}
		case try > 0 || c.usable():
			return nil, lost(h.name, nil, err)
		}
		l.forget(c)
	}
}

// start starts a command. When the connection turns out to be dead before the
// command has left, or sshd takes no session on it, it is made again, once.
func (h *sshHost) start(ctx context.Context, cmd Command) (*process, *client, error) {
	if _, err := cmd.argv(false); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", h.name, err)
	}
	waited := stopwatch(ctx)
	for try := 0; ; try++ {
		l, c, err := h.client(ctx)
		if err != nil {
			return nil, nil, err
		}
		argv, err := cmd.argv(l.target.user != defaultUser && !h.pool.opts.NoSudo)
		if err != nil {
			return nil, nil, err
		}
		if try == 0 {
			h.pool.log(h.name, argv)
		}
		p, err := c.start(ctx, commandLine(argv))
		switch {
		case err == nil:
			return p, c, nil
		case ctx.Err() != nil && errors.Is(err, ctx.Err()):
			return nil, nil, h.notStarted(cmd, err, waited())
		case try > 0 || !errors.Is(err, errNotSent) && !errors.Is(err, errRefused):
			return nil, nil, h.startFailed(cmd, l.target, err)
		}
		l.forget(c)
	}
}

// client gives the connection to the host.
func (h *sshHost) client(ctx context.Context) (*link, *client, error) {
	t, err := h.resolved(ctx)
	if err != nil {
		return nil, nil, &Unreachable{
			Host: h.name, Cause: err, Message: fmt.Sprintf("%s: %v", h.name, err),
			Hint: "correct the SSH configuration (~/.ssh/config, /etc/ssh/ssh_config) or the inventory",
		}
	}
	l := h.pool.link(t)
	c, err := l.get(ctx, nil)
	if errors.Is(err, errClosed) {
		return nil, nil, fmt.Errorf("%s: %w", h.name, err)
	}
	return l, c, err
}

// resolved gives the target of the host, found out on first use. Several first
// users may find it out at once, for each has a context of its own.
func (h *sshHost) resolved(ctx context.Context) (*target, error) {
	h.mu.Lock()
	known := h.target
	h.mu.Unlock()
	if known != nil {
		return known, nil
	}
	t, err := h.pool.resolve(ctx, h.name)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.target = t
	return t, nil
}

// notStarted is the error when the time was over before the command ran.
func (h *sshHost) notStarted(cmd Command, err error, waited time.Duration) error {
	var others *busy
	switch {
	case errors.Is(err, context.Canceled):
		return &Interrupted{Host: h.name, Args: cmd.Args, Waited: waited, Cause: err}
	case errors.As(err, &others):
		return &Unreachable{
			Host: h.name, Cause: err, Hint: "give it more time, or fewer commands at once",
			Message: fmt.Sprintf("%s: %d commands were running there already, none ended within %s", h.name, others.commands, round(waited)),
		}
	default:
		return &Unreachable{
			Host: h.name, Cause: err, Hint: "it may hang (disk, memory): look at its console",
			Message: fmt.Sprintf("%s: connected, but sshd did not start a command within %s", h.name, round(waited)),
		}
	}
}

// startFailed is the error when sshd did not start the command.
func (h *sshHost) startFailed(cmd Command, t *target, err error) error {
	switch {
	case errors.Is(err, errRefused):
		return &Unreachable{
			Host: h.name, Cause: err, Hint: "are there leftover commands, or is MaxSessions 0 in its sshd_config?",
			Message: fmt.Sprintf("%s: sshd refuses to open a session: %v", h.name, err),
		}
	case errors.Is(err, errNoExec):
		return &Unreachable{
			Host: h.name, Cause: err, Hint: "look for a forced command in authorized_keys and sshd_config",
			Message: fmt.Sprintf("%s: sshd refuses to run commands for %s", h.name, t.user),
		}
	default:
		return lost(h.name, cmd.Args, err)
	}
}

// lost is the error when a connection ended under a command (args) or under the
// making of another connection (nil).
func lost(host string, args []string, err error) *Unreachable {
	u := &Unreachable{
		Host: host, Cause: err, Hint: "did the host restart, or sshd? try again",
		Message: host + ": the SSH connection was lost",
	}
	if args != nil {
		u.Message += " while " + describe(args) + " ran"
		u.Hint = "did the host restart, or sshd? whether the command did its work is not known"
	}
	return u
}

// errPipeStdin is returned by Pipe for a Command that has a Stdin.
var errPipeStdin = errors.New("a command of Pipe takes its input from the connection")

func checkNetwork(network string) error {
	if network != "tcp" && network != "unix" {
		return fmt.Errorf("network %q is neither tcp nor unix", network)
	}
	return nil
}
