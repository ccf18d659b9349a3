package failover_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/failover"
	"github.com/pgctl/pgctl/pkg/plan"
)

// left is a region of three whose master, db1, is left alone.
func left() failover.Reset {
	serving := cluster.State{Epoch: 3, Phase: cluster.Serving, Master: "db1"}
	store := func(term, index uint64) *failover.Store {
		return &failover.Store{Term: term, Index: index, Voters: []string{"arb1", "db1", "db2"}}
	}
	r := failover.Reset{
		ID: "reset-x", By: "root@firstbox",
		Seen: []failover.Survivor{
			{Host: "db1", Shelf: &failover.Shelf{Running: true, Store: store(4, 90), State: serving}},
			{Host: "db2", Lost: true, Why: "no answer"},
			{Host: "arb1", Lost: true, Why: "no answer"},
			{Host: "arb2", Shelf: &failover.Shelf{Running: true, Store: store(4, 80), State: serving}},
		},
		Accept: []string{failover.RiskLostHosts},
	}
	r.Snap.Servers = []cluster.Server{{Common: cluster.Common{Host: "db1"}}, {Common: cluster.Common{Host: "db2", Unreachable: &cluster.Failure{Message: "no answer"}}}}
	return r
}

func steps(p plan.Plan) string {
	var all []string
	for _, s := range p.Steps {
		all = append(all, s.ID)
	}
	return strings.Join(all, " ")
}

func TestResetQuorum(t *testing.T) {
	const ofDB1 = "db1/watcher.stop arb2/watcher.stop db1/quorum.reset arb2/quorum.aside db1/watcher.start arb2/watcher.start"
	for _, tt := range []struct {
		name    string
		change  func(r *failover.Reset)
		plan    string
		id      string // of the reset; "" any
		refused string // a part of the refusal
	}{
		{name: "the master knows the most", plan: ofDB1},
		{name: "the arbiter does, by its term", change: func(r *failover.Reset) { r.Seen[3].Shelf.Store.Term = 5 }, plan: "db1/watcher.stop arb2/watcher.stop arb2/quorum.reset db1/quorum.aside arb2/watcher.start db1/watcher.start"},
		{name: "one has nothing", change: func(r *failover.Reset) { r.Seen[3].Shelf.Store = nil }, plan: ofDB1},
		{name: "the lost are not given up", change: func(r *failover.Reset) { r.Accept = nil }, refused: "db2 does not answer"},
		{name: "a voter that the inventory has no more", change: func(r *failover.Reset) {
			r.Accept, r.Seen = nil, append(r.Seen[:1:1], r.Seen[3])
		}, refused: "arb1 does not answer"},
		{name: "there is an executor", change: func(r *failover.Reset) { r.Seen[3].Shelf.Executor = "arb1" }, refused: "there is an executor, arb1"},
		{name: "a majority answers", change: func(r *failover.Reset) {
			r.Seen[1] = failover.Survivor{Host: "db2", Shelf: &failover.Shelf{Store: r.Seen[0].Shelf.Store}}
		}, refused: "db1 and db2 answer, 2 of the 3 that vote"},
		{name: "a majority answers, one of it emptied", change: func(r *failover.Reset) {
			r.Seen[1] = failover.Survivor{Host: "db2", Shelf: &failover.Shelf{}}
		}, plan: "db1/watcher.stop db2/watcher.stop arb2/watcher.stop db1/quorum.reset db2/quorum.aside arb2/quorum.aside db1/watcher.start db2/watcher.start arb2/watcher.start"},
		{name: "one cannot be looked at", change: func(r *failover.Reset) { r.Seen[3] = failover.Survivor{Host: "arb2", Why: "no such command"} }, refused: "what arb2 has of the quorum cannot be looked at"},
		{name: "one has only begun", change: func(r *failover.Reset) {
			r.Seen[3].Shelf = &failover.Shelf{Running: true, Problem: "it has only begun"}
		}, refused: "does not tell what it has"},
		{name: "one cannot be read", change: func(r *failover.Reset) {
			r.Seen[3].Shelf = &failover.Shelf{Problem: "a part of a store only"}
		}, refused: "what arb2 has of the quorum cannot be read"},
		{name: "nobody has anything", change: func(r *failover.Reset) { r.Seen[0].Shelf.Store, r.Seen[3].Shelf.Store = nil, nil }, refused: "no host that answers has anything"},
		{name: "two quorums of one", change: func(r *failover.Reset) {
			r.Seen[0].Shelf.Store.Resets, r.Seen[3].Shelf.Store.Resets = []string{"a"}, []string{"b"}
		}, refused: "db1 and arb2 are of two quorums"},
		{name: "one was left behind", change: func(r *failover.Reset) { r.Seen[3].Shelf.Store.Resets = []string{"a"} }, plan: "db1/watcher.stop arb2/watcher.stop arb2/quorum.reset db1/quorum.aside arb2/watcher.start db1/watcher.start"},
		{name: "the master is lost", change: func(r *failover.Reset) { r.Seen[0].Shelf.State.Master = "db2" }, refused: "no server runs as master"},
		{name: "it is lost, and another one was made master", change: func(r *failover.Reset) {
			r.Seen[0].Shelf.State.Master, r.Snap.Servers[0].SQL = "db2", &cluster.Instance{}
		}, plan: ofDB1},
		{name: "an election had begun", change: func(r *failover.Reset) {
			r.Seen[0].Shelf.State = cluster.State{Epoch: 4, Phase: cluster.Electing}
		}, refused: "no server runs as master"},
		{name: "run again, when the quorum was made", change: func(r *failover.Reset) {
			r.Begun = &plan.Plan{Facts: map[string]string{"reset": "reset-y"}}
			r.Seen[0].Shelf.Store = &failover.Store{Term: 4, Index: 90, Voters: []string{"db1"}, Resets: []string{"reset-y"}}
			r.Seen[0].Shelf.Executor = "db1"
		}, plan: ofDB1},
		{name: "run again, and a lost one came back with what it had", change: func(r *failover.Reset) {
			r.Begun = &plan.Plan{Facts: map[string]string{"reset": "reset-y"}}
			r.Seen[0].Shelf.Store = &failover.Store{Term: 4, Index: 90, Voters: []string{"db1"}, Resets: []string{"reset-y"}}
			r.Seen[1] = failover.Survivor{Host: "db2", Shelf: &failover.Shelf{Store: r.Seen[3].Shelf.Store}}
		}, plan: "db1/watcher.stop db2/watcher.stop arb2/watcher.stop db1/quorum.reset db2/quorum.aside arb2/quorum.aside db1/watcher.start db2/watcher.start arb2/watcher.start"},
		{name: "one that was begun long ago, whose quorum lost its majority too", change: func(r *failover.Reset) {
			r.Begun = &plan.Plan{Facts: map[string]string{"reset": "reset-y"}}
			for _, i := range []int{0, 3} {
				r.Seen[i].Shelf.Store.Resets = []string{"reset-y"}
			}
			r.Seen[3].Shelf.Store.Voters, r.Seen[0].Shelf.Store.Voters = []string{"arb1", "db1", "db2"}, []string{"arb1", "db1", "db2"}
		}, plan: ofDB1, id: "reset-x"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := left()
			if tt.change != nil {
				tt.change(&r)
			}
			p, err := failover.ResetQuorum(r)
			var refusal *cluster.Refusal
			switch {
			case tt.refused == "" && (err != nil || steps(p) != tt.plan):
				t.Errorf("got %s, %v", steps(p), err)
			case tt.id != "" && p.Facts["reset"] != tt.id:
				t.Errorf("it is %s", p.Facts["reset"])
			case tt.refused != "" && !errors.As(err, &refusal):
				t.Errorf("got %s, %v", steps(p), err)
			case tt.refused != "":
				said := ""
				for _, risk := range refusal.Risks {
					said += risk.Evidence + "\n"
				}
				if !strings.Contains(said, tt.refused) {
					t.Errorf("refused for %q, expected %q", said, tt.refused)
				}
			}
		})
	}
}
