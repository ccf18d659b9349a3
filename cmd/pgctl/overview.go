package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/observe"
)

// overviewOpts are overview's own flags.
type overviewOpts struct {
	watch    bool
	interval time.Duration
}

func newOverviewCmd(a *app) *cobra.Command {
	var opts overviewOpts
	cmd := &cobra.Command{
		Use:   "overview",
		Short: "Show all servers, pools and arbiters, and everything that is wrong",
		Long: `overview asks every host of the inventory at once and shows what each answered, and
what is wrong with the region, each finding with its remedy. A host that does not answer
costs its own row and never more time than --timeout.

Exit code 3 when a finding is critical.`,
		Example: `  pgctl overview
  pgctl overview --watch
  pgctl overview -o wide
  pgctl overview -o json | jq '.findings[].code'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if opts.interval < 100*time.Millisecond {
				return usageError(cmd.CommandPath(), fmt.Errorf("--interval is %s, expected at least 100ms", opts.interval))
			}
			return a.overview(cmd.Context(), opts)
		},
	}
	cmd.Flags().BoolVarP(&opts.watch, "watch", "w", false, "ask again and again and redraw in place, until Ctrl-C")
	cmd.Flags().DurationVar(&opts.interval, "interval", 2*time.Second, "with --watch: how long to wait between two rounds, a `DURATION`")
	return cmd
}

func (a *app) overview(ctx context.Context, opts overviewOpts) error {
	site, closeSite, err := a.site(ctx)
	if err != nil {
		return err
	}
	defer closeSite()
	if opts.watch {
		return a.watchOverview(ctx, site, opts.interval)
	}
	diagnosis, err := a.showOverview(ctx, site, a.painter(), 0)
	if err != nil {
		return err
	}
	if diagnosis.Status == cluster.CriticalFailure {
		return unhealthy()
	}
	return nil
}

// showOverview asks the region once and prints the answer, for a screen of so many lines (0: no screen).
func (a *app) showOverview(ctx context.Context, site *observe.Site, p painter, height int) (cluster.Diagnosis, error) {
	snap, err := ask(ctx, site, observe.Everything)
	if err != nil {
		return cluster.Diagnosis{}, err
	}
	snap.Begun = begun()
	diagnosis := cluster.Diagnose(snap)
	return diagnosis, a.print(overviewDocument(snap, diagnosis), func() error {
		out := overviewTables(snap, diagnosis, p, a.output == "wide")
		out.height = height
		return out.write(a.out)
	})
}

// watchOverview redraws until the context ends. The connections stay open between the rounds.
func (a *app) watchOverview(ctx context.Context, site *observe.Site, interval time.Duration) error {
	screen := newScreen(a)
	defer screen.leave()
	for {
		err := screen.redraw(fmt.Sprintf("every %s: pgctl overview  %s", interval, a.now().Format(time.TimeOnly)), func(frame *app) error {
			height, _ := a.terminal()
			_, err := frame.showOverview(ctx, site, a.painter(), max(0, height-4)) // the title takes some
			return err
		})
		if err != nil && !errors.Is(err, context.Canceled) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(interval):
		}
	}
}
