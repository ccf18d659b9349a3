package remote

import (
	"context"
	"net"
)

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
	f.Close()
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
