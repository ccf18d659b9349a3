package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/olekukonko/tablewriter/pkg/twwidth"
	"github.com/spf13/cobra"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/observe"
)

func newHistoryCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "history [N]",
		Short: "Show what the quorum has decided: who became master when and why, the sync set, pauses",
		Long: `history shows every decision of the quorum, the newest first: changes of the master, of the
standbys that a commit waits for, of the servers that count, of the pools, and pauses. Each has a
number that stays the same; the newest 64 are kept.

With a number it shows that decision with all its evidence, and how long each part of that epoch's
change of master took. Times are those of the executor's clock.`,
		Example: "  pgctl history\n  pgctl history 17\n  pgctl history -o json | jq '.records[0]'",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var number int64
			if len(args) > 0 {
				n, err := strconv.ParseInt(args[0], 10, 64)
				if err != nil || n < 1 {
					return usageError(cmd.CommandPath(), fmt.Errorf("%q is no number of a decision, expected one such as 17", args[0]))
				}
				number = n
			}
			return a.history(cmd.Context(), cmd.CommandPath(), number)
		},
	}
}

// historyDoc is the document of history (docs/json.md).
type historyDoc struct {
	From    string      `json:"from"` // the host whose watcher told it
	Records []recordDoc `json:"records"`
}

// decisionDoc is the document of history N.
type decisionDoc struct {
	From   string      `json:"from"`
	Record recordDoc   `json:"record"`
	Parts  []recordDoc `json:"parts"`
}

// recordDoc is one decision.
type recordDoc struct {
	N        int64               `json:"n"`
	At       *string             `json:"at"`
	Epoch    int64               `json:"epoch"`
	Command  cluster.CommandKind `json:"command"`
	Host     *string             `json:"host"`
	Rule     string              `json:"rule"`
	Evidence []string            `json:"evidence"`
	Took     *float64            `json:"took_seconds"`
}

func (a *app) history(ctx context.Context, command string, number int64) error {
	site, closeSite, err := a.site(ctx)
	if err != nil {
		return err
	}
	defer closeSite()
	return a.showHistory(ctx, site, command, number)
}

// showHistory prints what the watcher that knows the most tells: all decisions, or the one of that number.
func (a *app) showHistory(ctx context.Context, site *observe.Site, command string, number int64) error {
	all, err := a.regime(ctx, site)
	if err != nil {
		return err
	}
	best := slices.MaxFunc(all, func(x, y toldBy) int { return cmp.Compare(x.told.Index, y.told.Index) })
	doc := historyDoc{From: best.host, Records: records(&best.told.State)}
	if number == 0 {
		return a.print(doc, func() error { return historyTable(doc.Records).write(a.out) })
	}
	i := slices.IndexFunc(doc.Records, func(r recordDoc) bool { return r.N == number })
	if i < 0 {
		if len(doc.Records) == 0 {
			return usageError(command, fmt.Errorf("there is no decision %d: nothing was decided yet", number))
		}
		return usageError(command, fmt.Errorf("there is no decision %d: those from %d to %d are kept", number, doc.Records[len(doc.Records)-1].N, doc.Records[0].N))
	}
	one := decisionDoc{From: best.host, Record: doc.Records[i], Parts: partsOf(doc.Records, doc.Records[i])}
	return a.print(one, func() error { return decisionPage(one).write(a.out) })
}

// records are all decisions that are kept, the newest first.
func records(s *cluster.State) []recordDoc {
	all := []recordDoc{}
	for i, r := range s.History {
		doc := recordDoc{
			N: s.Number(i), At: known(r.At), Epoch: r.Epoch, Command: r.Command, Host: known(r.Host), Rule: cluster.Printable(r.Rule), Evidence: []string{},
		}
		for _, e := range r.Evidence {
			doc.Evidence = append(doc.Evidence, cluster.Printable(e))
		}
		if r.Took > 0 {
			doc.Took = new(r.Took.Seconds())
		}
		all = append(all, doc)
	}
	slices.Reverse(all)
	return all
}

// ofMaster are the commands of which a change of master is made, in their order.
var ofMaster = []cluster.CommandKind{cluster.Form, cluster.Adopt, cluster.OpenVote, cluster.Elect, cluster.VoteAgain, cluster.Serve, cluster.Open, cluster.PoolMoved}

// partsOf are the decisions that belong to the same change of master, oldest first; none for one that is no part of any.
func partsOf(all []recordDoc, r recordDoc) []recordDoc {
	parts := []recordDoc{}
	if !slices.Contains(ofMaster, r.Command) {
		return parts
	}
	for _, other := range slices.Backward(all) {
		if other.Epoch == r.Epoch && slices.Contains(ofMaster, other.Command) {
			parts = append(parts, other)
		}
	}
	return parts
}

// historyTable is the decisions, a row each, the reason wrapped to what is left of the page.
func historyTable(all []recordDoc) page {
	t := table{header: []string{"N", "AT (UTC)", "EPOCH", "DECISION", "HOST", "WHY"}}
	if len(all) == 0 {
		return page{headline: "nothing was decided yet"}
	}
	for _, r := range all {
		t.rows = append(t.rows, []string{strconv.FormatInt(r.N, 10), atText(r.At), strconv.FormatInt(r.Epoch, 10), string(r.Command), orDash(r.Host), ""})
	}
	left := max(20, pageWidth-t.width()-2+len("WHY"))
	var rows [][]string
	for i, r := range all {
		for j, line := range strings.Split(wrap(whyText(r), left, ""), "\n") {
			row := t.rows[i]
			if j > 0 {
				row = []string{"", "", "", "", "", ""}
			}
			row[5] = line
			rows = append(rows, row)
		}
	}
	t.rows = rows
	return page{tables: []table{t}, width: pageWidth}
}

// whyText is the rule, and of a change of what commits wait for what that is now.
func whyText(r recordDoc) string {
	if n := len(r.Evidence); r.Command == cluster.Change && n > 0 {
		return r.Rule + "; " + r.Evidence[n-1]
	}
	return r.Rule
}

// decisionPage is one decision with all that is known of it.
func decisionPage(d decisionDoc) page {
	r := d.Record
	headline := fmt.Sprintf("DECISION %d: %s", r.N, r.Command)
	if r.Host != nil {
		headline += " " + *r.Host
	}
	out := page{headline: headline, width: pageWidth}
	facts := [][]string{{"at", atText(r.At) + " UTC"}, {"epoch", strconv.FormatInt(r.Epoch, 10)}, {"rule", r.Rule}}
	if r.Took != nil {
		facts = append(facts, []string{"took", tookText(r.Took) + " since the phase before began"})
	}
	for _, e := range r.Evidence {
		facts = append(facts, []string{"evidence", e})
	}
	var lines strings.Builder
	for _, f := range facts {
		lines.WriteString("\n" + f[0] + strings.Repeat(" ", 10-twwidth.Width(f[0])) + wrap(f[1], pageWidth-10, strings.Repeat(" ", 10)))
	}
	out.headline += "\n" + lines.String()
	if len(d.Parts) > 1 {
		t := table{header: []string{"PART", "DECISION", "HOST", "AT (UTC)", "TOOK"}}
		for _, p := range d.Parts {
			t.rows = append(t.rows, []string{strconv.FormatInt(p.N, 10), string(p.Command), orDash(p.Host), atText(p.At), tookText(p.Took)})
		}
		out.tables = []table{t}
	}
	return out
}

func atText(at *string) string {
	if at == nil {
		return "-"
	}
	moment, err := time.Parse(time.RFC3339, *at)
	if err != nil {
		return cluster.Printable(*at)
	}
	return moment.UTC().Format("2006-01-02 15:04:05.000")
}

func tookText(seconds *float64) string {
	if seconds == nil {
		return "-"
	}
	took := time.Duration(*seconds * float64(time.Second))
	if took >= time.Minute {
		return took.Round(time.Second).String()
	}
	return took.Round(time.Millisecond).String()
}

func orDash(text *string) string {
	if text == nil {
		return "-"
	}
	return *text
}
