package consensus

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// TestStrangers: whoever does not prove a host of the inventory, in a role that may speak the protocol, is not heard.
func TestStrangers(t *testing.T) {
	s := newSite(t, three+" pool1@a")
	p := s.listen("db1")
	defer p.Close()
	p.SetHosts(s.hosts)
	other := newAuthority(t)
	tests := []struct {
		name     string
		files    Files // "" no certificate
		protocol string
		change   func(*tls.Config)
		good     bool
	}{
		{name: "a server, raft", files: s.files("db2"), protocol: raftProtocol, good: true},
		{name: "an arbiter, raft", files: s.files("arb1"), protocol: raftProtocol, good: true},
		{name: "a pool, reports", files: s.files("pool1"), protocol: reportsProtocol, good: true},
		{name: "itself, reports", files: s.files("db1"), protocol: reportsProtocol, good: true},
		{name: "no certificate", protocol: raftProtocol},
		{name: "no certificate, reports", protocol: reportsProtocol},
		{name: "another authority's", files: other.issue(t, t.TempDir(), "db2", "pgctl://db2/server"), protocol: raftProtocol},
		{name: "another host's name in its URI", files: s.ca.issue(t, t.TempDir(), "db7", "pgctl://db2/server"), protocol: raftProtocol},
		{name: "no URI", files: s.ca.issue(t, t.TempDir(), "db2", ""), protocol: raftProtocol},
		{name: "another URI", files: s.ca.issue(t, t.TempDir(), "db2", "https://db2/server"), protocol: raftProtocol},
		{name: "no role that there is", files: s.ca.issue(t, t.TempDir(), "db2", "pgctl://db2/king"), protocol: raftProtocol},
		{name: "another role than the inventory's", files: s.ca.issue(t, t.TempDir(), "pool1", "pgctl://pool1/server"), protocol: raftProtocol},
		{name: "not in the inventory", files: s.ca.issue(t, t.TempDir(), "db9", "pgctl://db9/server"), protocol: raftProtocol},
		{name: "a pool, raft", files: s.files("pool1"), protocol: raftProtocol},
		{name: "itself, raft", files: s.files("db1"), protocol: raftProtocol},
		{name: "no protocol", files: s.files("db2")},
		{name: "another protocol", files: s.files("db2"), protocol: "http/1.1"},
		{name: "TLS 1.2", files: s.files("db2"), protocol: raftProtocol, change: func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			config := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "db1", MinVersion: tls.VersionTLS12}
			config.RootCAs.AddCert(s.ca.cert)
			if tt.protocol != "" {
				config.NextProtos = []string{tt.protocol}
			}
			if tt.files.Key != "" {
				config.Certificates = []tls.Certificate{must(tls.LoadX509KeyPair(tt.files.Certificate, tt.files.Key))}
			}
			if tt.change != nil {
				tt.change(config)
			}
			if got := heard(t, p, config); got != tt.good {
				t.Errorf("heard: %v", got)
			}
		})
	}
}

// heard says a word, and tells whether it came through.
func heard(t *testing.T, p *Port, config *tls.Config) bool {
	t.Helper()
	conn, err := tls.Dial("tcp", p.Addr().String(), config)
	if err != nil {
		return false
	}
	defer conn.Close()
	_, _ = conn.Write([]byte("a word"))
	_ = conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	_, err = conn.Read(make([]byte, 1))
	waits := errors.Is(err, os.ErrDeadlineExceeded)
	select {
	case in := <-p.raft.conns:
		defer in.Close()
		return waits && config.NextProtos[0] == raftProtocol && word(in)
	case in := <-p.reports.conns:
		defer in.Close()
		return waits && config.NextProtos[0] == reportsProtocol && word(in)
	default:
		if waits {
			t.Error("it is neither refused nor handed on")
		}
		return false
	}
}

func word(conn net.Conn) bool {
	got := make([]byte, 6)
	_, err := io.ReadFull(conn, got)
	return err == nil && string(got) == "a word"
}

// TestFalseHosts: who is dialed must prove itself too.
func TestFalseHosts(t *testing.T) {
	s := newSite(t, three)
	p := s.listen("db1")
	defer p.Close()
	p.SetHosts(s.hosts)
	other := newAuthority(t)
	for name, files := range map[string]Files{
		"another host":      s.files("arb1"),
		"another authority": other.issue(t, t.TempDir(), "db2", "pgctl://db2/server"),
		"another role":      s.ca.issue(t, t.TempDir(), "db2", "pgctl://db2/pool"),
	} {
		t.Run(name, func(t *testing.T) {
			pair := must(tls.LoadX509KeyPair(files.Certificate, files.Key))
			l, err := tls.Listen("tcp", s.hosts[1].Address, &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{raftProtocol}})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				if conn, err := l.Accept(); err == nil {
					_ = conn.(*tls.Conn).Handshake()
					conn.Close()
				}
			}()
			if conn, err := p.dial(t.Context(), "db2", raftProtocol); err == nil {
				conn.Close()
				t.Error("it was believed")
			}
		})
	}
	if _, err := p.dial(t.Context(), "db9", raftProtocol); err == nil {
		t.Error("a host of no inventory was dialed")
	}
}

// TestReports: HTTP/2 between peers, beside raft, with the peer's name at every request.
func TestReports(t *testing.T) {
	s := newSite(t, three+" pool1@a")
	db, pool := s.listen("db1"), s.listen("pool1")
	defer pool.Close()
	db.SetHosts(s.hosts)
	pool.SetHosts(s.hosts)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, role, err := Peer(r.TLS)
		fmt.Fprint(w, host, " ", role, " ", r.Proto, " ", err)
	})}
	served := make(chan error, 1)
	go func() { served <- server.Serve(db.Reports()) }()
	client := pool.Client()
	get := func() string {
		t.Helper()
		answer, err := client.Get("https://db1/report")
		if err != nil {
			return err.Error()
		}
		defer answer.Body.Close()
		return string(must(io.ReadAll(answer.Body)))
	}
	if got := get(); got != "pool1 pool HTTP/2.0 <nil>" {
		t.Error(got)
	}
	db.SetHosts(s.hosts[:3])
	if got := get(); !strings.Contains(got, "db1") || strings.Contains(got, "pool1 pool") {
		t.Errorf("a host that left the inventory gets %q", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := errors.Join(server.Shutdown(ctx), <-served); !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
	if conn, err := net.Dial("tcp", db.Addr().String()); err != nil {
		t.Errorf("closing the listener of reports has closed the port: %v", err)
	} else {
		conn.Close()
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

// TestRenewedCertificates: a new certificate, and a new authority, hold from the next connection on; a half written one never.
func TestRenewedCertificates(t *testing.T) {
	s := newSite(t, three)
	a, b := s.listen("db1"), s.listen("db2")
	defer a.Close()
	defer b.Close()
	a.SetHosts(s.hosts)
	b.SetHosts(s.hosts)
	speak := func() (serial string, err error) {
		conn, err := a.dial(t.Context(), "db2", raftProtocol)
		if err != nil {
			return "", err
		}
		defer conn.Close()
		_, _ = conn.Write([]byte("a word"))
		in, err := b.raft.Accept()
		if err == nil && !word(in) {
			err = errors.New("no word")
		}
		state := conn.ConnectionState()
		return state.PeerCertificates[0].SerialNumber.String(), err
	}
	first, err := speak()
	if err != nil {
		t.Fatal(err)
	}
	old := must(os.ReadFile(s.files("db2").Certificate))
	_ = os.Remove(s.files("db2").Certificate)
	if serial, err := speak(); err != nil || serial != first {
		t.Errorf("without the file: %s, %v", serial, err)
	}
	_ = os.WriteFile(s.files("db2").Certificate, old[:len(old)/2], 0o600)
	if serial, err := speak(); err != nil || serial != first {
		t.Errorf("with half a file: %s, %v", serial, err)
	}
	s.ca.issue(t, s.dir, "db2", "pgctl://db2/server")
	if serial, err := speak(); err != nil || serial == first {
		t.Errorf("renewed: %s, was %s, %v", serial, first, err)
	}
	s.ca = newAuthority(t)
	s.ca.issue(t, s.dir, "db2", "pgctl://db2/server")
	if _, err := speak(); err == nil {
		t.Error("an authority that only one of them knows is believed")
	}
	s.ca.issue(t, s.dir, "db1", "pgctl://db1/server")
	if _, err := speak(); err != nil {
		t.Errorf("the new authority: %v", err)
	}
}

func TestListenNeedsItsFiles(t *testing.T) {
	s := newSite(t, three)
	_ = os.WriteFile(s.files("db1").Key, must(os.ReadFile(s.files("db2").Key)), 0o600)
	if p, err := Listen(PortOptions{Host: "db1", Listen: "127.0.0.1:0", Files: s.files("db1"), Log: discard(), Now: time.Now}); err == nil {
		p.Close()
		t.Error("another's key was taken")
	}
}
