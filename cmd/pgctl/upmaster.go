package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/failover"
	"github.com/pgctl/pgctl/pkg/observe"
)

// upmasterOpts are the flags of upmaster.
type upmasterOpts struct {
	changeOpts
	clone, reuseSpace bool
}

func newUpmasterCmd(a *app) *cobra.Command {
	var opts upmasterOpts
	cmd := &cobra.Command{
		Use:   "upmaster OLD_HOST",
		Short: "Have a broken or old server rejoin as a standby of the current master",
		Long: `upmaster makes a server a standby of the current master again, whatever it is now: an old master
that came back, a standby that has lost its way, a server that was installed anew.

A server that is proven to have nothing but the master's history follows as it is. Every other one
is taken back to the fork by pg_rewind, or gets a new copy by pg_basebackup; what it had is set
aside beside the data directory until pgctl cleanup removes it. It counts for commits only when it
streams and has caught up. Then /pitrix/run/pg_master and the pools are made right.

It is refused (4) when the master is not certain, when the server is the newer one, or when it has
transactions that the master lacks. Exit code 5 when it stopped part-way: run it again.`,
		Example: "  pgctl upmaster db1 --dry-run\n  pgctl upmaster db1\n  pgctl upmaster db1 --accept=lose-diverged-transactions",
		Args:    oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.upmaster(cmd.Context(), cmd.CommandPath(), args[0], opts)
		},
	}
	opts.bind(cmd.Flags(), failover.RiskLoseDiverged, failover.RiskUnfencedMaster)
	cmd.Flags().BoolVar(&opts.clone, "clone", false, "copy all data anew, also where less would do")
	cmd.Flags().BoolVar(&opts.reuseSpace, "reuse-space", false, "remove the old data before the copy, where there is no room for both")
	return cmd
}

func (a *app) upmaster(ctx context.Context, command, host string, opts upmasterOpts) error {
	incarnation := token(4)
	return a.changeRegion(ctx, command, opts.changeOpts, func(ctx context.Context, site *observe.Site, snap cluster.Snapshot) (change, error) {
		if err := areServers(command, site, host); err != nil {
			return change{}, err
		}
		servers := a.servers(site)
		seen, err := servers.LookRejoin(ctx, snap, host)
		if err != nil {
			return change{}, err
		}
		p, err := failover.Upmaster(seen, failover.UpmasterOptions{
			Accept: opts.accept, Clone: opts.clone, ReuseSpace: opts.reuseSpace, Incarnation: incarnation, Nodes: *site.Inventory, Pools: poolSettings(site),
		})
		still := onServers(site, opts.accept, failover.StillRejoin(host))
		return change{plan: p, handlers: handlers(servers, a.pools(site)), accept: opts.accept, still: still, overtakes: "switchover"}, err
	})
}
