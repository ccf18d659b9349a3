package watch

import (
	"strings"
	"testing"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// TestAdopt: what has to be seen before an operator's word makes a server the region's master.
func TestAdopt(t *testing.T) {
	master := func() *cluster.Facts {
		return &cluster.Facts{Host: "db2", System: 7, Running: true, Rows: []cluster.Epoch{{Epoch: 1, Master: "db1"}, {Epoch: 4, Master: "db2", Nonce: "hand.x"}}}
	}
	standby := func() *cluster.Facts { return &cluster.Facts{Host: "db1", System: 7, Running: true, Recovery: true} }
	for _, tt := range []struct {
		name   string
		change func(s *cluster.State, q *Wish, seen map[string]*cluster.Facts)
		want   string // a part of the refusal, or of the evidence
	}{
		{"all are seen", nil, "db1 runs read-only"},
		{"it has not halted", func(s *cluster.State, _ *Wish, _ map[string]*cluster.Facts) { s.Halted = "" }, "has not halted"},
		{"one is not heard", func(_ *cluster.State, _ *Wish, seen map[string]*cluster.Facts) { delete(seen, "db1") }, "--accept=unfenced-master"},
		{"one is dead", func(_ *cluster.State, q *Wish, seen map[string]*cluster.Facts) { delete(seen, "db1"); q.Dead = true }, "root says that it is dead"},
		{"the dead one says nothing of one that hangs", func(_ *cluster.State, q *Wish, seen map[string]*cluster.Facts) { seen["db1"].Silent = 1; q.Dead = true }, "does not answer"},
		{"two masters", func(_ *cluster.State, _ *Wish, seen map[string]*cluster.Facts) { seen["db1"].Recovery = false }, "2 do (db1, db2)"},
		{"no master", func(_ *cluster.State, _ *Wish, seen map[string]*cluster.Facts) { seen["db2"].Recovery = true }, "0 do"},
		{"the old one would start as a master", func(_ *cluster.State, _ *Wish, seen map[string]*cluster.Facts) {
			*seen["db1"] = cluster.Facts{Host: "db1"}
		}, "its next start would make it a master"},
		{"it is down, and gated", func(_ *cluster.State, _ *Wish, seen map[string]*cluster.Facts) {
			*seen["db1"] = cluster.Facts{Host: "db1", Gate: true}
		}, "starts read-only"},
		{"nobody is, and another one was later", func(s *cluster.State, _ *Wish, seen map[string]*cluster.Facts) {
			s.Phase, s.Master, seen["db2"].Recovery = cluster.Serving, "db1", true
			seen["db1"].Rows = []cluster.Epoch{{Epoch: 1, Master: "db1"}}
		}, "0 do"},
		{"nobody is, and the last one was elected only", func(s *cluster.State, _ *Wish, seen map[string]*cluster.Facts) {
			s.Phase, s.Master, s.Election, seen["db2"].Recovery = cluster.Elected, "db2", &cluster.Election{Base: 1}, true
		}, "0 do"},
		{"nobody is since the quorum was lost", func(s *cluster.State, q *Wish, seen map[string]*cluster.Facts) {
			s.Phase, s.Master, seen["db2"].Recovery, q.Dead = cluster.Serving, "db2", true, true
			delete(seen, "db1")
		}, "db2 served epoch 2"},
		{"nobody is, and what the other one has signed is not known", func(s *cluster.State, _ *Wish, seen map[string]*cluster.Facts) {
			s.Phase, s.Master, seen["db2"].Recovery = cluster.Serving, "db2", true
			*seen["db1"] = cluster.Facts{Host: "db1", Gate: true} // it may have been elected, and lost its power
		}, "what db1 has signed is not known: start its PostgreSQL"},
		{"nobody is, and the other one was promoted by another hand", func(s *cluster.State, _ *Wish, seen map[string]*cluster.Facts) {
			s.Phase, s.Master, seen["db2"].Recovery = cluster.Serving, "db2", true
			seen["db1"].Rows = []cluster.Epoch{{Epoch: 1, Master: "db1"}, {Epoch: 4, Master: "db1", Nonce: "hand.y"}}
		}, "would be lost"},
		{"nobody is, and the last one does not run", func(s *cluster.State, _ *Wish, seen map[string]*cluster.Facts) {
			s.Phase, s.Master = cluster.Serving, "db2"
			seen["db2"].Running, seen["db2"].Gate = false, true
		}, "what db2 has signed is not known"},
		{"nobody is, and the others are behind", func(s *cluster.State, _ *Wish, seen map[string]*cluster.Facts) {
			s.Phase, s.Master, seen["db2"].Recovery = cluster.Serving, "db2", true
			seen["db1"].Rows = []cluster.Epoch{{Epoch: 1, Master: "db1"}}
		}, "db2 served epoch 2"},
		{"one that was adopted does not get there", func(s *cluster.State, _ *Wish, _ map[string]*cluster.Facts) {
			s.Halted, s.Phase, s.Master, s.Election = "", cluster.Elected, "db1", &cluster.Election{}
		}, "db1 runs read-only"},
		{"one that was elected does not get there", func(s *cluster.State, _ *Wish, _ map[string]*cluster.Facts) {
			s.Halted, s.Phase, s.Master, s.Election = "", cluster.Elected, "db1", &cluster.Election{Base: 1}
		}, "has not halted"},
		{"no signature", func(_ *cluster.State, _ *Wish, seen map[string]*cluster.Facts) { seen["db2"].Rows = nil }, "bears no signature"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, q, seen := cluster.State{Epoch: 2, Gen: 5, Halted: "signed above"}, &Wish{Kind: cluster.Adopt, By: "root"}, map[string]*cluster.Facts{"db1": standby(), "db2": master()}
			if tt.change != nil {
				tt.change(&s, q, seen)
			}
			c, why := q.adopt(&s, []string{"db1", "db2"}, seen, "n")
			if c == nil && !strings.Contains(why, tt.want) || c != nil && !strings.Contains(strings.Join(c.Record.Evidence, ";"), tt.want) {
				t.Errorf("%+v, %q", c, why)
			}
			if c != nil && (c.Host != "db2" || c.Above != 4 || c.System != 7 || c.Epoch != 2 || c.Gen != 5) {
				t.Errorf("%+v", c)
			}
		})
	}
}
