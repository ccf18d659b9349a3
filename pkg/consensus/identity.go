package consensus

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// The protocols of the port, told apart by ALPN (RFC 7301). A connection that offers neither is closed.
const (
	raftProtocol    = "pgctl-raft/1"
	reportsProtocol = "h2"
)

// ErrStranger is returned when the certificate of the other end does not prove a host of the inventory in a role that may
// speak the protocol.
var ErrStranger = errors.New("the other end is not who it must be")

// tlsConfig is for one connection: certificates are looked at anew for each. peer is the host that is dialed, "" on the
// accepting side. Both sides demand a certificate of the site's authority, and TLS 1.3, in which nothing of
// a client is read before its certificate has been judged.
func (p *Port) tlsConfig(peer string, protocols ...string) (*tls.Config, error) {
	card, err := p.credentials.get()
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{card.certificate},
		RootCAs:      card.authority, ClientCAs: card.authority, ClientAuth: tls.RequireAndVerifyClientCert,
		ServerName: peer, NextProtos: protocols, SessionTicketsDisabled: true, Time: p.now,
		VerifyConnection: func(state tls.ConnectionState) error { return p.admit(peer, state) },
	}, nil
}

// admit judges the certificate of the other end, which the site's authority has signed.
func (p *Port) admit(peer string, state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return fmt.Errorf("%w: it has no certificate", ErrStranger)
	}
	name, role, err := identity(state.PeerCertificates[0])
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStranger, err)
	}
	host, known := p.host(name)
	switch {
	case peer != "" && name != peer:
		return fmt.Errorf("%w: it is %s, expected %s", ErrStranger, name, peer)
	case !known:
		return fmt.Errorf("%w: %s is not in the inventory", ErrStranger, name)
	case host.Role != role:
		return fmt.Errorf("%w: the certificate of %s says %s, the inventory %s", ErrStranger, name, role, host.Role)
	case state.NegotiatedProtocol == raftProtocol && (!role.replicates() || name == p.options.Host):
		return fmt.Errorf("%w: %s, a %s, does not speak %s to %s", ErrStranger, name, role, raftProtocol, p.options.Host)
	case state.NegotiatedProtocol != raftProtocol && state.NegotiatedProtocol != reportsProtocol:
		return fmt.Errorf("%w: %s offers no protocol of this port", ErrStranger, name)
	}
	return nil
}

// identity reads who a certificate is for: one URI pgctl://HOST/ROLE, and the same host as a name that it is good for.
func identity(cert *x509.Certificate) (string, Role, error) {
	if len(cert.URIs) != 1 || cert.URIs[0].Scheme != "pgctl" {
		return "", "", errors.New("its certificate has not one URI pgctl://HOST/ROLE")
	}
	name, role := cert.URIs[0].Host, Role(strings.TrimPrefix(cert.URIs[0].Path, "/"))
	if !slices.Contains([]Role{Server, Arbiter, Pool}, role) {
		return "", "", fmt.Errorf("its certificate gives the role %q", role)
	}
	if err := cert.VerifyHostname(name); err != nil {
		return "", "", fmt.Errorf("its certificate is for another host than its URI says: %w", err)
	}
	return name, role, nil
}
