package deploy

import (
	"context"
	"errors"
	"fmt"

	"github.com/pgctl/pgctl/pkg/nodes"
	"github.com/pgctl/pgctl/pkg/plan"
	"github.com/pgctl/pgctl/pkg/postgres"
)

// sqlHandler does the steps of one verb on a PostgreSQL server, as the role that pgctl asks as.
type sqlHandler struct {
	*Deployer
	missing func(ctx context.Context, server *postgres.Server, s plan.Step) (reason, err error)
	change  func(ctx context.Context, server *postgres.Server, s plan.Step) error
}

// Done asks the server.
func (h sqlHandler) Done(ctx context.Context, s plan.Step) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	reason, err := h.missing(ctx, h.server(s.Host), s)
	if err != nil {
		return false, fmt.Errorf("%s: %w", s.Host, err)
	}
	if reason != nil {
		return false, &plan.NotYet{Reason: reason}
	}
	return true, nil
}

// Do changes the server.
func (h sqlHandler) Do(ctx context.Context, s plan.Step) error {
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	return h.change(ctx, h.server(s.Host), s)
}

func (d *Deployer) server(host string) *postgres.Server {
	return postgres.On(d.Hosts(host), d.Postgres)
}

// ownLogin tells whether the pgctl.yaml that the hosts get names a role or a user: their watchers use that one.
func (d *Deployer) ownLogin() bool {
	if d.Settings == nil {
		return false
	}
	c, err := nodes.ParseConfig(*d.Settings) // one that cannot be read is refused before it is sent
	return err == nil && (c.Postgres.User != "" || c.Postgres.OSUser != "")
}

// roleSteps are the steps on the master's PostgreSQL: what comes before the first server's watcher, and what comes at the end. Without a
// certain master there are none, and what is left out is told.
func (d *Deployer) roleSteps(o Options, left map[string]string) (before, after []plan.Step) {
	login := d.ownLogin()
	if o.Master == nil {
		what := "the role " + postgres.WatcherRole + " and the row of the timeline"
		if login {
			what = "the row of the timeline"
		}
		left[what] = o.NoMaster
		return nil, nil
	}
	host := o.Master.Host
	if !login {
		before = append(before, plan.Step{
			ID: host + "/" + verbRole, Verb: verbRole, Host: host, Text: "make the role " + postgres.WatcherRole + " in PostgreSQL, which may look and nothing more",
			Why: "the watchers ask as it, and no longer as a superuser; the standbys get it by replication",
		})
	}
	return before, append(after, plan.Step{
		ID: host + "/" + verbSign, Verb: verbSign, Host: host, Text: fmt.Sprintf("leave a row of timeline %d in pgctl.epoch, if it has none", o.Master.SQL.Timeline),
		Why:  "every true copy has it, and is known by it when the WAL of the timeline's beginning is gone",
		Args: map[string]string{"data_dir": o.Master.Data.Path, "nonce": o.Nonce},
	})
}

// roleMissing: a role of that name which deploy did not make is used as it is.
func roleMissing(ctx context.Context, server *postgres.Server, _ plan.Step) (reason, err error) {
	there, made, err := server.WatcherRole(ctx)
	if err != nil || there && !made {
		return nil, err
	}
	fault, err := server.WatcherRoleFault(ctx)
	if err != nil || fault == "" {
		return nil, err
	}
	return errors.New(fault), nil
}

func makeRole(ctx context.Context, server *postgres.Server, _ plan.Step) error {
	return server.MakeWatcherRole(ctx)
}

func roleLeft(ctx context.Context, server *postgres.Server, _ plan.Step) (reason, err error) {
	if _, made, err := server.WatcherRole(ctx); err != nil || !made {
		return nil, err
	}
	return fmt.Errorf("the role %s is still there", postgres.WatcherRole), nil
}

func dropRole(ctx context.Context, server *postgres.Server, _ plan.Step) error {
	return server.DropWatcherRole(ctx)
}

// errNotMaster is returned when the server of the plan has become a standby since.
var errNotMaster = errors.New("it is not the master any more: run it again, it makes a new plan")

// unsigned: whoever signed the timeline, a promotion or a deployment, the row is one.
func unsigned(ctx context.Context, server *postgres.Server, _ plan.Step) (reason, err error) {
	in, err := server.Probe(ctx)
	if err != nil {
		return nil, err
	}
	if in.InRecovery {
		return nil, errNotMaster
	}
	return server.Signed(ctx, in.Timeline)
}

// signTimeline leaves the first row of a timeline that pgctl did not open. What makes that safe, however late it is written, is at cluster.Epoch: who
// has the row is a true copy, and of who lacks it nothing is said. It is written on a master that is certain only: a row on a master that is the
// old one would make it look like the newer of two.
func signTimeline(ctx context.Context, server *postgres.Server, s plan.Step) error {
	in, err := server.Probe(ctx)
	if err != nil {
		return err
	}
	if in.InRecovery {
		return errNotMaster
	}
	return server.SignEpoch(ctx, s.Args["data_dir"], s.Args["nonce"], in.Timeline)
}
