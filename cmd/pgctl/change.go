package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/failover"
	"github.com/pgctl/pgctl/pkg/observe"
	"github.com/pgctl/pgctl/pkg/plan"
	"github.com/pgctl/pgctl/pkg/remote"
)

// stateDir is where pgctl keeps its journal.
const stateDir = "/var/lib/pgctl"

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
func (a *app) changeRegion(ctx context.Context, command string, opts changeOpts, make planner) error {
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
		c, err := make(ctx, site, snap)
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

// changeDoc is the document of a change (docs/json.md).
type changeDoc struct {
	Plan    string            `json:"plan"`
	Facts   map[string]string `json:"facts"`
	DryRun  bool              `json:"dry_run"`
	Steps   []stepDoc         `json:"steps"`
	LeftOut map[string]string `json:"left_out"`
	Diffs   []string          `json:"diffs,omitempty"`
}

type stepDoc struct {
	ID    string     `json:"id"`
	Lane  *string    `json:"lane"`
	Host  string     `json:"host"`
	Text  string     `json:"text"`
	Why   *string    `json:"why"`
	State plan.State `json:"state"`
	Error *string    `json:"error"`
}

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
	if chatty != a {
		errRun = cmp.Or(errRun, a.print(doc, nil))
	}
	if errRun == nil {
		for _, host := range slices.Sorted(maps.Keys(c.later)) {
			fmt.Fprintf(a.err, "pgctl: hint: %s does not follow yet (%s): pgctl upmaster %s\n", host, c.later[host], host)
		}
		if c.after != nil {
			c.after(ctx)
		}
	}
	return cmp.Or(errRun, leftOut(c))
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

// forget removes the journal of another command whose work is overtaken.
func (a *app) forget(name string) error {
	if err := os.Remove(journalPath(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// finished removes the journal of an earlier run when nothing is left to do.
func (a *app) finished(c change, o changeOpts) error {
	if o.dryRun {
		return nil
	}
	if old, _, err := plan.Unfinished(journalPath(c.plan.Name)); err != nil || old == nil {
		return err
	}
	return os.Remove(journalPath(c.plan.Name))
}

func journalPath(name string) string {
	return filepath.Join(journalDir(), strings.ReplaceAll(name, " ", "-")+".json")
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
		if err := lock.Err(); err != nil && p.Name == c.plan.Name { // the way back is taken also when a server with the lock is lost
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
	if old != nil {
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
	hint := fmt.Sprintf("%d of %d steps are done; run it again to go on", stopped.Done, len(c.plan.Steps))
	return &exitError{code: exitPartway, err: err, hint: hint}
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

// lock takes the region's lock.
func (a *app) lock(ctx context.Context, c change) (*failover.Lock, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	who := "somebody"
	if u, err := user.Current(); err == nil {
		who = u.Username
	}
	var hosts []remote.Host
	for _, name := range c.lockOn {
		hosts = append(hosts, c.site.Hosts(name))
	}
	owner := fmt.Sprintf("%s@%s, %s, pid %d, since %s", who, host, c.plan.Name, os.Getpid(), a.now().Format(time.DateTime))
	lock, err := failover.TakeLock(ctx, hosts, owner, a.timeout)
	var held *cluster.Refusal
	if err != nil && c.urgent && !errors.As(err, &held) {
		fmt.Fprintf(a.err, "pgctl: warning: going on without the lock: %v\n", err)
		return &failover.Lock{}, nil
	}
	return lock, err
}

// confirm asks on a terminal; elsewhere --yes must have been given.
func (a *app) confirm(ctx context.Context, command string, yes bool) error {
	if yes {
		return nil
	}
	file, isFile := a.in.(*os.File)
	if !isFile || !term.IsTerminal(int(file.Fd())) {
		return usageError(command, errors.New("there is no terminal to ask on: --yes is needed"))
	}
	fmt.Fprint(a.err, "Run this plan? Type yes: ")
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(a.in).ReadString('\n')
		answer <- strings.TrimSpace(line)
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(a.err, "\npgctl: nothing was changed")
		return ctx.Err()
	case said := <-answer:
		if said != "yes" {
			return &exitError{code: exitFailed, err: errors.New("not confirmed, nothing was changed")}
		}
		return nil
	}
}

func changeDocument(c change, states []plan.State) changeDoc {
	doc := changeDoc{Plan: c.plan.Name, Facts: c.plan.Facts, Steps: []stepDoc{}, LeftOut: c.left, Diffs: c.diffs}
	for i, s := range c.plan.Steps {
		doc.Steps = append(doc.Steps, stepDoc{ID: s.ID, Lane: known(s.Lane), Host: s.Host, Text: s.Text, Why: known(s.Why), State: states[i]})
	}
	return doc
}

// showPlan prints the plan as a table: what is done already, and what is waiting.
func (a *app) showPlan(doc changeDoc) error {
	t := table{header: []string{"STEP", "HOST", "STATE", "WHAT"}}
	room := pageWidth
	if a.output == "table" {
		narrow := table{header: t.header}
		for _, s := range doc.Steps {
			narrow.rows = append(narrow.rows, []string{"99", s.Host, string(s.State), ""})
		}
		room -= narrow.width() - len("WHAT")
	}
	for i, s := range doc.Steps {
		text := s.Text
		if s.Why != nil {
			text += ": " + *s.Why
		}
		if a.output == "table" {
			text = wrap(text, room, "")
		}
		t.rows = append(t.rows, []string{fmt.Sprint(i + 1), s.Host, string(s.State), text})
	}
	return page{headline: "PLAN " + doc.Plan, tables: []table{t}, findings: doc.Diffs}.write(a.out)
}
