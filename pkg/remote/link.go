package remote

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// maxDial bounds an attempt to connect whose users have no deadline. It is the
// time sshd gives a login (LoginGraceTime).
const maxDial = 2 * time.Minute

// errClosed is returned when the Pool has been closed.
var errClosed = errors.New("the connection pool is closed")

// link is the one connection to a target: made on first use, shared, and made
// again when it has died.
type link struct {
	target *target
	dial   func(context.Context, *target, *progress) (*client, error)

	mu      sync.Mutex
	current *client
	retired []*client // may still have users
	attempt *attempt
	closed  bool
}

// attempt is a connection being made. It goes on while anybody waits for it.
type attempt struct {
	progress *progress
	waiting  int
	cancel   context.CancelFunc
	done     chan struct{} // closed once client and err are set
	client   *client
	err      error
}

// get gives the connection, waiting for it until ctx ends. Where outer is given,
// it is told what is being waited for.
func (l *link) get(ctx context.Context, outer *progress) (*client, error) {
	waited := stopwatch(ctx)
	c, a, err := l.join()
	if err == nil && c != nil && !c.verify(ctx) {
		l.forget(c)
		c, a, err = l.join()
	}
	if err != nil || c != nil {
		return c, err
	}
	if outer != nil {
		outer.waitFor(a.progress)
	}
	select {
	case <-a.done:
		return a.client, a.err
	case <-ctx.Done():
	}
	l.leave(a)
	select {
	case <-a.done:
		return a.client, a.err
	default:
		return nil, a.progress.late(ctx.Err(), waited())
	}
}

// join gives the connection, or else the attempt to make it, begun if need be.
func (l *link) join() (*client, *attempt, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return nil, nil, errClosed
	case l.current != nil && l.current.usable():
		return l.current, nil, nil
	case l.attempt == nil:
		ctx, cancel := context.WithTimeout(context.Background(), maxDial)
		l.attempt = &attempt{progress: newProgress(l.target), cancel: cancel, done: make(chan struct{})}
		go l.make(ctx, l.attempt)
	}
	l.attempt.waiting++
	return nil, l.attempt, nil
}

// make carries out an attempt.
func (l *link) make(ctx context.Context, a *attempt) {
	defer close(a.done)
	defer a.cancel()
	a.client, a.err = l.dial(ctx, l.target, a.progress)
	l.mu.Lock()
	defer l.mu.Unlock()
	wanted := l.attempt == a
	if wanted {
		l.attempt = nil
	}
	switch {
	case a.err != nil:
	case wanted && !l.closed:
		l.current = a.client
	default:
		go a.client.ssh.Close()
		a.client, a.err = nil, errClosed
	}
}

// leave takes one who waited off an attempt, and ends it after the last.
func (l *link) leave(a *attempt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a.waiting--
	if a.waiting == 0 && l.attempt == a {
		l.attempt = nil
		a.cancel()
	}
}

// forget makes the next user connect anew; c ends with its last user.
func (l *link) forget(c *client) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.current == c {
		l.current = nil
		l.retired = append(slices.DeleteFunc(l.retired, (*client).ended), c)
	}
	c.retire()
}

// close ends the connection and the attempt to make it.
func (l *link) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.attempt != nil {
		l.attempt.cancel()
	}
	for _, c := range append(l.retired, l.current) {
		if c != nil {
			go c.ssh.Close()
		}
	}
}
