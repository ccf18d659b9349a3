package failover_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/failover"
	"github.com/pgctl/pgctl/pkg/nodes"
	"github.com/pgctl/pgctl/pkg/plan"
	"github.com/pgctl/pgctl/pkg/postgres"
)

// after is db2, master on timeline 2 since 0/5000, and db1, stopped, that was master on timeline 1. db3 is a standby of db2.
func after() failover.Rejoin {
	snap := site()
	snap.Servers = append(snap.Servers, snap.Servers[1])
	snap.Servers[2].Host, snap.Servers[2].Addresses = "db3", []string{"198.51.100.13"}
	snap.Servers[2].SQL = &cluster.Instance{Timeline: 2, InRecovery: true}
	snap.Servers[1].SQL = &cluster.Instance{Timeline: 2, Position: 0x9000, SyncNames: `FIRST 1 ("db3")`, Slots: []cluster.Slot{{Name: "db3", Physical: true}}}
	snap.Servers[0].SQL = nil
	snap.Servers[0].Data = &cluster.DataDir{Path: "/srv/db1", Port: 5432, SystemID: 7, State: "shut down", Timeline: 1, Checkpoint: 0x5000, Postmaster: &cluster.Process{}}
	snap.Servers[1].Data = &cluster.DataDir{Path: "/srv/db2", Port: 5432, SystemID: 7, Timeline: 2, Postmaster: &cluster.Process{PID: 1, Alive: true}}
	r := failover.Rejoin{Slots: true, Snap: snap, Kin: cluster.Kin{Fork: cluster.Fork{Parent: 1, At: 0x5000}}, Tools: postgres.Tools{Rewind: true, BaseBackup: "/usr/bin/pg_basebackup"}}
	return point(r)
}

// point makes a Rejoin's servers those of its own snapshot.
func point(r failover.Rejoin) failover.Rejoin {
	r.Diagnosis = cluster.Diagnose(r.Snap)
	r.Old, r.Master, r.DataDir = &r.Snap.Servers[0], &r.Snap.Servers[1], "/srv/db1"
	return r
}

func verbs(p plan.Plan) string {
	var all []string
	for _, s := range p.Steps {
		all = append(all, strings.ReplaceAll(s.ID, "server.", ""))
	}
	return strings.Join(all, " ")
}

func stepOf(p plan.Plan, id string) plan.Step {
	for _, s := range p.Steps {
		if s.ID == id {
			return s
		}
	}
	return plan.Step{}
}

func TestUpmaster(t *testing.T) {
	const follows = "db2/slot db1/stop db1/follow db1/start db1/stream db1/drop-slots db2/names db1/pool.edit db1/pool.restart db1/pool.prove db2/pool.edit db2/pool.restart db2/pool.prove"
	const copies = "db2/slot db1/stop db1/renew db1/follow db1/start db1/stream db2/names db1/pool.edit db1/pool.restart db1/pool.prove db2/pool.edit db2/pool.restart db2/pool.prove"
	lost := cluster.Tail{From: 0x5000, End: 0x7000, Transactions: 3, First: time.Unix(1e9, 0), Last: time.Unix(1e9+60, 0)}
	tests := []struct {
		name          string
		change        func(r *failover.Rejoin, o *failover.UpmasterOptions)
		steps, method string
		refused       string // a part of the evidence
	}{
		{name: "proven to be a part of the master's history", steps: follows},
		{name: "its own last checkpoint lies past the fork: no transaction, and no copy either", change: func(r *failover.Rejoin, _ *failover.UpmasterOptions) {
			r.Tail = cluster.Tail{From: 0x5000, End: 0x5080}
		}, steps: copies, method: "rewind"},
		{name: "no pg_rewind", change: func(r *failover.Rejoin, _ *failover.UpmasterOptions) {
			r.Tail, r.Tools.Rewind = cluster.Tail{From: 0x5000, End: 0x5080}, false
		}, steps: copies, method: "clone"},
		{name: "diverged on the master's own timeline: pg_rewind would say that nothing has to be done", change: func(r *failover.Rejoin, _ *failover.UpmasterOptions) {
			r.Kin.Diverged, r.Kin.Fork.Parent = "it is ahead of db2", 2
		}, steps: copies, method: "clone"},
		{name: "unproven: pg_rewind would believe the number of the timeline", change: func(r *failover.Rejoin, _ *failover.UpmasterOptions) {
			r.Kin.Unproven, r.Old.Data.State = "the WAL of its beginning is gone", "shut down in recovery"
		}, steps: copies, method: "clone"},
		{name: "unproven, and it was master", change: func(r *failover.Rejoin, _ *failover.UpmasterOptions) {
			r.Kin.Unproven = "the WAL of its beginning is gone"
		}, refused: "whether db1 has transactions that db2 lacks cannot be told: the WAL of its beginning is gone"},
		{name: "the master has not enough WAL any more", change: func(r *failover.Rejoin, _ *failover.UpmasterOptions) { r.OldestWAL = 0x6000 }, steps: copies, method: "clone"},
		{name: "asked for", change: func(_ *failover.Rejoin, o *failover.UpmasterOptions) { o.Clone = true }, steps: copies, method: "clone"},
		{name: "copied already by an earlier run", change: func(r *failover.Rejoin, _ *failover.UpmasterOptions) {
			r.Kin.Unproven = "no matter"
			r.Old.Data.Timeline = 2
			r.Old.Data.Renewed = &cluster.Renewed{Host: "db1", Master: "db2", SystemID: 7, Timeline: 2}
		}, steps: follows},
		{name: "a copy of another server that was copied", change: func(r *failover.Rejoin, _ *failover.UpmasterOptions) {
			r.Kin.Unproven = "another one's"
			r.Old.Data.Timeline, r.Old.Data.State = 2, "in archive recovery"
			r.Old.Data.Renewed = &cluster.Renewed{Host: "db3", Master: "db2", SystemID: 7, Timeline: 2}
		}, steps: copies, method: "clone"},
		{
			name: "transactions that nobody else has", change: func(r *failover.Rejoin, _ *failover.UpmasterOptions) { r.Tail = lost },
			refused: "db1 has 3 transactions that db2 lacks: 8.0 KiB of WAL after 0/5000, made from 2001-09-09 01:46:40 to 2001-09-09 01:47:40 UTC",
		},
		{name: "given up", change: func(r *failover.Rejoin, o *failover.UpmasterOptions) {
			r.Tail, o.Accept = lost, []string{"lose-diverged-transactions"}
		}, steps: copies, method: "rewind"},
		{name: "what it has cannot be read", change: func(r *failover.Rejoin, _ *failover.UpmasterOptions) { r.TailFailure = "a broken disk" }, refused: "cannot be told: a broken disk"},
		{name: "another cluster's data", change: func(r *failover.Rejoin, _ *failover.UpmasterOptions) {
			r.Old.Data.SystemID, r.Kin = 8, cluster.Kin{Unproven: "it is another cluster"}
		}, refused: "db1 has the data of another cluster"},
		{name: "no data at all", change: func(r *failover.Rejoin, _ *failover.UpmasterOptions) {
			r.Old.Data, r.Kin = nil, cluster.Kin{Unproven: "it has no data that could be read"}
		}, steps: copies, method: "clone"},
		{name: "it is the master", change: func(r *failover.Rejoin, _ *failover.UpmasterOptions) { r.Old = r.Master }, refused: "db2 is the master"},
		{name: "it is unknown", change: func(r *failover.Rejoin, _ *failover.UpmasterOptions) { r.Old = nil }, refused: "no such server"},
		{name: "no master", change: func(r *failover.Rejoin, _ *failover.UpmasterOptions) { r.Master = nil }, refused: "the master is not certain"},
		{name: "two masters, it is the older one: it may write until it is stopped", change: func(r *failover.Rejoin, _ *failover.UpmasterOptions) {
			r.Old.SQL = &cluster.Instance{Timeline: 1}
		}, steps: copies, method: "rewind"},
		{name: "two masters, it is the newer one", change: func(r *failover.Rejoin, _ *failover.UpmasterOptions) {
			r.Old.SQL = &cluster.Instance{Timeline: 3}
		}, refused: "db1 answers as master too and is the newer one"},
		{name: "two masters, the newer timeline, and the older epoch", change: func(r *failover.Rejoin, _ *failover.UpmasterOptions) {
			r.Old.SQL = &cluster.Instance{Timeline: 3}
			r.OldRows, r.Rows = []cluster.Epoch{{Epoch: 4}}, []cluster.Epoch{{Epoch: 5}}
		}, steps: copies, method: "rewind"},
		{name: "two masters, neither is newer", change: func(r *failover.Rejoin, _ *failover.UpmasterOptions) {
			r.Old.SQL = &cluster.Instance{Timeline: 2}
		}, refused: "neither is the newer one"},
		{name: "two masters that are no copies of each other", change: func(r *failover.Rejoin, o *failover.UpmasterOptions) {
			r.Old.SQL, r.Old.Data.SystemID = &cluster.Instance{Timeline: 1}, 8
			o.Accept = []string{"lose-diverged-transactions"}
		}, refused: "not copies of one cluster"},
		{name: "a third server may be a master", change: func(r *failover.Rejoin, _ *failover.UpmasterOptions) { r.Snap.Servers[2].SQL = nil }, refused: "db3 runs PostgreSQL, does not answer, and may be a master too"},
		{name: "the master cannot be reached from it, and there is no login: both are said", change: func(r *failover.Rejoin, _ *failover.UpmasterOptions) {
			r.NoRoute, r.NoLogin = "no route", "no server says how"
		}, refused: "db2 cannot be reached from db1: no route; no server says how"},
		{name: "failover is on and a watcher runs", change: func(r *failover.Rejoin, _ *failover.UpmasterOptions) {
			r.Snap.HA = nodes.HAEnabled
			r.Snap.Servers[2].Watcher.Service.State = cluster.ServiceActive
		}, refused: "the watcher of db3 runs"},
		{name: "a 9.x site", change: func(r *failover.Rejoin, _ *failover.UpmasterOptions) { r.Snap.Kind = nodes.KindPG9 }, refused: "this is a 9.x site"},
		{name: "no room for a copy", change: func(r *failover.Rejoin, o *failover.UpmasterOptions) {
			o.Clone = true
			r.Room = postgres.Room{Volumes: []postgres.Volume{{Path: "/srv", Needed: 100, Free: 50, Old: 90}}}
		}, refused: "a copy of the master takes 100 B in /srv"},
		{name: "room when the old data goes first", change: func(r *failover.Rejoin, o *failover.UpmasterOptions) {
			o.Clone, o.ReuseSpace = true, true
			r.Room = postgres.Room{Volumes: []postgres.Volume{{Path: "/srv", Needed: 100, Free: 50, Old: 90}}}
		}, steps: copies, method: "clone"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, o := after(), failover.UpmasterOptions{Incarnation: "k3f9"}
			if tt.change != nil {
				tt.change(&r, &o)
				r.Diagnosis = cluster.Diagnose(r.Snap)
			}
			p, err := failover.Upmaster(r, o)
			var refusal *cluster.Refusal
			if errors.As(err, &refusal) != (tt.refused != "") || err != nil && !strings.Contains(err.Error(), tt.refused) {
				t.Fatalf("got %v, expected %q", err, tt.refused)
			}
			if err != nil {
				return
			}
			if got := verbs(p); got != tt.steps {
				t.Errorf("steps\n%s\nexpected\n%s", got, tt.steps)
			}
			if got := stepOf(p, "db1/server.renew").Args["method"]; got != tt.method {
				t.Errorf("by %q, expected %q", got, tt.method)
			}
			if err := p.Check((&failover.Servers{}).Handlers()); err != nil && !strings.Contains(err.Error(), "pool.") {
				t.Error(err)
			}
			name := "db1"
			if tt.method != "" {
				name = "db1_k3f9"
			}
			if got := stepOf(p, "db2/server.names").Args["names"]; got != `FIRST 2 ("db3","`+name+`")` {
				t.Errorf("names %s", got)
			}
			if got := stepOf(p, "db1/server.follow").Args["names"]; got != `FIRST 2 ("db3","db2")` {
				t.Errorf("its own names: %s", got)
			}
		})
	}
}

// TestUpmasterOrder: nobody waits for a server before it has caught up, and its data is not touched while it runs.
func TestUpmasterOrder(t *testing.T) {
	r := after()
	p, err := failover.Upmaster(r, failover.UpmasterOptions{Clone: true, Incarnation: "k3f9"})
	if err != nil {
		t.Fatal(err)
	}
	at := func(id string) int { return slices.IndexFunc(p.Steps, func(s plan.Step) bool { return s.ID == id }) }
	if !slices.IsSorted([]int{at("db1/server.stop"), at("db1/server.renew"), at("db1/server.follow"), at("db1/server.start"), at("db1/server.stream"), at("db2/server.names")}) {
		t.Errorf("order: %s", verbs(p))
	}
	for _, s := range p.Steps {
		for key, value := range s.Args {
			if strings.Contains(key+value, "password") {
				t.Errorf("%s holds a secret", s.ID)
			}
		}
	}
}

func TestStillRejoin(t *testing.T) {
	r := after()
	p, err := failover.Upmaster(r, failover.UpmasterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	still := failover.StillRejoin("db1")
	if err := still(r.Snap, p, nil); err != nil {
		t.Errorf("nothing has changed: %v", err)
	}
	for name, change := range map[string]func(s *cluster.Snapshot){
		"another timeline":  func(s *cluster.Snapshot) { s.Servers[1].SQL.Timeline = 3 },
		"no master":         func(s *cluster.Snapshot) { s.Servers[1].SQL.InRecovery = true },
		"a second master":   func(s *cluster.Snapshot) { s.Servers[2].SQL.InRecovery = false },
		"another one, lost": func(s *cluster.Snapshot) { s.Servers[2].SQL = nil },
	} {
		r := after()
		change(&r.Snap)
		if still(r.Snap, p, nil) == nil {
			t.Errorf("%s: the plan goes on", name)
		}
	}
}
