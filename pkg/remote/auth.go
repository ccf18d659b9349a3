package remote

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// credentials are the keys for one host, in the order in which they are tried.
type credentials struct {
	signers []ssh.Signer
	tried   []string // as the operator knows them
	skipped []string // with the reason
}

// keyFile is what a private key file holds.
type keyFile struct {
	signers []ssh.Signer  // a certificate beside it first; empty when locked
	public  ssh.PublicKey // nil when a locked file does not tell
	locked  string        // why only the agent can use it
}

// credentials collects the keys for t: those of the agent that are configured
// for the host, its other keys, then the key files. An encrypted file needs the
// agent.
func (p *Pool) credentials(t *target) credentials {
	var c credentials
	files := make(map[string]string) // public key to path
	for _, id := range t.identities {
		key, err := p.keyFile(id.path)
		switch {
		case err == nil && key.public != nil:
			files[string(key.public.Marshal())] = id.path
		case errors.Is(err, fs.ErrNotExist) && id.byDefault:
		case err != nil:
			c.skipped = append(c.skipped, fmt.Sprintf("%s: %s", id.path, keyProblem(err)))
		}
	}
	held := p.agentKeys(t, files, &c)
	for _, id := range t.identities {
		key, err := p.keyFile(id.path)
		switch {
		case err != nil || key.public != nil && held[string(key.public.Marshal())]:
		case key.locked != "":
			c.skipped = append(c.skipped, id.path+": "+key.locked+" and not in the agent")
		case len(key.signers) > 0:
			c.signers = append(c.signers, key.signers...)
			c.tried = append(c.tried, id.path)
		}
	}
	return c
}

// agentKeys adds the keys of the agent and tells which public keys it holds.
func (p *Pool) agentKeys(t *target, files map[string]string, c *credentials) (held map[string]bool) {
	held = make(map[string]bool)
	if t.agent == "" {
		return held
	}
	signers, err := p.agents.signers(t.agent)
	if err != nil {
		c.skipped = append(c.skipped, fmt.Sprintf("the agent: %v", err))
		return held
	}
	var named, others []ssh.Signer
	for _, signer := range signers {
		public := string(signer.PublicKey().Marshal())
		held[public] = true
		if path := files[public]; path != "" {
			named = append(named, signer)
			c.tried = append(c.tried, path+" in the agent")
		} else if !t.identitiesOnly {
			others = append(others, signer)
		}
	}
	if n := len(others); n > 0 {
		c.tried = append(c.tried, plural(n, "key")+" of the agent")
	}
	c.signers = slices.Concat(c.signers, named, others)
	return held
}

// keyFile reads a key file unless it did so before.
func (p *Pool) keyFile(path string) (keyFile, error) {
	return p.keyFiles.get(path, []string{path, path + ".pub", path + "-cert.pub"}, func() (keyFile, error) {
		return readKeyFile(path)
	})
}

// readKeyFile reads a private key with the certificate or public key beside it.
func readKeyFile(path string) (keyFile, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		// Of a key that lives in the agent alone only the public one may be here.
		if public, ok := readPublicKey(path + ".pub"); ok {
			return keyFile{public: public, locked: "only its public half is here"}, nil
		}
		return keyFile{}, err
	}
	signer, err := ssh.ParsePrivateKey(data)
	var locked *ssh.PassphraseMissingError
	if errors.As(err, &locked) {
		key := keyFile{public: locked.PublicKey, locked: "encrypted"}
		if key.public == nil {
			key.public, _ = readPublicKey(path + ".pub")
		}
		return key, nil
	}
	if err != nil {
		return keyFile{}, err
	}
	key := keyFile{public: signer.PublicKey(), signers: []ssh.Signer{signer}}
	if public, ok := readPublicKey(path + "-cert.pub"); ok {
		if cert, ok := public.(*ssh.Certificate); ok {
			if withCert, err := ssh.NewCertSigner(cert, signer); err == nil {
				key.signers = []ssh.Signer{withCert, signer}
			}
		}
	}
	return key, nil
}

func readPublicKey(path string) (ssh.PublicKey, bool) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, false
	}
	public, _, _, _, err := ssh.ParseAuthorizedKey(data)
	return public, err == nil
}

// keyProblem says in a few words why a key file cannot be used.
func keyProblem(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "no such file"
	case errors.Is(err, fs.ErrPermission):
		return "permission denied"
	default:
		return shorten(strings.TrimPrefix(err.Error(), "ssh: "), shortCommand)
	}
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
