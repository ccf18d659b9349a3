package remote

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// chunk is how much a conn moves at once, in bytes.
const chunk = 32 << 10

// address is the address a connection was asked for, as it was given: the SSH
// protocol does not tell what it led to.
type address struct{ network, text string }

func (a address) Network() string { return a.network }
func (a address) String() string  { return a.text }

// stream is what a conn is made of. Its calls may block for ever.
type stream struct {
	io.Reader
	io.Writer
	// closeWrite tells the other side that no more is coming.
	closeWrite func() error
	// close ends the stream.
	close func()
	// end gives what Read returns after the last byte; nil is io.EOF.
	end func() error
}

// conn is a net.Conn over a stream. Channels of x/crypto/ssh have no deadlines,
// and their Close waits for the answer of a peer that may never come; here every
// call returns at once when the deadline passes or the conn is closed, and the
// blocked call below is left to two goroutines, which end with the SSH connection
// at the latest. A passed read deadline may be set anew; a write whose deadline
// passes under way closes the conn, for nobody knows how much of it went out.
type conn struct {
	stream        stream
	local, remote net.Addr

	readMu  sync.Mutex
	in      chan []byte // closed once inErr is set
	inErr   error
	pending []byte

	writeMu sync.Mutex
	out     chan []byte
	written chan written

	readDeadline, writeDeadline deadline

	closeOnce sync.Once
	closed    chan struct{}
}

type written struct {
	n   int
	err error
}

func newConn(s stream, local, remote net.Addr) *conn {
	c := &conn{
		stream: s, local: local, remote: remote,
		in: make(chan []byte), out: make(chan []byte), written: make(chan written),
		closed: make(chan struct{}),
	}
	go c.pumpIn()
	go c.pumpOut()
	return c
}

func (c *conn) pumpIn() {
	defer close(c.in)
	buf := make([]byte, chunk)
	for {
		n, err := c.stream.Read(buf)
		if n > 0 {
			select {
			case c.in <- bytes.Clone(buf[:n]):
			case <-c.closed:
				c.inErr = net.ErrClosed
				return
			}
		}
		if err != nil {
			c.inErr = c.endOf(err)
			return
		}
	}
}

// endOf gives the error for Read after the stream ended with err.
func (c *conn) endOf(err error) error {
	if c.stream.end != nil {
		if why := c.stream.end(); why != nil {
			return why
		}
	}
	return err
}

func (c *conn) pumpOut() {
	for {
		select {
		case b := <-c.out:
			n, err := c.stream.Write(b)
			switch {
			case err != nil && c.stream.end != nil:
				err = c.endOf(io.ErrClosedPipe) // a command that has ended says why
			case errors.Is(err, io.EOF):
				err = io.ErrClosedPipe
			}
			select {
			case c.written <- written{n, err}:
			case <-c.closed:
				return
			}
		case <-c.closed:
			return
		}
	}
}

// Read reads what the other side sent.
func (c *conn) Read(p []byte) (int, error) {
	c.readMu.Lock()
	defer c.readMu.Unlock()
	for len(c.pending) == 0 {
		limit, err := c.readDeadline.current()
		if err != nil {
			return 0, err
		}
		select {
		case <-c.closed:
			return 0, net.ErrClosed
		default:
		}
		if len(p) == 0 {
			return 0, nil
		}
		select {
		case b, ok := <-c.in:
			if !ok {
				return 0, c.inErr
			}
			c.pending = b
		case <-c.closed:
		case <-limit.Done():
		}
	}
	n := copy(p, c.pending)
	c.pending = c.pending[n:]
	return n, nil
}

// Write sends p.
func (c *conn) Write(p []byte) (int, error) {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	sent := 0
	for {
		part := p[sent:min(len(p), sent+chunk)]
		n, err := c.writePart(bytes.Clone(part))
		sent += n
		if err != nil || sent == len(p) {
			return sent, err
		}
	}
}

// writePart hands b to the writer and waits until it is written.
func (c *conn) writePart(b []byte) (int, error) {
	out := c.out
	for {
		limit, err := c.writeDeadline.current()
		if err != nil {
			if out == nil {
				c.Close()
			}
			return 0, err
		}
		select {
		case <-c.closed:
			return 0, net.ErrClosed
		default:
		}
		if len(b) == 0 {
			return 0, nil
		}
		select {
		case out <- b:
			out = nil
		case w := <-c.written:
			return w.n, w.err
		case <-c.closed:
		case <-limit.Done():
		}
	}
}

// CloseWrite tells the other side that no more is coming.
func (c *conn) CloseWrite() error { return c.stream.closeWrite() }

// Close ends the connection without waiting for the other side.
func (c *conn) Close() error {
	err := net.ErrClosed
	c.closeOnce.Do(func() {
		close(c.closed)
		go c.stream.close()
		err = nil
	})
	return err
}

func (c *conn) LocalAddr() net.Addr  { return c.local }
func (c *conn) RemoteAddr() net.Addr { return c.remote }

func (c *conn) SetDeadline(t time.Time) error {
	c.readDeadline.set(t)
	c.writeDeadline.set(t)
	return nil
}

func (c *conn) SetReadDeadline(t time.Time) error {
	c.readDeadline.set(t)
	return nil
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	c.writeDeadline.set(t)
	return nil
}

// deadline is a point in time that can be moved while somebody waits for it.
type deadline struct {
	mu     sync.Mutex
	ctx    context.Context
	cancel context.CancelFunc
}

// set moves the deadline; the zero time is none.
func (d *deadline) set(t time.Time) {
	ctx, cancel := context.WithCancel(context.Background())
	if !t.IsZero() {
		ctx, cancel = context.WithDeadline(context.Background(), t)
	}
	d.mu.Lock()
	old := d.cancel
	d.ctx, d.cancel = ctx, cancel
	d.mu.Unlock()
	if old != nil {
		old() // wakes the waiters, who then ask for the current one
	}
}

// current gives a context that is done when the deadline passes or is moved, or
// os.ErrDeadlineExceeded when it has passed.
func (d *deadline) current() (context.Context, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ctx == nil {
		d.ctx, d.cancel = context.WithCancel(context.Background())
	}
	if errors.Is(d.ctx.Err(), context.DeadlineExceeded) {
		return nil, os.ErrDeadlineExceeded
	}
	return d.ctx, nil
}
