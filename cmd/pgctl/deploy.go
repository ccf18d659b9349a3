package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/deploy"
	"github.com/pgctl/pgctl/pkg/failover"
	"github.com/pgctl/pgctl/pkg/nodes"
	"github.com/pgctl/pgctl/pkg/observe"
	"github.com/pgctl/pgctl/pkg/plan"
)

// deployOpts are the flags of deploy.
type deployOpts struct {
	changeOpts

	remove, rotate, reset bool
}

func newDeployCmd(a *app) *cobra.Command {
	var opts deployOpts
	cmd := &cobra.Command{
		Use:   "deploy",
		Short: "Put pgctl and its watcher on every server, pool and arbiter, or take them away",
		Long: `deploy brings this pgctl, the settings in pgctl.yaml, a certificate of the site's own authority
and supervisor's program pg_watcher to every host of the inventory: one host at a time, arbiters
first, the master's host last, and the next one only when the watcher of this one reports. The
authority is made on this host by the first deploy, and its key stays here.

The watchers ask PostgreSQL as the role pgctl, which may look and nothing more, by peer
authentication: deploy makes it on the master, and the system user of that name on every server.
pg_hba.conf is left alone; where it does not let the role in, the watcher asks as pgctl does, and
deploy says which line would help. deploy also leaves a first row in pgctl.epoch, by which true
copies of the master are known.

Run again, it does what is left, renews certificates that end soon, and brings a new version.
A pg_watcher that is not pgctl's is left alone and the deployment refused (4) without
--accept=replace-watcher; it is kept, and --remove puts it back.

When the quorum has lost its majority for good, --reset-quorum makes it anew out of the survivor
that knows the most. It stops the watchers that answer, keeps what each had, and starts them
again; nobody is elected until pgctl resume --adopt has said who is master. It is refused (4)
while there is a majority, and without --accept=lost-hosts for hosts that do not answer.

Exit code 5 when it stopped part-way, or a host did not answer and was left out.`,
		Example: "  pgctl deploy --dry-run\n  pgctl deploy --yes\n  pgctl deploy --rotate-certs\n  pgctl deploy --reset-quorum --accept=lost-hosts\n  pgctl deploy --remove",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if opts.reset {
				return a.resetQuorum(cmd.Context(), cmd.CommandPath(), opts.changeOpts)
			}
			return a.deploy(cmd.Context(), cmd.CommandPath(), opts)
		},
	}
	opts.bind(cmd.Flags(), deploy.RiskReplaceWatcher, failover.RiskLostHosts)
	cmd.Flags().BoolVar(&opts.remove, "remove", false, "take the watcher and all that came with it away, and put back what it replaced")
	cmd.Flags().BoolVar(&opts.rotate, "rotate-certs", false, "give every host a new key and certificate; the authority stays")
	cmd.Flags().BoolVar(&opts.reset, "reset-quorum", false, "make the watchers' quorum anew out of those that are left")
	cmd.MarkFlagsMutuallyExclusive("remove", "rotate-certs", "reset-quorum")
	return cmd
}

func (a *app) deploy(ctx context.Context, command string, opts deployOpts) error {
	if err := opts.check(); err != nil {
		return usageError(command, err)
	}
	site, closeSite, err := a.site(ctx)
	if err != nil {
		return err
	}
	defer closeSite()
	d, err := a.deployer(site)
	if err != nil {
		return err
	}
	snap, err := ask(ctx, site, observe.Everything)
	if err != nil {
		return err
	}
	seen := d.Survey(ctx, deploy.Hosts(site.Inventory))
	if err := ctx.Err(); err != nil {
		return err
	}
	c := change{handlers: d.Handlers(), site: site, accept: opts.accept, still: a.sameHA(site, d.Here)}
	o := deploy.Options{Rotate: opts.rotate, Accept: opts.accept, Nonce: token(26)}
	if o.Master, err = failover.CertainMaster(snap, cluster.Diagnose(snap), nil); err != nil {
		o.NoMaster = err.Error()
	}
	if opts.remove {
		c.plan, c.left, err = d.PlanRemove(snap, seen, o)
	} else {
		c.plan, c.left, err = d.Plan(snap, seen, o)
		c.after = func(ctx context.Context) { a.warnOfLogins(ctx, d, snap, c.left) }
	}
	if err != nil {
		return err
	}
	c.lockOn = lockHosts(snap)
	return a.apply(ctx, command, c, opts.changeOpts)
}

// warnOfLogins says where the watchers are not let in as their own role.
func (a *app) warnOfLogins(ctx context.Context, d *deploy.Deployer, snap cluster.Snapshot, left map[string]string) {
	servers := slices.DeleteFunc(lockHosts(snap), func(host string) bool { return left[host] != "" })
	for _, w := range d.Warnings(ctx, servers) {
		fmt.Fprintf(a.err, "pgctl: warning: %s\n", w.Message)
		if w.Hint != "" {
			fmt.Fprintf(a.err, "pgctl: hint: %s\n", w.Hint)
		}
	}
}

// deployer is ready to bring the program that runs, and the settings as they are here.
func (a *app) deployer(site *observe.Site) (*deploy.Deployer, error) {
	here, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("cannot tell the name of this host: %w", err)
	}
	binary, err := os.ReadFile(selfPath)
	if err != nil {
		return nil, err
	}
	d := &deploy.Deployer{
		Hosts: site.Hosts, Timeout: a.timeout, Now: a.now, Here: here, Version: version, Postgres: a.servers(site).Settings,
		Note: func(host, message string) { fmt.Fprintf(a.err, "       %s: %s\n", host, message) },
	}
	d.SetBinary(binary)
	switch data, err := os.ReadFile(a.configFile); {
	case err == nil:
		d.Settings = &nodes.File{Path: a.configFile, Data: data}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	return d, nil
}

// sameHA is the guard of a deployment: automatic failover is on or off as it was when the plan was made.
func (a *app) sameHA(site *observe.Site, here string) func(context.Context, plan.Plan) error {
	return func(ctx context.Context, p plan.Plan) error {
		inv, err := observe.Inventory(ctx, site.Hosts(here), a.confDir, site.Config)
		if err != nil {
			return err
		}
		if now := string(inv.HA()); now != p.Facts["ha"] {
			return fmt.Errorf("automatic failover was %s when the plan was made, and is %s now", p.Facts["ha"], now)
		}
		return nil
	}
}
