package consensus

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"github.com/hashicorp/raft"
)

// stream gives raft its connections (raft.StreamLayer). A member's address is its name, so that where it listens is the
// inventory's affair alone, and raft advertises a name though the port listens on every address.
type stream struct {
	*queue
	name    nameAddr
	port    *Port
	manners *acquaintance
}

type nameAddr string

func (a nameAddr) Network() string { return "pgctl" }
func (a nameAddr) String() string  { return string(a) }

// Addr is the name of this host.
func (s *stream) Addr() net.Addr { return s.name }

// Dial connects to a member and greets it.
func (s *stream) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return s.greet(ctx, string(address), forRaft)
}

func (s *stream) greet(ctx context.Context, peer, purpose string) (net.Conn, error) {
	conn, err := s.port.dial(ctx, peer, raftProtocol)
	if err != nil {
		return nil, err
	}
	if err := s.manners.introduce(conn, peer, purpose); err != nil {
		conn.Close()
		s.shun(peer)
		return nil, err
	}
	return conn, nil
}

// shun cuts a host off that is refused, also on the connections on which it was not yet.
func (s *stream) shun(peer string) {
	if s.manners.look(peer).refused != "" {
		s.port.cut(peer)
	}
}

// serve takes the port's raft connections until it is closed.
func (s *stream) serve() {
	for {
		conn, err := s.port.raft.Accept()
		if err != nil {
			return
		}
		go s.receive(conn)
	}
}

// receive greets, for as many rounds as the other end wants, or hands the connection to raft.
func (s *stream) receive(conn net.Conn) {
	secure, ok := conn.(*tls.Conn)
	if !ok {
		conn.Close()
		return
	}
	state := secure.ConnectionState()
	peer, _, err := Peer(&state)
	for err == nil {
		_ = conn.SetDeadline(s.manners.now().Add(idleRound))
		var purpose string
		if purpose, err = s.manners.receive(conn, peer); err == nil && purpose == forRaft {
			if s.put(conn) {
				return
			}
			err = net.ErrClosed
		}
	}
	conn.Close()
	s.shun(peer)
}
