package main

import (
	"testing"

	"github.com/pgctl/pgctl/pkg/plan"
)

func TestResume(t *testing.T) {
	begun := &plan.Plan{Facts: map[string]string{"from": "db1", "to": "db2"}}
	for _, tt := range []struct {
		name       string
		begun      *plan.Plan
		master, to string
		want       string // from>to
	}{
		{"no earlier run", nil, "db1", "db3", ">db3"},
		{"before the stop", begun, "db1", "", "db1>db2"},
		{"stopped", begun, "", "", "db1>db2"},
		{"stopped, the same asked for", begun, "", "db2", "db1>db2"},
		{"stopped, the way back asked for", begun, "", "db1", "db1>db2"},
		{"promoted", begun, "db2", "", "db1>db2"},
		{"before the stop, the master asked for: it is that already", begun, "db1", "db1", ">db1"},
		{"promoted, back asked for: a switchover of its own", begun, "db2", "db1", ">db1"},
		{"another candidate asked for", begun, "", "db3", ">db3"},
		{"another server is master by now", begun, "db3", "", ">"},
	} {
		from, to, _ := resume(tt.begun, tt.master, tt.to)
		if got := from + ">" + to; got != tt.want {
			t.Errorf("%s: %s, expected %s", tt.name, got, tt.want)
		}
	}
}
