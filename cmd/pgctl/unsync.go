package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/failover"
	"github.com/pgctl/pgctl/pkg/observe"
)

func newUnsyncCmd(a *app) *cobra.Command {
	var opts changeOpts
	cmd := &cobra.Command{
		Use:   "unsync HOST",
		Short: "Have commits no longer wait for a standby that is gone, or will be",
		Long: `unsync takes a standby out of the master's synchronous_standby_names, so that writes go on
without it: when its host is lost and nobody else does that (the watchers do, while HA is on), or
before it is taken down for longer. pgctl upmaster HOST takes it in again.

It is refused (4) when the master is not certain, and for a risk that is not accepted: a server
out of reach may be a master too, and a commit may be left waiting for nobody.`,
		Example: "  pgctl unsync db2 --dry-run\n  pgctl unsync db2 --accept=unfenced-master --accept=no-sync-standby",
		Args:    oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.unsync(cmd.Context(), cmd.CommandPath(), args[0], opts)
		},
	}
	opts.bind(cmd.Flags(), failover.RiskUnfencedMaster, failover.RiskNoSyncStandby)
	return cmd
}

func (a *app) unsync(ctx context.Context, command, host string, opts changeOpts) error {
	return a.changeRegion(ctx, command, opts, func(_ context.Context, site *observe.Site, snap cluster.Snapshot) (change, error) {
		if err := areServers(command, site, host); err != nil {
			return change{}, err
		}
		p, err := failover.Unsync(snap, cluster.Diagnose(snap), host, opts.accept)
		return change{plan: p, handlers: a.servers(site).Handlers(), accept: opts.accept}, err
	})
}
