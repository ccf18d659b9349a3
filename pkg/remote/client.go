package remote

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

const (
	// maxSessions bounds the commands that run at once on one connection.
	// MaxSessions of sshd is 10 by default, and counts also the commands that
	// outlived their channel.
	maxSessions = 8
	// pingTimeout is how long a connection on which something hung has to prove
	// that it lives before it is used again.
	pingTimeout = 2 * time.Second
	// refusedRest is how long a session that sshd rejected is not tried again.
	refusedRest = time.Minute
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
	refused int // elements of slots that stand for a rejected session
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
