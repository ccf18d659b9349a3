package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

const (
	// maxSessions bounds the commands that run at once on one connection.
	// MaxSessions of sshd is 10 by default, and counts also the commands that
	// outlived their channel.
	maxSessions = 8
	// pingTimeout is how long a connection on which something hung has to prove
	// that it lives before it is used again.
	pingTimeout = 2 * time.Second
)

var (
	// errNotSent is returned when the connection was dead before the request left
	// this machine, so that it is safe to ask again on another one.
	errNotSent = errors.New("the connection has died")
	// errRefused is returned when sshd takes no further session.
	errRefused = errors.New("no further session")
	// errShrunk is returned when sshd took no further session for now.
	errShrunk = errors.New("one session less")
	// errNoExec is returned when sshd opens a session and runs no command in it.
	errNoExec = errors.New("sshd runs no commands")
)

// busy is returned when no other command ended in time to start this one.
type busy struct {
	commands int
	cause    error
}

func (b *busy) Error() string { return b.cause.Error() }
func (b *busy) Unwrap() error { return b.cause }

// client is one SSH connection with the commands and connections on it.
type client struct {
	ssh  *ssh.Client
	dead chan struct{} // closed when the connection has ended
	// suspect is set when something hung on the connection.
	suspect atomic.Bool
	slots   chan struct{} // one element for each command, or for each that sshd refused

	mu      sync.Mutex
	refused int // elements of slots that nobody gives back
	users   int
	retired bool
}

func newClient(c ssh.Conn, chans <-chan ssh.NewChannel, reqs <-chan *ssh.Request) *client {
	cl := &client{
		ssh:   ssh.NewClient(c, chans, reqs),
		dead:  make(chan struct{}),
		slots: make(chan struct{}, maxSessions),
	}
	go func() {
		defer close(cl.dead)
		_ = cl.ssh.Wait()
	}()
	return cl
}

// ended tells whether the connection has ended.
func (c *client) ended() bool {
	select {
	case <-c.dead:
		return true
	default:
		return false
	}
}

// usable tells whether something new may be begun on the connection.
func (c *client) usable() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.retired && !c.ended()
}

// verify asks a suspect connection for a sign of life and ends it if none comes.
func (c *client) verify(ctx context.Context) bool {
	if !c.suspect.CompareAndSwap(true, false) {
		return true
	}
	wait := pingTimeout
	if end, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(end)/2)
	}
	answer := make(chan error, 1)
	go func() {
		_, _, err := c.ssh.SendRequest("keepalive@openssh.com", true, nil)
		answer <- err // a refusal is an answer too: ok is false, err nil
	}()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case err := <-answer:
		return err == nil
	case <-timer.C:
		go c.ssh.Close()
		return false
	}
}

// hold counts a user of the connection.
func (c *client) hold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.users++
}

// drop ends what hold began.
func (c *client) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.users--
	if c.retired && c.users == 0 {
		go c.ssh.Close()
	}
}

// retire lets the connection end with its last user.
func (c *client) retire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.retired = true
	if c.users == 0 {
		go c.ssh.Close()
	}
}

// start starts a command. Where sshd takes fewer sessions than maxSessions the
// client learns it and waits for one of its own to end.
func (c *client) start(ctx context.Context, line string) (*process, error) {
	for {
		select {
		case c.slots <- struct{}{}:
		case <-c.dead:
			return nil, errNotSent
		case <-ctx.Done():
			return nil, &busy{commands: cap(c.slots), cause: ctx.Err()}
		}
		c.hold()
		p, err := within(ctx, c, func() (*process, error) { return c.open(line) })
		if !errors.Is(err, errShrunk) {
			return p, err
		}
	}
}

// open opens a session and starts line in it. It gives back the slot and the
// user of the client when the session has ended.
func (c *client) open(line string) (*process, error) {
	free := func() {
		<-c.slots
		c.drop()
	}
	channel, requests, err := c.ssh.OpenChannel("session", nil)
	var rejected *ssh.OpenChannelError
	switch {
	case errors.As(err, &rejected):
		c.drop()
		return nil, c.shrink(rejected)
	case err != nil:
		free()
		return nil, fmt.Errorf("%w: %w", errNotSent, err)
	}
	p := &process{
		stdin: input{channel}, stdout: channel, stderr: channel.Stderr(),
		kill: sync.OnceFunc(func() { go channel.Close() }),
		done: make(chan struct{}),
	}
	go func() {
		defer free()
		defer close(p.done)
		p.code, p.err = exitStatus(requests)
	}()
	ok, err := channel.SendRequest("exec", true, ssh.Marshal(struct{ Command string }{line}))
	if err == nil && !ok {
		err = errNoExec
	}
	if err != nil {
		p.kill()
		return nil, err
	}
	return p, nil
}

// shrink gives up a slot for good after sshd rejected a session. The last one
// cannot be given up.
func (c *client) shrink(rejected *ssh.OpenChannelError) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused++
	if c.refused < cap(c.slots) {
		return errShrunk
	}
	return fmt.Errorf("%w: %s", errRefused, rejected.Message)
}

// dial opens a connection as seen from the host.
func (c *client) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c.hold()
	there, err := within(ctx, c, func() (*forwarded, error) {
		conn, err := c.ssh.Dial(network, addr)
		if err != nil {
			c.drop()
			return nil, err
		}
		return &forwarded{conn, c}, nil
	})
	if err != nil {
		return nil, err
	}
	closeWrite := func() error { return nil }
	if half, ok := there.Conn.(interface{ CloseWrite() error }); ok {
		closeWrite = half.CloseWrite
	}
	return newConn(stream{there, there, closeWrite, there.kill, nil}, address{network, "pgctl"}, address{network, addr}), nil
}

// forwarded is a connection through the client.
type forwarded struct {
	net.Conn
	client *client
}

func (f *forwarded) kill() {
	f.Conn.Close()
	f.client.drop()
}

// within waits for open until ctx ends, and then leaves it to itself: what it
// opens too late is ended again.
func within[T interface{ end() }](ctx context.Context, c *client, open func() (T, error)) (T, error) {
	type opened struct {
		what T
		err  error
	}
	answer := make(chan opened, 1)
	go func() {
		what, err := open()
		answer <- opened{what, err}
	}()
	select {
	case o := <-answer:
		return o.what, o.err
	case <-ctx.Done():
		c.suspect.Store(true)
		go func() {
			if o := <-answer; o.err == nil {
				o.what.end()
			}
		}()
		var none T
		return none, ctx.Err()
	}
}

func (p *process) end()   { p.kill() }
func (f *forwarded) end() { f.kill() }

// input is the standard input of a command over SSH.
type input struct{ channel ssh.Channel }

func (i input) Write(p []byte) (int, error) { return i.channel.Write(p) }
func (i input) Close() error                { return i.channel.CloseWrite() }

// exitStatus reads how the command of a session ended; requests ends with it.
func exitStatus(requests <-chan *ssh.Request) (code int, err error) {
	err = io.ErrUnexpectedEOF
	for r := range requests {
		switch r.Type {
		case "exit-status":
			var status struct{ Code uint32 }
			if ssh.Unmarshal(r.Payload, &status) == nil {
				code, err = int(status.Code), nil
			}
		case "exit-signal":
			var status struct {
				Signal        string
				Core          bool
				Message, Lang string
			}
			if ssh.Unmarshal(r.Payload, &status) == nil {
				code, err = 128+signalNumber(status.Signal), nil
			}
		}
		if r.WantReply {
			_ = r.Reply(false, nil)
		}
	}
	return code, err
}

// signalNumber is the number of a signal that SSH names without SIG.
func signalNumber(name string) int {
	return int(unix.SignalNum("SIG" + name))
}
