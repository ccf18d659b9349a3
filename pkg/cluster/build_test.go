package cluster_test

import (
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/nodes"
)

// region is a healthy one: db1 is master, db2 (and db3) its synchronous standbys, two pools on the servers, two arbiters,
// HA off. Tests break one thing in it.
func region(servers int) cluster.Snapshot {
	snap := cluster.Snapshot{Kind: nodes.KindPG10, HA: nodes.HADisabled, Zones: 2}
	for i := range servers {
		snap.Servers = append(snap.Servers, server(i))
	}
	for _, standby := range snap.Servers[1:] {
		snap.Servers[0].SQL.Standbys = append(snap.Servers[0].SQL.Standbys, cluster.Walsender{
			ApplicationName: standby.Host, ClientAddress: standby.Addresses[0], State: "streaming", SyncState: "sync",
			Flush: lsn("0/5000100"), Replay: lsn("0/5000100"),
		})
	}
	for _, s := range snap.Servers[:2] {
		snap.Pools = append(snap.Pools, cluster.Pool{
			Common: s.Common, Service: cluster.Service{Unit: "pgpool2", Manager: "systemd", State: cluster.ServiceActive}, Listening: new(true),
			Backends: []cluster.Backend{{Host: "db1", Port: 5432, Flag: "DISALLOW_TO_FAILOVER"}},
			Running:  []cluster.Backend{{Host: "db1", Port: 5432, Role: "primary"}},
		})
	}
	for _, host := range []string{"arb1", "arb2"} {
		snap.Arbiters = append(snap.Arbiters, cluster.Arbiter{Common: common(host, "198.51.100.3"+host[3:]), Zone: "global"})
	}
	return snap
}

// pg9 makes of a region a 9.x site: both servers are backends, the master the first; nothing waits for the slave, and pgpool does not fail
// over.
func pg9(snap *cluster.Snapshot) {
	const flag = "DISALLOW_TO_FAILOVER"
	snap.Kind, snap.HA, snap.Zones, snap.Arbiters = nodes.KindPG9, nodes.HAAbsent, 0, nil
	snap.Servers[0].SQL.Standbys[0].SyncState = "async"
	for i := range snap.Servers {
		snap.Servers[i].MasterFile = nil
	}
	for i := range snap.Pools {
		snap.Pools[i].Backends = []cluster.Backend{{Host: "db1", Port: 5432, Flag: flag}, {Host: "db2", Port: 5432, Flag: flag}}
		snap.Pools[i].Running = []cluster.Backend{{Host: "db1", Port: 5432, Role: "primary", Flag: flag}, {Host: "db2", Port: 5432, Role: "standby", Flag: flag}}
	}
}

func common(host, address string) cluster.Common {
	return cluster.Common{
		Host: host, Addresses: []string{address}, Clock: &cluster.Clock{Within: 10 * time.Millisecond},
		Watcher: cluster.Watcher{Service: cluster.Service{Unit: "pg_watcher", Manager: "supervisor", State: cluster.ServiceAbsent}},
	}
}

func server(i int) cluster.Server {
	host := []string{"db1", "db2", "db3", "db4"}[i]
	s := cluster.Server{
		Common:     common(host, "198.51.100.1"+host[2:]),
		Zone:       "zone1" + []string{"a", "b", "c", "d"}[i],
		Service:    cluster.Service{Unit: "postgresql@15-main.service", Manager: "systemd", State: cluster.ServiceActive},
		MasterFile: new("db1"),
		Disk:       &cluster.Disk{Total: 100 << 30, Free: 50 << 30},
		Data: &cluster.DataDir{
			Path: "/var/lib/postgresql/15/main", Port: 5432, Postmaster: &cluster.Process{PID: 100, Alive: true},
			SystemID: 7, State: "in production", Timeline: 1, Checkpoint: lsn("0/5000000"),
			Histories: map[cluster.Timeline]cluster.History{}, Openings: map[cluster.Timeline][]byte{},
		},
		SQL: &cluster.Instance{Version: "15.18", Position: lsn("0/5000100"), Timeline: 1},
	}
	if i > 0 {
		s.Data.State = "in archive recovery"
		s.SQL.InRecovery, s.SQL.Received, s.SQL.ReplayAge = true, lsn("0/5000100"), new(time.Hour)
		s.SQL.Receiver = &cluster.Receiver{Status: "streaming", SenderHost: "db1", ApplicationName: host}
	}
	return s
}

// down makes a server's PostgreSQL not run.
func down(s *cluster.Server) {
	s.Service.State = cluster.ServiceInactive
	s.SQL, s.SQLFailure = nil, &cluster.Failure{Message: "PostgreSQL cannot be asked: connection refused"}
	s.Data.Postmaster = &cluster.Process{}
}

// promote makes a server a master on timeline 2, forked at 0/5000100.
func promote(s *cluster.Server, position string) {
	const to = 2
	s.Data.Histories[to] = cluster.History{{Parent: 1, At: lsn("0/5000100")}}
	s.Data.State, s.Data.Timeline = "in production", to
	s.SQL.InRecovery, s.SQL.Receiver, s.SQL.Received, s.SQL.ReplayAge = false, nil, 0, nil
	s.SQL.Timeline, s.SQL.Position = to, lsn(position)
}

func lsn(s string) cluster.LSN {
	l, err := cluster.ParseLSN(s)
	if err != nil {
		panic(err)
	}
	return l
}
