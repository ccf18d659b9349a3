package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/failover"
	"github.com/pgctl/pgctl/pkg/nodes"
	"github.com/pgctl/pgctl/pkg/observe"
	"github.com/pgctl/pgctl/pkg/plan"
	"github.com/pgctl/pgctl/pkg/remote"
)

func newEnableHACmd(a *app) *cobra.Command {
	return a.haCmd(failover.HAWish{Command: "enable-ha", On: true}, "Let the watchers fail over: edit server.yaml, roll it out, prove it",
		`enable-ha sets inactive_failover to 0 in every zone's server.yaml (one value, no other byte; the
old file is kept in /var/lib/pgctl/backup), runs the site's build_global_conf.sh and update.sh,
and sees on every server and arbiter that the file is there and that the watcher goes by it.
When a script fails, the old files are put back and rolled out.

It is refused (4) when doctor has a critical finding. For sites with PostgreSQL 10 and later.`)
}

func newDisableHACmd(a *app) *cobra.Command {
	return a.haCmd(failover.HAWish{Command: "disable-ha"}, "Make the watchers only watch: edit server.yaml, roll it out, prove it",
		`disable-ha sets inactive_failover to 1 in every zone's server.yaml, as enable-ha sets it to 0. It
needs no master and no healthy region: a node that does not answer is left out and named (exit
code 5); what is switched off stays switched off.`)
}

func (a *app) haCmd(wish failover.HAWish, short, long string) *cobra.Command {
	var opts changeOpts
	cmd := &cobra.Command{
		Use: wish.Command, Short: short, Long: long,
		Example: fmt.Sprintf("  pgctl %[1]s --dry-run\n  pgctl %[1]s\n  pgctl %[1]s --zone devops1a --using-master-by-ts=0 --yes", wish.Command),
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.changeHA(cmd.Context(), cmd.CommandPath(), wish, opts)
		},
	}
	opts.bind(cmd.Flags())
	cmd.Flags().StringVar(&wish.Zone, "zone", "", "only the file of this `ZONE`; HA is on when every zone's says so")
	cmd.Flags().StringVar(&wish.ByTS, "using-master-by-ts", "", "set this too, `0|1`: with 1 an old master that comes back rejoins by itself")
	return cmd
}

func (a *app) changeHA(ctx context.Context, command string, wish failover.HAWish, opts changeOpts) error {
	if !slices.Contains([]string{"", "0", "1"}, wish.ByTS) {
		return usageError(command, fmt.Errorf("--using-master-by-ts is %q, expected 0 or 1", wish.ByTS))
	}
	site, closeSite, err := a.site(ctx)
	if err != nil {
		return err
	}
	defer closeSite()
	if err := fitsHA(site.Inventory, wish); refusalOf(err) != nil {
		return err
	} else if err != nil {
		return usageError(command, err)
	}
	snap, facts, err := a.mayChangeHA(ctx, site, wish)
	if err != nil {
		return err
	}
	here, err := os.Hostname()
	if err != nil {
		return err
	}
	c := change{site: site, urgent: !wish.On, lockOn: []string{here}}
	for _, s := range snap.Servers {
		if s.Reached() && s.Host != here {
			c.lockOn = append(c.lockOn, s.Host)
		}
	}
	ha := &failover.HA{
		Here: a.localHost(here), Hosts: site.Hosts, Timeout: a.timeout, Wish: wish, Now: a.now,
		Say:  func(line string) { fmt.Fprintf(a.err, "       | %s\n", line) },
		Warn: a.warnOnce(),
	}
	if err := a.planHA(ctx, ha, &c, here); err != nil {
		return err
	}
	if wish.On {
		c.plan.Facts, c.still, c.undo = facts, onServers(site, opts.accept, ha.Still), ha.Back
	}
	if err := a.apply(ctx, command, c, opts); err != nil || opts.dryRun {
		return a.afterHA(c, err)
	}
	return giveUp(wish)
}

// giveUp removes the journal of the opposite command: what that one began is over, and its backups are not to be put back.
func giveUp(wish failover.HAWish) error {
	opposite := "enable-ha"
	if wish.On {
		opposite = "disable-ha"
	}
	if err := os.Remove(journalPath(opposite)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// fitsHA refuses a site or a zone for which there is nothing to do.
func fitsHA(inv *nodes.Inventory, wish failover.HAWish) error {
	if inv.Kind == nodes.KindPG9 {
		return &cluster.Refusal{Risks: []cluster.Risk{{
			Evidence: "this is a 9.x site: its failover is pgpool's, not the watchers'", Hint: "pgctl " + failover.FlagsCommand(wish.On),
		}}}
	}
	var zones []string
	for _, z := range inv.Zones {
		zones = append(zones, z.ID)
	}
	switch {
	case len(zones) == 0:
		return errors.New("the inventory has no server.yaml.ZONE: there is nothing to switch on or off")
	case wish.Zone != "" && !slices.Contains(zones, wish.Zone):
		return fmt.Errorf("--zone=%s: expected one of %s", wish.Zone, strings.Join(zones, ", "))
	}
	return nil
}

// mayChangeHA: enable-ha needs a region that a failover would help; disable-ha only tells what nobody will do any more.
func (a *app) mayChangeHA(ctx context.Context, site *observe.Site, wish failover.HAWish) (cluster.Snapshot, map[string]string, error) {
	if !wish.On {
		snap, err := ask(ctx, site, observe.ServersOnly)
		a.warnNames(snap)
		return snap, nil, err
	}
	snap, d, err := a.examine(ctx, site)
	if err != nil {
		return snap, nil, err
	}
	facts, err := failover.MayEnableHA(snap, d)
	if err == nil {
		for _, f := range d.Findings {
			fmt.Fprintf(a.err, "pgctl: warning: %s\n", strings.TrimPrefix(f.Host+": "+f.Message, ": "))
		}
	}
	return snap, facts, err
}

// warnNames: without the watchers a dead standby stops every write until somebody takes it out of the names.
func (a *app) warnNames(snap cluster.Snapshot) {
	for _, s := range snap.Servers {
		if s.SQL != nil && !s.SQL.InRecovery && s.SQL.SyncNames != "" {
			fmt.Fprintf(a.err, "pgctl: warning: %s: synchronous_standby_names is %s; with HA off nobody takes a dead standby out of it, and every commit would wait\n", s.Host, s.SQL.SyncNames)
		}
	}
}

// planHA reads the files, asks the nodes and makes the plan.
func (a *app) planHA(ctx context.Context, ha *failover.HA, c *change, here string) error {
	files, err := ha.ReadZones(ctx, c.site.Inventory)
	if err != nil {
		return err
	}
	if ha.Files, err = failover.EditZones(ha.Wish, files, a.now().UTC().Format("20060102T150405Z")); err != nil {
		return err
	}
	seen := ha.AskNodes(ctx, failover.HANodes(c.site.Inventory))
	if err := ctx.Err(); err != nil {
		return err
	}
	var notes []string
	c.plan, c.left, notes = failover.HAPlan(ha.Wish, c.site.Inventory, ha.Files, here, seen)
	for _, note := range notes {
		fmt.Fprintf(a.err, "pgctl: warning: %s\n", note)
	}
	c.handlers = ha.Handlers()
	for _, f := range ha.Files {
		if diff := failover.Unified(f.Path, f.Now, f.After); diff != "" {
			c.diffs = append(c.diffs, diff)
		}
	}
	old, _, err := plan.Unfinished(journalPath(c.plan.Name))
	if err != nil {
		return err
	}
	return ha.Recall(ctx, old)
}

// afterHA: when everything was put back, there is nothing to go on with.
func (a *app) afterHA(c change, err error) error {
	var back *failover.PutBack
	switch {
	case !errors.As(err, &back):
		return err
	case !back.Restored:
		return &exitError{code: exitPartway, err: err, hint: "mend what failed, then run it again: it goes on to what was wanted"}
	}
	return &exitError{
		code: exitFailed, err: errors.Join(err, os.Remove(journalPath(c.plan.Name))),
		hint: "nothing is changed: the old files are back and rolled out",
	}
}

// localHost is the machine that pgctl runs on, without SSH.
func (a *app) localHost(name string) remote.Host {
	opts := remote.Options{LocalName: name}
	if a.verbose {
		opts.Log = a.log
	}
	return remote.NewPool(opts).Host(name)
}

// warnOnce warns of the same thing once, however often it is found.
func (a *app) warnOnce() func(host, message string) {
	var mu sync.Mutex
	said := map[string]bool{}
	return func(host, message string) {
		mu.Lock()
		defer mu.Unlock()
		if !said[host+message] {
			said[host+message] = true
			fmt.Fprintf(a.err, "pgctl: warning: %s: %s\n", host, message)
		}
	}
}
