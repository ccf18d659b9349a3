package main

import (
	"testing"

	"github.com/pgctl/pgctl/pkg/plan"
)

func TestResume(t *testing.T) {
	begun := &plan.Plan{Facts: map[string]string{"from": "db1", "to": "db2", "timeline": "3"}}
	for _, tt := range []struct {
		name       string
		begun      *plan.Plan
		master, to string
		want       string // from>to
		late       bool   // the region has gone on since
	}{
		{"no earlier run", nil, "db1", "db3", ">db3", false},
		{"before the stop", begun, "db1", "", "db1>db2", false},
		{"stopped", begun, "", "", "db1>db2", false},
		{"stopped, the same asked for", begun, "", "db2", "db1>db2", false},
		{"stopped, the way back asked for", begun, "", "db1", "db1>db2", false},
		{"promoted", begun, "db2", "", "db1>db2", false},
		{"before the stop, the master asked for: it is that already", begun, "db1", "db1", ">db1", false},
		{"promoted, back asked for: a switchover of its own", begun, "db2", "db1", ">db1", false},
		{"another candidate asked for", begun, "", "db3", ">db3", false},
		{"the same master, a later timeline", begun, "db1", "", ">", true},
		{"another server is master by now", begun, "db3", "", ">", false},
	} {
		timeline := map[string]int{"db1": 3, "db2": 4, "db3": 5}[tt.master]
		if tt.late {
			timeline += 2
		}
		from, to, _ := resume(tt.begun, masterAt{tt.master, timeline}, tt.to)
		if got := from + ">" + to; got != tt.want {
			t.Errorf("%s: %s, expected %s", tt.name, got, tt.want)
		}
	}
}
