package consensus

import (
	"net"
	"sync"
)

// watched is a connection that the port forgets when it is closed.
func (p *Port) watched(conn net.Conn) net.Conn { return &watchedConn{Conn: conn, port: p} }

type watchedConn struct {
	net.Conn
	port *Port
}

// Close closes it and forgets it.
func (c *watchedConn) Close() error {
	c.port.mu.Lock()
	delete(c.port.open, c.Conn)
	c.port.mu.Unlock()
	return c.Conn.Close()
}

// keep remembers whose connection it is, so that it can be cut off; false: the host left the inventory, or the port is closed.
func (p *Port) keep(conn net.Conn, host, protocol string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.hosts[host]; !known || p.done {
		return false
	}
	p.open[conn] = owner{host, protocol}
	return true
}

// owner is whose connection it is, and what is spoken on it.
type owner struct{ host, protocol string }

// cut closes every connection with a host.
func (p *Port) cut(host string) {
	p.end(func(o owner) bool { return o.host == host })
}

// quit ends raft on this port, for good.
func (p *Port) quit() {
	_ = p.raft.Close()
	p.end(func(o owner) bool { return o.protocol == raftProtocol })
}

func (p *Port) end(which func(owner) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn, o := range p.open {
		if which(o) {
			conn.Close()
		}
	}
}

// queue is a net.Listener whose connections come from elsewhere.
type queue struct {
	addr  net.Addr
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

// queued is how many connections of proven peers wait to be taken.
const queued = 16

func newQueue(addr net.Addr) *queue {
	return &queue{addr: addr, conns: make(chan net.Conn, queued), done: make(chan struct{})}
}

// put hands a connection over; false: nobody takes it.
func (q *queue) put(conn net.Conn) bool {
	select {
	case <-q.done:
		return false
	default:
	}
	select {
	case q.conns <- conn:
		return true
	default:
		return false
	}
}

// Accept is the next connection (net.Listener).
func (q *queue) Accept() (net.Conn, error) {
	select {
	case <-q.done:
		return nil, net.ErrClosed
	case conn := <-q.conns:
		return conn, nil
	}
}

// Close ends the listener, and nothing else.
func (q *queue) Close() error {
	q.once.Do(func() { close(q.done) })
	return nil
}

// Addr is that of the port.
func (q *queue) Addr() net.Addr { return q.addr }
