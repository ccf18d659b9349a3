package main

import (
	"testing"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/failover"
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
		from, to, _ := resume(tt.begun, masterAt{tt.master, "timeline", timeline}, tt.to)
		if got := from + ">" + to; got != tt.want {
			t.Errorf("%s: %s, expected %s", tt.name, got, tt.want)
		}
	}
}

// TestViaExecutorGoesOn: a switchover that was broken off is gone on with, not followed by one that takes the master back.
func TestViaExecutorGoesOn(t *testing.T) {
	site := siteOf(&node{name: "db1"}, &node{name: "db2"}, &node{name: "db3"})
	begun := &plan.Plan{Name: "switchover", Facts: map[string]string{"from": "db1", "to": "db2", "epoch": "4"}}
	for _, tt := range []struct {
		name       string
		begun      *plan.Plan
		master, to string
		epoch      int64
		want       string // from>to
		again      bool   // it says that it goes on
	}{
		{"none was begun", nil, "db1", "", 4, "db1>db3", false},
		{"the pools are left", begun, "db2", "", 5, "db1>db2", true},
		{"the same is asked for", begun, "db2", "db2", 5, "db1>db2", true},
		{"nothing has happened yet", begun, "db1", "", 4, "db1>db2", true},
		{"the way back is asked for", begun, "db2", "db1", 5, "db2>db1", false},
		{"somebody else is asked for", begun, "db2", "db3", 5, "db2>db3", false},
		{"the old one was elected since", begun, "db1", "", 6, "db1>db3", false},
		{"another one was elected since", begun, "db3", "", 6, "db3>db1", false},
	} {
		q := &cluster.QuorumView{Quorum: cluster.Quorum{Epoch: tt.epoch, Phase: cluster.Serving, Master: &tt.master, Opened: true}}
		config := cluster.SyncConfig{K: 1}
		for _, host := range []string{"db3", "db1", "db2"} {
			if host != tt.master {
				config.Members = append(config.Members, host)
			}
		}
		q.Configs = []cluster.SyncConfig{config}
		c, err := (&app{}).viaExecutor(site, q, tt.begun, tt.to)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		got := c.plan.Facts["from"] + ">" + c.plan.Facts["to"]
		if got != tt.want || len(c.plan.Steps) != 4 || c.plan.GoesOnWith(*begun) != tt.again {
			t.Errorf("%s: %s, expected %s: %+v", tt.name, got, tt.want, c.plan)
		}
	}
}

// TestGoOn: the command that goes on is whole, and a way back goes back.
func TestGoOn(t *testing.T) {
	facts := map[string]string{"from": "db1", "to": "db2"}
	for want, c := range map[string]change{
		"to go on: pgctl switchover --to db2":                  {plan: plan.Plan{Name: "switchover", Facts: facts}},
		"to go on: pgctl switchover --to db1":                  {plan: plan.Plan{Name: "switchover" + failover.BackSuffix, Facts: facts}},
		"to go on: pgctl failover --to db2 --accept=data-loss": {plan: plan.Plan{Name: "failover", Facts: facts}, accept: []string{failover.RiskDataLoss}},
		"run it again to go on":                                {plan: plan.Plan{Name: "upmaster db1", Facts: map[string]string{"master": "db2"}}},
	} {
		if got := goOn(c); got != want {
			t.Errorf("%q, expected %q", got, want)
		}
	}
}
