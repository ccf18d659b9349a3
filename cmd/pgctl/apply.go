package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/failover"
	"github.com/pgctl/pgctl/pkg/observe"
	"github.com/pgctl/pgctl/pkg/plan"
)

// apply shows the plan, asks, runs it and says what came of it.
func (a *app) apply(ctx context.Context, command string, c change, o changeOpts) error {
	runner := a.runner(c)
	states, err := runner.Preview(ctx, c.plan)
	if err != nil {
		return err
	}
	doc := changeDocument(c, states)
	todo := slices.ContainsFunc(states, func(s plan.State) bool { return s == plan.Waiting })
	if o.dryRun || !todo {
		return a.onlyShow(ctx, c, o, doc, todo)
	}
	chatty := a
	if a.output == "json" || a.output == "yaml" {
		chatty = a.writingTo(a.err) // stdout is for the document
	}
	if err := chatty.showPlan(doc); err != nil {
		return err
	}
	if err := a.confirm(ctx, command, o.yes); err != nil {
		return err
	}
	lock, err := a.lock(ctx, c)
	if err != nil {
		return err
	}
	defer lock.Release()
	if err := c.refresh(ctx); err != nil {
		return err
	}
	runner.Guard = a.guard(c, lock)
	errRun := a.runPlan(ctx, runner, c, &doc)
	if errRun != nil && c.undo != nil {
		errRun = a.takeBack(ctx, runner, c, errRun)
	}
	if chatty != a && refusalOf(errRun) == nil { // a refusal has a document of its own, and stdout has one
		errRun = cmp.Or(errRun, a.print(doc, nil))
	}
	if errRun == nil {
		a.ended(ctx, c)
	}
	return cmp.Or(errRun, leftOut(c))
}

// onlyShow is the end of a dry run, and of a change of which nothing is left to do.
func (a *app) onlyShow(ctx context.Context, c change, o changeOpts, doc changeDoc, todo bool) error {
	doc.DryRun = o.dryRun
	if err := a.finished(c, o); err != nil {
		return err
	}
	if err := a.print(doc, func() error { return a.showPlan(doc) }); err != nil {
		return err
	}
	if !todo {
		fmt.Fprintf(a.err, "%s: nothing to do\n", c.plan.Name)
	}
	if c.after != nil && !o.dryRun {
		c.after(ctx)
	}
	return leftOut(c)
}

// ended says what is left for the operator when all is done.
func (a *app) ended(ctx context.Context, c change) {
	for _, host := range slices.Sorted(maps.Keys(c.later)) {
		fmt.Fprintf(a.err, "pgctl: hint: %s does not follow yet (%s): pgctl upmaster %s\n", host, c.later[host], host)
	}
	if c.after != nil {
		c.after(ctx)
	}
}

// refresh takes the plan as it is made now, and refuses one that would do something else: a standby has gone or come back, names were changed,
// transactions were made.
func (c *change) refresh(ctx context.Context) error {
	if c.again == nil {
		return nil
	}
	now, err := c.again(ctx)
	if err != nil {
		return err
	}
	if what := c.plan.Unlike(now, failover.Measured...); what != "" {
		return &cluster.Refusal{Risks: []cluster.Risk{{
			Evidence: "the region has changed since the plan was made: made now, " + what, Hint: "run it again, and look at the new plan",
		}}}
	}
	c.plan = now
	return nil
}

// guard looks again before every step: the lock is held, and the plan still applies.
func (a *app) guard(c change, lock *failover.Lock) func(context.Context, plan.Plan) error {
	still := c.still
	if still == nil {
		still = onServers(c.site, c.accept, failover.StillMaster)
	}
	return func(ctx context.Context, p plan.Plan) error {
		if c.urgent {
			return nil
		}
		if err := lock.Err(); err != nil && p.Name == c.plan.Name && !c.quorum { // the way back is taken also when a server with the lock is lost
			return err
		}
		return still(ctx, p)
	}
}

// onServers asks whether a plan still applies to the servers as they are now.
func onServers(site *observe.Site, accept []string, still func(cluster.Snapshot, plan.Plan, []string) error) func(context.Context, plan.Plan) error {
	return func(ctx context.Context, p plan.Plan) error {
		return still(site.Snapshot(ctx, observe.ServersOnly), p, accept)
	}
}

func (a *app) runner(c change) *plan.Runner {
	return &plan.Runner{Handlers: c.handlers, Proof: 30 * time.Second, Poll: 250 * time.Millisecond, Now: a.now}
}

// runPlan runs the plan with its journal, reports each step on stderr, and turns a stop into an exit code.
func (a *app) runPlan(ctx context.Context, runner *plan.Runner, c change, doc *changeDoc) error {
	path := journalPath(c.plan.Name)
	old, done, err := plan.Unfinished(path)
	if err != nil {
		return err
	}
	if old != nil && c.plan.GoesOnWith(*old) {
		fmt.Fprintf(a.err, "pgctl: an earlier %s stopped after %d of %d steps; what it did is skipped\n", old.Name, done, len(old.Steps))
	}
	runner.Journal, runner.Resumed = &plan.File{Path: path}, old != nil
	runner.Report = func(s plan.Step, state plan.State, err error) {
		for i := range doc.Steps {
			if doc.Steps[i].ID == s.ID {
				doc.Steps[i].State = state
				if err != nil {
					doc.Steps[i].Error = known(err.Error())
				}
				fmt.Fprintf(a.err, "%2d/%d  %s: %s: %s\n", i+1, len(doc.Steps), s.Host, s.Text, state)
				if err != nil {
					fmt.Fprintf(a.err, "       %v\n", err)
				}
			}
		}
	}
	said := context.AfterFunc(ctx, func() {
		fmt.Fprintln(a.err, "pgctl: interrupted: it ends after this step (interrupted again, it ends at once, and leaves the region as it is)")
	})
	err = runner.Run(ctx, c.plan)
	said()
	var stopped *plan.Stopped
	switch {
	case err == nil:
		fmt.Fprintf(a.err, "%s: done\n", c.plan.Name)
		return nil
	case !errors.As(err, &stopped):
		return err
	case !stopped.Changed && errors.Is(err, plan.ErrGuard):
		return &cluster.Refusal{Risks: []cluster.Risk{{Evidence: err.Error(), Hint: "run it again: it makes a new plan"}}}
	case !stopped.Changed && ctx.Err() == nil:
		return &exitError{code: exitFailed, err: err, hint: "nothing was changed"}
	}
	return &exitError{code: exitPartway, err: err, hint: fmt.Sprintf("%d of %d steps are done; %s", stopped.Done, len(c.plan.Steps), goOn(c))}
}

// goOn says how to go on with a change that stopped: one of the master says to whom, as a run without --to has chosen that itself.
func goOn(c change) string {
	if c.plan.Facts["to"] == "" {
		return "run it again to go on"
	}
	text := "to go on: pgctl " + commandOf(c.plan)
	for _, risk := range c.accept {
		text += " --accept=" + risk
	}
	return text
}

// takeBack runs the plan that undoes what a stopped run has begun, also when it was interrupted: the region must not be left as it is.
func (a *app) takeBack(ctx context.Context, runner *plan.Runner, c change, errRun error) error {
	var stopped *plan.Stopped
	if !errors.As(errRun, &stopped) || !stopped.Changed {
		return errRun
	}
	back, ok := c.undo(stopped)
	if !ok {
		return errRun
	}
	fmt.Fprintf(a.err, "pgctl: error: %v\npgctl: going back\n", stopped)
	runner.Journal = nil
	runner.Report = func(s plan.Step, state plan.State, err error) {
		fmt.Fprintf(a.err, " back  %s: %s: %s\n", s.Host, s.Text, state)
		if err != nil {
			fmt.Fprintf(a.err, "       %v\n", err)
		}
	}
	if err := runner.Run(context.WithoutCancel(ctx), back); err != nil {
		return &exitError{code: exitPartway, err: fmt.Errorf("%w; and going back did not come to its end: %w", stopped, err), hint: "pgctl overview, then run it again"}
	}
	if err := os.Remove(journalPath(c.plan.Name)); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return &exitError{code: exitInterrupted, err: ctx.Err(), hint: "everything is as it was before"}
	}
	return &exitError{code: exitFailed, err: fmt.Errorf("%w; everything is as it was before", stopped), hint: "see to the reason, then run it again"}
}

// leftOut: hosts that were not reached are work that is left.
func leftOut(c change) error {
	if len(c.left) == 0 {
		return nil
	}
	var all []string
	for host, why := range c.left {
		all = append(all, host+" ("+why+")")
	}
	slices.Sort(all)
	return &exitError{code: exitPartway, err: fmt.Errorf("left out: %s", strings.Join(all, ", ")), hint: cmp.Or(c.leftHint, "run it again when they answer")}
}
