package cluster_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/nodes"
)

// ruled is region(2) with HA on and a quorum of db1, db2 and arb1, arb2 the spare; db1 leads and serves, db2 is in sync with it.
func ruled() cluster.Snapshot {
	snap := region(2)
	snap.HA = nodes.HAEnabled
	for _, c := range watchersOf(&snap) {
		status := "available"
		if c.Host == "db1" {
			status = "active"
		}
		c.Watcher = cluster.Watcher{
			Service: cluster.Service{Unit: "pg_watcher", Manager: "supervisor", State: cluster.ServiceActive},
			Monitor: &status, Node: new("available"), Own: true, Version: "1.2", Inactive: new(false),
			Quorum: &cluster.Quorum{
				Executor: new("db1"), Index: 40, Epoch: 3, Phase: cluster.Serving, Master: new("db1"), Opened: true,
				Configs: []cluster.SyncConfig{{Gen: 5, K: 1, Members: []string{"db2_x"}, Pad: 1}},
				Members: []cluster.Member{{Host: "db1", Name: "db1_x"}, {Host: "db2", Name: "db2_x"}},
				Voters:  []string{"arb1", "db1", "db2"}, Spare: new("arb2"),
			},
		}
	}
	return snap
}

// watchersOf are all that have a watcher.
func watchersOf(s *cluster.Snapshot) []*cluster.Common {
	var all []*cluster.Common
	for i := range s.Servers {
		all = append(all, &s.Servers[i].Common)
	}
	for i := range s.Arbiters {
		all = append(all, &s.Arbiters[i].Common)
	}
	return all
}

// everywhere changes the quorum as every watcher knows it.
func everywhere(s *cluster.Snapshot, change func(*cluster.Quorum)) {
	for _, c := range watchersOf(s) {
		if c.Watcher.Quorum != nil {
			change(c.Watcher.Quorum)
		}
	}
}

// gone takes a host away.
func gone(c *cluster.Common) {
	c.Unreachable, c.Watcher = &cluster.Failure{Message: "no answer"}, cluster.Watcher{}
}

func judge(s *cluster.Snapshot, j ...cluster.Judgement) {
	s.Servers[0].Watcher.Quorum.Judgements = j
}

func TestDiagnoseQuorum(t *testing.T) {
	silent := func(hosts ...string) func(*cluster.Quorum) {
		return func(q *cluster.Quorum) { q.Silent = hosts }
	}
	for _, tt := range []struct {
		name   string
		change func(*cluster.Snapshot)
		want   []string
		says   []string
	}{
		{name: "all is well", change: func(*cluster.Snapshot) {}},
		{
			"an arbiter is gone: a majority is left, but not without the master's host",
			func(s *cluster.Snapshot) { gone(&s.Arbiters[0].Common); everywhere(s, silent("arb1")) },
			[]string{"critical host-unreachable arb1", "warning failover-impossible -"},
			[]string{"a failover is impossible now: without db1 only db2 of the 3 watchers that vote would be left"},
		},
		{
			"the spare is gone: it has no vote",
			func(s *cluster.Snapshot) { gone(&s.Arbiters[1].Common); everywhere(s, silent("arb2")) },
			[]string{"critical host-unreachable arb2"},
			nil,
		},
		{
			"less than a majority",
			func(s *cluster.Snapshot) {
				s.Servers[1].Watcher.Service.State, s.Servers[1].Watcher.Quorum = cluster.ServiceInactive, nil
				gone(&s.Arbiters[0].Common)
				everywhere(s, func(q *cluster.Quorum) { q.Executor, q.Silent = nil, []string{"arb1", "db2"} })
			},
			[]string{"critical host-unreachable arb1", "critical no-quorum -", "critical watcher-down db2", "warning failover-impossible -"},
			[]string{"1 of 3 watchers that vote are heard (not arb1, db2): too few", "less than a majority of the watchers decides; the standbys that could take over are missing: db2 has no watcher that takes part"},
		},
		{
			"a majority that nobody leads",
			func(s *cluster.Snapshot) { everywhere(s, func(q *cluster.Quorum) { q.Executor = nil }) },
			[]string{"critical no-quorum -", "warning failover-impossible -"},
			[]string{"3 of 3 watchers that vote are heard, but nobody leads"},
		},
		{
			"an executor that says itself that it is none",
			func(s *cluster.Snapshot) { s.Servers[0].Watcher.Quorum.Executor = nil },
			[]string{"critical no-quorum -", "warning failover-impossible -"},
			nil,
		},
		{
			"the executor cannot be asked, and is heard",
			func(s *cluster.Snapshot) {
				gone(&s.Arbiters[0].Common)
				everywhere(s, func(q *cluster.Quorum) { q.Executor = new("arb1") })
			},
			[]string{"critical host-unreachable arb1"},
			nil,
		},
		{
			"watchers that take no part",
			func(s *cluster.Snapshot) {
				for _, c := range watchersOf(s) {
					c.Watcher.Quorum = nil
				}
			},
			[]string{"critical no-quorum -"},
			[]string{"0 of 3 watchers that vote"},
		},
		{
			"one watcher does not hear another",
			func(s *cluster.Snapshot) {
				s.Servers[0].Watcher.Quorum.Silent = []string{"db2"}
				judge(s, cluster.Judgement{Code: cluster.JudgedNoQuorum, Host: "db2"})
			},
			[]string{"warning failover-impossible -", "warning watcher-unhealthy db1"},
			[]string{"its watcher does not hear db2, where one runs", "without db1 only arb1"},
		},
		{
			"no standby is in sync",
			func(s *cluster.Snapshot) {
				everywhere(s, func(q *cluster.Quorum) { q.Configs[0] = cluster.SyncConfig{Gen: 6} })
				judge(s, cluster.Judgement{Code: cluster.JudgedAlone, Host: "db1"})
			},
			[]string{"warning failover-impossible -", "warning no-failover-target db1"},
			[]string{"no standby is in sync with db1, which alone has what it acknowledges"},
		},
		{
			"the standby is down, and counted on",
			func(s *cluster.Snapshot) {
				down(&s.Servers[1])
				s.Servers[0].SQL.Standbys, s.Servers[0].SQL.SyncNames = nil, "FIRST 1 (db2)"
				judge(s, cluster.Judgement{Code: cluster.JudgedSyncBlocked, Host: "db2", Evidence: []string{"commits wait for db2_x"}}, cluster.Judgement{Code: cluster.JudgedStandbyDown, Host: "db2"})
			},
			[]string{"critical postgres-down db2", "warning failover-impossible -", "warning sync-blocked db2"},
			[]string{"the standbys that could take over are missing: db2 does not run as a standby", "commits wait for it: commits wait for db2_x", "the executor takes it out of the sync set by itself"},
		},
		{
			"the old master waits for an operator", func(s *cluster.Snapshot) {
				s.Servers[1].SQL.Receiver, s.Servers[0].SQL.Standbys = nil, nil
				everywhere(s, func(q *cluster.Quorum) { q.Former, q.Configs[0] = []string{"db2"}, cluster.SyncConfig{Gen: 6} })
			},
			[]string{"critical standby-not-streaming db2", "warning failover-impossible -"},
			[]string{"waits for an operator: pgctl upmaster db2"},
		},
		{
			"a quarantined one does too", func(s *cluster.Snapshot) {
				s.Servers[1].SQL.Receiver, s.Servers[0].SQL.Standbys = nil, nil
				everywhere(s, func(q *cluster.Quorum) {
					q.Quarantined, q.Configs[0] = []cluster.Quarantine{{Host: "db2", Why: "it is ahead"}}, cluster.SyncConfig{Gen: 6}
				})
			},
			[]string{"critical standby-not-streaming db2", "warning failover-impossible -"},
			[]string{"does not take its data for a copy: pgctl upmaster db2"},
		},
		{
			"the master is gone: that is the executor's to see to", func(s *cluster.Snapshot) { down(&s.Servers[0]) },
			[]string{"critical no-master -", "critical postgres-down db1"},
			[]string{"the executor sees to it, where a failover is possible"},
		},
		{
			"the master was stopped: it is the one to start", func(s *cluster.Snapshot) {
				down(&s.Servers[0])
				s.Servers[0].Data = &cluster.DataDir{State: "shut down", Postmaster: &cluster.Process{}}
				s.Servers[0].Service = cluster.Service{Unit: "postgresql", Manager: "systemd", State: "inactive"}
			},
			[]string{"critical no-master -", "critical postgres-down db1"},
			[]string{"systemctl start postgresql"},
		},
		{
			"the master is gone while it is paused", func(s *cluster.Snapshot) {
				down(&s.Servers[0])
				everywhere(s, func(q *cluster.Quorum) { q.Paused = &cluster.Pause{Owner: "anna@fb", Host: "db1"} })
			},
			[]string{"critical no-master -", "critical postgres-down db1", "warning failover-impossible -"},
			[]string{"HA is paused for it: bring db1 back, or have another server take over: pgctl resume"},
		},
		{
			"a standby that commits do not wait for", func(s *cluster.Snapshot) { s.Servers[0].SQL.Standbys[0].SyncState = "async" },
			[]string{"warning not-synchronous db2"},
			[]string{"the watchers have commits wait for it once it has kept up"},
		},
		{
			"paused", func(s *cluster.Snapshot) {
				everywhere(s, func(q *cluster.Quorum) {
					q.Paused = &cluster.Pause{Owner: "anna@fb", Reason: "switches", Until: "2026-01-01T00:00:00Z"}
				})
			},
			[]string{"warning failover-impossible -"},
			[]string{"paused by anna@fb until 2026-01-01T00:00:00Z (switches)", "pgctl resume"},
		},
		{
			"paused for a standby", func(s *cluster.Snapshot) {
				everywhere(s, func(q *cluster.Quorum) { q.Paused = &cluster.Pause{Owner: "anna@fb", Host: "db2"} })
			}, nil, nil,
		},
		{
			"a node has an older file", func(s *cluster.Snapshot) { s.Arbiters[0].Watcher.Inactive = new(true) },
			[]string{"warning failover-impossible -"},
			[]string{"arb1 goes by a server.yaml that says inactive_failover: 1"},
		},
		{
			"not formed", func(s *cluster.Snapshot) {
				everywhere(s, func(q *cluster.Quorum) {
					*q = cluster.Quorum{Executor: q.Executor, Voters: q.Voters, Waits: []string{"db2 has not been heard"}}
				})
			},
			[]string{"warning failover-impossible -"},
			[]string{"the region is not formed yet (db2 has not been heard)"},
		},
		{
			"halted", func(s *cluster.Snapshot) {
				everywhere(s, func(q *cluster.Quorum) { q.Halted = "db2 is signed with epoch 9, the quorum knows 3" })
				judge(s, cluster.Judgement{Code: cluster.JudgedSigned, Evidence: []string{"db2 is signed with epoch 9, the quorum knows 3"}})
			},
			[]string{"warning failover-impossible -", "warning signature-above-raft -"},
			[]string{"db2 is signed with epoch 9"},
		},
		{
			"an election", func(s *cluster.Snapshot) {
				everywhere(s, func(q *cluster.Quorum) { q.Phase, q.Master, q.Configs = cluster.Electing, nil, nil })
				s.Servers[0].Watcher.Quorum.Waits = []string{"db2: not frozen yet"}
				judge(s, cluster.Judgement{Code: cluster.JudgedElection})
			},
			[]string{"warning election -"},
			[]string{"nobody serves: db2: not frozen yet"},
		},
		{
			"two masters", func(s *cluster.Snapshot) {
				judge(s, cluster.Judgement{Code: cluster.JudgedTwoMasters, Host: "db2", Evidence: []string{"it runs as master\x1b"}})
			},
			[]string{"warning two-masters db2"},
			[]string{"then pgctl upmaster db2", "it runs as master?"},
		},
		{
			"HA off: the executor's judgements do not count", func(s *cluster.Snapshot) {
				s.HA = nodes.HADisabled
				judge(s, cluster.Judgement{Code: cluster.JudgedTwoMasters, Host: "db2"})
			}, nil, nil,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			snap := ruled()
			tt.change(&snap)
			d := cluster.Diagnose(snap)
			var got, text []string
			for _, f := range d.Findings {
				host := f.Host
				if host == "" {
					host = "-"
				}
				got, text = append(got, fmt.Sprintf("%s %s %s", f.Severity, f.Code, host)), append(text, f.Message, f.Hint)
			}
			all := strings.Join(text, "\n")
			if !slices.Equal(got, tt.want) {
				t.Errorf("findings:\n  %s\nexpected:\n  %s\n%s", strings.Join(got, "\n  "), strings.Join(tt.want, "\n  "), all)
			}
			for _, says := range tt.says {
				if !strings.Contains(all, says) {
					t.Errorf("nothing says %q in:\n%s", says, all)
				}
			}
			if again := cluster.Diagnose(snap); !reflect.DeepEqual(d, again) {
				t.Error("the same snapshot gave another diagnosis")
			}
		})
	}
}

// TestViewQuorum: the watcher with the highest index is believed, and of those the one that leads; its judgements are the ones that count.
func TestViewQuorum(t *testing.T) {
	snap := ruled()
	judge(&snap, cluster.Judgement{Code: cluster.JudgedOK, Host: "db1"})
	snap.Arbiters[0].Watcher.Quorum.Index, snap.Arbiters[0].Watcher.Quorum.Epoch = 41, 4
	v := snap.ViewQuorum()
	if v.From != "arb1" || v.Epoch != 4 || v.Leader != "db1" || len(v.Judgements) != 1 || !v.Decides() {
		t.Errorf("%+v", v)
	}
	if n, serving := v.Survives(); n != 1 || !serving || !slices.Equal(v.InSync(), []string{"db2"}) {
		t.Errorf("survives %d %v, in sync %v", n, serving, v.InSync())
	}
	if len(v.Zones) != 0 {
		t.Errorf("no zone alone takes the quorum, got %v", v.Zones)
	}
	everywhere(&snap, func(q *cluster.Quorum) { q.Silent = []string{"arb1"} })
	if v := snap.ViewQuorum(); !slices.Equal(v.Zones, []string{"zone1a", "zone1b"}) || !slices.Equal(v.Lost, []string{"arb1"}) || !v.Decides() {
		t.Errorf("with an arbiter lost each server's zone does: %+v", v)
	}
	for host, want := range map[string]bool{"db1": true, "db2": true, "arb1": false} {
		if v.CountsOn(host) != want {
			t.Errorf("%s is counted on: %v", host, !want)
		}
	}
	v.Configs = append(v.Configs, cluster.SyncConfig{Gen: 6})
	if n, _ := v.Survives(); n != 0 {
		t.Errorf("with an empty configuration in force too, %d hosts may be lost", n)
	}
	v.Phase = cluster.Electing
	if _, serving := v.Survives(); serving || !v.CountsOn("db3") {
		t.Error("while nobody serves, any server may be counted on, and nothing is acknowledged")
	}
	if d := cluster.Diagnose(snap); d.HA != nodes.HAEnabled {
		t.Errorf("HA is %s", d.HA)
	}
	everywhere(&snap, func(q *cluster.Quorum) { q.Paused = &cluster.Pause{Owner: "anna"} })
	if d := cluster.Diagnose(snap); d.HA != nodes.HAPaused {
		t.Errorf("HA is %s, paused", d.HA)
	}
	if region := region(2); region.ViewQuorum() != nil {
		t.Error("a quorum without watchers")
	}
}
