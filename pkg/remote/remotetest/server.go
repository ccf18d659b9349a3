package remotetest

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// Handler runs one command line as the login shell of a host would and gives its
// exit code.
type Handler func(cmd string, stdin io.Reader, stdout, stderr io.Writer) int

// Stage is a point at which a Server hangs.
type Stage int32

// The stages, in the order in which a command gets there.
const (
	HangNever   Stage = iota
	HangGreet         // accepts the connection and says nothing
	HangVersion       // sends its version, then nothing
	HangKeys          // begins the key exchange, then nothing
	HangLogin         // ends the key exchange, answers no login
	HangAuth          // answers no signature of a key
	HangOpen          // opens no channel
	HangExec          // opens a channel, starts no command in it
	HangOutput        // starts the command, prints nothing and never ends
)

// Config says what kind of server a Server is. The zero value lets everybody in
// and runs commands by /bin/sh.
type Config struct {
	Handler Handler
	// HostKey is a new ed25519 key if nil.
	HostKey ssh.Signer
	// User and Keys, where set, are the only ones let in.
	User string
	Keys []ssh.PublicKey
	// Greeting is what the login shell prints before it runs a command.
	Greeting string
	// Delay is waited before each command runs.
	Delay time.Duration
	// MaxSessions bounds the commands at once on one connection; 0 is no bound.
	MaxSessions int
	// NoTCP and NoStreamLocal switch forwarding off.
	NoTCP, NoStreamLocal bool
	// Hang is where the server hangs at first.
	Hang Stage
	// Algorithms and PublicKeyAuth limit the algorithms; empty is the defaults.
	Algorithms    ssh.Config
	PublicKeyAuth []string
}

// Server is an SSH server on the loopback interface.
type Server struct {
	config   Config
	listener net.Listener
	hang     atomic.Int32
	stopped  chan struct{}
	dials    atomic.Int64

	mu       sync.Mutex
	conns    map[net.Conn]bool
	commands []string
}

// NewServer starts a server that ends with the test.
func NewServer(t testing.TB, config Config) *Server {
	t.Helper()
	if config.Handler == nil {
		config.Handler = RunShell
	}
	if config.HostKey == nil {
		config.HostKey = NewKey(t)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{config: config, listener: listener, stopped: make(chan struct{}), conns: make(map[net.Conn]bool)}
	s.SetHang(config.Hang)
	go s.accept()
	t.Cleanup(s.Close)
	return s
}

// NewKey is a new ed25519 key.
func NewKey(t testing.TB) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// Addr is where the server listens.
func (s *Server) Addr() *net.TCPAddr { return s.listener.Addr().(*net.TCPAddr) }

// HostKey is the host key of the server.
func (s *Server) HostKey() ssh.PublicKey { return s.config.HostKey.PublicKey() }

// SetHang makes the server hang at a stage from now on.
func (s *Server) SetHang(stage Stage) { s.hang.Store(int32(stage)) }

// Connections is how many connections the server has accepted.
func (s *Server) Connections() int { return int(s.dials.Load()) }

// Commands are the command lines that the server was given.
func (s *Server) Commands() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.commands)
}

// Drop cuts all connections; new ones are accepted.
func (s *Server) Drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.conns {
		conn.Close()
	}
}

// Close ends the server.
func (s *Server) Close() {
	s.mu.Lock()
	select {
	case <-s.stopped:
	default:
		close(s.stopped)
	}
	s.mu.Unlock()
	s.listener.Close()
	s.Drop()
}

// hangs blocks until the server ends if this is where it hangs.
func (s *Server) hangs(stage Stage) bool {
	if Stage(s.hang.Load()) != stage {
		return false
	}
	<-s.stopped
	return true
}

func (s *Server) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.dials.Add(1)
		s.mu.Lock()
		s.conns[conn] = true
		s.mu.Unlock()
		go func() {
			s.serve(conn)
			conn.Close()
			s.mu.Lock()
			delete(s.conns, conn)
			s.mu.Unlock()
		}()
	}
}

func (s *Server) serve(raw net.Conn) {
	if s.hangs(HangGreet) {
		return
	}
	if Stage(s.hang.Load()) == HangVersion {
		fmt.Fprint(raw, "SSH-2.0-hang\r\n")
		s.hangs(HangVersion)
		return
	}
	conn, channels, requests, err := ssh.NewServerConn(&stalling{Conn: raw, server: s}, s.serverConfig())
	if err != nil {
		return
	}
	defer conn.Close()
	go func() {
		for r := range requests {
			s.hangs(HangOpen)
			_ = r.Reply(false, nil)
		}
	}()
	var sessions atomic.Int32
	for c := range channels {
		go s.channel(c, &sessions)
	}
}

func (s *Server) serverConfig() *ssh.ServerConfig {
	config := &ssh.ServerConfig{
		Config:                  s.config.Algorithms,
		PublicKeyAuthAlgorithms: s.config.PublicKeyAuth,
		NoClientAuth:            true,
		NoClientAuthCallback: func(ssh.ConnMetadata) (*ssh.Permissions, error) {
			s.hangs(HangLogin)
			return nil, fmt.Errorf("a key is needed")
		},
		PublicKeyCallback: func(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			s.hangs(HangAuth)
			if s.config.User != "" && meta.User() != s.config.User {
				return nil, fmt.Errorf("no user %s", meta.User())
			}
			known := func(k ssh.PublicKey) bool { return string(k.Marshal()) == string(key.Marshal()) }
			if s.config.Keys != nil && !slices.ContainsFunc(s.config.Keys, known) {
				return nil, fmt.Errorf("unknown key")
			}
			return nil, nil
		},
	}
	config.AddHostKey(s.config.HostKey)
	return config
}

// stalling is a connection that sends the version and the first message of the
// key exchange, and no more, when the server hangs there.
type stalling struct {
	net.Conn
	server *Server
	writes atomic.Int32
}

func (c *stalling) Write(p []byte) (int, error) {
	if c.writes.Add(1) > 2 && c.server.hangs(HangKeys) {
		return 0, net.ErrClosed
	}
	return c.Conn.Write(p)
}
