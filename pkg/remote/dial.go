package remote

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
)

// connect makes the SSH connection to t, through its jump hosts if it has any.
// It returns when ctx ends, at whatever stage.
func (p *Pool) connect(ctx context.Context, t *target, pr *progress) (*client, error) {
	waited := stopwatch(ctx)
	fail := func(err error) (*client, error) {
		if ctx.Err() != nil {
			return nil, pr.late(ctx.Err(), waited())
		}
		return nil, pr.failed(err)
	}
	config, err := p.clientConfig(t, pr)
	if err != nil {
		return nil, err
	}
	raw, err := p.connectRaw(ctx, t, pr)
	if err != nil {
		return fail(err)
	}
	pr.reach(stageGreet)
	heard := &listening{Conn: raw, heard: func() { pr.reach(stageKeys) }}
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	conn, chans, reqs, err := ssh.NewClientConn(heard, t.addr(), config)
	if err == nil && !stop() {
		conn.Close()
		err = ctx.Err()
	}
	if err != nil {
		return fail(err)
	}
	return newClient(conn, chans, reqs), nil
}

// clientConfig says how to log in at t and which host key to expect.
func (p *Pool) clientConfig(t *target, pr *progress) (*ssh.ClientConfig, error) {
	known, err := p.hostKeys.load(t.knownHosts)
	if err != nil {
		return nil, pr.say(err, "correct or remove that line", "known hosts cannot be read: %s", strings.TrimPrefix(err.Error(), "knownhosts: "))
	}
	creds := p.credentials(t)
	pr.set(func() { pr.creds = creds })
	config := &ssh.ClientConfig{
		User:              t.user,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(creds.signers...)},
		HostKeyAlgorithms: p.hostKeys.algorithms(known, t),
		HostKeyCallback: func(_ string, remote net.Addr, key ssh.PublicKey) error {
			err := p.hostKeys.check(known, t, remote, key)
			pr.set(func() { pr.hostKey = err })
			if err == nil {
				pr.reach(stageLogin)
			}
			return err
		},
	}
	// The list of the library without the SHA-1 exchange that is its last default.
	// OpenSSH 6.6 knows curve25519 and ecdh.
	config.KeyExchanges = ssh.SupportedAlgorithms().KeyExchanges
	return config, nil
}

// connectRaw makes the connection that SSH runs over.
func (p *Pool) connectRaw(ctx context.Context, t *target, pr *progress) (net.Conn, error) {
	if t.via == nil {
		pr.reach(stageConnect)
		dialer := net.Dialer{
			KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3},
			ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
				pr.set(func() { pr.addr = address })
				return nil
			},
		}
		return dialer.DialContext(ctx, "tcp", t.addr())
	}
	for try := 0; ; try++ {
		hop, err := p.link(t.via).get(ctx, pr)
		if err != nil {
			return nil, throughHop(t, err)
		}
		pr.reach(stageConnect)
		conn, err := hop.dial(ctx, "tcp", t.addr())
		var refused *ssh.OpenChannelError
		switch {
		case err == nil:
			return conn, nil
		case errors.As(err, &refused):
			return nil, pr.say(err, "is sshd of "+t.name+" running, and does the jump host reach it and allow forwarding (AllowTcpForwarding)?",
				"jump host %s cannot connect to %s: %s", t.via.name, t.addr(), refused.Message)
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case try > 0:
			return nil, throughHop(t, lost(t.via.name, nil, err))
		}
		p.link(t.via).forget(hop) // it died while nobody used it
	}
}

// listening tells when the first byte has come.
type listening struct {
	net.Conn
	once  sync.Once
	heard func()
}

func (l *listening) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	if n > 0 {
		l.once.Do(l.heard)
	}
	return n, err
}

// hungUp tells whether the other side ended the connection.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// plain gives the text of an error of the SSH library without its prefixes.
func plain(err error) string {
	text := strings.TrimPrefix(err.Error(), "ssh: handshake failed: ")
	return shorten(strings.TrimPrefix(text, "ssh: "), shortOutput)
}
