package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/failover"
	"github.com/pgctl/pgctl/pkg/nodes"
	"github.com/pgctl/pgctl/pkg/observe"
	"github.com/pgctl/pgctl/pkg/plan"
)

func newFailoverCmd(a *app) *cobra.Command {
	var opts takeoverOpts
	cmd := &cobra.Command{
		Use:   "failover --to HOST",
		Short: "By hand, when the master is gone: make a standby master, and show what would be lost",
		Long: `failover makes a standby master when the old master is gone and nobody else decides. It shows the
candidates, stops the old master where its host can be reached and has it start read-only from
then on, has every standby that answers follow the candidate, promotes it, and moves the pools.

Where HA is on, a quorum that has its majority fails over by itself, and failover is refused. One
that has lost it decides nothing: the watchers that answer are stopped first, and stay so until
pgctl deploy --reset-quorum has made the quorum anew; pgctl resume --adopt then ends it.

It is refused (4) for a candidate that is behind another one, and for each risk that is not
accepted: what is out of reach may still be a master, and may have transactions that nobody else
has. Without --to it shows the candidates and changes nothing. The old master comes back by
pgctl upmaster.`,
		Example: "  pgctl failover\n  pgctl failover --to db2 --dry-run\n  pgctl failover --to db2 --accept=unfenced-master --accept=data-loss",
		Args:    hostByFlag,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.failover(cmd.Context(), cmd.CommandPath(), opts)
		},
	}
	opts.bind(cmd.Flags(), failover.RiskDataLoss, failover.RiskUnfencedMaster, failover.RiskNoSyncStandby)
	cmd.Flags().StringVar(&opts.to, "to", "", "the `HOST` that is to become master")
	return cmd
}

func (a *app) failover(ctx context.Context, command string, opts takeoverOpts) error {
	nonce := token(26)
	return a.changeRegion(ctx, command, opts.changeOpts, func(ctx context.Context, site *observe.Site, snap cluster.Snapshot) (change, error) {
		if opts.to == "" {
			all := failover.Candidates(snap)
			missing := "--to HOST is needed: nobody but the operator chooses here"
			if len(all) > 0 && all[0].Note == "" {
				missing += "; the furthest that answers is " + all[0].Host
			}
			return change{preface: func() error { return a.printCandidates(all) }}, usageError(command, errors.New(missing))
		}
		if err := areServers(command, site, opts.to); err != nil {
			return change{}, err
		}
		o := failover.TakeoverOptions{To: opts.to, Accept: opts.accept, Nonce: nonce, Nodes: *site.Inventory, Pools: poolSettings(site)}
		return a.planFailover(ctx, site, snap, o)
	})
}

func (a *app) planFailover(ctx context.Context, site *observe.Site, snap cluster.Snapshot, o failover.TakeoverOptions) (change, error) {
	servers := a.servers(site)
	begun, _, err := plan.Unfinished(journalPath("failover"))
	if err != nil {
		return change{}, err
	}
	t, err := servers.LookTakeover(ctx, snap, "", o.To)
	if err != nil {
		return change{}, err
	}
	c := change{
		handlers: handlers(servers, a.pools(site), a.watchers(site)), accept: o.Accept, still: onServers(site, o.Accept, failover.StillTakeover),
		left: t.Left(), later: t.Later(), leftHint: afterLeftOut, overtakes: "switchover",
		preface: func() error { return a.showCandidates(a.err, failover.Candidates(snap)) },
	}
	if site.Inventory.HA() == nodes.HAEnabled {
		c.after = func(context.Context) {
			fmt.Fprintln(a.err, "pgctl: hint: the watchers are stopped, and HA is on; next: pgctl deploy --reset-quorum, then pgctl resume --adopt")
		}
	}
	switch master := t.Diagnosis.Master; {
	case master != o.To:
		c.plan, err = failover.Failover(t, o)
	case begun != nil && begun.Facts["to"] == o.To:
		c.plan = failover.AfterPromotion(*begun) // what is left of that run
	default:
		c.preface = a.already(master)
		c.plan, err = failover.Afterwards("failover", t, o)
	}
	return c, err
}

// candidateDoc is one candidate in `failover -o json` without --to (docs/json.md).
type candidateDoc struct {
	Host        string  `json:"host"`
	Timeline    *int    `json:"timeline"`
	LSN         *string `json:"lsn"`
	BehindBytes *int64  `json:"behind_bytes"`
	Note        *string `json:"note"`
}

func candidateDocs(all []failover.Candidate) []candidateDoc {
	docs := []candidateDoc{}
	for _, c := range all {
		doc := candidateDoc{Host: c.Host, Note: known(c.Note)}
		if c.Timeline != 0 {
			doc.Timeline, doc.LSN = new(int(c.Timeline)), new(c.Position.String())
		}
		if c.Note == "" {
			doc.BehindBytes = new(c.Behind)
		}
		docs = append(docs, doc)
	}
	return docs
}

// printCandidates prints who could become master as the result.
func (a *app) printCandidates(all []failover.Candidate) error {
	return a.print(candidateDocs(all), func() error { return a.showCandidates(a.out, all) })
}

// showCandidates is the table of who could become master.
func (a *app) showCandidates(w io.Writer, all []failover.Candidate) error {
	t := table{header: []string{"CANDIDATE", "TIMELINE", "LSN", "BEHIND", "NOTE"}}
	for _, c := range all {
		row := []string{c.Host, "-", "-", "-", dash(c.Note)}
		if c.Timeline != 0 {
			row[1], row[2] = strconv.Itoa(int(c.Timeline)), c.Position.String()
		}
		if c.Note == "" {
			row[3] = cluster.Size(c.Behind).String()
		}
		t.rows = append(t.rows, row)
	}
	return page{headline: "CANDIDATES", tables: []table{t}}.write(w)
}
