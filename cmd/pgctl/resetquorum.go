package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/deploy"
	"github.com/pgctl/pgctl/pkg/failover"
	"github.com/pgctl/pgctl/pkg/nodes"
	"github.com/pgctl/pgctl/pkg/observe"
	"github.com/pgctl/pgctl/pkg/plan"
)

// watchers work on the watchers of nodes.
func (a *app) watchers(site *observe.Site) *failover.Watchers {
	return &failover.Watchers{Hosts: site.Hosts, Timeout: a.timeout, Binary: deploy.BinaryPath}
}

// resetQuorum makes the quorum anew out of what is left of it.
func (a *app) resetQuorum(ctx context.Context, command string, opts changeOpts) error {
	by, err := operator()
	if err != nil {
		return err
	}
	here, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("cannot tell the name of this host: %w", err)
	}
	id := "reset-" + token(6)
	return a.changeRegion(ctx, command, opts, func(ctx context.Context, site *observe.Site, snap cluster.Snapshot) (change, error) {
		if snap.Kind == nodes.KindPG9 {
			return change{}, &cluster.Refusal{Risks: []cluster.Risk{{Evidence: "this is a 9.x site: its pools do the failover, and there is no quorum"}}}
		}
		begun, _, err := plan.Unfinished(journalPath("deploy --reset-quorum"))
		if err != nil {
			return change{}, err
		}
		w := a.watchers(site)
		r := failover.Reset{Seen: told(ctx, w, votersOf(site.Inventory)), Snap: snap, ID: id, By: by, Accept: opts.accept, Begun: begun}
		if err := ctx.Err(); err != nil {
			return change{}, err
		}
		p, err := failover.ResetQuorum(r)
		return change{
			plan: p, handlers: w.Handlers(), accept: opts.accept, urgent: true, still: a.sameHA(site, here),
			after: func(context.Context) { a.afterReset(r) },
		}, err
	})
}

// afterReset says what comes next.
func (a *app) afterReset(r failover.Reset) {
	hint := "pgctl resume --adopt"
	for _, s := range r.Seen {
		if s.Lost {
			hint += " --accept=unfenced-master"
			break
		}
	}
	fmt.Fprintf(a.err, "pgctl: hint: the quorum is there, and has halted; next: %s\n", hint)
}

// told looks at what the hosts have, and gives a watcher that has only begun a moment to tell.
func told(ctx context.Context, w *failover.Watchers, hosts []string) []failover.Survivor {
	for tries := 0; ; tries++ {
		seen := w.Look(ctx, hosts)
		if tries == 5 || !slices.ContainsFunc(seen, func(s failover.Survivor) bool { return s.Shelf != nil && s.Shelf.Secret() }) {
			return seen
		}
		select {
		case <-ctx.Done():
			return seen
		case <-time.After(time.Second):
		}
	}
}
