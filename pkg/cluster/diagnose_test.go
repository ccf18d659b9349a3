package cluster_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/nodes"
)

func TestDiagnose(t *testing.T) {
	unreachable := &cluster.Failure{Message: "no answer from 198.51.100.12:22 within 5s", Hint: "is it up?"}
	tests := []struct {
		name    string
		servers int // 2 unless set
		change  func(*cluster.Snapshot)
		master  string
		want    []string // "severity code host", sorted
		says    string   // a part of the findings' text
	}{
		{name: "healthy", change: func(*cluster.Snapshot) {}, master: "db1"},
		{name: "healthy with three servers", servers: 3, change: func(*cluster.Snapshot) {}, master: "db1"},
		{
			name:   "standby stopped",
			change: func(s *cluster.Snapshot) { down(&s.Servers[1]); s.Servers[0].SQL.Standbys = nil },
			master: "db1", want: []string{"critical postgres-down db2"}, says: "ssh db2 systemctl start postgresql@15-main.service",
		},
		{
			name:   "old master stopped after a promotion is not to be started",
			change: func(s *cluster.Snapshot) { down(&s.Servers[0]); promote(&s.Servers[1], "0/5000200") },
			master: "db2", want: []string{
				"critical pgpool-wrong-backend db1", "critical pgpool-wrong-backend db2", "critical postgres-down db1",
				"warning pg-master-file-stale db1", "warning pg-master-file-stale db2",
			},
			says: "do not start it as it is",
		},
		{
			name: "server cut off: its row only, although it carries a pool",
			change: func(s *cluster.Snapshot) {
				s.Servers[1].Unreachable, s.Pools[1].Unreachable = unreachable, unreachable
				s.Servers[1].SQL, s.Servers[1].Data, s.Servers[1].MasterFile = nil, nil, nil
			},
			master: "db1", want: []string{"critical host-unreachable db2"},
		},
		{
			name:   "arbiter cut off, HA off",
			change: func(s *cluster.Snapshot) { s.Arbiters[0].Unreachable = unreachable },
			master: "db1", want: []string{"warning host-unreachable arb1"},
		},
		{
			name: "pool stopped",
			change: func(s *cluster.Snapshot) {
				s.Pools[0].Service.State, s.Pools[0].Listening, s.Pools[0].Running = cluster.ServiceInactive, new(false), nil
			},
			master: "db1", want: []string{"critical pgpool-down db1"},
		},
		{
			name:   "pool active, but deaf",
			change: func(s *cluster.Snapshot) { s.Pools[0].Listening, s.Pools[0].Running = new(false), nil },
			master: "db1", want: []string{"critical pgpool-down db1"}, says: "accepts no connection",
		},
		{
			name:   "pool names the standby",
			change: func(s *cluster.Snapshot) { s.Pools[0].Backends[0].Host = "db2" },
			master: "db1", want: []string{"critical pgpool-wrong-backend db1"}, says: "sends clients to db2:5432, the master is db1:5432",
		},
		{
			name:   "pool names the master by address",
			change: func(s *cluster.Snapshot) { s.Pools[0].Backends[0].Host = "198.51.100.11" },
			master: "db1",
		},
		{
			name:   "pool names the master's host at another port",
			change: func(s *cluster.Snapshot) { s.Pools[0].Backends[0].Port = 5433 },
			master: "db1", want: []string{"critical pgpool-wrong-backend db1"},
		},
		{
			name: "pool names both servers",
			change: func(s *cluster.Snapshot) {
				s.Pools[1].Backends = append(s.Pools[1].Backends, cluster.Backend{Host: "db2", Port: 5432})
			},
			master: "db1", want: []string{"critical pgpool-wrong-backend db2"},
		},
		{
			name:   "pool edited, never restarted",
			change: func(s *cluster.Snapshot) { s.Pools[0].Running[0].Host = "db2" },
			master: "db1", want: []string{"critical pgpool-wrong-backend db1"}, says: "the running pgpool still sends clients to db2:5432",
		},
		{
			name:   "no pgpool.conf",
			change: func(s *cluster.Snapshot) { s.Pools[0].ConfFailure = &cluster.Failure{Message: "it is not there"} },
			master: "db1", want: []string{"critical pgpool-wrong-backend db1"},
		},
		{
			name: "replay paused",
			change: func(s *cluster.Snapshot) {
				s.Servers[1].SQL.Paused, s.Servers[1].SQL.Position = true, lsn("0/5000000")
			},
			master: "db1", want: []string{"critical standby-lagging db2"}, says: "replay is paused, it is 256 B behind; the last commit that it replayed is 1h0m0s old",
		},
		{
			name:   "standby exactly at the limit of lag",
			change: func(s *cluster.Snapshot) { s.Servers[0].SQL.Position = s.Servers[1].SQL.Position + 16<<20 },
			master: "db1", want: []string{"critical standby-lagging db2"},
		},
		{
			name:   "standby just below it",
			change: func(s *cluster.Snapshot) { s.Servers[0].SQL.Position = s.Servers[1].SQL.Position + 16<<20 - 1 },
			master: "db1",
		},
		{
			name: "standby without a receiver, sessions wait for it",
			change: func(s *cluster.Snapshot) {
				s.Servers[1].SQL.Receiver, s.Servers[0].SQL.Standbys, s.Servers[0].SQL.SyncWaits = nil, nil, 3
				s.Servers[0].SQL.SyncNames = `FIRST 1 ("DB2")`
			},
			master: "db1", want: []string{"critical standby-not-streaming db2"}, says: "every commit on db1 waits for it, 3 sessions do so now",
		},
		{
			name: "standby cut off, commits wait for it",
			change: func(s *cluster.Snapshot) {
				s.Servers[1].Unreachable, s.Servers[1].SQL = unreachable, nil
				s.Servers[0].SQL.Standbys, s.Servers[0].SQL.SyncNames = nil, "ANY 1 (db2_k3f9)"
			},
			master: "db1", want: []string{"critical host-unreachable db2"}, says: "within 5s; every commit on db1 waits for it",
		},
		{
			name: "commits wait for a standby that is gone: how they stop doing so",
			change: func(s *cluster.Snapshot) {
				s.Servers[1].Unreachable, s.Servers[1].SQL = unreachable, nil
				s.Servers[0].SQL.Standbys, s.Servers[0].SQL.SyncNames = nil, "ANY 1 (db2_k3f9)"
			},
			master: "db1", want: []string{"critical host-unreachable db2"}, says: "if it stays away: pgctl unsync db2",
		},
		{
			name: "half of a switchover: nothing is to be started by hand",
			change: func(s *cluster.Snapshot) {
				s.Begun = []cluster.Begun{{Command: "switchover --to db2", Back: "switchover --to db1", Done: 5, Steps: 19}}
				down(&s.Servers[0])
				s.Servers[1].SQL.Receiver = nil
			},
			want: []string{"critical no-master -", "critical postgres-down db1", "critical standby-not-streaming db2", "warning change-unfinished -"},
			says: "start nothing by hand; pgctl switchover --to db2 goes on, pgctl switchover --to db1 goes back",
		},
		{
			name: "a change at work",
			change: func(s *cluster.Snapshot) {
				s.Begun = []cluster.Begun{{Command: "upmaster db2", AtWork: 7, Done: 1, Steps: 9}}
			},
			master: "db1", want: []string{"warning change-unfinished -"}, says: "pgctl upmaster db2 is at work (pid 7): 1 of 9 steps are done",
		},
		{
			name: "a change that was broken off, and a journal that cannot be read",
			change: func(s *cluster.Snapshot) {
				s.Begun = []cluster.Begun{{Command: "switchover --to db2", Back: "switchover --to db1", Done: 7, Steps: 19}, {Failure: &cluster.Failure{Message: "x.json: not a journal"}}}
			},
			master: "db1", want: []string{"warning change-unfinished -", "warning change-unfinished -"},
			says: "pgctl switchover --to db2 was broken off: 7 of 19 steps are done\npgctl switchover --to db2 goes on, pgctl switchover --to db1 goes back",
		},
		{
			name: "a pool that nobody can start",
			change: func(s *cluster.Snapshot) {
				s.Pools[1].Service.State, s.Pools[1].Service.Detail, s.Pools[1].Listening, s.Pools[1].Running = cluster.ServiceInactive, cluster.Masked, new(false), nil
			},
			master: "db1", want: []string{"critical pgpool-down db2"},
			says: "pgpool2 is masked, so nobody can start it\nssh db2 'systemctl unmask pgpool2; systemctl start --job-mode=ignore-dependencies pgpool2'",
		},
		{
			name: "a pool beside a stopped server is started without it",
			change: func(s *cluster.Snapshot) {
				down(&s.Servers[1])
				s.Pools[1].Service.State, s.Pools[1].Listening, s.Pools[1].Running = cluster.ServiceInactive, new(false), nil
			},
			master: "db1", want: []string{"critical pgpool-down db2", "critical postgres-down db2"}, says: "ssh db2 systemctl start --job-mode=ignore-dependencies pgpool2",
		},
		{
			name:   "standby is asynchronous",
			change: func(s *cluster.Snapshot) { s.Servers[0].SQL.Standbys[0].SyncState = "async" },
			master: "db1", want: []string{"warning not-synchronous db2"},
		},
		{
			name: "standby is asynchronous on a 9.x site, as it should be", change: pg9, master: "db1",
		},
		{
			name:   "two masters",
			change: func(s *cluster.Snapshot) { promote(&s.Servers[1], "0/5000200") },
			want:   []string{"critical split-brain -"}, says: "db1 on timeline 1 at 0/5000100, db2 on timeline 2 at 0/5000200",
		},
		{
			name:   "no master: the old one is down",
			change: func(s *cluster.Snapshot) { down(&s.Servers[0]); s.Servers[1].SQL.Receiver = nil },
			want:   []string{"critical no-master -", "critical postgres-down db1", "critical standby-not-streaming db2"},
			says:   "nobody was promoted since db1 was master: start it again: ssh db1 systemctl start postgresql@15-main.service",
		},
		{
			name: "no master: frozen postmaster",
			change: func(s *cluster.Snapshot) {
				s.Servers[0].SQL, s.Servers[0].Data.Postmaster.Stopped = nil, true
			},
			want: []string{"critical no-master -", "critical postgres-down db1"}, says: "ssh db1 kill -CONT 100",
		},
		{
			name:   "pg_master lies on one server and is missing on another",
			change: func(s *cluster.Snapshot) { s.Servers[0].MasterFile = new("db2"); s.Servers[1].MasterFile = nil },
			master: "db1", want: []string{"warning pg-master-file-stale db1", "warning pg-master-file-stale db2"},
		},
		{
			name:   "a site without pg_master files",
			change: func(s *cluster.Snapshot) { s.Servers[0].MasterFile, s.Servers[1].MasterFile = nil, nil },
			master: "db1",
		},
		{
			name:   "another cluster altogether",
			change: func(s *cluster.Snapshot) { s.Servers[1].Data.SystemID = 8 },
			master: "db1", want: []string{"critical system-id-mismatch db2"},
		},
		{
			name:    "the only one that answers as master is of another cluster than all the others",
			servers: 3,
			change:  func(s *cluster.Snapshot) { s.Servers[0].Data.SystemID = 8 },
			want:    []string{"critical no-master -", "critical system-id-mismatch db2", "critical system-id-mismatch db3"}, says: "db2 and db3 have another cluster",
		},
		{
			name: "an old master answers while the promoted one is down",
			change: func(s *cluster.Snapshot) {
				promote(&s.Servers[1], "0/5000200")
				down(&s.Servers[1])
				s.Servers[0].SQL.Standbys = nil
			},
			want: []string{"critical no-master -", "critical postgres-down db2"}, says: "db2 has timeline 2, which left timeline 1 at 0/5000100: another server was promoted since, and db1 is an old master",
		},
		{
			name: "the promoted one crashed before its first checkpoint: only its history file tells", servers: 3,
			change: func(s *cluster.Snapshot) {
				promote(&s.Servers[1], "0/5000200")
				down(&s.Servers[1])
				down(&s.Servers[0])
				s.Servers[1].Data.Timeline = 1
				s.Servers[2].SQL.Receiver = nil
			},
			want: []string{"critical no-master -", "critical postgres-down db1", "critical postgres-down db2", "critical standby-not-streaming db3"},
			says: "do not start it before every other server has answered",
		},
		{
			name: "old master down, the other server out of reach: not to be started", change: func(s *cluster.Snapshot) {
				down(&s.Servers[0])
				s.Servers[1].Unreachable, s.Servers[1].SQL, s.Servers[1].Data = unreachable, nil, nil
				s.Pools = s.Pools[:1]
			},
			want: []string{"critical host-unreachable db2", "critical no-master -", "critical postgres-down db1"}, says: "do not start it before every other server has answered",
		},
		{
			name: "commits wait for a name that nobody has",
			change: func(s *cluster.Snapshot) {
				s.Servers[0].SQL.SyncNames, s.Servers[0].SQL.SyncWaits = "FIRST 1 (nobody)", 2
				s.Servers[0].SQL.Standbys[0].SyncState = "async"
			},
			master: "db1", want: []string{"critical standby-not-streaming db1"}, says: "every commit waits, 2 sessions do so now: synchronous_standby_names is FIRST 1 (nobody)",
		},
		{
			name: "commits wait for a standby that catches up",
			change: func(s *cluster.Snapshot) {
				s.Servers[0].SQL.SyncNames, s.Servers[0].SQL.Standbys[0].State = "FIRST 1 (db2)", "catchup"
			},
			master: "db1", want: []string{"critical standby-not-streaming db1"},
		},
		{
			name: "standby without an application_name, asynchronous",
			change: func(s *cluster.Snapshot) {
				s.Servers[1].SQL.Receiver.ApplicationName = ""
				s.Servers[0].SQL.Standbys[0].ApplicationName, s.Servers[0].SQL.Standbys[0].SyncState = "15/main", "async"
			},
			master: "db1", want: []string{"warning not-synchronous db2"}, says: "db1 sees it as async",
		},
		{
			name: "standby streams from outside the inventory",
			change: func(s *cluster.Snapshot) {
				s.Servers[1].SQL.Receiver.SenderHost, s.Servers[0].SQL.Standbys = "elsewhere", nil
			},
			master: "db1", want: []string{"warning not-synchronous db2"}, says: `streams from "elsewhere", which is no server of the inventory`,
		},
		{
			name:   "receiver that cannot be seen",
			change: func(s *cluster.Snapshot) { s.Servers[1].SQL.Receiver = &cluster.Receiver{} },
			master: "db1", want: []string{"critical standby-not-streaming db2"}, says: "grant it pg_monitor",
		},
		{
			name: "a pool that serves nobody",
			change: func(s *cluster.Snapshot) {
				s.Pools[0].Running, s.Pools[0].Refuses, s.Pools[0].RunningFailure = nil, true, &cluster.Failure{Message: "no answer in time"}
			},
			master: "db1", want: []string{"critical pgpool-down db1"}, says: "accepts connections and serves nobody: no answer in time",
		},
		{
			name: "a pool that pgctl cannot log in to",
			change: func(s *cluster.Snapshot) {
				s.Pools[0].Running, s.Pools[0].RunningFailure = nil, &cluster.Failure{Message: "cannot log in through pgpool"}
			},
			master: "db1",
		},
		{
			name: "a pool that names the master by an alias of its own",
			change: func(s *cluster.Snapshot) {
				s.Pools[0].Backends[0].Host, s.Pools[0].Backends[0].Addresses = "pg-master.example", []string{"198.51.100.11"}
			},
			master: "db1",
		},
		{
			name: "a host that answered in part: what is missing is not absent",
			change: func(s *cluster.Snapshot) {
				part := &cluster.Failure{Message: "answered only in part: it took longer than it may"}
				s.Servers[1].Partial, s.Pools[1].Partial = part, part
				s.Servers[1].MasterFile, s.Servers[1].Service, s.Servers[1].Data = nil, cluster.Service{}, nil
				s.Pools[1] = cluster.Pool{Common: s.Servers[1].Common}
			},
			master: "db1", want: []string{"critical host-unreachable db2"},
		},
		{
			name: "HA on, two servers and two arbiters: the second arbiter is a spare",
			change: func(s *cluster.Snapshot) {
				s.HA = nodes.HAEnabled
				for _, c := range []*cluster.Common{&s.Servers[0].Common, &s.Servers[1].Common} {
					c.Watcher.Service.State = cluster.ServiceActive
				}
			},
			master: "db1", want: []string{"critical watcher-down arb1", "critical watcher-down arb2"},
		},
		{
			name:   "another release",
			change: func(s *cluster.Snapshot) { s.Servers[1].SQL.Version = "15.17" },
			master: "db1", want: []string{"warning version-mismatch db2"},
		},
		{
			name:   "disk nearly full",
			change: func(s *cluster.Snapshot) { s.Servers[1].Disk.Free = 9 << 30 },
			master: "db1", want: []string{"warning disk-low db2"},
		},
		{
			name: "idle slot, lost slot, slot in use",
			change: func(s *cluster.Snapshot) {
				s.Servers[0].SQL.Slots = []cluster.Slot{{Name: "idle", Retained: 1 << 30}, {Name: "gone", Status: "lost"}, {Name: "used", Active: true, Retained: 1 << 40}}
			},
			master: "db1", want: []string{"warning slot-retains-wal db1", "warning slot-retains-wal db1"},
		},
		{
			name:   "one clock off",
			change: func(s *cluster.Snapshot) { s.Arbiters[1].Clock.Offset = -time.Minute },
			master: "db1", want: []string{"warning clock-skew arb2"}, says: "1m0s behind the others'",
		},
		{
			name: "own clock off accuses nobody else",
			change: func(s *cluster.Snapshot) {
				for _, c := range []*cluster.Common{&s.Servers[0].Common, &s.Servers[1].Common, &s.Arbiters[0].Common, &s.Arbiters[1].Common} {
					c.Clock.Offset = time.Minute
				}
				s.Pools = nil
			},
			master: "db1", want: []string{"warning clock-skew -"}, says: "runs on is 1m0s behind the hosts'",
		},
		{
			name: "inventory contradicts itself",
			change: func(s *cluster.Snapshot) {
				s.Problems = []nodes.Problem{{Path: "server.yaml.a", Line: 3, Message: "differs"}}
			},
			master: "db1", want: []string{"warning ha-config-mismatch -"},
		},
		{
			name:   "HA on without watchers",
			change: func(s *cluster.Snapshot) { s.HA = nodes.HAEnabled },
			master: "db1", want: []string{
				"critical no-quorum -", "critical watcher-down arb1", "critical watcher-down arb2",
				"critical watcher-down db1", "critical watcher-down db2",
			},
		},
		{
			name: "HA on, all watchers up, one unhealthy, one arbiter gone",
			change: func(s *cluster.Snapshot) {
				s.HA = nodes.HAEnabled
				for _, c := range []*cluster.Common{&s.Servers[0].Common, &s.Servers[1].Common, &s.Arbiters[0].Common, &s.Arbiters[1].Common} {
					c.Watcher = cluster.Watcher{Service: cluster.Service{State: cluster.ServiceActive}, Monitor: new("active"), Node: new("available")}
				}
				s.Servers[1].Watcher.Node = new("broken")
				s.Arbiters[0].Unreachable, s.Arbiters[0].Watcher = unreachable, cluster.Watcher{}
			},
			master: "db1", want: []string{"critical host-unreachable arb1", "warning watcher-unhealthy db2"},
		},
		{
			name: "HA on, two zones, nobody to break a tie",
			change: func(s *cluster.Snapshot) {
				s.HA, s.Arbiters = nodes.HAEnabled, nil
				s.Servers[0].Watcher.Service.State, s.Servers[1].Watcher.Service.State = cluster.ServiceActive, cluster.ServiceActive
			},
			master: "db1", want: []string{"critical arbiter-missing -"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			snap := region(max(2, tt.servers))
			tt.change(&snap)
			d := cluster.Diagnose(snap)
			if d.Master != tt.master {
				t.Errorf("master is %q, expected %q", d.Master, tt.master)
			}
			var got, text []string
			for _, f := range d.Findings {
				host := f.Host
				if host == "" {
					host = "-"
				}
				got = append(got, fmt.Sprintf("%s %s %s", f.Severity, f.Code, host))
				text = append(text, f.Message, f.Hint)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("findings:\n  %s\nexpected:\n  %s", strings.Join(got, "\n  "), strings.Join(tt.want, "\n  "))
			}
			if !strings.Contains(strings.Join(text, "\n"), tt.says) {
				t.Errorf("nothing says %q in:\n%s", tt.says, strings.Join(text, "\n"))
			}
			if want := status(tt.want); d.Status != want {
				t.Errorf("status is %s, expected %s", d.Status, want)
			}
			if again := cluster.Diagnose(snap); !reflect.DeepEqual(d, again) {
				t.Error("the same snapshot gave another diagnosis")
			}
		})
	}
}

func status(findings []string) cluster.Status {
	switch {
	case len(findings) == 0:
		return cluster.Healthy
	case strings.HasPrefix(findings[0], "critical"):
		return cluster.CriticalFailure
	}
	return cluster.Degraded
}

func TestDiagnoseOfAnEmptySnapshot(t *testing.T) {
	d := cluster.Diagnose(cluster.Snapshot{})
	if d.Status != cluster.CriticalFailure || len(d.Findings) != 1 || d.Findings[0].Code != cluster.NoMaster {
		t.Errorf("got %+v, expected no-master alone", d)
	}
}
