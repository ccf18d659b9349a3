package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/failover"
	"github.com/pgctl/pgctl/pkg/nodes"
	"github.com/pgctl/pgctl/pkg/observe"
)

func newEnableFailoverCmd(a *app) *cobra.Command {
	return a.failoverFlagsCmd(true, "PostgreSQL 9.x: let the pools fail over to the slave",
		`enable-failover sets every backend_flag of every pool's pgpool.conf to ALLOW_TO_FAILOVER, restarts
one pool after the other, and sees in show pool_nodes, and by a write, that it serves with both
servers. No other byte of the file changes; a backup stays beside it.

It is refused (4) where a failover could not work: the master must be certain and its slave stream,
every pool must answer, name both servers in this order and have a failover_command. For sites with
pgmaster and pgslave in the inventory; with PostgreSQL 10 and later it is pgctl enable-ha.`)
}

func newDisableFailoverCmd(a *app) *cobra.Command {
	return a.failoverFlagsCmd(false, "PostgreSQL 9.x: have the pools fail over no longer",
		`disable-failover sets every backend_flag to DISALLOW_TO_FAILOVER, as enable-failover allows it. It
needs no master and no healthy site: which servers a pool has taken out of use already, it goes on
to know. A pool that does not answer is left out and named (exit code 5).`)
}

func (a *app) failoverFlagsCmd(on bool, short, long string) *cobra.Command {
	var opts changeOpts
	name := failover.FlagsCommand(on)
	cmd := &cobra.Command{
		Use: name, Short: short, Long: long,
		Example: fmt.Sprintf("  pgctl %[1]s --dry-run\n  pgctl %[1]s --yes", name),
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.changeFailoverFlags(cmd.Context(), cmd.CommandPath(), on, opts)
		},
	}
	opts.bind(cmd.Flags())
	return cmd
}

func (a *app) changeFailoverFlags(ctx context.Context, command string, on bool, opts changeOpts) error {
	return a.changeRegion(ctx, command, opts, func(_ context.Context, site *observe.Site, snap cluster.Snapshot) (change, error) {
		if snap.Kind == nodes.KindPG9 && len(snap.Pools) == 0 {
			return change{}, noPools(a.confDir)
		}
		p, left, err := failover.PoolFailover(snap, cluster.Diagnose(snap), on, poolSettings(site))
		return change{
			plan: p, handlers: a.pools(site).Handlers(), left: left, urgent: !on,
			still:     onServers(site, opts.accept, failover.StillFailsOver),
			overtakes: failover.FlagsCommand(!on),
		}, err
	})
}
