package deploy

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"time"
)

// How long certificates hold. A host's is renewed by any deploy when less than renewBefore is left.
const (
	authorityYears = 10
	hostYears      = 2
	renewBefore    = 90 * 24 * time.Hour
	backdated      = time.Hour // the hosts' clocks may be behind
)

// authority signs the certificates of a site.
type authority struct {
	cert *x509.Certificate
	pem  []byte
	key  *ecdsa.PrivateKey // nil: it only judges
}

// newKey makes a private key, and its PEM.
func newKey() (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// selfSigned makes the certificate of an authority for its key.
func selfSigned(key *ecdsa.PrivateKey, now time.Time) ([]byte, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "pgctl authority of this site"},
		NotBefore: now.Add(-backdated), NotAfter: now.AddDate(authorityYears, 0, 0),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	return sign(template, template, key, key)
}

// issue makes a key and a certificate for a host, for both ends of a connection.
func (a *authority) issue(host, role string, now time.Time) (certPEM, keyPEM []byte, err error) {
	key, keyPEM, err := newKey()
	if err != nil {
		return nil, nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: host},
		NotBefore: now.Add(-backdated), NotAfter: now.AddDate(hostYears, 0, 0),
		DNSNames: []string{host}, URIs: []*url.URL{identity(host, role)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	}
	if a.cert.NotAfter.Before(template.NotAfter) {
		template.NotAfter = a.cert.NotAfter
	}
	certPEM, err = sign(template, a.cert, key, a.key)
	return certPEM, keyPEM, err
}

// identity names a host and what it is to the quorum.
func identity(host, role string) *url.URL {
	return &url.URL{Scheme: "pgctl", Host: host, Path: "/" + role}
}

func newSerial() (*big.Int, error) {
	return rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
}

func sign(template, parent *x509.Certificate, key, by *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// readAuthority reads an authority's certificate, and its key where one is given.
func readAuthority(certPEM, keyPEM []byte) (*authority, error) {
	cert, err := readCertificate(certPEM)
	if err != nil {
		return nil, err
	}
	a := &authority{cert: cert, pem: certPEM}
	if keyPEM == nil {
		return a, nil
	}
	if a.key, err = readKey(keyPEM); err != nil {
		return nil, err
	}
	if !a.key.PublicKey.Equal(cert.PublicKey) {
		return nil, errors.New("its key belongs to another certificate")
	}
	return a, nil
}

func readCertificate(text []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("it is no certificate in PEM")
	}
	return x509.ParseCertificate(block.Bytes)
}

func readKey(text []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("its key is not in PEM")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("its key is not an ECDSA key")
	}
	return key, nil
}

// judge says what keeps a host from using the files that it has; nil: nothing. issuedAfter, where it is set, asks for a
// certificate that is no older.
func (a *authority) judge(caPEM, certPEM []byte, host, role string, now, issuedAfter time.Time) error {
	if !bytes.Equal(caPEM, a.pem) {
		return errors.New("it does not have the site's authority")
	}
	cert, err := readCertificate(certPEM)
	if err != nil {
		return fmt.Errorf("its certificate cannot be read: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	_, err = cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: host, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	switch {
	case err != nil:
		return fmt.Errorf("its certificate does not hold: %w", err)
	case len(cert.URIs) != 1 || cert.URIs[0].String() != identity(host, role).String():
		return fmt.Errorf("its certificate does not say %s", identity(host, role))
	case cert.NotAfter.Sub(now) < renewBefore:
		return fmt.Errorf("its certificate ends on %s", cert.NotAfter.Format(time.DateOnly))
	case cert.NotBefore.Add(backdated).Before(issuedAfter):
		return errors.New("its certificate is from before the rotation")
	}
	return nil
}
