package deploy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"runtime"
	"time"

	"github.com/pgctl/pgctl/pkg/nodes"
	"github.com/pgctl/pgctl/pkg/plan"
	"github.com/pgctl/pgctl/pkg/postgres"
	"github.com/pgctl/pgctl/pkg/remote"
)

// ownArch is the architecture that this program is built for.
const ownArch = runtime.GOARCH

// Deployer brings pgctl to the hosts.
type Deployer struct {
	Hosts    func(name string) remote.Host
	Timeout  time.Duration // for one question
	Now      func() time.Time
	Here     string            // the host that pgctl runs on and whose authority signs
	Version  string            // of Binary
	Settings *nodes.File       // pgctl.yaml of Here; nil: it has none, and the hosts keep what they have
	Postgres postgres.Settings // how pgctl itself enters a server
	Note     func(host, message string)

	binary []byte
	sum    string
}

// SetBinary says which program is brought.
func (d *Deployer) SetBinary(data []byte) {
	sum := sha256.Sum256(data)
	d.binary, d.sum = data, hex.EncodeToString(sum[:])
}

// Seen is what a host has before a plan is made.
type Seen struct {
	facts facts
	Err   error // it could not be looked at
}

// Survey looks at all hosts at once.
func (d *Deployer) Survey(ctx context.Context, hosts []string) map[string]*Seen {
	found := remote.Each(ctx, hosts, 0, d.Timeout, func(ctx context.Context, name string) *Seen {
		f, err := look(ctx, d.Hosts(name), "machine", "definitions", "program", "kept")
		return &Seen{facts: f, Err: err}
	})
	seen := map[string]*Seen{}
	for i, name := range hosts {
		seen[name] = found[i]
	}
	return seen
}

// handler does the steps of one verb: parts is what a host is asked, missing says what of that is not as the step makes it.
type handler struct {
	*Deployer
	parts   []string
	missing func(ctx context.Context, s plan.Step, f facts) (reason, err error)
	change  func(ctx context.Context, s plan.Step, host remote.Host) error
}

// Done looks at the host.
func (h handler) Done(ctx context.Context, s plan.Step) (bool, error) {
	f, err := h.look(ctx, h.Hosts(s.Host), h.parts...)
	if err != nil {
		return false, err
	}
	reason, err := h.missing(ctx, s, f)
	if err == nil && reason != nil {
		err = &plan.NotYet{Reason: reason}
	}
	return err == nil, err
}

// Do changes the host.
func (h handler) Do(ctx context.Context, s plan.Step) error {
	return h.change(ctx, s, h.Hosts(s.Host))
}

// plain is a judgement that needs nothing but the facts.
func plain(judge func(s plan.Step, f facts) error) func(context.Context, plan.Step, facts) (error, error) {
	return func(_ context.Context, s plan.Step, f facts) (error, error) { return judge(s, f), nil }
}

// Handlers are the handlers by verb.
func (d *Deployer) Handlers() map[string]plan.Handler {
	return map[string]plan.Handler{
		verbAuthority:   handler{d, []string{"tls"}, d.authorityMissing, d.makeAuthority},
		verbReplace:     handler{d, []string{"definitions", "program"}, plain(foreignLeft), d.replace},
		verbFolders:     handler{d, []string{"folders"}, plain(foldersMissing), d.makeFolders},
		verbBinary:      handler{d, []string{"binary"}, plain(binaryMissing), d.sendBinary},
		verbSettings:    handler{d, []string{"settings"}, d.settingsMissing, d.sendSettings},
		verbCertificate: handler{d, []string{"tls"}, d.certificateMissing, d.certify},
		verbUser:        handler{d, []string{"user"}, plain(userMissing), d.makeUser},
		verbRole:        sqlHandler{d, roleMissing, makeRole},
		verbSign:        sqlHandler{d, unsigned, signTimeline},
		verbDropRole:    sqlHandler{d, roleLeft, dropRole},
		verbDropUser:    handler{d, []string{"user"}, plain(userLeft), d.dropUser},
		verbProgram:     handler{d, []string{"program", "reports"}, plain(programMissing), d.startProgram},
		verbStop:        handler{d, []string{"program", "reports"}, plain(programLeft), d.stopProgram},
		verbClear:       handler{d, []string{"binary", "tls"}, plain(d.filesLeft), d.clear},
		verbRestore:     handler{d, []string{"kept"}, plain(keptLeft), d.restore},
	}
}

// look asks a host within the timeout.
func (d *Deployer) look(ctx context.Context, host remote.Host, parts ...string) (facts, error) {
	ctx, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel()
	return look(ctx, host, parts...)
}

// run runs a script on a host; it may take longer than a question.
func (d *Deployer) run(ctx context.Context, host remote.Host, script string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, d.Timeout+90*time.Second)
	defer cancel()
	_, err := host.Run(ctx, remote.Script(script, args...))
	return err
}

// write replaces a small file.
func (d *Deployer) write(ctx context.Context, host remote.Host, path string, data []byte, o remote.WriteOptions) error {
	ctx, cancel := context.WithTimeout(ctx, d.Timeout+30*time.Second)
	defer cancel()
	_, err := remote.WriteFile(ctx, host, path, data, o)
	return err
}
