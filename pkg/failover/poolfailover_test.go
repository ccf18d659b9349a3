package failover_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/failover"
	"github.com/pgctl/pgctl/pkg/nodes"
	"github.com/pgctl/pgctl/pkg/pg9"
	"github.com/pgctl/pgctl/pkg/pgpool"
	"github.com/pgctl/pgctl/pkg/plan"
)

// site9 is a sound 9.x site: db1, master, db2, its slave, and two pools of their own.
func site9() cluster.Snapshot {
	snap := site()
	snap.Kind = nodes.KindPG9
	snap.Servers[0].SQL.Standbys = []cluster.Walsender{{ApplicationName: "walreceiver", ClientAddress: "198.51.100.12", State: "streaming", SyncState: "async"}}
	snap.Servers[1].SQL.Receiver = &cluster.Receiver{Status: "streaming", SenderHost: "198.51.100.11"}
	snap.Pools = nil
	for _, host := range []string{"pool1", "pool2"} {
		snap.Pools = append(snap.Pools, cluster.Pool{
			Common: cluster.Common{Host: host}, Listening: new(true), Service: cluster.Service{State: cluster.ServiceActive}, FailoverCommand: "/failover.sh %d",
			Backends: []cluster.Backend{{Host: "db1", Port: 5432, Flag: "DISALLOW_TO_FAILOVER"}, {Host: "db2", Port: 5432, Flag: "DISALLOW_TO_FAILOVER"}},
			Running:  []cluster.Backend{{Host: "db1", Port: 5432, Role: "primary"}, {Host: "db2", Port: 5432, Role: "standby"}},
		})
	}
	return snap
}

func TestPoolFailover(t *testing.T) {
	const onBoth = "pool1/pool9.edit pool1/pool9.restart pool1/pool9.nodes pool1/pool.prove pool2/pool9.edit pool2/pool9.restart pool2/pool9.nodes pool2/pool.prove"
	gone := &cluster.Failure{Message: "no answer within 5s", Hint: "is it up?"}
	tests := []struct {
		name    string
		change  func(*cluster.Snapshot)
		off     bool
		steps   string
		left    string
		refused string
	}{
		{name: "on", change: func(*cluster.Snapshot) {}, steps: onBoth},
		{name: "off", off: true, change: func(*cluster.Snapshot) {}, steps: "pool1/pool9.edit pool1/pool9.restart pool1/pool9.nodes pool2/pool9.edit pool2/pool9.restart pool2/pool9.nodes"},
		{name: "on: a pool that is down is started", change: func(s *cluster.Snapshot) {
			s.Pools[0].Running, s.Pools[0].Listening, s.Pools[0].Service.State = nil, new(false), cluster.ServiceInactive
		}, steps: onBoth},
		{name: "on: PostgreSQL 10", change: func(s *cluster.Snapshot) { s.Kind = nodes.KindPG10 }, refused: "its pools never fail over"},
		{name: "off: PostgreSQL 10", off: true, change: func(s *cluster.Snapshot) { s.Kind = nodes.KindPG10 }, refused: "its pools never fail over"},
		{name: "on: the slave is lost, a warning only", change: func(s *cluster.Snapshot) {
			s.Servers[1].SQL, s.Servers[1].Data.Postmaster = nil, &cluster.Process{}
		}, refused: "postgres-down db2"},
		{name: "on: the slave does not stream", change: func(s *cluster.Snapshot) { s.Servers[1].SQL.Receiver = nil }, refused: "standby-not-streaming db2"},
		{name: "on: two masters", change: func(s *cluster.Snapshot) { s.Servers[1].SQL.InRecovery = false }, refused: "split-brain"},
		{name: "on: a pool is gone", change: func(s *cluster.Snapshot) { s.Pools[1].Unreachable = gone }, refused: "host-unreachable pool2"},
		{name: "on: a file cannot be read", change: func(s *cluster.Snapshot) {
			s.Pools[1].ConfFailure, s.Pools[1].Backends = &cluster.Failure{Message: "line 3"}, nil
		}, refused: "pool2: line 3"},
		{name: "on: the order is wrong", change: func(s *cluster.Snapshot) { b := s.Pools[0].Backends; b[0], b[1] = b[1], b[0] }, refused: "pool1: the backends in /etc/pgpool2/pgpool.conf are not the master db1 and then the slave"},
		{name: "on: one backend", change: func(s *cluster.Snapshot) { s.Pools[0].Backends = s.Pools[0].Backends[:1] }, refused: "pool1: the backends in"},
		{name: "on: nobody would be promoted", change: func(s *cluster.Snapshot) { s.Pools[1].FailoverCommand = "" }, refused: "pool2: /etc/pgpool2/pgpool.conf sets no failover_command"},
		{name: "on: every reason at once", change: func(s *cluster.Snapshot) { s.Pools[1].FailoverCommand, s.Servers[1].SQL.Receiver = "", nil }, refused: "it has no WAL receiver; pool2: "},
		{name: "off: whatever is broken", off: true, change: func(s *cluster.Snapshot) {
			s.Servers[0] = cluster.Server{Common: cluster.Common{Host: "db1", Unreachable: gone}}
			s.Pools[0].Unreachable = gone
		}, steps: "pool2/pool9.edit pool2/pool9.restart pool2/pool9.nodes", left: "pool1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			snap := site9()
			tt.change(&snap)
			p, left, err := failover.PoolFailover(snap, cluster.Diagnose(snap), !tt.off, pgpool.Settings{})
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
				if keep := s.Args["status"] == "keep"; keep != tt.off {
					t.Errorf("%s: what pgpool knows of dead nodes: %v", s.ID, s.Args)
				}
			}
			for host := range left {
				out = append(out, host)
			}
			if err != nil || strings.Join(steps, " ") != tt.steps || strings.Join(out, " ") != tt.left {
				t.Errorf("got %v, left out %v, %v", steps, out, err)
			}
			if err := failover.StillFailsOver(snap, p, nil); err != nil {
				t.Errorf("the guard of the plan just made: %v", err)
			}
		})
	}
}

// failedOver9 is the site after pgpool has promoted db2, and db1 has come back as the master that it was.
func failedOver9() (cluster.Snapshot, map[string]pg9.Host) {
	snap := site9()
	o, m := &snap.Servers[0], &snap.Servers[1]
	o.SQL.Standbys, o.SQL.Position, o.Data.Path = nil, 0x5001000, "/var/lib/postgresql/9.3/main"
	m.SQL = &cluster.Instance{Version: "9.3.25", Timeline: 2, Position: 0x6000000}
	m.Data.Path, m.Data.Timeline, m.Data.Promoted = "/var/lib/postgresql/9.3/main", 2, true
	m.Data.Histories = map[cluster.Timeline]cluster.History{2: {{Parent: 1, At: 0x5000060}}}
	for i := range snap.Pools {
		snap.Pools[i].Running[0].Down, snap.Pools[i].Running[0].Role, snap.Pools[i].Running[1].Role = true, "standby", "primary"
	}
	hosts := map[string]pg9.Host{}
	for _, name := range []string{"db1", "db2"} {
		hosts[name] = pg9.Host{
			Names: map[string][]string{"db1": {"198.51.100.11"}, "db2": {"198.51.100.12"}}, Marks: map[string]string{},
			Files: map[string][]byte{pg9.ConfigureMaster: []byte("#!/bin/sh\n"), pg9.ConfigureSlave: []byte("#!/bin/sh\n"), pg9.BaseBackup: []byte("#!/bin/sh\n")},
		}
	}
	return snap, hosts
}

func TestPostFailover(t *testing.T) {
	const all = "db1/pg9.fence db2/pg9.trigger db1/pg9.trigger db2/pg9.master db1/pg9.aside db2/pg9.backup db1/pg9.slave db1/pg9.start db1/pg9.stream " +
		"pool1/pool9.edit pool1/pool9.restart pool1/pool9.nodes pool1/pool.prove pool2/pool9.edit pool2/pool9.restart pool2/pool9.nodes pool2/pool.prove firstbox/pg9.nodes"
	host := func(change func(h *pg9.Host), names ...string) func(*failover.PostFailover) {
		return func(f *failover.PostFailover) {
			for _, name := range names {
				h := f.Hosts[name]
				change(&h)
				f.Hosts[name] = h
			}
		}
	}
	follows := func(f *failover.PostFailover) {
		o, m := &f.Snap.Servers[0], &f.Snap.Servers[1]
		o.SQL, o.Data.Signal = &cluster.Instance{Version: "9.3.25", InRecovery: true, Timeline: 2}, true
		m.SQL.Standbys = []cluster.Walsender{{State: "streaming", ClientAddress: "198.51.100.11"}}
	}
	pools := func(f *failover.PostFailover) {
		for i := range f.Snap.Pools {
			f.Snap.Pools[i].Backends = []cluster.Backend{{Host: "db2", Port: 5432}, {Host: "db1", Port: 5432}}
			f.Snap.Pools[i].Running = []cluster.Backend{{Host: "db2", Port: 5432, Role: "primary"}, {Host: "db1", Port: 5432, Role: "standby"}}
		}
	}
	armed := host(func(h *pg9.Host) { h.Cron = []string{"/etc/cron.d/pg_failover:1:* * * * * root x"} }, "db1", "db2")
	on := func(f *failover.PostFailover) {
		for i := range f.Snap.Pools {
			for n := range f.Snap.Pools[i].Backends {
				f.Snap.Pools[i].Backends[n].Flag = "ALLOW_TO_FAILOVER"
			}
		}
	}
	held := host(func(h *pg9.Host) { h.Marks[pg9.MarkHold] = "7 2 db2 db1" }, "db2")
	const hold = "db2/pg9.hold pool1/pool9.edit pool1/pool9.restart pool1/pool.prove pool2/pool9.edit pool2/pool9.restart pool2/pool.prove"
	rest := strings.NewReplacer("pool9.edit", "pool9.edit-2", "pool9.restart", "pool9.restart-2", "pool.prove", "pool.prove-2").Replace(strings.TrimPrefix(all, "db1/pg9.fence "))
	whileOn := "db1/pg9.fence " + hold + " " + strings.Replace(rest, "firstbox/", "db2/pg9.unhold firstbox/", 1)
	tests := []struct {
		name    string
		change  []func(*failover.PostFailover)
		steps   string
		left    string
		refused string
	}{
		{name: "everything", steps: all},
		{name: "the pools fail over: not meanwhile, and again at the end", change: []func(*failover.PostFailover){on}, steps: whileOn},
		{name: "an earlier run has held them", change: []func(*failover.PostFailover){held}, steps: whileOn},
		{name: "an earlier run has held them, and done the servers", change: []func(*failover.PostFailover){held, follows}, steps: strings.Replace(all[strings.Index(all, "pool1/"):], "firstbox/", "db2/pg9.unhold firstbox/", 1)},
		{name: "the servers are done: pools and inventory are left", change: []func(*failover.PostFailover){follows}, steps: all[strings.Index(all, "pool1/"):]},
		{name: "the inventory is right", change: []func(*failover.PostFailover){follows, func(f *failover.PostFailover) {
			f.Nodes = map[string]nodes.File{nodes.RoleMaster: {Data: []byte("nodes=db2")}, nodes.RoleSlave: {Data: []byte("nodes=db1")}}
		}}, steps: strings.TrimSuffix(all[strings.Index(all, "pool1/"):], " firstbox/pg9.nodes")},
		{name: "a pool is gone", change: []func(*failover.PostFailover){func(f *failover.PostFailover) {
			f.Snap.Pools[1].Unreachable = &cluster.Failure{Message: "gone"}
		}}, steps: strings.ReplaceAll(all, "pool2/pool9.edit pool2/pool9.restart pool2/pool9.nodes pool2/pool.prove ", ""), left: "pool2"},
		{name: "the robot is installed", change: []func(*failover.PostFailover){armed}, refused: "the site's robot is installed on db1 (/etc/cron.d/pg_failover:1:"},
		{name: "it is, and has done the servers, not yet the pools", change: []func(*failover.PostFailover){armed, follows}, refused: "two must not do this at once"},
		{name: "it is, and has done everything but the inventory, of which it knows nothing", change: []func(*failover.PostFailover){armed, follows, pools}, steps: all[strings.Index(all, "pool1/"):]},
		{name: "it runs", change: []func(*failover.PostFailover){host(func(h *pg9.Host) { h.Robot = []string{"12"} }, "db2")}, refused: "the site's robot runs on db2 (process 12)"},
		{name: "a step of a dead pgctl runs", change: []func(*failover.PostFailover){host(func(h *pg9.Host) { h.Busy = "base_backup.sh" }, "db2")}, refused: "still runs on db2: base_backup.sh"},
		{name: "a script would install the robot", change: []func(*failover.PostFailover){host(func(h *pg9.Host) {
			h.Files[pg9.ConfigureSlave] = []byte("#!/bin/sh\ninstall_failover_cron $1 $2\n")
		}, "db1")}, refused: "db1: /var/lib/postgresql/bin/configure_slave.sh would install the site's robot"},
		{name: "a script is missing", change: []func(*failover.PostFailover){host(func(h *pg9.Host) { delete(h.Files, pg9.BaseBackup) }, "db2")}, refused: "db2: /var/lib/postgresql/bin/base_backup.sh is not there"},
		{name: "one that this server does not need", change: []func(*failover.PostFailover){host(func(h *pg9.Host) { delete(h.Files, pg9.BaseBackup) }, "db1")}, steps: all},
		{name: "tablespaces", change: []func(*failover.PostFailover){host(func(h *pg9.Host) { h.Tablespaces = true }, "db2")}, refused: "tablespaces outside of its directory"},
		{name: "a mount point", change: []func(*failover.PostFailover){host(func(h *pg9.Host) { h.Mounted = true }, "db1")}, refused: "db1: the data directory is a mount point"},
		{name: "no room", change: []func(*failover.PostFailover){func(f *failover.PostFailover) { f.Snap.Servers[0].Disk = &cluster.Disk{Total: 2000, Free: 999} }}, refused: "db1 has 999 B free, and a copy beside its old data takes 1000 B"},
		{name: "no room, but the old data is aside already", change: []func(*failover.PostFailover){
			func(f *failover.PostFailover) { f.Snap.Servers[0].Disk = &cluster.Disk{Total: 2000, Free: 999} },
			host(func(h *pg9.Host) { h.Marks[pg9.MarkAside] = "7 2 db2 db1" }, "db1"),
		}, steps: all},
		{name: "a name that is not the other's", change: []func(*failover.PostFailover){host(func(h *pg9.Host) { h.Names["db1"] = []string{"198.51.100.99"} }, "db2")}, refused: "db2: it takes the name db1 for 198.51.100.99"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			snap, hosts := failedOver9()
			f := &failover.PostFailover{
				Snap: snap, Hosts: hosts, Here: "firstbox", Size: 1000, Stamp: "S", PoolAt: "/etc/pgpool2/pgpool.conf", Backups: "/b",
				Nodes: map[string]nodes.File{nodes.RoleMaster: {Path: "/n/pgmaster", Data: []byte("nodes=db1")}, nodes.RoleSlave: {Path: "/n/pgslave", Data: []byte("nodes=db2")}},
			}
			for _, change := range tt.change {
				change(f)
			}
			var err error
			if f.Verdict, err = pg9.Judge(f.Snap, f.Hosts); err != nil {
				t.Fatal(err)
			}
			p, left, err := f.Plan()
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
			}
			for host := range left {
				out = append(out, host)
			}
			if err != nil || strings.Join(steps, " ") != tt.steps || strings.Join(out, " ") != tt.left {
				t.Errorf("got %v\nexpected %v\nleft out %v, %v", strings.Join(steps, " "), tt.steps, out, err)
			}
			checkArgs(t, p)
		})
	}
}

// checkArgs: each script gets the addresses in its own order, and each pool the new master first.
func checkArgs(t *testing.T, p plan.Plan) {
	t.Helper()
	want := map[string]string{"pg9.master": "198.51.100.12 198.51.100.11", "pg9.backup": "198.51.100.11", "pg9.slave": "198.51.100.11 198.51.100.12"}
	for _, s := range p.Steps {
		if ips, ok := want[s.Verb]; ok && s.Args["ips"] != ips {
			t.Errorf("%s: addresses %q, expected %q", s.ID, s.Args["ips"], ips)
		}
		if strings.HasPrefix(s.Verb, "pool9") && s.Args["failover"] != "off" && s.Args["backends"] != "db2 db1" {
			t.Errorf("%s: backends %q", s.ID, s.Args["backends"])
		}
		if s.Args["key"] != "7 2 db2 db1" {
			t.Errorf("%s: key %q", s.ID, s.Args["key"])
		}
	}
}

func TestStillPromoted(t *testing.T) {
	snap, hosts := failedOver9()
	v, err := pg9.Judge(snap, hosts)
	if err != nil {
		t.Fatal(err)
	}
	f := &failover.PostFailover{Snap: snap, Hosts: hosts, Verdict: v, Here: "firstbox", Stamp: "S", Nodes: map[string]nodes.File{
		nodes.RoleMaster: {Path: "/n/pgmaster", Data: []byte("nodes=db1")}, nodes.RoleSlave: {Path: "/n/pgslave", Data: []byte("nodes=db2")},
	}}
	p, _, err := f.Plan()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		change func(s *cluster.Snapshot, hosts map[string]pg9.Host)
		says   string
	}{
		{"as it was", func(*cluster.Snapshot, map[string]pg9.Host) {}, ""},
		{"the old master is stopped", func(s *cluster.Snapshot, _ map[string]pg9.Host) { s.Servers[0].SQL = nil }, ""},
		{"the master does not answer", func(s *cluster.Snapshot, _ map[string]pg9.Host) { s.Servers[1].SQL = nil }, "db2, the master of the plan, does not answer"},
		{"it is in recovery", func(s *cluster.Snapshot, _ map[string]pg9.Host) { s.Servers[1].SQL.InRecovery = true }, "is in recovery"},
		{"it was promoted again", func(s *cluster.Snapshot, _ map[string]pg9.Host) { s.Servers[1].SQL.Timeline = 3 }, "timeline 2 of db2, it is 3 now"},
		{"the other was", func(s *cluster.Snapshot, _ map[string]pg9.Host) { s.Servers[0].SQL.Timeline = 10 }, "db1 is a master on a newer timeline than the plan's 2"},
		{"the robot has begun", func(_ *cluster.Snapshot, hosts map[string]pg9.Host) { hosts["db1"] = pg9.Host{Robot: []string{"7"}} }, "robot was installed or has begun on db1"},
		{"the robot was installed", func(_ *cluster.Snapshot, hosts map[string]pg9.Host) { hosts["db2"] = pg9.Host{Cron: []string{"x"}} }, "robot was installed or has begun on db2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			snap, hosts := failedOver9()
			tt.change(&snap, hosts)
			err := failover.StillPromoted(snap, hosts, p)
			if (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, expected %q", err, tt.says)
			}
		})
	}
}
