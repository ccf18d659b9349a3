package failover_test

import (
	"strings"
	"testing"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/failover"
	"github.com/pgctl/pgctl/pkg/nodes"
)

// ruled has a quorum act in the region: master serves, and db3 is in sync with it.
func ruled(snap *cluster.Snapshot, master string, change func(*cluster.Quorum)) {
	snap.HA = nodes.HAEnabled
	q := cluster.Quorum{
		Executor: new("db3"), Index: 9, Epoch: 4, Phase: cluster.Serving, Master: &master, Configs: []cluster.SyncConfig{{Gen: 3, K: 1, Members: []string{"db3_x"}}},
		Members: []cluster.Member{{Host: "db1", Name: "db1_x"}, {Host: "db2", Name: "db2_x"}, {Host: "db3", Name: "db3_x"}}, Voters: []string{"db1", "db2", "db3"},
	}
	if change != nil {
		change(&q)
	}
	for i := range snap.Servers {
		w := &snap.Servers[i].Watcher
		w.Service.State, w.Own, w.Inactive, w.Quorum = cluster.ServiceActive, true, new(false), &q
	}
}

func TestViaExecutor(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*cluster.Snapshot)
		acts   bool
	}{
		"it acts":                             {func(*cluster.Snapshot) {}, true},
		"the inventory's files are newer":     {func(s *cluster.Snapshot) { s.HA = nodes.HADisabled }, true},
		"one of them only watches":            {func(s *cluster.Snapshot) { s.Servers[0].Watcher.Inactive = new(true) }, true},
		"all of them only watch":              {func(s *cluster.Snapshot) { everyWatcher(s, func(w *cluster.Watcher) { w.Inactive = new(true) }) }, false},
		"none that could be asked takes part": {func(s *cluster.Snapshot) { everyWatcher(s, func(w *cluster.Watcher) { w.Quorum = nil }) }, false},
		"it was never formed": {func(s *cluster.Snapshot) {
			everyWatcher(s, func(w *cluster.Watcher) { w.Quorum = &cluster.Quorum{Executor: new("db3")} })
		}, false},
	} {
		r := after()
		ruled(&r.Snap, "db2", nil)
		tt.change(&r.Snap)
		if got := failover.ViaExecutor(r.Snap); (got != nil) != tt.acts {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func everyWatcher(s *cluster.Snapshot, change func(*cluster.Watcher)) {
	for i := range s.Servers {
		change(&s.Servers[i].Watcher)
	}
}

// TestUpmasterBesideTheQuorum: a server that the quorum does not count on rejoins, and what is the watchers' is left to them.
func TestUpmasterBesideTheQuorum(t *testing.T) {
	const follows = "db2/slot db1/stop db1/follow db1/start db1/stream db1/drop-slots"
	for _, tt := range []struct {
		name                 string
		change               func(*cluster.Quorum)
		clone                bool
		steps, name1, refuse string
	}{
		{name: "an old master that has nothing of its own", change: func(q *cluster.Quorum) { q.Former = []string{"db1"} }, steps: strings.Replace(follows, "db1/start", "db1/member db1/start", 1), name1: "db1_k3f9"},
		{name: "one that lost its way", steps: follows, name1: "db1_x"},
		{name: "a copy", clone: true, steps: "db2/slot db1/stop db1/renew db1/follow db1/member db1/start db1/stream", name1: "db1_k3f9"},
		{name: "counted on", change: func(q *cluster.Quorum) { q.Configs[0].Members = []string{"db1_x"} }, refuse: "the quorum counts on db1"},
		{name: "another master", change: func(q *cluster.Quorum) { q.Master = new("db3") }, refuse: "does not have db2 for its serving master"},
		{name: "an election", change: func(q *cluster.Quorum) { q.Phase, q.Master, q.Configs = cluster.Electing, nil, nil }, refuse: "does not have db2 for its serving master"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := after()
			ruled(&r.Snap, "db2", tt.change)
			r = point(r)
			r.Name = "db1_x"
			p, err := failover.Upmaster(r, failover.UpmasterOptions{Incarnation: "k3f9", Clone: tt.clone})
			if tt.refuse != "" {
				refusedWith(t, err, tt.refuse)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := verbs(p); got != tt.steps {
				t.Errorf("steps\n%s\nexpected\n%s", got, tt.steps)
			}
			if got := stepOf(p, "db1/server.follow").Args; got["name"] != tt.name1 || got["names"] != cluster.ClosedNames {
				t.Errorf("%q %q", got["name"], got["names"])
			}
			if err := p.Check((&failover.Servers{}).Handlers()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestNobodyBesideTheQuorum: who is master, and whom commits wait for, is the executor's alone.
func TestNobodyBesideTheQuorum(t *testing.T) {
	take := healthy()
	ruled(&take.Snap, "db1", nil)
	_, err := failover.Switchover(look(take, "db1"), failover.TakeoverOptions{Incarnation: "k3f9"})
	refusedWith(t, err, "the executor, db3, changes the region, and nobody beside it")
	lost := dead()
	ruled(&lost.Snap, "db1", func(q *cluster.Quorum) { q.Executor = nil })
	_, err = failover.Failover(look(lost, ""), failover.TakeoverOptions{To: "db2"})
	refusedWith(t, err, "the quorum changes the region, and nobody beside it")
	snap := healthy().Snap
	ruled(&snap, "db1", nil)
	_, err = failover.Unsync(snap, cluster.Diagnose(snap), "db2", nil)
	refusedWith(t, err, "changes the region, and nobody beside it")
}
