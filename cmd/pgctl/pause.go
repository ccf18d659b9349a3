package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/failover"
	"github.com/pgctl/pgctl/pkg/nodes"
	"github.com/pgctl/pgctl/pkg/observe"
	"github.com/pgctl/pgctl/pkg/watch"
)

// pauseOpts are the flags of pause.
type pauseOpts struct {
	host, reason string
	length       time.Duration
}

// The limits of a pause.
const (
	longestPause  = 30 * 24 * time.Hour
	longestReason = 200
)

func newPauseCmd(a *app) *cobra.Command {
	var opts pauseOpts
	cmd := &cobra.Command{
		Use:   "pause",
		Short: "Have the watchers begin no failover, for maintenance",
		Long: `pause has the quorum begin no failover until it is resumed, or its time is over. Everything else
goes on: a standby that is down leaves the sync set, so that writes go on, and comes back into it;
an election that has begun is finished; an old master is kept from writing.

With --host only the failure of that one server begins no failover: it may be restarted, while the
others are watched as ever. It never asks. pgctl overview shows a pause, pgctl history who made it.

It is refused (4) while another pause is in force, of somebody else or for something else, that is
wider or lasts longer. Without --for it lasts until pgctl resume.`,
		Example: "  pgctl pause --for 2h --reason 'new switches'\n  pgctl pause --host db1 --for 30m --reason 'kernel update'",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := opts.check(cmd.Flags().Changed("for")); err != nil {
				return usageError(cmd.CommandPath(), err)
			}
			return a.pause(cmd.Context(), cmd.CommandPath(), opts)
		},
	}
	cmd.Flags().StringVar(&opts.host, "host", "", "only the failure of this server, a `HOST`, begins no failover")
	cmd.Flags().Var((*span)(&opts.length), "for", "how long, a `DURATION` such as 2h or 1d; without it until pgctl resume")
	cmd.Flags().StringVar(&opts.reason, "reason", "", "`TEXT` for whoever wonders why")
	return cmd
}

func newResumeCmd(a *app) *cobra.Command {
	var adopt bool
	var accept []string
	cmd := &cobra.Command{
		Use:   "resume",
		Short: "End a pause, or a halt: the watchers fail over again",
		Long: `resume ends the pause that pgctl pause began, whoever made it. It never asks. Where nothing is
paused nothing is changed.

When the master was changed by hand, beside the quorum, the watchers halt: they do nothing by
themselves until an operator has said that this is right. --adopt says so: the one server that runs
as master is the region's master from then on. It is refused (4) unless every other server is seen
to be none.`,
		Example: "  pgctl resume\n  pgctl resume --adopt\n  pgctl resume --adopt --accept=unfenced-master",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opts := changeOpts{accept: accept, risks: []string{failover.RiskUnfencedMaster}}
			if err := opts.check(); err != nil {
				return usageError(cmd.CommandPath(), err)
			}
			if !adopt && len(accept) > 0 {
				return usageError(cmd.CommandPath(), errors.New("--accept goes with --adopt"))
			}
			return a.resume(cmd.Context(), adopt, len(accept) > 0)
		},
	}
	cmd.Flags().BoolVar(&adopt, "adopt", false, "the server that runs as master is the region's master")
	cmd.Flags().StringSliceVar(&accept, "accept", nil, "accept a `RISK`: "+failover.RiskUnfencedMaster+", a server that is not heard is dead for certain")
	return cmd
}

func (o *pauseOpts) check(timed bool) error {
	switch {
	case timed && (o.length < time.Second || o.length > longestPause):
		return fmt.Errorf("--for is %s, expected from 1s to %s", o.length, longestPause)
	case utf8.RuneCountInString(o.reason) > longestReason:
		return fmt.Errorf("--reason has %d characters, expected at most %d", utf8.RuneCountInString(o.reason), longestReason)
	}
	return nil
}

// pauseDoc is the document of pause and resume (docs/json.md).
type pauseDoc struct {
	Paused   *pausedDoc `json:"paused"`
	Before   *pausedDoc `json:"before"`
	Executor string     `json:"executor"`
}

// pausedDoc is a pause.
type pausedDoc struct {
	Owner  string  `json:"owner"`
	Reason *string `json:"reason"`
	Until  *string `json:"until"`
	Host   *string `json:"host"`
}

func pausedDocument(p *cluster.Pause) *pausedDoc {
	if p == nil {
		return nil
	}
	return &pausedDoc{Owner: p.Owner, Reason: known(p.Reason), Until: known(p.Until), Host: known(p.Host)}
}

func (a *app) pause(ctx context.Context, command string, opts pauseOpts) error {
	owner, err := operator()
	if err != nil {
		return err
	}
	site, closeSite, err := a.site(ctx)
	if err != nil {
		return err
	}
	defer closeSite()
	if err := areServers(command, site, opts.host); err != nil {
		return err
	}
	p := &cluster.Pause{Owner: owner, Reason: cluster.Printable(strings.TrimSpace(opts.reason)), Host: opts.host}
	if err := a.mayPause(ctx, site, *p, opts.length); err != nil {
		return err
	}
	return a.grant(ctx, site, watch.Wish{Kind: cluster.PauseHA, By: owner, For: opts.length, Pause: p}, paused)
}

// mayPause refuses a pause that would end another one. The executor grants any, so of two that are made in the same moment the later one holds;
// it says what was before.
func (a *app) mayPause(ctx context.Context, site *observe.Site, p cluster.Pause, length time.Duration) error {
	told, err := a.regime(ctx, site)
	if err != nil {
		return err
	}
	if length > 0 {
		p.Until = a.now().Add(length).UTC().Format(time.RFC3339)
	}
	old := told[0].told.State.Paused
	if p.MayReplace(old) {
		return nil
	}
	return &cluster.Refusal{Risks: []cluster.Risk{{
		Evidence: fmt.Sprintf("HA is %s, which is wider or lasts longer than this pause", old.Sentence()), Hint: "pgctl resume ends that one, whoever made it",
	}}}
}

// paused says what came of pause.
func paused(answer watch.Answer) string {
	text := "HA " + answer.Now.Sentence()
	if answer.Now.Until == "" {
		text += ", until pgctl resume"
	}
	if answer.Before != nil {
		text += "; before that it was " + answer.Before.Sentence()
	}
	return text
}

func (a *app) resume(ctx context.Context, adopt, dead bool) error {
	owner, err := operator()
	if err != nil {
		return err
	}
	site, closeSite, err := a.site(ctx)
	if err != nil {
		return err
	}
	defer closeSite()
	if adopt {
		return a.grant(ctx, site, watch.Wish{Kind: cluster.Adopt, By: owner, Dead: dead}, func(watch.Answer) string {
			return "adopted: the watchers take the master from here; pgctl overview shows when it has settled"
		})
	}
	return a.grant(ctx, site, watch.Wish{Kind: cluster.ResumeHA, By: owner}, func(answer watch.Answer) string {
		if answer.Before == nil {
			return "HA was not paused"
		}
		return "HA resumed; it was " + answer.Before.Sentence()
	})
}

// grant has a wish granted and says what came of it.
func (a *app) grant(ctx context.Context, site *observe.Site, q watch.Wish, sentence func(watch.Answer) string) error {
	by, err := a.regime(ctx, site)
	if err != nil {
		return err
	}
	answer, err := a.wish(ctx, site, by, q)
	if err != nil {
		return err
	}
	doc := pauseDoc{Paused: pausedDocument(answer.Now), Before: pausedDocument(answer.Before), Executor: answer.Executor}
	err = a.print(doc, func() error {
		_, err := fmt.Fprintln(a.out, sentence(answer))
		return err
	})
	if ha := site.Inventory.HA(); err == nil && ha != nodes.HAEnabled {
		fmt.Fprintf(a.err, "pgctl: warning: HA is %s, so nothing fails over in any case\n", ha)
	}
	return err
}
