package main

import (
	"fmt"

	"github.com/pgctl/pgctl/pkg/plan"
)

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

func changeDocument(c change, states []plan.State) changeDoc {
	doc := changeDoc{Plan: c.plan.Name, Facts: c.plan.Facts, Steps: []stepDoc{}, LeftOut: c.left, Diffs: c.diffs}
	for i, s := range c.plan.Steps {
		doc.Steps = append(doc.Steps, stepDoc{ID: s.ID, Lane: known(s.Lane), Host: s.Host, Text: s.Text, Why: known(s.Why), State: states[i]})
	}
	return doc
}

// showPlan prints the plan as a table: what is done already, and what is waiting. One without steps has no table.
func (a *app) showPlan(doc changeDoc) error {
	if len(doc.Steps) == 0 {
		return nil
	}
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
