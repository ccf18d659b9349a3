package consensus

import (
	"net"
	"sync"
)

// gate bounds the connections that have not proven themselves yet. When it is full, a newcomer is not turned away: the
// oldest connection of the address that has most of them in the gate is closed. So a flood is at its own expense: a peer
// comes from another address, and needs a few milliseconds.
type gate struct {
	limit int

	mu      sync.Mutex
	waiting []*visitor // oldest first
}

type visitor struct {
	conn   net.Conn
	source string
}

// enter lets a connection in, and closes another when the gate is full.
func (g *gate) enter(conn net.Conn) *visitor {
	v := &visitor{conn: conn, source: source(conn)}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) >= g.limit {
		i := g.victim()
		g.waiting[i].conn.Close()
		g.waiting = append(g.waiting[:i], g.waiting[i+1:]...)
	}
	g.waiting = append(g.waiting, v)
	return v
}

// leave takes a connection out: it has proven itself, or has ended.
func (g *gate) leave(v *visitor) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, w := range g.waiting {
		if w == v {
			g.waiting = append(g.waiting[:i], g.waiting[i+1:]...)
			return
		}
	}
}

// victim is the oldest of the address with the most.
func (g *gate) victim() int {
	count := map[string]int{}
	for _, v := range g.waiting {
		count[v.source]++
	}
	best := 0
	for i, v := range g.waiting {
		if count[v.source] > count[g.waiting[best].source] {
			best = i
		}
	}
	return best
}

func source(conn net.Conn) string {
	host, _, err := net.SplitHostPort(conn.RemoteAddr().String())
	if err != nil {
		return conn.RemoteAddr().String()
	}
	return host
}

// close ends all that are in the gate.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, v := range g.waiting {
		v.conn.Close()
	}
}
