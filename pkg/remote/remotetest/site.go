package remotetest

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"

	"github.com/pgctl/pgctl/pkg/remote"
)

// Site is some servers and the way to reach them by name.
type Site struct {
	// Names are h001, h002 and so on; server i is named Names[i].
	Names   []string
	Servers []*Server
	// Dir holds ssh_config, known_hosts and the client key id_ed25519.
	Dir string
	// Options reach the servers; they may be changed before NewPool.
	Options remote.Options
}

// NewSite starts n servers that end with the test. each, where not nil, says what
// kind of server number i (from 0) is.
func NewSite(t testing.TB, n int, each func(i int, c *Config)) *Site {
	t.Helper()
	site := &Site{Dir: t.TempDir()}
	var config, known bytes.Buffer
	for i := range n {
		var c Config
		if each != nil {
			each(i, &c)
		}
		server := NewServer(t, c)
		name := fmt.Sprintf("h%03d", i+1)
		site.Names = append(site.Names, name)
		site.Servers = append(site.Servers, server)
		fmt.Fprintf(&config, "Host %s\n  HostName 127.0.0.1\n  Port %d\n", name, server.Addr().Port)
		fmt.Fprintln(&known, knownhosts.Line([]string{server.Addr().String()}, server.HostKey()))
	}
	fmt.Fprint(&config, "Host *\n  User root\n  IdentityAgent none\n")
	write := func(name string, data []byte) string {
		path := filepath.Join(site.Dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	site.Options = remote.Options{
		ConfigFile:      write("ssh_config", config.Bytes()),
		KnownHostsFiles: []string{write("known_hosts", known.Bytes())},
		IdentityFiles:   []string{WriteKey(t, filepath.Join(site.Dir, "id_ed25519"))},
		Home:            site.Dir,
		LocalName:       "this-machine",
	}
	return site
}

// Pool is a pool of the options that ends with the test.
func (s *Site) Pool(t testing.TB) *remote.Pool {
	pool := remote.NewPool(s.Options)
	t.Cleanup(func() { _ = pool.Close() })
	return pool
}

// Configure puts text in front of the SSH configuration, where it is stronger.
func (s *Site) Configure(t testing.TB, text string) {
	t.Helper()
	old, err := os.ReadFile(s.Options.ConfigFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.Options.ConfigFile, append([]byte(text+"\n"), old...), 0o600); err != nil {
		t.Fatal(err)
	}
}

// WriteKey writes a new private key, with its public one beside it, and gives
// the path.
func WriteKey(t testing.TB, path string) string {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "test")
	if err != nil {
		t.Fatal(err)
	}
	sshPublic, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	for path, data := range map[string][]byte{
		path:          pem.EncodeToMemory(block),
		path + ".pub": ssh.MarshalAuthorizedKey(sshPublic),
	} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return path
}
