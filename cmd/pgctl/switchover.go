package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/failover"
	"github.com/pgctl/pgctl/pkg/observe"
	"github.com/pgctl/pgctl/pkg/plan"
)

// takeoverOpts are the flags of switchover and failover.
type takeoverOpts struct {
	changeOpts
	to string
}

func newSwitchoverCmd(a *app) *cobra.Command {
	var opts takeoverOpts
	cmd := &cobra.Command{
		Use:   "switchover [--to HOST]",
		Short: "Make another server master, as planned, without losing an acknowledged write",
		Long: `switchover shuts the master down cleanly, sees that the candidate has its last record, promotes
it, has every other standby and the old master follow it, and moves the pools. Until the promotion
the way back is open: if something fails, the old master is started again.

Where HA is on, the quorum does all of that, and switchover asks it and looks on.

Without --to it goes on with a switchover that was broken off; where there is none it takes the
best standby: a synchronous one, the furthest. It is refused (4) when the change could not come to
a good end.`,
		Example: "  pgctl switchover --dry-run\n  pgctl switchover --to db2\n  pgctl switchover --to db2 --yes",
		Args:    hostByFlag,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.switchover(cmd.Context(), cmd.CommandPath(), opts)
		},
	}
	opts.bind(cmd.Flags(), failover.RiskUnfencedMaster)
	cmd.Flags().StringVar(&opts.to, "to", "", "the `HOST` that is to become master")
	return cmd
}

func (a *app) switchover(ctx context.Context, command string, opts takeoverOpts) error {
	fresh := failover.TakeoverOptions{To: opts.to, Accept: opts.accept, Incarnation: token(4), Nonce: token(26)}
	return a.changeRegion(ctx, command, opts.changeOpts, func(ctx context.Context, site *observe.Site, snap cluster.Snapshot) (change, error) {
		if err := areServers(command, site, opts.to); err != nil {
			return change{}, err
		}
		c, err := a.planSwitchover(ctx, site, snap, fresh)
		if err == nil && fresh.To == "" {
			fresh.To = c.plan.Facts["to"] // the best one is the best one of the moment: the operator saw this one
		}
		return c, err
	})
}

func (a *app) planSwitchover(ctx context.Context, site *observe.Site, snap cluster.Snapshot, o failover.TakeoverOptions) (change, error) {
	begun, done, err := plan.Unfinished(journalPath("switchover"))
	if err != nil {
		return change{}, err
	}
	if q := failover.ViaExecutor(snap); q != nil {
		return a.viaExecutor(site, q, begun, o.To)
	}
	servers := a.servers(site)
	from, to, again := resume(begun, masterOf(snap), o.To)
	t, err := servers.LookTakeover(ctx, snap, from, to)
	if err != nil {
		return change{}, err
	}
	o.Nodes, o.Pools = *site.Inventory, poolSettings(site)
	if again != nil {
		o.Incarnation = again["incarnation"]
		_, _ = fmt.Sscan(again["port"], &o.FromPort)
	}
	c := change{handlers: handlers(servers, a.pools(site)), accept: o.Accept, still: onServers(site, o.Accept, failover.StillTakeover)}
	if t.From != nil && t.From == t.To {
		c.preface, c.left = a.already(t.To.Host), t.Left()
		c.plan, err = failover.Afterwards("switchover", t, o)
		return c, err
	}
	if begun != nil && t.Diagnosis.Master == "" && o.To == begun.Facts["from"] { // going back is asked for
		c.overtakes = "switchover"
		c.plan, err = failover.Abort(t, o.FromPort)
		return c, err
	}
	c.left, c.later, c.leftHint = t.Left(), t.Later(), afterLeftOut
	if again == nil || failover.BeforePromotion(*begun, done) {
		c.undo = func(stopped *plan.Stopped) (plan.Plan, bool) {
			back, err := failover.Abort(t, o.FromPort)
			return back, err == nil && failover.MayGoBack(stopped)
		}
	}
	if c.plan, err = failover.Switchover(t, o); err == nil && again != nil {
		c.plan.Facts["timeline"] = again["timeline"] // the one before the promotion: by it a run after this one knows the journal
	}
	return c, err
}

// afterLeftOut is what to do about the pools that a change of master left out.
const afterLeftOut = "the change of master itself is done; when they answer: pgctl upmaster HOST, where one of them was master, then pgctl pgpool sync"

// already says that nothing is to be done.
func (a *app) already(master string) func() error {
	return func() error {
		_, err := fmt.Fprintf(a.err, "pgctl: %s is the master already\n", master)
		return err
	}
}

// masterAt is who is master, "" nobody, and since when: a timeline, or where the quorum decides an epoch.
type masterAt struct {
	host  string
	fact  string // which of both; a plan has the one that it was made in as a fact of that name
	since int
}

func masterOf(snap cluster.Snapshot) masterAt {
	host := cluster.Diagnose(snap).Master
	for _, s := range snap.Servers {
		if s.Host == host && s.SQL != nil {
			return masterAt{host, "timeline", int(s.SQL.Timeline)}
		}
	}
	return masterAt{}
}

// resume says from which server an earlier run, whose journal is left, was to move the master, and where to; "" where there is none, or
// where the operator asks for something else or another server is master by now. What that run has done already is found by
// looking at the servers.
func resume(begun *plan.Plan, m masterAt, to string) (from, candidate string, facts map[string]string) {
	if begun == nil {
		return "", to, nil
	}
	planned, _ := strconv.Atoi(begun.Facts[m.fact])
	master := m.host
	if master == begun.Facts["from"] && m.since != planned || master == begun.Facts["to"] && m.since <= planned {
		return "", to, nil // the region has gone on since
	}
	ofThatRun := func(host string) bool { return host == "" || host == begun.Facts["from"] || host == begun.Facts["to"] }
	if !ofThatRun(master) || !ofThatRun(to) || master != "" && to == begun.Facts["from"] {
		return "", to, nil
	}
	return begun.Facts["from"], begun.Facts["to"], begun.Facts
}
