package deploy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/pgctl/pgctl/pkg/nodes"
	"github.com/pgctl/pgctl/pkg/plan"
	"github.com/pgctl/pgctl/pkg/remote"
)

// folders are a host's own, with mode and owner's number.
var folders = []struct{ path, mode string }{
	{"/etc/pgctl", "755:0"}, {tlsDir, "700:0"}, {"/var/lib/pgctl", "700:0"}, {"/var/log/pgctl", "750:0"},
}

func foldersMissing(_ plan.Step, f facts) error {
	for _, folder := range folders {
		if mode := f.mode(folder.path); mode != folder.mode {
			return fmt.Errorf("%s has mode and owner %q, expected %s", folder.path, mode, folder.mode)
		}
	}
	return nil
}

const foldersScript = `set -e
install -d -o root -g root -m 755 /etc/pgctl
install -d -o root -g root -m 700 /etc/pgctl/tls /var/lib/pgctl
install -d -o root -g root -m 750 /var/log/pgctl`

func (d *Deployer) makeFolders(ctx context.Context, _ plan.Step, host remote.Host) error {
	return d.run(ctx, host, foldersScript)
}

func binaryMissing(s plan.Step, f facts) error {
	switch mode := f.mode(BinaryPath); {
	case f.one("binary") != s.Args["sha256"]:
		return fmt.Errorf("%s has the SHA-256 %q, expected %s", BinaryPath, f.one("binary"), s.Args["sha256"])
	case mode != "755:0":
		return fmt.Errorf("%s has mode and owner %q, expected 755:0", BinaryPath, mode)
	}
	return nil
}

// sendBinary replaces the binary at once; a watcher that runs keeps the old one until it is started anew.
func (d *Deployer) sendBinary(ctx context.Context, s plan.Step, host remote.Host) error {
	f, err := d.look(ctx, host, "binary")
	if err != nil {
		return err
	}
	if f.one("binary") != d.sum {
		if err := d.transfer(ctx, host); err != nil {
			return err
		}
	}
	return d.run(ctx, host, `set -e; chown root:root "$1"; chmod 755 "$1"`, BinaryPath)
}

// stall ends a transfer of which nothing has moved for so long. It is no limit of the whole, which takes as long as the line
// needs.
const stall = time.Minute

// transfer sends the binary and tells how far it is when that takes long.
func (d *Deployer) transfer(ctx context.Context, host remote.Host) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(stall, func() { cancel(fmt.Errorf("nothing of it has moved for %s", stall)) })
	defer timer.Stop()
	began := d.Now()
	told := began
	r := &watchedReader{Reader: bytes.NewReader(d.binary), moved: func(left int) {
		timer.Reset(stall)
		if now := d.Now(); now.Sub(told) > 5*time.Second && d.Note != nil {
			told = now
			d.Note(host.Name(), fmt.Sprintf("%.1f of %.1f MB sent in %s", mb(len(d.binary)-left), mb(len(d.binary)), now.Sub(began).Round(time.Second)))
		}
	}}
	_, err := remote.WriteFrom(ctx, host, BinaryPath, r, len(d.binary), remote.WriteOptions{Mode: 0o755, Owner: "root:root"})
	if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(err, cause) {
		return fmt.Errorf("%w: %w", err, cause)
	}
	return err
}

func mb(n int) float64 { return float64(n) / 1e6 }

// watchedReader tells of every read how much is left.
type watchedReader struct {
	*bytes.Reader
	moved func(left int)
}

// Read reads.
func (r *watchedReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.moved(r.Len())
	return n, err
}

// wanted is the pgctl.yaml that a host is to have.
func (d *Deployer) wanted(host string, f facts) (want, have []byte, err error) {
	have, _ = f.file("settings")
	want, err = nodes.HostConfig(*d.Settings, nodes.File{Path: host + ":" + settingsPath, Data: have})
	return want, have, err
}

func (d *Deployer) settingsMissing(_ context.Context, s plan.Step, f facts) (reason, err error) {
	want, have, err := d.wanted(s.Host, f)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(want, have) {
		return errors.New("its settings are others"), nil
	}
	return nil, nil
}

func (d *Deployer) sendSettings(ctx context.Context, s plan.Step, host remote.Host) error {
	f, err := d.look(ctx, host, "settings")
	if err != nil {
		return err
	}
	want, _, err := d.wanted(s.Host, f)
	if err != nil {
		return err
	}
	return d.write(ctx, host, settingsPath, want, remote.WriteOptions{Mode: 0o600, Owner: "root:root"})
}

// read is a file of a host; nil when there is none.
func (d *Deployer) read(ctx context.Context, host remote.Host, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel()
	data, err := remote.ReadFile(ctx, host, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}
