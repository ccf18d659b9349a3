package pg9_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/nodes"
	"github.com/pgctl/pgctl/pkg/pg9"
)

func lsn(s string) cluster.LSN {
	v, err := cluster.ParseLSN(s)
	if err != nil {
		panic(err)
	}
	return v
}

// failedOver is ks0, the old master, which runs on, and ks1, which pgpool has promoted on timeline 2 at 0/5000060.
func failedOver() (cluster.Snapshot, map[string]pg9.Host) {
	server := func(host, address string, timeline cluster.Timeline, at string) cluster.Server {
		return cluster.Server{
			Common: cluster.Common{Host: host, Addresses: []string{address}},
			Data: &cluster.DataDir{
				Path: "/var/lib/postgresql/9.3/main", Port: 5432, SystemID: 7, Timeline: timeline, WALTimeline: timeline,
				Postmaster: &cluster.Process{PID: 10, Alive: true}, Checkpoint: lsn("0/5000028"), Histories: map[cluster.Timeline]cluster.History{},
			},
			SQL: &cluster.Instance{Version: "9.3.25", Timeline: timeline, Position: lsn(at)},
		}
	}
	snap := cluster.Snapshot{Kind: nodes.KindPG9, Servers: []cluster.Server{server("ks0", "172.31.30.2", 1, "0/5004060"), server("ks1", "172.31.30.3", 2, "0/6000000")}}
	snap.Servers[1].Data.Promoted = true
	snap.Servers[1].Data.Histories[2] = cluster.History{{Parent: 1, At: lsn("0/5000060")}}
	for _, host := range []string{"pool0", "pool1"} {
		snap.Pools = append(snap.Pools, cluster.Pool{
			Common: cluster.Common{Host: host}, Listening: new(true),
			Backends: []cluster.Backend{{Host: "ks0", Port: 5432}, {Host: "ks1", Port: 5432}},
			Running:  []cluster.Backend{{Host: "ks0", Port: 5432, Role: "standby", Down: true}, {Host: "ks1", Port: 5432, Role: "primary"}},
		})
	}
	names := map[string][]string{"ks0": {"172.31.30.2"}, "ks1": {"172.31.30.3"}}
	return snap, map[string]pg9.Host{"ks0": {Names: names}, "ks1": {Names: names}}
}

// standby makes ks0 what it is at the end: the slave of ks1.
func standby(s *cluster.Snapshot) {
	o := &s.Servers[0]
	o.SQL = &cluster.Instance{Version: "9.3.25", InRecovery: true, Timeline: 2, Position: lsn("0/6000000")}
	o.Data.Signal, o.Data.Timeline, o.Data.Upstream = true, 2, "172.31.30.3"
	o.Data.Processes = []string{"wal receiver process   streaming 0/6000000"}
	m := &s.Servers[1]
	m.SQL.Standbys = []cluster.Walsender{{State: "streaming", ClientAddress: "172.31.30.2", SyncState: "async"}}
	m.Data.Processes = []string{"wal writer process", "wal sender process replicator 172.31.30.2(49298) streaming 0/6000000"}
}

func TestJudge(t *testing.T) {
	gone := &cluster.Failure{Message: "no answer within 5s", Hint: "is it up?"}
	stopped := func(s *cluster.Snapshot) {
		s.Servers[0].SQL, s.Servers[0].Data.Postmaster = nil, &cluster.Process{}
	}
	tests := []struct {
		name    string
		change  func(s *cluster.Snapshot, hosts map[string]pg9.Host)
		follows bool
		lost    string
		refused string // a part of the evidence
	}{
		{name: "the old master came back as one", lost: "ks0 has 16.0 KiB of WAL after 0/5000060 that ks1 never received"},
		{name: "it is stopped", change: func(s *cluster.Snapshot, _ map[string]pg9.Host) { stopped(s) }},
		{name: "it is at the fork", change: func(s *cluster.Snapshot, _ map[string]pg9.Host) { s.Servers[0].SQL.Position = lsn("0/5000060") }},
		{name: "it follows already", change: func(s *cluster.Snapshot, _ map[string]pg9.Host) { standby(s) }, follows: true},
		{name: "nothing has failed over", change: func(s *cluster.Snapshot, _ map[string]pg9.Host) {
			standby(s)
			s.Servers[1].SQL.Standbys = nil
		}, refused: "nothing has failed over: ks1 and ks0 are on the same timeline 2, and ks0 does not stream"},
		{name: "it would be a master after its next start", change: func(s *cluster.Snapshot, _ map[string]pg9.Host) {
			standby(s)
			s.Servers[0].Data.Signal = false
		}, refused: "nothing has failed over"},
		{name: "its data is set aside, for this change", change: func(s *cluster.Snapshot, hosts map[string]pg9.Host) {
			s.Servers[0].SQL, s.Servers[0].Data = nil, nil
			hosts["ks0"] = pg9.Host{Marks: map[string]string{pg9.MarkAside: "7 2 ks1 ks0"}}
		}},
		{name: "its data is set aside, for an earlier one", change: func(s *cluster.Snapshot, hosts map[string]pg9.Host) {
			s.Servers[0].SQL, s.Servers[0].Data = nil, nil
			hosts["ks0"] = pg9.Host{Marks: map[string]string{pg9.MarkAside: "7 1 ks1 ks0"}}
		}, refused: "ks0 has no data that can be read, and pgctl did not set it aside"},
		{name: "its host is dead", change: func(s *cluster.Snapshot, _ map[string]pg9.Host) {
			s.Servers[0] = cluster.Server{Common: cluster.Common{Host: "ks0", Unreachable: gone}}
		}, refused: "ks0 is out of reach: no answer within 5s"},
		{name: "the new master's host is dead", change: func(s *cluster.Snapshot, _ map[string]pg9.Host) {
			s.Servers[1] = cluster.Server{Common: cluster.Common{Host: "ks1", Unreachable: gone}}
		}, refused: "ks1 is out of reach"},
		{name: "the new master is stopped", change: func(s *cluster.Snapshot, _ map[string]pg9.Host) {
			s.Servers[1].SQL, s.Servers[1].Data.Postmaster = nil, &cluster.Process{}
			stopped(s)
		}, refused: "no server answers as master: ks0's PostgreSQL does not answer, ks1's PostgreSQL does not answer"},
		{name: "only the old one answers", change: func(s *cluster.Snapshot, _ map[string]pg9.Host) {
			s.Servers[1].SQL, s.Servers[1].Data.Postmaster = nil, &cluster.Process{}
		}, refused: "ks0 answers as master on timeline 1, but ks1 has the newer timeline 2"},
		{name: "both on one timeline", change: func(s *cluster.Snapshot, _ map[string]pg9.Host) {
			s.Servers[0].SQL.Timeline, s.Servers[0].Data.Timeline = 2, 2
		}, refused: "both servers answer as master on timeline 2"},
		{name: "it does not answer", change: func(s *cluster.Snapshot, _ map[string]pg9.Host) { s.Servers[0].SQL = nil }, refused: "ks0 runs PostgreSQL and does not answer"},
		{name: "another cluster", change: func(s *cluster.Snapshot, _ map[string]pg9.Host) { s.Servers[0].Data.SystemID = 8 }, refused: "ks0 is another cluster than ks1"},
		{name: "its timeline is not in the history", change: func(s *cluster.Snapshot, _ map[string]pg9.Host) {
			s.Servers[1].SQL.Timeline, s.Servers[1].Data.Histories = 3, map[cluster.Timeline]cluster.History{3: {{Parent: 2, At: 1}}}
		}, refused: "whose history has not come through timeline 1 of ks0"},
		{name: "it is before the fork", change: func(s *cluster.Snapshot, _ map[string]pg9.Host) { s.Servers[0].SQL.Position = lsn("0/4000000") }, refused: "it is not the server that ks1 followed"},
		{name: "recovery.done is on the wrong one", change: func(s *cluster.Snapshot, _ map[string]pg9.Host) {
			s.Servers[0].Data.Promoted, s.Servers[1].Data.Promoted = true, false
		}, refused: "ks1 answers as master without a recovery.done, and ks0 has one"},
		{name: "recovery.done of an earlier round is on the old one too", change: func(s *cluster.Snapshot, _ map[string]pg9.Host) { s.Servers[0].Data.Promoted = true }, lost: "ks0 has 16.0 KiB"},
		{name: "a master with a recovery.conf", change: func(s *cluster.Snapshot, _ map[string]pg9.Host) { s.Servers[1].Data.Signal = true }, refused: "ks1 answers as master and has a recovery.conf"},
		{name: "a pool writes to the old master", change: func(s *cluster.Snapshot, _ map[string]pg9.Host) {
			s.Pools[1].Running = []cluster.Backend{{Host: "ks0", Port: 5432, Role: "primary"}, {Host: "ks1", Port: 5432, Role: "standby", Down: true}}
		}, refused: "pool1 does not write to ks1: it has ks0 primary, ks1 down"},
		{name: "a pool has both up", change: func(s *cluster.Snapshot, _ map[string]pg9.Host) {
			s.Pools[1].Running = []cluster.Backend{{Host: "ks0", Port: 5432, Role: "primary"}, {Host: "ks1", Port: 5432, Role: "primary"}}
		}, refused: "pool1 does not write to ks1"},
		{name: "a pool cannot be asked", change: func(s *cluster.Snapshot, _ map[string]pg9.Host) { s.Pools[0].Running = nil }, refused: "whom pool0 writes to cannot be told"},
		{name: "a pool is stopped: it writes to nobody", change: func(s *cluster.Snapshot, _ map[string]pg9.Host) {
			s.Pools[0].Running, s.Pools[0].Listening = nil, new(false)
		}, lost: "ks0 has 16.0 KiB"},
		{name: "a pool has taken both out of use: it writes to nobody", change: func(s *cluster.Snapshot, _ map[string]pg9.Host) {
			s.Pools[0].Running, s.Pools[0].ServesNobody = nil, true
		}, lost: "ks0 has 16.0 KiB"},
		{name: "both pools have: nobody is served", change: func(s *cluster.Snapshot, _ map[string]pg9.Host) {
			for i := range s.Pools {
				s.Pools[i].Running, s.Pools[i].ServesNobody = nil, true
			}
		}, lost: "ks0 has 16.0 KiB"},
		{name: "no pool tells, but pgctl has begun", change: func(s *cluster.Snapshot, hosts map[string]pg9.Host) {
			for i := range s.Pools {
				s.Pools[i].Running, s.Pools[i].Listening = nil, new(false)
			}
			hosts["ks1"] = pg9.Host{Marks: map[string]string{pg9.MarkMaster: "7 2 ks1 ks0"}}
		}, lost: "ks0 has 16.0 KiB"},
		{name: "no pool tells, and pgctl had begun an earlier one", change: func(s *cluster.Snapshot, hosts map[string]pg9.Host) {
			for i := range s.Pools {
				s.Pools[i].Running, s.Pools[i].Listening = nil, new(false)
			}
			hosts["ks1"] = pg9.Host{Marks: map[string]string{pg9.MarkMaster: "7 1 ks1 ks0", pg9.MarkHold: "7 1 ks1 ks0"}}
		}, refused: "no pool says that it writes to ks1"},
		{name: "no pool tells", change: func(s *cluster.Snapshot, _ map[string]pg9.Host) {
			for i := range s.Pools {
				s.Pools[i].Running, s.Pools[i].Listening = nil, new(false)
			}
		}, refused: "no pool says that it writes to ks1"},
		{name: "a site with PostgreSQL 10", change: func(s *cluster.Snapshot, _ map[string]pg9.Host) { s.Kind = nodes.KindPG10 }, refused: "this is no site with a pgmaster"},
		{name: "its facts cannot be read", change: func(_ *cluster.Snapshot, hosts map[string]pg9.Host) { hosts["ks0"] = pg9.Host{Failure: gone} }, refused: "ks0 does not tell what it has"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			snap, hosts := failedOver()
			if tt.change != nil {
				tt.change(&snap, hosts)
			}
			v, err := pg9.Judge(snap, hosts)
			var refusal *cluster.Refusal
			if tt.refused != "" {
				if !errors.As(err, &refusal) || !strings.Contains(err.Error(), tt.refused) {
					t.Errorf("got %+v, %v; expected a refusal: %s", v, err, tt.refused)
				}
				return
			}
			if err != nil || v.Master.Host != "ks1" || v.Slave.Host != "ks0" || v.Follows != tt.follows || !strings.Contains(v.Lost, tt.lost) || (tt.lost == "") != (v.Lost == "") || v.Key != "7 2 ks1 ks0" {
				t.Errorf("got %+v, %v", v, err)
			}
		})
	}
}

// inOrder is the site of failedOver when everything is done.
func inOrder() pg9.Sight {
	snap, hosts := failedOver()
	standby(&snap)
	slices.Reverse(snap.Servers) // the inventory lists ks1 as the master
	for i := range snap.Pools {
		snap.Pools[i].Backends = []cluster.Backend{{Host: "ks1", Port: 5432, Flag: "ALLOW_TO_FAILOVER"}, {Host: "ks0", Port: 5432, Flag: "ALLOW_TO_FAILOVER"}}
		snap.Pools[i].Running = []cluster.Backend{{Host: "ks1", Port: 5432, Role: "primary"}, {Host: "ks0", Port: 5432, Role: "standby"}}
	}
	return pg9.Sight{
		Snap: snap, Hosts: hosts, Before: lsn("0/6000000"), Want: lsn("0/6000100"), After: lsn("0/6000100"),
		Writes: map[string]pg9.Write{"pool0": {By: "ks1"}, "pool1": {By: "ks1"}},
	}
}

func TestVerify(t *testing.T) {
	tests := []struct {
		name   string
		change func(s *pg9.Sight)
		wrong  []string // "check host"
		says   string
	}{
		{name: "all is right", change: func(*pg9.Sight) {}},
		{name: "no wal writer", change: func(s *pg9.Sight) { s.Snap.Servers[0].Data.Processes = s.Snap.Servers[0].Data.Processes[1:] }, wrong: []string{"wal-writer ks1"}},
		{name: "no sender in the process list", change: func(s *pg9.Sight) { s.Snap.Servers[0].Data.Processes = s.Snap.Servers[0].Data.Processes[:1] }, wrong: []string{"wal-sender ks1"}},
		{name: "a sender to somebody else", change: func(s *pg9.Sight) {
			s.Snap.Servers[0].Data.Processes[1] = "wal sender process replicator 172.31.30.22(49298) streaming 0/6000000"
		}, wrong: []string{"wal-sender ks1"}},
		{name: "no sender by pg_stat_replication", change: func(s *pg9.Sight) { s.Snap.Servers[0].SQL.Standbys = nil }, wrong: []string{"wal-sender ks1"}},
		{name: "recovery.conf on the master", change: func(s *pg9.Sight) { s.Snap.Servers[0].Data.Signal = true }, wrong: []string{"recovery-files ks1"}, says: "would be a slave after its next start"},
		{name: "two receivers", change: func(s *pg9.Sight) {
			s.Snap.Servers[1].Data.Processes = append(s.Snap.Servers[1].Data.Processes, "wal receiver process")
		}, wrong: []string{"wal-receiver ks0"}},
		{name: "a receiver that does not stream", change: func(s *pg9.Sight) { s.Snap.Servers[1].Data.Processes[0] = "wal receiver process" }, wrong: []string{"wal-receiver ks0"}},
		{name: "no recovery.conf on the slave", change: func(s *pg9.Sight) { s.Snap.Servers[1].Data.Signal = false }, wrong: []string{"recovery-files ks0"}, says: "would be a master after its next start"},
		{name: "it follows somebody else", change: func(s *pg9.Sight) { s.Snap.Servers[1].Data.Upstream = "172.31.30.9" }, wrong: []string{"recovery-files ks0"}, says: "which is not ks1"},
		{name: "the slave is down", change: func(s *pg9.Sight) { s.Snap.Servers[1].SQL, s.After = nil, 0 }, wrong: []string{"slave ks0", "position ks0"}},
		{name: "the position stands", change: func(s *pg9.Sight) { s.After = s.Before }, wrong: []string{"position ks0"}, says: "it stands at 0/6000000, the master is at 0/6000100"},
		{name: "nothing was written", change: func(s *pg9.Sight) { s.Want, s.After = s.Before, s.Before }, wrong: []string{"position ks0"}},
		{name: "a trigger file", change: func(s *pg9.Sight) { s.Hosts["ks0"] = pg9.Host{Triggers: []string{pg9.TriggerFile}} }, wrong: []string{"trigger-file ks0"}},
		{name: "the inventory is old", change: func(s *pg9.Sight) { slices.Reverse(s.Snap.Servers) }, wrong: []string{"inventory "}, says: "pgmaster is ks0, the master is ks1"},
		{name: "a pool's file is old", change: func(s *pg9.Sight) { slices.Reverse(s.Snap.Pools[0].Backends) }, wrong: []string{"backends pool0", "pool-nodes pool0"}},
		{name: "a node is out of use", change: func(s *pg9.Sight) { s.Snap.Pools[1].Running[1].Down = true }, wrong: []string{"pool-nodes pool1"}},
		{name: "a write went elsewhere", change: func(s *pg9.Sight) { s.Writes["pool1"] = pg9.Write{By: "ks0"} }, wrong: []string{"write pool1"}},
		{name: "a write failed", change: func(s *pg9.Sight) { s.Writes["pool1"] = pg9.Write{Why: "no answer"} }, wrong: []string{"write pool1"}, says: "no answer"},
		{name: "a pool is out of reach", change: func(s *pg9.Sight) { s.Snap.Pools[0].Unreachable = &cluster.Failure{Message: "gone"} }, wrong: []string{"backends pool0"}},
		{name: "the flags differ", change: func(s *pg9.Sight) { s.Snap.Pools[0].Backends[0].Flag = "DISALLOW_TO_FAILOVER" }, wrong: []string{"failover "}},
		{name: "two masters", change: func(s *pg9.Sight) { s.Snap.Servers[1].SQL.InRecovery = false }, wrong: []string{"master "}, says: "2 servers answer as master: ks1 and ks0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := inOrder()
			tt.change(&s)
			checks, right := pg9.Verify(s)
			var wrong []string
			text := ""
			for _, c := range checks {
				text += c.Name + " " + c.Host + ": " + c.Detail + "\n"
				if !c.OK {
					wrong = append(wrong, c.Name+" "+c.Host)
				}
			}
			if !slices.Equal(wrong, tt.wrong) || right != (len(tt.wrong) == 0) || !strings.Contains(text, tt.says) {
				t.Errorf("wrong: %q, expected %q, saying %q:\n%s", wrong, tt.wrong, tt.says, text)
			}
		})
	}
}
