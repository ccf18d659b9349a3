package consensus

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"
)

// handshakeTimeout is how long the other end has to prove itself; gateLimit is how many may be about to.
const (
	handshakeTimeout = 3 * time.Second
	gateLimit        = 128
)

// PortOptions are what a Port is opened with. All fields are needed.
type PortOptions struct {
	Host   string // this host, as its certificate says it
	Listen string // HOST:PORT to listen on; an empty host is every address
	Files  Files
	Log    *slog.Logger
	Now    func() time.Time // time.Now: deadlines of connections and the dates of certificates go by it
}

// Port is the one TCP port that the hosts of a site speak through: raft among those who replicate, HTTP/2 for what else
// the program says to its peers. Its connections are mutual TLS 1.3 with the site's own authority. Until SetHosts it knows
// nobody and admits nobody. It may be used without a Node: a pool's host only reports.
type Port struct {
	options     PortOptions
	credentials credentials
	listener    net.Listener
	gate        gate
	raft        *queue
	reports     *queue

	mu    sync.Mutex
	hosts map[string]Host
	open  map[net.Conn]owner // connections that are proven
	done  bool
	wait  sync.WaitGroup
}

// Listen opens the port. An error is that of the files, or of the network.
func Listen(o PortOptions) (*Port, error) {
	p := &Port{options: o, credentials: credentials{files: o.Files}, gate: gate{limit: gateLimit}, hosts: map[string]Host{}, open: map[net.Conn]owner{}}
	if _, err := p.credentials.get(); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return nil, err
	}
	p.listener = listener
	p.raft, p.reports = newQueue(listener.Addr()), newQueue(listener.Addr())
	p.wait.Go(p.accept)
	return p, nil
}

func (p *Port) now() time.Time { return p.options.Now() }

// Addr is where the port listens.
func (p *Port) Addr() net.Addr { return p.listener.Addr() }

// Reports is where HTTP/2 arrives: give it to an http.Server without a TLSConfig. Each request's TLS state has the
// certificate of its peer; Peer reads it. Closing the listener does not close the port.
func (p *Port) Reports() net.Listener { return p.reports }

// SetHosts gives the inventory. Who is no longer in it, or has another role, is cut off.
func (p *Port) SetHosts(hosts []Host) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.hosts
	p.hosts = map[string]Host{}
	for _, h := range hosts {
		p.hosts[h.Name] = h
	}
	for conn, o := range p.open {
		if now, known := p.hosts[o.host]; !known || now.Role != before[o.host].Role {
			conn.Close()
		}
	}
}

func (p *Port) host(name string) (Host, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h, known := p.hosts[name]
	return h, known
}

// Close ends the port and every connection through it.
func (p *Port) Close() error {
	p.mu.Lock()
	p.done = true
	for conn := range p.open {
		conn.Close()
	}
	p.mu.Unlock()
	err := errors.Join(p.listener.Close(), p.raft.Close(), p.reports.Close())
	p.gate.close()
	p.wait.Wait()
	return err
}

// accept takes connections in. None of them is spoken to here: each proves itself in a goroutine of its own.
func (p *Port) accept() {
	for {
		conn, err := p.listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			p.options.Log.Warn("a connection cannot be accepted", "error", err)
			time.Sleep(100 * time.Millisecond) // out of files: it does not pass at once
		default:
			v := p.gate.enter(conn)
			p.wait.Go(func() { p.receive(v) })
		}
	}
}

// receive lets a connection prove itself and hands it to its protocol.
func (p *Port) receive(v *visitor) {
	conn, name, err := p.handshake(v)
	p.gate.leave(v)
	if err != nil {
		v.conn.Close()
		p.options.Log.Debug("a connection was refused", "from", v.conn.RemoteAddr().String(), "error", err)
		return
	}
	to := p.reports
	protocol := conn.ConnectionState().NegotiatedProtocol
	if protocol == raftProtocol {
		to = p.raft
	}
	if !p.keep(v.conn, name, protocol) || !to.put(conn) {
		v.conn.Close()
	}
}

func (p *Port) handshake(v *visitor) (*tls.Conn, string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), handshakeTimeout)
	defer cancel()
	conn := tls.Server(p.watched(v.conn), &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { // who has said hello is worth reading files for
			return p.tlsConfig("", raftProtocol, reportsProtocol)
		},
	})
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, "", err
	}
	name, _, err := identity(conn.ConnectionState().PeerCertificates[0])
	return conn, name, err
}

// Peer is who is at the other end of a connection of this port, as its certificate says.
func Peer(state *tls.ConnectionState) (host string, role Role, err error) {
	if state == nil || len(state.PeerCertificates) == 0 {
		return "", "", fmt.Errorf("%w: it has no certificate", ErrStranger)
	}
	return identity(state.PeerCertificates[0])
}
