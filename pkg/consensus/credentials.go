package consensus

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
)

// Files are where a host has its certificate, its key and the certificate of the site's authority, all in PEM.
type Files struct{ CA, Certificate, Key string }

// credentials are what a host proves itself with, read again for every connection: a renewed certificate needs no restart.
type credentials struct {
	files Files

	mu      sync.Mutex
	read    [3][]byte // as the files were
	current *identityCard
}

// identityCard is a certificate with its key, and whom it trusts.
type identityCard struct {
	certificate tls.Certificate
	authority   *x509.CertPool
}

// get is what is in force. Files that cannot be read, or do not belong together, as in the middle of being
// replaced, leave in force what was; the error is that of the first reading only.
func (c *credentials) get() (*identityCard, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var read [3][]byte
	var errs error
	for i, path := range []string{c.files.CA, c.files.Certificate, c.files.Key} {
		data, err := os.ReadFile(path)
		read[i], errs = data, errors.Join(errs, err)
	}
	if errs == nil && c.current != nil && same(read, c.read) {
		return c.current, nil
	}
	if errs == nil {
		card, err := newCard(c.files, read)
		if err == nil {
			c.current, c.read = card, read
			return card, nil
		}
		errs = err
	}
	if c.current != nil {
		return c.current, nil
	}
	return nil, errs
}

func same(a, b [3][]byte) bool {
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

func newCard(files Files, read [3][]byte) (*identityCard, error) {
	certificate, err := tls.X509KeyPair(read[1], read[2])
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", files.Certificate, files.Key, err)
	}
	authority := x509.NewCertPool()
	if !authority.AppendCertsFromPEM(read[0]) {
		return nil, fmt.Errorf("%s: it holds no certificate in PEM", files.CA)
	}
	return &identityCard{certificate: certificate, authority: authority}, nil
}
