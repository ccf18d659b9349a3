package cluster_test

import (
	"slices"
	"testing"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/nodes"
)

// TestPolicyVoters: an odd number votes; who does not is one that can be spared.
func TestPolicyVoters(t *testing.T) {
	node := func(host, zone string, pools ...string) nodes.WatchedNode {
		return nodes.WatchedNode{Host: host, Zone: zone, Pools: pools}
	}
	for _, tt := range []struct {
		name    string
		nodes   []nodes.WatchedNode
		globals []string
		voters  []string
		spare   string
	}{
		{"2+1", []nodes.WatchedNode{node("a", "z1"), node("b", "z2")}, []string{"x"}, []string{"a", "b", "x"}, ""},
		{"2+2", []nodes.WatchedNode{node("a", "z1"), node("b", "z2")}, []string{"x", "y"}, []string{"a", "b", "x"}, "y"},
		{"3+0", []nodes.WatchedNode{node("a", "z1"), node("b", "z2"), node("c", "z3")}, nil, []string{"a", "b", "c"}, ""},
		{"4+0, two in one zone", []nodes.WatchedNode{node("a", "z1"), node("b", "z1"), node("c", "z2"), node("d", "z3")}, nil, []string{"a", "c", "d"}, "b"},
		{"4+0, a zone each", []nodes.WatchedNode{node("a", "z1"), node("b", "z2"), node("c", "z3"), node("d", "z4")}, nil, []string{"a", "b", "c", "d"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := cluster.PolicyOf(&nodes.Watcher{Nodes: tt.nodes, Globals: tt.globals})
			if !slices.Equal(p.Voters, tt.voters) || p.Spare != tt.spare {
				t.Errorf("voters %v, spare %q", p.Voters, p.Spare)
			}
		})
	}
}

// TestPolicyOfTheSection: every value of the section is taken over, and a pool of two servers is one pool.
func TestPolicyOfTheSection(t *testing.T) {
	p := cluster.PolicyOf(&nodes.Watcher{
		UsingMasterByTS: true, DownAfter: 2 * time.Minute, StandbyDownAfter: 30 * time.Second, Lease: 10 * time.Second, SpareAfter: time.Minute, SyncMode: "any 2",
		Nodes: []nodes.WatchedNode{{Host: "a", Pools: []string{"p", "q"}}, {Host: "b", Pools: []string{"q"}}},
	})
	if !p.MasterByTS || p.Inactive || p.Needed != 2 || p.DownAfter != 2*time.Minute || p.StandbyDownAfter != 30*time.Second || p.Lease != 10*time.Second ||
		p.SpareAfter != time.Minute || !slices.Equal(p.Pools, []string{"p", "q"}) || p.StopTime != nodes.MaxStopTime || p.StopPatience() != 4*time.Second || p.Drift != nodes.ClockDrift {
		t.Errorf("%+v", p)
	}
}

// TestHandoverFits: whatever down_after is, a server that was silent for so long has stopped, and what is killed is killed before that.
func TestHandoverFits(t *testing.T) {
	for downAfter := 5 * time.Second; downAfter < 20*time.Second; downAfter += 100 * time.Millisecond {
		p := cluster.PolicyOf(&nodes.Watcher{DownAfter: downAfter, Lease: 2 * time.Second})
		if p.Lease+p.StopTime+p.Drift > downAfter || p.StopPatience() < time.Second || p.StopPatience() > p.StopTime-time.Second {
			t.Errorf("down_after %s: lease %s, stop time %s, of which %s until it is killed, drift %s", downAfter, p.Lease, p.StopTime, p.StopPatience(), p.Drift)
		}
	}
}

// TestFeatureLevel: it is raised when everybody understands it, and by nobody's absence.
func TestFeatureLevel(t *testing.T) {
	s, reports, p := wellRegion(t)
	s.Feature = 0
	sight := cluster.Sight{Now: time.Hour}
	for _, r := range reports {
		sight.Heard = append(sight.Heard, cluster.Heard{Report: r, At: sight.Now})
	}
	d := cluster.Decide(&s, &sight, &p, "n")
	if d.Command == nil || d.Command.Kind != cluster.RaiseLevel || d.Command.Level != cluster.Features {
		t.Fatalf("%+v", d.Command)
	}
	if s, err := cluster.Apply(s, *d.Command); err != nil || s.Feature != cluster.Features {
		t.Errorf("%v", err)
	}
	reports["c"].Features = 0
	if d := cluster.Decide(&s, &sight, &p, "n"); d.Command != nil {
		t.Errorf("c does not understand it, and yet %+v", d.Command)
	}
}

// TestEmptyInventoryDecidesNothing: a configuration that names nobody, by mistake, takes nobody out and ends no epoch.
func TestEmptyInventoryDecidesNothing(t *testing.T) {
	s, reports, p := wellRegion(t)
	p.Servers, p.Voters = nil, nil
	sight := cluster.Sight{Now: time.Hour}
	for _, r := range reports {
		sight.Heard = append(sight.Heard, cluster.Heard{Report: r, At: 0}) // an hour old: all would be down
	}
	if d := cluster.Decide(&s, &sight, &p, "n"); d.Command != nil || d.Voters != nil {
		t.Errorf("%+v %+v", d.Command, d.Voters)
	}
}

// TestStartsWait: starts that fail are tried again for ever, at intervals that grow to five minutes.
func TestStartsWait(t *testing.T) {
	p := cluster.PolicyOf(&nodes.Watcher{})
	s := serving(t)
	for starts, wait := range []time.Duration{0, 0, 0, 10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second, 160 * time.Second, 320 * time.Second, 320 * time.Second} {
		tried := func(host string, age time.Duration) bool {
			f := &cluster.Facts{Host: host, Starts: starts, StartAge: age, Rows: []cluster.Epoch{rowOfA}, Gate: true}
			return len(cluster.Reconcile(&s, f, &cluster.Sight{}, &p)) == 1
		}
		for _, host := range []string{"a", "b"} { // the master, and a standby
			if starts > 0 && wait > 0 && tried(host, wait-1) || !tried(host, wait) {
				t.Errorf("%s after %d starts does not wait %s", host, starts, wait)
			}
		}
	}
}
