package consensus

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
)

// Client speaks HTTP/2 to peers: the host of a URL is a name of the inventory ("https://db1/report"). It has no timeout of
// its own; give each request a context.
func (p *Port) Client() *http.Client {
	return &http.Client{Transport: &http.Transport{
		ForceAttemptHTTP2: true,
		DialTLSContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			name, _, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			return p.dial(ctx, name, reportsProtocol)
		},
	}}
}

// dial connects to a host of the inventory, and has proven it when it returns. Whether the host accepts this one is known with
// the first read only: in TLS 1.3 a client is done before its own certificate is judged (RFC 8446, section 2).
func (p *Port) dial(ctx context.Context, name, protocol string) (*tls.Conn, error) {
	host, known := p.host(name)
	if !known {
		return nil, fmt.Errorf("%s is not in the inventory", name)
	}
	config, err := p.tlsConfig(name, protocol)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", host.Address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	conn := tls.Client(p.watched(raw), config)
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if !p.keep(raw, name, protocol) {
		raw.Close()
		return nil, fmt.Errorf("%s is not in the inventory any more", name)
	}
	return conn, nil
}
