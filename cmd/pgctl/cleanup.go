package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/failover"
	"github.com/pgctl/pgctl/pkg/observe"
)

// cleanupOpts are cleanup's flags.
type cleanupOpts struct {
	changeOpts
	hosts     []string
	olderThan time.Duration
}

func newCleanupCmd(a *app) *cobra.Command {
	var opts cleanupOpts
	cmd := &cobra.Command{
		Use:   "cleanup [HOST...]",
		Short: "Remove the old data that was set aside when a server was made a standby again",
		Long: `cleanup removes what renewals of a data directory set aside: DATADIR.pgctl-STAMP, the old data
of a server that was cloned or the WAL that a rewind threw away, with what belongs to it in
tablespaces. Nothing else is ever removed. Old data stays for as long as its server is neither
the master nor streams; such a server is left out with the reason.

It is refused (4) when the master is not certain. Exit code 5 when it stopped part-way, or a
server was left out.`,
		Example: "  pgctl cleanup --dry-run\n  pgctl cleanup\n  pgctl cleanup db2 --older-than 7d --yes",
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.hosts = args
			return a.cleanup(cmd.Context(), cmd.CommandPath(), opts)
		},
	}
	opts.bind(cmd.Flags(), failover.RiskUnfencedMaster)
	opts.olderThan = 24 * time.Hour
	cmd.Flags().Var((*span)(&opts.olderThan), "older-than", "only what was set aside at least this `DURATION` ago, such as 12h or 7d")
	return cmd
}

// counting is how long the sizes may take to count.
const counting = time.Minute

func (a *app) cleanup(ctx context.Context, command string, opts cleanupOpts) error {
	if err := opts.check(); err != nil {
		return usageError(command, err)
	}
	site, closeSite, err := a.site(ctx)
	if err != nil {
		return err
	}
	defer closeSite()
	if err := areServers(command, site, opts.hosts...); err != nil {
		return err
	}
	snap, err := ask(ctx, site, observe.ServersOnly)
	if err != nil {
		return err
	}
	cleaner := &failover.Cleaner{Server: site.Server, Timeout: a.timeout}
	cleaner.Measure(ctx, &snap, opts.hosts, counting)
	if err := ctx.Err(); err != nil {
		return err
	}
	now := a.now()
	p, left, err := failover.Cleanup(snap, cluster.Diagnose(snap), opts.hosts, now.Add(-opts.olderThan), now, opts.accept)
	if err != nil {
		return err
	}
	a.tellYoung(snap, opts, now)
	c := change{plan: p, handlers: cleaner.Handlers(), site: site, accept: opts.accept, left: left, lockOn: lockHosts(snap)}
	return a.apply(ctx, command, c, opts.changeOpts)
}

// tellYoung names what stays because it is younger than asked for.
func (a *app) tellYoung(snap cluster.Snapshot, opts cleanupOpts, now time.Time) {
	for _, s := range snap.Servers {
		for _, aside := range s.Asides {
			if age := now.Sub(aside.Made); age <= opts.olderThan && (len(opts.hosts) == 0 || slices.Contains(opts.hosts, s.Host)) {
				fmt.Fprintf(a.err, "pgctl: %s: %s stays: it was set aside %s ago, and --older-than is %s\n", s.Host, aside.Path, age.Round(time.Second), opts.olderThan)
			}
		}
	}
}
