package consensus

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestGarbage: what is not TLS, is half of it, or is sense up to a point from a peer with a good certificate, ends its
// own connection and nothing else.
func TestGarbage(t *testing.T) {
	s := newSite(t, three)
	s.startAll()
	leader := s.propose("one")
	term := leader.Stats().Term
	random := rand.NewChaCha8([32]byte{1})
	for range 50 {
		conn, err := net.Dial("tcp", leader.port.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		junk := make([]byte, 300)
		_, _ = random.Read(junk)
		_, _ = conn.Write(junk)
		conn.Close()
	}
	peer := leader
	for name, m := range s.up {
		if name != leader.name {
			peer = m
		}
	}
	good := marshalFrame(frame{For: forRaft})
	for name, words := range map[string][][]byte{
		"nothing":                  {},
		"half a length":            {{0, 0}},
		"half a greeting":          {good[:len(good)-3]},
		"a length without end":     {binary.BigEndian.AppendUint32(nil, 1<<31)},
		"no JSON":                  {{0, 0, 0, 3}, []byte("???")},
		"another version":          {{0, 0, 0, 13}, []byte(`{"version":9}`)},
		"a greeting without mark":  {good, marshalFrame(frame{})},
		"noise in place of raft":   {good, marshalFrame(peer.manners.self()), {0xff, 0xff, 0xff, 0xff}, make([]byte, 4096)},
		"half a request of raft's": {good, marshalFrame(peer.manners.self()), {0, 0xde, 0, 1}},
	} {
		conn, err := peer.port.dial(t.Context(), leader.name, raftProtocol)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, w := range words {
			_, _ = conn.Write(w)
		}
		time.Sleep(5 * time.Millisecond)
		conn.Close()
	}
	if got := s.propose("two"); got != leader || got.Stats().Term != term { // a busy machine may do that too
		t.Logf("the lead went from %s in term %d to %s in term %d", leader.name, term, got.name, got.Stats().Term)
	}
	s.agree("one", "two")
	for name, m := range s.up {
		if m.Err() != nil {
			t.Errorf("%s stopped for %v", name, m.Err())
		}
	}
}

func marshalFrame(f frame) []byte {
	a, b := net.Pipe()
	go func() {
		_ = writeFrame(a, f)
		a.Close()
	}()
	out := make([]byte, frameLimit)
	n := 0
	for {
		m, err := b.Read(out[n:])
		n += m
		if err != nil {
			return out[:n]
		}
	}
}

// TestAThousandConnections: they come at once from elsewhere, say nothing or rubbish, and come again when they are closed.
// All the while no peer that dials is kept out, a host that was away comes back, and the quorum commits.
func TestAThousandConnections(t *testing.T) {
	s := newSite(t, three)
	s.tune = func(o *Options) { o.Multiplier = 1 } // the times of a real site
	s.startAll()
	leader := s.propose("one")
	away := s.follower().name
	s.stop(away)
	flood := startFlood(t, leader.port.Addr().String(), 1000)
	wait(t, "a thousand connections", func() bool { return flood.made.Load() >= 1000 })
	peer, slowest := leader, time.Duration(0)
	for name, m := range s.up {
		if name != leader.name {
			peer = m
		}
	}
	full := func() bool {
		g := &leader.port.gate
		g.mu.Lock()
		defer g.mu.Unlock()
		return len(g.waiting) > gateLimit-8
	}
	for range 20 {
		wait(t, "full gate", full)
		began := time.Now()
		conn, err := peer.stream.greet(t.Context(), leader.name, forRound)
		if err != nil {
			t.Fatalf("a peer is kept out: %v", err)
		}
		conn.Close()
		slowest = max(slowest, time.Since(began))
	}
	s.start(away)
	s.propose("two")
	s.agree("one", "two")
	t.Logf("%d connections were made; of 20 greetings the slowest took %s", flood.made.Load(), slowest.Round(time.Millisecond))
}

type flood struct{ made atomic.Int64 }

// startFlood keeps so many connections open, from an address of its own, until the test ends.
func startFlood(t *testing.T, to string, n int) *flood {
	f := &flood{}
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			for ctx.Err() == nil {
				from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}, Timeout: time.Second}
				if conn, err := from.DialContext(ctx, "tcp", to); err == nil {
					f.made.Add(1)
					if i%2 == 0 {
						_, _ = conn.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
					}
					stop := context.AfterFunc(ctx, func() { conn.Close() })
					_, _ = conn.Read(make([]byte, 1)) // until it is closed
					stop()
					conn.Close()
				}
				select {
				case <-ctx.Done():
				case <-time.After(time.Second):
				}
			}
		})
	}
	t.Cleanup(func() { cancel(); all.Wait() })
	return f
}

// TestGate: it is never fuller than its limit, and who crowds it pays for it.
func TestGate(t *testing.T) {
	g := &gate{limit: 4}
	enter := func(source string) (*visitor, net.Conn) {
		a, b := net.Pipe()
		return g.enter(fromAddr{a, source}), b
	}
	first, _ := enter("10.0.0.1")
	crowd, far := enter("10.0.0.9")
	for range 100 {
		enter("10.0.0.9")
	}
	_ = far.SetReadDeadline(time.Now().Add(time.Second))
	if _, err := far.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Error("the oldest of the crowd is still there")
	}
	if len(g.waiting) != 4 || g.waiting[0] != first {
		t.Errorf("%d are in the gate, the lonely one first: %v", len(g.waiting), g.waiting[0] == first)
	}
	g.leave(first)
	g.leave(crowd) // was thrown out
	if len(g.waiting) != 3 {
		t.Errorf("%d are in the gate", len(g.waiting))
	}
}

type fromAddr struct {
	net.Conn
	source string
}

func (f fromAddr) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.ParseIP(f.source), Port: 1} }

// TestSilentHandshakesEnd: a connection that never proves itself does not stay.
func TestSilentHandshakesEnd(t *testing.T) {
	t.Parallel()
	s := newSite(t, three)
	p := s.listen("db1")
	defer p.Close()
	conn, err := net.Dial("tcp", p.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(2 * handshakeTimeout))
	began := time.Now()
	if _, err := conn.Read(make([]byte, 1)); err == nil || time.Since(began) > handshakeTimeout+time.Second {
		t.Errorf("after %s: %v", time.Since(began), err)
	}
}
