package failover_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/failover"
	"github.com/pgctl/pgctl/pkg/nodes"
	"github.com/pgctl/pgctl/pkg/pgpool"
)

// site is db1, master, and db2, standby; one pool on each.
func site() cluster.Snapshot {
	snap := cluster.Snapshot{Kind: nodes.KindPG10}
	for _, host := range []string{"db1", "db2"} {
		common := cluster.Common{Host: host, Addresses: []string{"198.51.100.1" + host[2:]}}
		snap.Servers = append(snap.Servers, cluster.Server{
			Common: common, SQL: &cluster.Instance{Version: "15.18", Timeline: 1, InRecovery: host != "db1"},
			Data: &cluster.DataDir{Port: 5432, SystemID: 7, Timeline: 1, Postmaster: &cluster.Process{PID: 1, Alive: true}},
		})
		snap.Pools = append(snap.Pools, cluster.Pool{Common: common, Backends: []cluster.Backend{}})
	}
	return snap
}

func TestPoolSync(t *testing.T) {
	gone := &cluster.Failure{Message: "no answer within 5s", Hint: "is it up?"}
	tests := []struct {
		name    string
		change  func(*cluster.Snapshot)
		accept  []string
		steps   string // IDs
		left    string
		refused string // a part of the evidence
	}{
		{name: "one pool after the other", change: func(*cluster.Snapshot) {}, steps: "db1/pool.edit db1/pool.restart db1/pool.prove db2/pool.edit db2/pool.restart db2/pool.prove"},
		{name: "a standby's PostgreSQL is stopped: it is no master", change: func(s *cluster.Snapshot) {
			s.Servers[1].SQL, s.Servers[1].Data.Postmaster = nil, &cluster.Process{}
			s.Pools = s.Pools[:1]
		}, steps: "db1/pool.edit db1/pool.restart db1/pool.prove"},
		{name: "a pool on a host of its own is gone", change: func(s *cluster.Snapshot) {
			s.Pools[1] = cluster.Pool{Common: cluster.Common{Host: "pool2", Unreachable: gone}}
		}, steps: "db1/pool.edit db1/pool.restart db1/pool.prove", left: "pool2"},
		{name: "a server is gone", change: func(s *cluster.Snapshot) { s.Servers[1].Unreachable, s.Servers[1].SQL = gone, nil }, refused: "db2 is out of reach and may be a master too"},
		{name: "a server does not answer", change: func(s *cluster.Snapshot) { s.Servers[1].SQL = nil }, refused: "db2 runs PostgreSQL, does not answer"},
		{name: "accepted", change: func(s *cluster.Snapshot) { s.Servers[1].SQL, s.Pools = nil, s.Pools[:1] }, accept: []string{"unfenced-master"}, steps: "db1/pool.edit db1/pool.restart db1/pool.prove"},
		{name: "another risk accepted", change: func(s *cluster.Snapshot) { s.Servers[1].SQL = nil }, accept: []string{"data-loss"}, refused: "db2 runs PostgreSQL"},
		{name: "two masters, whatever is accepted", change: func(s *cluster.Snapshot) { s.Servers[1].SQL.InRecovery = false }, accept: []string{"unfenced-master"}, refused: "2 servers answer as master"},
		{name: "no master", change: func(s *cluster.Snapshot) { s.Servers[0].SQL.InRecovery = true }, refused: "no server answers as master"},
		{name: "the port is not known", change: func(s *cluster.Snapshot) { s.Servers[0].Data.Port = 0 }, refused: "db1 did not tell its port"},
		{name: "two servers, two clusters", change: func(s *cluster.Snapshot) { s.Servers[1].Data.SystemID = 8 }, refused: "db1 is another cluster than every other server"},
		{name: "every reason at once", change: func(s *cluster.Snapshot) {
			s.Servers[0].Data.Port = 0
			s.Servers[1].Unreachable, s.Servers[1].SQL, s.Servers[1].Data = gone, nil, nil
		}, refused: "may be a master too: no answer within 5s; db1 did not tell its port"},
		{name: "a pool whose file cannot be read is left out, the other is helped", change: func(s *cluster.Snapshot) {
			s.Pools[0].ConfFailure = &cluster.Failure{Message: "line 3"}
		}, steps: "db2/pool.edit db2/pool.restart db2/pool.prove", left: "db1"},
		{name: "a 9.x site", change: func(s *cluster.Snapshot) { s.Kind = nodes.KindPG9 }, refused: "this is a 9.x site"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			snap := site()
			tt.change(&snap)
			p, left, err := failover.PoolSync(snap, cluster.Diagnose(snap), pgpool.Settings{}, tt.accept)
			var refusal *cluster.Refusal
			if tt.refused != "" {
				if !errors.As(err, &refusal) || !strings.Contains(err.Error(), tt.refused) || len(p.Steps) > 0 {
					t.Errorf("got %+v, %v; expected a refusal: %s", p, err, tt.refused)
				}
				return
			}
			var steps, out []string
			for _, s := range p.Steps {
				steps = append(steps, s.ID)
				if s.Args["master"] != "db1" || s.Args["port"] != "5432" || s.Args["system_id"] != "7" || s.Args["addresses"] != "198.51.100.11" {
					t.Errorf("%s: %v", s.ID, s.Args)
				}
			}
			for host := range left {
				out = append(out, host)
			}
			if err != nil || strings.Join(steps, " ") != tt.steps || strings.Join(out, " ") != tt.left || p.Facts["master"] != "db1" {
				t.Errorf("steps %q, left %q, %v", steps, out, err)
			}
		})
	}
}

func TestStillMaster(t *testing.T) {
	snap := site()
	p, _, err := failover.PoolSync(snap, cluster.Diagnose(snap), pgpool.Settings{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := failover.StillMaster(snap, p, nil); err != nil {
		t.Errorf("nothing changed: %v", err)
	}
	for name, change := range map[string]func(*cluster.Snapshot){
		"another master":                 func(s *cluster.Snapshot) { s.Servers[0].SQL.InRecovery, s.Servers[1].SQL.InRecovery = true, false },
		"a new timeline":                 func(s *cluster.Snapshot) { s.Servers[0].SQL.Timeline = 2 },
		"the other side is out of reach": func(s *cluster.Snapshot) { s.Servers[1].Unreachable, s.Servers[1].SQL = &cluster.Failure{}, nil },
	} {
		now := site()
		change(&now)
		if err := failover.StillMaster(now, p, nil); err == nil {
			t.Errorf("%s: the plan still applies", name)
		}
	}
}
