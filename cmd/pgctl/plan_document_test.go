package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/pgctl/pgctl/pkg/plan"
)

// TestShowPlan: a plan is a table of its steps, and none where there are none.
func TestShowPlan(t *testing.T) {
	var out bytes.Buffer
	a := &app{out: &out, output: "table"}
	c := change{plan: plan.Plan{Name: "switchover"}}
	if err := a.showPlan(changeDocument(c, nil)); err != nil || out.Len() > 0 {
		t.Errorf("%q, %v", out.String(), err)
	}
	c.plan.Steps = []plan.Step{{Host: "db1", Text: "stop"}}
	if err := a.showPlan(changeDocument(c, []plan.State{plan.Waiting})); err != nil || !strings.Contains(out.String(), "1     db1   waiting  stop") {
		t.Errorf("%q, %v", out.String(), err)
	}
}
