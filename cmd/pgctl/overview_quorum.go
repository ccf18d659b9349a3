package main

import (
	"fmt"
	"strings"

	"github.com/olekukonko/tablewriter/pkg/twwidth"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/nodes"
)

// quorumDoc is region.quorum of `overview -o json`: what the watchers agree on, by the one that knows the most.
type quorumDoc struct {
	From          string          `json:"from"`
	Index         uint64          `json:"index"`
	Phase         string          `json:"phase"`
	Opened        bool            `json:"opened"`
	Voters        []string        `json:"voters"`
	Silent        []string        `json:"silent"`
	Spare         *string         `json:"spare"`
	SyncSet       []string        `json:"sync_set"`
	InForce       int             `json:"configurations"`
	Survives      *int            `json:"survives_hosts"`
	CriticalZones []string        `json:"critical_zones"`
	Quarantined   []quarantineDoc `json:"quarantined"`
	Former        []string        `json:"former_masters"`
	PoolsToMove   []string        `json:"pools_to_move"`
	Halted        *string         `json:"halted"`
	Judgements    []judgementDoc  `json:"judgements"`
	Waits         []string        `json:"waits"`
}

type quarantineDoc struct {
	Host string `json:"host"`
	Why  string `json:"why"`
}

type judgementDoc struct {
	Code     cluster.Judged `json:"code"`
	Host     *string        `json:"host"`
	Evidence []string       `json:"evidence"`
}

func quorumDocument(q *cluster.QuorumView) *quorumDoc {
	if q == nil {
		return nil
	}
	doc := &quorumDoc{
		From: q.From, Index: q.Index, Phase: phaseText(q.Phase), Opened: q.Opened, Voters: list(q.Voters), Silent: list(q.Lost), Spare: q.Spare,
		SyncSet: list(q.InSync()), InForce: len(q.Configs), CriticalZones: list(q.Zones), Quarantined: []quarantineDoc{}, Former: list(q.Former),
		PoolsToMove: list(q.Pools), Halted: known(cluster.Printable(q.Halted)), Judgements: []judgementDoc{}, Waits: list(q.Waits),
	}
	if n, serving := q.Survives(); serving {
		doc.Survives = &n
	}
	for _, x := range q.Quarantined {
		doc.Quarantined = append(doc.Quarantined, quarantineDoc{Host: x.Host, Why: cluster.Printable(x.Why)})
	}
	for _, j := range q.Judgements {
		if j.Code == cluster.JudgedOK { // nothing is the matter
			continue
		}
		doc.Judgements = append(doc.Judgements, judgementDoc{Code: j.Code, Host: known(j.Host), Evidence: list(j.Evidence)})
	}
	return doc
}

// list is printable, and never null.
func list(all []string) []string {
	out := []string{}
	for _, text := range all {
		out = append(out, cluster.Printable(text))
	}
	return out
}

func phaseText(p cluster.Phase) string {
	if p == cluster.Unformed {
		return "unformed"
	}
	return string(p)
}

// haText is what the headline says of HA.
func haText(d cluster.Diagnosis) string {
	if d.HA == nodes.HAPaused {
		return d.Regime.Paused.Sentence()
	}
	return string(d.HA)
}

// quorumLines are the quorum and what an acknowledged commit is worth, each in a line; none with HA off.
func quorumLines(snap cluster.Snapshot, d cluster.Diagnosis, p painter) []string {
	q := d.Regime
	if q == nil || snap.HA != nodes.HAEnabled {
		return nil
	}
	executor := "executor " + q.Leader
	if q.Leader == "" {
		executor = p.bad("no executor")
	}
	votes := fmt.Sprintf("%d of %d votes heard", len(q.Heard), len(q.Voters))
	if len(q.Lost) > 0 {
		votes = p.warn(votes) + " (not " + strings.Join(q.Lost, ", ") + ")"
	}
	lines := []string{line("QUORUM", fmt.Sprintf("epoch %d %s, %s, %s", q.Epoch, phaseText(q.Phase), executor, votes))}
	if n, serving := q.Survives(); serving {
		lines = append(lines, line("COMMITS", commitText(q, n, p)))
	}
	if len(q.Zones) > 0 {
		lines = append(lines, line("ZONES", fmt.Sprintf("the loss of %s would leave too few votes", strings.Join(q.Zones, " or "))))
	}
	if len(q.Pools) > 0 {
		lines = append(lines, line("POOLS", strings.Join(q.Pools, ", ")+" still to be moved"))
	}
	return lines
}

// commitText is effective durability in a sentence.
func commitText(q *cluster.QuorumView, n int, p painter) string {
	what := fmt.Sprintf("survives the loss of %d %s right now", n, plural(n, "host", "hosts"))
	if n == 0 {
		what = p.bad("does not survive the loss of " + *q.Master)
	}
	waits := "nobody"
	if sync := q.InSync(); len(sync) > 0 {
		waits = strings.Join(sync, ", ")
		if c := q.Configs[len(q.Configs)-1]; c.Any {
			waits = fmt.Sprintf("any %d of %s", c.K, waits)
		}
	}
	text := fmt.Sprintf("wait for %s: an acknowledged one %s", waits, what)
	if len(q.Configs) > 1 {
		text += " (the sync set is changing)"
	}
	return text
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// line is a label and a text, wrapped to the page.
func line(label, text string) string {
	const indent = 11
	return "  " + label + strings.Repeat(" ", indent-2-twwidth.Width(label)) + wrap(text, pageWidth-indent, strings.Repeat(" ", indent))
}

// watcherTable is every watcher with its part in the quorum; empty with HA off.
func watcherTable(snap cluster.Snapshot, d cluster.Diagnosis, p painter) table {
	t := table{header: []string{"  WATCHER", "PART", "VERSION", "MONITOR", "NODE"}, expendable: []string{"VERSION"}}
	if d.Regime == nil || snap.HA != nodes.HAEnabled {
		return t
	}
	add := func(c cluster.Common) {
		w := c.Watcher
		row := []string{marked(c.Host, false), d.Regime.PartOf(c.Host), dash(w.Version), statusCell(w.Monitor, p), statusCell(w.Node, p)}
		if !c.Reached() {
			row[3], row[4] = p.bad("unreachable"), "-"
		} else if w.Service.State != "" && w.Service.State != cluster.ServiceActive {
			row[3], row[4] = p.bad(dash(string(w.Service.State))), "-"
		}
		t.rows = append(t.rows, row)
	}
	for _, s := range snap.Servers {
		add(s.Common)
	}
	for _, a := range snap.Arbiters {
		add(a.Common)
	}
	return t
}

// statusCell is a status of one word; of a sentence the finding has the text.
func statusCell(status *string, p painter) string {
	switch {
	case status == nil:
		return "-"
	case strings.Contains(*status, " "):
		return p.bad("fault")
	}
	return *status
}
