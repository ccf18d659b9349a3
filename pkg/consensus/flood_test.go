package consensus

import (
	"encoding/binary"
	"math/rand/v2"
	"net"
	"sync"
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
	peer := s.follower()
	good := must(marshalFrame(frame{For: forRaft}))
	for name, words := range map[string][][]byte{
		"nothing":                  {},
		"half a length":            {{0, 0}},
		"half a greeting":          {good[:len(good)-3]},
		"a length without end":     {binary.BigEndian.AppendUint32(nil, 1<<31)},
		"no JSON":                  {{0, 0, 0, 3}, []byte("???")},
		"another version":          {{0, 0, 0, 13}, []byte(`{"version":9}`)},
		"a greeting without mark":  {good, must(marshalFrame(frame{}))},
		"noise in place of raft":   {good, must(marshalFrame(peer.manners.self())), {0xff, 0xff, 0xff, 0xff}, make([]byte, 4096)},
		"half a request of raft's": {good, must(marshalFrame(peer.manners.self())), {0, 0xde, 0, 1}},
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
	if got := s.propose("two"); got != leader || got.Stats().Term != term {
		t.Errorf("the lead went from %s in term %d to %s in term %d", leader.name, term, got.name, got.Stats().Term)
	}
	s.agree("one", "two")
}

func marshalFrame(f frame) ([]byte, error) {
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
			return out[:n], nil
		}
	}
}

// TestAThousandConnections: they come at once and say nothing, or rubbish; the quorum works on, and a peer that comes anew
// gets in.
func TestAThousandConnections(t *testing.T) {
	s := newSite(t, three)
	s.tune = func(o *Options) { o.Multiplier = 1 } // the times of a real site
	s.startAll()
	leader := s.propose("one")
	term := leader.Stats().Term
	s.stop(s.follower().name)
	var conns []net.Conn
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := range 1000 {
		all.Go(func() {
			conn, err := net.DialTimeout("tcp", leader.port.Addr().String(), 5*time.Second)
			if err != nil {
				return
			}
			if i%2 == 0 {
				_, _ = conn.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
			}
			mu.Lock()
			defer mu.Unlock()
			conns = append(conns, conn)
		})
	}
	began := time.Now()
	for _, h := range s.hosts {
		if s.up[h.Name] == nil {
			s.start(h.Name)
		}
	}
	s.propose("two")
	all.Wait()
	s.agree("one", "two")
	t.Logf("%d connections; a peer came in and had everything within %s", len(conns), time.Since(began).Round(time.Millisecond))
	if got := s.leader(); got != leader || got.Stats().Term != term {
		t.Errorf("the lead went from %s in term %d to %s in term %d", leader.name, term, got.name, got.Stats().Term)
	}
	for _, c := range conns {
		c.Close()
	}
	if len(conns) < 900 {
		t.Errorf("only %d connections were made", len(conns))
	}
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
	if _, err := far.Read(make([]byte, 1)); err == nil {
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
