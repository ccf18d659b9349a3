package consensus

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// authority signs certificates as deploy does.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key))
	return &authority{cert: must(x509.ParseCertificate(der)), key: key, pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// issue writes the files of a host. name is the host that the certificate is good for, uri what it says of itself.
func (a *authority) issue(t testing.TB, dir, name, uri string) Files {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: must(rand.Int(rand.Reader, big.NewInt(1<<62))), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{name},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if uri != "" {
		template.URIs = []*url.URL{must(url.Parse(uri))}
	}
	der := must(x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key))
	f := Files{CA: filepath.Join(dir, name+".ca"), Certificate: filepath.Join(dir, name+".crt"), Key: filepath.Join(dir, name+".key")}
	for path, data := range map[string][]byte{
		f.CA:          a.pem,
		f.Certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		f.Key:         pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(key))}),
	} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// site is a set of hosts on real connections.
type site struct {
	t     testing.TB
	dir   string
	ca    *authority
	hosts []Host
	up    map[string]*member
	tune  func(*Options) // nil: nothing
}

// member is one host that is up.
type member struct {
	*Node
	name    string
	port    *Port
	machine *journal
}

func newSite(t testing.TB, inventory string) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), ca: newAuthority(t), hosts: hosts(inventory), up: map[string]*member{}}
	for i := range s.hosts {
		h := &s.hosts[i]
		h.Address = freeAddress(t)
		s.ca.issue(t, s.dir, h.Name, fmt.Sprintf("pgctl://%s/%s", h.Name, h.Role))
	}
	t.Cleanup(func() {
		for name := range s.up {
			s.stop(name)
		}
	})
	return s
}

// freeAddress is one that nobody listens on now, of a port that the kernel gives to no connection that is made (from 32768
// on by default): a host that is down for a while finds it free again.
func freeAddress(t testing.TB) string {
	t.Helper()
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", 10000+mathrand.IntN(22000))
		if l, err := net.Listen("tcp", address); err == nil {
			l.Close()
			return address
		}
	}
	t.Fatal("no free port")
	return ""
}

func (s *site) files(name string) Files {
	base := filepath.Join(s.dir, name)
	return Files{CA: base + ".ca", Certificate: base + ".crt", Key: base + ".key"}
}

func (s *site) data(name string) string { return filepath.Join(s.dir, name+".data") }

func (s *site) listen(name string) *Port {
	s.t.Helper()
	for _, h := range s.hosts {
		if h.Name == name {
			p, err := Listen(PortOptions{Host: name, Listen: h.Address, Files: s.files(name), Log: discard(), Now: time.Now})
			if err != nil {
				s.t.Fatal(err)
			}
			return p
		}
	}
	s.t.Fatalf("no host %s", name)
	return nil
}

func discard() *slog.Logger {
	if os.Getenv("CONSENSUS_LOG") != "" {
		return slog.Default()
	}
	return slog.New(slog.DiscardHandler)
}

func (s *site) start(name string) *member {
	s.t.Helper()
	m, err := s.tryStart(name)
	if err != nil {
		s.t.Fatal(err)
	}
	return m
}

func (s *site) tryStart(name string) (*member, error) {
	s.t.Helper()
	m := &member{name: name, port: s.listen(name), machine: &journal{}}
	o := Options{Host: name, Dir: s.data(name), Port: m.port, Hosts: s.hosts, Machine: m.machine, Multiplier: pace, SpareAfter: time.Second, Log: discard().With("host", name), Now: time.Now, diskLimit: patience}
	if s.tune != nil {
		s.tune(&o)
	}
	n, err := Open(o)
	if err != nil {
		m.port.Close()
		return nil, err
	}
	m.Node = n
	s.up[name] = m
	return m, nil
}

func (s *site) stopAll() {
	for _, h := range s.hosts {
		s.stop(h.Name)
	}
}

func (s *site) startAll() {
	s.t.Helper()
	for _, h := range s.hosts {
		s.start(h.Name)
	}
}

// stop ends a host, as abruptly as a process can end itself.
func (s *site) stop(name string) {
	s.t.Helper()
	m := s.up[name]
	delete(s.up, name)
	if err := m.Close(); err != nil {
		s.t.Logf("%s: %v", name, err)
	}
	if err := m.port.Close(); err != nil {
		s.t.Errorf("%s: %v", name, err)
	}
}

// leader waits for one that proves it.
func (s *site) leader() *member {
	s.t.Helper()
	var found *member
	s.wait("a leader", func() bool {
		for _, m := range s.up {
			if m.Leads() {
				ctx, cancel := context.WithTimeout(s.t.Context(), time.Second)
				err := m.Barrier(ctx)
				cancel()
				if err == nil {
					found = m
					return true
				}
			}
		}
		return false
	})
	return found
}

const patience = 20 * time.Second

func (s *site) wait(what string, until func() bool) {
	s.t.Helper()
	wait(s.t, what, until)
}

func wait(t testing.TB, what string, until func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !until(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no %s within %s", what, patience)
		}
	}
}

// propose has a command committed, by whoever leads, and proposes it again as long as nobody knows what became of it.
func (s *site) propose(command string) *member {
	s.t.Helper()
	var by *member
	s.wait("commit of "+command, func() bool {
		by = s.leader()
		ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Second)
		defer cancel()
		_, _, err := by.Propose(ctx, []byte(command))
		return err == nil
	})
	return by
}

// follower is one that is up and does not lead.
func (s *site) follower() *member {
	s.t.Helper()
	leader := s.leader()
	for _, h := range s.hosts {
		if m := s.up[h.Name]; m != nil && m != leader {
			return m
		}
	}
	s.t.Fatal("no follower")
	return nil
}

// agree waits until everybody who is up has these commands.
func (s *site) agree(commands ...string) {
	s.t.Helper()
	for name, m := range s.up {
		s.wait(fmt.Sprintf("%v on %s", commands, name), func() bool { return strings.Join(m.commands(), " ") == strings.Join(commands, " ") })
	}
}

func (m *member) commands() (out []string) {
	m.View(func() { out = m.machine.all() })
	return out
}

// journal is a Machine that keeps its commands. A command proposed twice is kept once.
type journal struct {
	mu   sync.Mutex // of the tests: the Node needs none
	done []string
}

var errUnknownCommand = errors.New("a command of a newer version")

func (j *journal) Apply(_ uint64, command []byte) (any, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	text := string(command)
	if text == "unknown" {
		return nil, errUnknownCommand
	}
	for i, c := range j.done {
		if c == text {
			return i, nil
		}
	}
	j.done = append(j.done, text)
	return len(j.done) - 1, nil
}

func (j *journal) Snapshot() []byte { return []byte(strings.Join(j.all(), " ")) }

func (j *journal) Restore(in []byte) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.done = strings.Fields(string(in))
	return nil
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]string(nil), j.done...)
}
