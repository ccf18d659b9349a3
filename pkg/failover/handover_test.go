package failover

import (
	"strings"
	"testing"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// TestHandOver: whom the quorum is asked for, and when it is not asked at all.
func TestHandOver(t *testing.T) {
	well := func() cluster.QuorumView {
		return cluster.QuorumView{Quorum: cluster.Quorum{
			Phase: cluster.Serving, Master: new("db1"), Opened: true, Configs: []cluster.SyncConfig{{K: 2, Members: []string{"db3_x", "db2"}}},
			Members: []cluster.Member{{Host: "db2", Name: "db2"}, {Host: "db3", Name: "db3_x"}},
		}}
	}
	for _, tt := range []struct {
		name, to string
		change   func(*cluster.QuorumView)
		want     string // the new master, or a part of the refusal
	}{
		{"the first that commits wait for", "", nil, "db3"},
		{"the one that is asked for", "db2", nil, "db2"},
		{"no such server", "db9", nil, "the inventory has no server db9"},
		{"one that is not counted on", "db4", nil, "no commit waits for db4"},
		{"nobody is master", "", func(q *cluster.QuorumView) { q.Master = nil }, "there is no master"},
		{"an election", "", func(q *cluster.QuorumView) { q.Phase = cluster.Elected }, "db1 has not settled yet"},
		{"clients wait", "", func(q *cluster.QuorumView) { q.Opened = false }, "db1 has not settled yet"},
		{"a change is under way", "", func(q *cluster.QuorumView) { q.Configs = append(q.Configs, q.Configs[0]) }, "db1 has not settled yet"},
		{"the master is alone", "", func(q *cluster.QuorumView) { q.Configs = []cluster.SyncConfig{{}} }, "no commit on db1 waits for a standby"},
		{"halted", "", func(q *cluster.QuorumView) { q.Halted = "signed above" }, "the quorum has halted: signed above"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q := well()
			if tt.change != nil {
				tt.change(&q)
			}
			p, err := HandOver(&q, []string{"db1", "db2", "db3", "db4"}, "", tt.to)
			switch {
			case err != nil && !strings.Contains(err.Error(), tt.want):
				t.Errorf("%v", err)
			case err == nil && (p.Facts["to"] != tt.want || len(p.Steps) != 4 || p.Steps[0].Verb != VerbHandOver || p.Steps[0].Host != "db1"):
				t.Errorf("%+v", p)
			}
		})
	}
	q := well()
	if p, err := HandOver(&q, nil, "", "db1"); err != nil || len(p.Steps) != 0 {
		t.Errorf("the master itself: %+v, %v", p, err)
	}
}

// TestHandOverGoesOn: what is left of an unfinished one is waited for, and nobody is asked to make way a second time.
func TestHandOverGoesOn(t *testing.T) {
	for name, master := range map[string]*string{"the election is under way": nil, "the other one is master": new("db2"), "nothing has happened yet": new("db1")} {
		q := cluster.QuorumView{Quorum: cluster.Quorum{
			Phase: cluster.Serving, Master: master, Opened: true, Configs: []cluster.SyncConfig{{K: 1, Members: []string{"db3", "db2"}}}, Pools: []string{"db2"},
		}}
		p, err := HandOver(&q, []string{"db1", "db2", "db3"}, "db1", "db2")
		if err != nil || len(p.Steps) != 4 || p.Facts["from"] != "db1" || p.Facts["to"] != "db2" || p.Steps[2].Verb != VerbQuorumPools || p.Steps[2].Args["to"] != "db2" {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
	q := cluster.QuorumView{Quorum: cluster.Quorum{Phase: cluster.Serving, Master: new("db3"), Opened: true, Configs: []cluster.SyncConfig{{K: 1, Members: []string{"db2"}}}}}
	if p, err := HandOver(&q, []string{"db1", "db2", "db3"}, "db1", "db2"); err != nil || p.Facts["from"] != "db3" {
		t.Errorf("another one is master by now: %+v, %v", p, err)
	}
}
