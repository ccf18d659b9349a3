package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/observe"
	"github.com/pgctl/pgctl/pkg/plan"
)

// changeOpts are the flags of every command that changes something.
type changeOpts struct {
	dryRun bool
	yes    bool
	accept []string
	risks  []string // that --accept knows
}

// check refuses a risk that the command does not have: a typing error must not look accepted.
func (o *changeOpts) check() error {
	for _, risk := range o.accept {
		if !slices.Contains(o.risks, risk) {
			return fmt.Errorf("--accept=%s: expected one of %s", risk, strings.Join(o.risks, ", "))
		}
	}
	return nil
}

func (o *changeOpts) bind(flags *pflag.FlagSet, risks ...string) {
	o.risks = risks
	flags.BoolVar(&o.dryRun, "dry-run", false, "print the plan, and what of it is done already, and change nothing")
	flags.BoolVar(&o.yes, "yes", false, "do not ask; needed where there is no terminal to ask on")
	if len(risks) == 0 {
		return
	}
	flags.StringSliceVar(&o.accept, "accept", nil, "accept a `RISK` that a refusal named: "+strings.Join(risks, ", ")+"; may be repeated")
}

// planner makes a change from what was seen of the region. It changes nothing, and may be asked again.
type planner func(ctx context.Context, site *observe.Site, snap cluster.Snapshot) (change, error)

// changeRegion is every change of the region: wrong flags are refused, every host is asked, a plan is made of the answers, and applied. What
// was seen is old when the operator has read the plan and the lock is held, so it is made once more then.
func (a *app) changeRegion(ctx context.Context, command string, opts changeOpts, plans planner) error {
	if err := opts.check(); err != nil {
		return usageError(command, err)
	}
	site, closeSite, err := a.site(ctx)
	if err != nil {
		return err
	}
	defer closeSite()
	seen := func(ctx context.Context) (change, error) {
		snap, err := ask(ctx, site, observe.Everything)
		if err != nil {
			return change{}, err
		}
		c, err := plans(ctx, site, snap)
		c.site, c.lockOn = site, lockHosts(snap)
		return c, err
	}
	c, err := seen(ctx)
	if c.preface != nil {
		err = cmp.Or(c.preface(), err)
	}
	if err != nil {
		return err
	}
	c.again = func(ctx context.Context) (plan.Plan, error) {
		c, err := seen(ctx)
		return c.plan, err
	}
	if err := a.apply(ctx, command, c, opts); err != nil || opts.dryRun || c.overtakes == "" {
		return err
	}
	return a.forget(c.overtakes)
}

// change is a plan with what it takes to run it.
type change struct {
	plan     plan.Plan
	handlers map[string]plan.Handler
	site     *observe.Site
	accept   []string          // risks that the operator takes
	lockOn   []string          // hosts that hold the region's lock
	left     map[string]string // hosts that the plan leaves out, and why
	leftHint string            // what to do when they answer; "": run it again
	diffs    []string          // unified diffs of the files that it edits
	quorum   bool              // the quorum carries it out, one change after the other: a lock that is lost breaks nothing off
	urgent   bool              // it works without a master and without the lock of a server that cannot give it
	later    map[string]string // servers that have to rejoin afterwards, and why
	preface  func() error      // says what the operator should know before the plan, or before the error that there is none; nil: nothing
	// overtakes is the command whose journal means nothing any more when this one came to its end; "" none.
	overtakes string
	// again makes the plan anew from what is seen now; nil: the handlers themselves see what changed since.
	again func(context.Context) (plan.Plan, error)
	// still is asked before every step whether the plan still applies; nil: the master is as certain as it was, and the same.
	still func(context.Context, plan.Plan) error
	// after is called when all is done, also when nothing was left to do; nil: nothing is.
	after func(context.Context)
	// undo is the plan that takes back what a stopped run has begun, false where there is none; nil: never.
	undo func(stopped *plan.Stopped) (plan.Plan, bool)
}
