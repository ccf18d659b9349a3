package deploy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pgctl/pgctl/pkg/plan"
	"github.com/pgctl/pgctl/pkg/remote"
)

const (
	authorityCert = tlsDir + "/ca.crt"
	authorityKey  = tlsDir + "/ca.key"
	hostCert      = tlsDir + "/host.crt"
	hostKey       = tlsDir + "/host.key"
)

// authorityMissing: the authority is made once. A certificate whose key is not here is never replaced: every host trusts it.
func (d *Deployer) authorityMissing(_ context.Context, s plan.Step, f facts) (reason, err error) {
	text, made := f.file("ca")
	mode := f.mode(authorityKey)
	switch {
	case !made:
		return errors.New("the site has no authority yet"), nil
	case mode == "":
		return nil, fmt.Errorf("%s has the certificate of the site's authority, but its key %s is not there: run deploy on the host that has it, or bring it back from a backup", s.Host, authorityKey)
	case mode != "600:0":
		return nil, fmt.Errorf("%s: %s has mode and owner %s, expected 600:0: who read it can pose as any host; chmod 600 it, or make a new authority (remove both files)", s.Host, authorityKey, mode)
	}
	a, err := readAuthority(text, nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", s.Host, authorityCert, err)
	}
	if now := d.Now(); a.cert.NotAfter.Sub(now) < renewBefore {
		return nil, fmt.Errorf("%s: the site's authority ends on %s: remove %s and %s, and deploy makes a new one", s.Host, a.cert.NotAfter.Format(time.DateOnly), authorityCert, authorityKey)
	}
	return nil, nil
}

// makeAuthority makes the key first: with it the certificate can be made again, but not the other way round.
func (d *Deployer) makeAuthority(ctx context.Context, _ plan.Step, host remote.Host) error {
	if err := d.run(ctx, host, "umask 077; mkdir -p \"$1\"; chmod 700 \"$1\"", tlsDir); err != nil {
		return err
	}
	keyPEM, err := d.read(ctx, host, authorityKey)
	if err != nil {
		return err
	}
	if keyPEM == nil {
		if _, keyPEM, err = newKey(); err != nil {
			return err
		}
		if err := d.write(ctx, host, authorityKey, keyPEM, remote.WriteOptions{Mode: 0o600, Owner: "root:root"}); err != nil {
			return err
		}
	}
	key, err := readKey(keyPEM)
	if err != nil {
		return fmt.Errorf("%s: %s: %w", host.Name(), authorityKey, err)
	}
	certPEM, err := selfSigned(key, d.Now())
	if err != nil {
		return err
	}
	return d.write(ctx, host, authorityCert, certPEM, remote.WriteOptions{Mode: 0o644, Owner: "root:root"})
}

// authority is the site's; it can sign only where withKey is true.
func (d *Deployer) authority(ctx context.Context, withKey bool) (*authority, error) {
	here := d.Hosts(d.Here)
	certPEM, err := d.read(ctx, here, authorityCert)
	if err != nil || certPEM == nil {
		return nil, err
	}
	var keyPEM []byte
	if withKey {
		if keyPEM, err = d.read(ctx, here, authorityKey); err != nil {
			return nil, err
		}
	}
	a, err := readAuthority(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("%s: the authority in %s: %w", d.Here, tlsDir, err)
	}
	if withKey && a.key == nil {
		return nil, fmt.Errorf("%s: the authority in %s has no key", d.Here, tlsDir)
	}
	return a, nil
}

func (d *Deployer) certificateMissing(ctx context.Context, s plan.Step, f facts) (reason, err error) {
	a, err := d.authority(ctx, false)
	if err != nil {
		return nil, err
	}
	if a == nil {
		return errors.New("the site has no authority yet"), nil
	}
	if mode := f.mode(hostKey); mode != "600:0" {
		return fmt.Errorf("%s has mode and owner %q, expected 600:0", hostKey, mode), nil
	}
	if mode := f.mode(authorityKey); mode != "" && s.Host != d.Here {
		return nil, fmt.Errorf("%s has a key of an authority, %s, which belongs on %s alone: remove it", s.Host, authorityKey, d.Here)
	}
	var issuedAfter time.Time
	if text := s.Args["issued_after"]; text != "" {
		if issuedAfter, err = time.Parse(time.RFC3339, text); err != nil {
			return nil, err
		}
	}
	ca, _ := f.file("ca")
	cert, _ := f.file("certificate")
	return a.judge(ca, cert, s.Host, s.Args["role"], d.Now(), issuedAfter), nil
}

// certify takes the certificate away before it changes the key, so that a certificate that is there always belongs to the key
// beside it, wherever this is cut off.
func (d *Deployer) certify(ctx context.Context, s plan.Step, host remote.Host) error {
	a, err := d.authority(ctx, true)
	if err != nil {
		return err
	}
	if a == nil {
		return fmt.Errorf("%s: the authority in %s is gone", d.Here, tlsDir)
	}
	certPEM, keyPEM, err := a.issue(s.Host, s.Args["role"], d.Now())
	if err != nil {
		return err
	}
	if err := d.run(ctx, host, `set -e; rm -f "$1"; rm -f "$2"`, hostCert, hostKey); err != nil {
		return err
	}
	if s.Host != d.Here {
		if err := d.write(ctx, host, authorityCert, a.pem, remote.WriteOptions{Mode: 0o644, Owner: "root:root"}); err != nil {
			return err
		}
	}
	if err := d.write(ctx, host, hostKey, keyPEM, remote.WriteOptions{Mode: 0o600, Owner: "root:root"}); err != nil {
		return err
	}
	return d.write(ctx, host, hostCert, certPEM, remote.WriteOptions{Mode: 0o644, Owner: "root:root"})
}
