package remote

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"
)

// hostKeys knows the host keys of the site.
type hostKeys struct {
	acceptNew bool
	parsed    cache[*knownhosts.HostKeyDB]
	writing   sync.Mutex
}

// hostKeyProblem is returned when the key of a host is not accepted.
type hostKeyProblem struct {
	message, hint string // the message goes on after the name of the host
	cause         error
}

func (p *hostKeyProblem) Error() string { return p.message }
func (p *hostKeyProblem) Unwrap() error { return p.cause }

// load reads those of the files that exist.
func (k *hostKeys) load(files []string) (*knownhosts.HostKeyDB, error) {
	return k.parsed.get(strings.Join(files, "\n"), files, func() (*knownhosts.HostKeyDB, error) {
		there := slices.DeleteFunc(slices.Clone(files), func(file string) bool {
			_, err := os.Stat(file)
			return errors.Is(err, os.ErrNotExist)
		})
		return knownhosts.NewDB(there...)
	})
}

// algorithms gives the host key algorithms to ask t for: those it is known by,
// for with another the key would look changed. The last of those for a host that
// is not known is what an OpenSSH before 7.2 signs with when it has an RSA key
// only; it is negotiated only where nothing else is offered.
func (k *hostKeys) algorithms(db *knownhosts.HostKeyDB, t *target) []string {
	known := db.HostKeyAlgorithms(t.hostKeyAddr())
	plain := slices.ContainsFunc(known, func(algorithm string) bool {
		return !strings.Contains(algorithm, "-cert-")
	})
	if plain {
		return known
	}
	return append(known,
		ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
		ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSA)
}

// check accepts the key that t showed, or gives a *hostKeyProblem.
func (k *hostKeys) check(db *knownhosts.HostKeyDB, t *target, remote net.Addr, key ssh.PublicKey) error {
	addr := t.hostKeyAddr()
	err := db.HostKeyCallback()(addr, remote, key)
	shown := key.Type() + " " + ssh.FingerprintSHA256(key)
	var revoked *xknownhosts.RevokedError
	switch {
	case err == nil:
		return nil
	case knownhosts.IsHostUnknown(err) && k.acceptNew && len(t.knownHosts) > 0:
		return k.remember(t.knownHosts[0], addr, key)
	case knownhosts.IsHostUnknown(err):
		return &hostKeyProblem{
			message: fmt.Sprintf("the host key of %s is not known: %s", t.addr(), shown),
			hint:    "compare the fingerprint with the one on the host (ssh-keygen -lf /etc/ssh/" + keyFileName(key) + "), then run again with --accept-new-host-keys",
			cause:   err,
		}
	case knownhosts.IsHostKeyChanged(err):
		return changed(t, shown, err)
	case errors.As(err, &revoked):
		return &hostKeyProblem{
			message: fmt.Sprintf("the host key of %s is revoked at %s:%d: %s", t.addr(), revoked.Revoked.Filename, revoked.Revoked.Line, shown),
			hint:    "give the host a new key, or take back the line that revokes it",
			cause:   err,
		}
	default:
		return &hostKeyProblem{
			message: fmt.Sprintf("the host key of %s is not accepted: %v", t.addr(), err),
			hint:    "look at the certificate authority that known_hosts names for it",
			cause:   err,
		}
	}
}

func changed(t *target, shown string, err error) error {
	var mismatch *xknownhosts.KeyError
	errors.As(err, &mismatch)
	old := mismatch.Want[0]
	for _, want := range mismatch.Want {
		if strings.HasPrefix(shown, want.Key.Type()+" ") {
			old = want
			break
		}
	}
	return &hostKeyProblem{
		message: fmt.Sprintf("the host key of %s has changed: it shows %s, not what is at %s:%d", t.addr(), shown, old.Filename, old.Line),
		hint: fmt.Sprintf("if the host was installed anew, compare the fingerprint with the one on the host, then: %s",
			commandLine([]string{"ssh-keygen", "-f", old.Filename, "-R", knownhosts.Normalize(t.hostKeyAddr())})),
		cause: err,
	}
}

// remember appends the key of a new host to a known hosts file.
func (k *hostKeys) remember(file, addr string, key ssh.PublicKey) error {
	k.writing.Lock()
	defer k.writing.Unlock()
	line := knownhosts.Line([]string{addr}, key) + "\n"
	old, err := os.ReadFile(file)
	if err == nil && len(old) > 0 && !bytes.HasSuffix(old, []byte("\n")) {
		line = "\n" + line
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return notRemembered(file, err)
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return notRemembered(file, err)
	}
	_, err = f.WriteString(line)
	if err = errors.Join(err, f.Close()); err != nil {
		return notRemembered(file, err)
	}
	return nil
}

func notRemembered(file string, err error) error {
	return &hostKeyProblem{
		message: fmt.Sprintf("its new host key cannot be written to %s: %v", file, err),
		hint:    "make that file writable",
		cause:   err,
	}
}

// keyFileName is the name that sshd gives a host key of this kind.
func keyFileName(key ssh.PublicKey) string {
	switch key.Type() {
	case ssh.KeyAlgoED25519:
		return "ssh_host_ed25519_key.pub"
	case ssh.KeyAlgoRSA:
		return "ssh_host_rsa_key.pub"
	default:
		return "ssh_host_ecdsa_key.pub"
	}
}
