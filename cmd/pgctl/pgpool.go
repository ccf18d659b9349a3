package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/failover"
	"github.com/pgctl/pgctl/pkg/observe"
)

func newPgpoolCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "pgpool",
		Short:   "Show the pools' backends against the real master, and make them right",
		Example: "  pgctl pgpool show\n  pgctl pgpool sync --dry-run",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newPgpoolShowCmd(a), newPgpoolSyncCmd(a))
	return cmd
}

func newPgpoolShowCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Show each pool's backends, in its file and in its memory, against the real master",
		Long: `show asks every server who is master, and every pool for the backends of its pgpool.conf and
for those that the running pgpool has, which differ when the file was edited and pgpool not
restarted.

Exit code 3 when a pool is wrong, down or out of reach, or there is no one master.`,
		Example: "  pgctl pgpool show\n  pgctl pgpool show -o json",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.pgpoolShow(cmd.Context()) },
	}
}

// pgpoolDoc is the document of `pgpool show -o json` (docs/json.md).
type pgpoolDoc struct {
	Master   *string      `json:"master"`
	Pools    []poolDoc    `json:"pools"`
	Findings []findingDoc `json:"findings"`
}

func (a *app) pgpoolShow(ctx context.Context) error {
	site, closeSite, err := a.site(ctx)
	if err != nil {
		return err
	}
	defer closeSite()
	snap, err := ask(ctx, site, observe.Everything)
	if err != nil {
		return err
	}
	if len(snap.Pools) == 0 {
		return noPools(a.confDir)
	}
	d := cluster.Diagnose(snap)
	d.Findings = slices.DeleteFunc(d.Findings, func(f cluster.Finding) bool { return !ofPools(snap, f) })
	whole := overviewDocument(snap, d)
	p := a.painter()
	err = a.print(pgpoolDoc{whole.Region.Master, whole.Pools, whole.Findings}, func() error {
		out := page{headline: "MASTER " + dash(p.bold(d.Master)), tables: []table{poolTable(snap, p, true)}}
		for _, f := range d.Findings {
			out.findings = append(out.findings, findingText(f, p))
		}
		return out.write(a.out)
	})
	if err != nil {
		return err
	}
	if slices.ContainsFunc(d.Findings, func(f cluster.Finding) bool { return f.Severity == cluster.Critical }) {
		return unhealthy()
	}
	return nil
}

// noPools: without a node file of pools there is nothing to show or to make right, and saying nothing would look like success.
func noPools(confDir string) error {
	return &exitError{code: exitUsage, err: fmt.Errorf("the inventory in %s has no pool: nodes/pgpool is missing", confDir)}
}

// ofPools tells whether a finding says something of the pools, or of who is master.
func ofPools(snap cluster.Snapshot, f cluster.Finding) bool {
	switch f.Code {
	case cluster.PgpoolDown, cluster.PgpoolWrongBackend, cluster.FailoverDiffers, cluster.NoMaster, cluster.SplitBrain:
		return true
	case cluster.HostUnreachable:
		return slices.ContainsFunc(snap.Pools, func(p cluster.Pool) bool { return p.Host == f.Host })
	}
	return false
}

func newPgpoolSyncCmd(a *app) *cobra.Command {
	var opts changeOpts
	cmd := &cobra.Command{
		Use:   "sync",
		Short: "Make every pool send its clients to the master, and prove it by a write",
		Long: `sync makes the master the only backend in every pool's pgpool.conf, restarts the pools whose
running pgpool has another one, one after the other, and writes through each to see that the
master took it. Only the lines in question change; a backup stays beside the file. PostgreSQL
on a pool's host is neither started nor stopped. Run again, it does what is left. A pool is asked
by a transaction that is rolled back at once, also by --dry-run.

It is refused (4) when the master is not certain. Exit code 5 when it stopped part-way, or a
pool did not answer and was left out.`,
		Example: "  pgctl pgpool sync --dry-run\n  pgctl pgpool sync\n  pgctl pgpool sync --yes",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.pgpoolSync(cmd.Context(), cmd.CommandPath(), opts)
		},
	}
	opts.bind(cmd.Flags(), failover.RiskUnfencedMaster)
	return cmd
}

func (a *app) pgpoolSync(ctx context.Context, command string, opts changeOpts) error {
	return a.changeRegion(ctx, command, opts, func(_ context.Context, site *observe.Site, snap cluster.Snapshot) (change, error) {
		if len(snap.Pools) == 0 {
			return change{}, noPools(a.confDir)
		}
		p, left, err := failover.PoolSync(snap, cluster.Diagnose(snap), poolSettings(site), opts.accept)
		return change{plan: p, handlers: a.pools(site).Handlers(), accept: opts.accept, left: left}, err
	})
}
