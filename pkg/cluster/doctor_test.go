package cluster_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/nodes"
)

// checkup is a checkup of region(servers) that shows nothing wrong; the region gets its watchers.
func checkup(snap *cluster.Snapshot) cluster.Checkup {
	c := cluster.Checkup{
		Inventory: &nodes.Inventory{}, Vitals: map[string]cluster.Vitals{}, Unasked: map[string]string{}, OldScripts: map[string][]string{},
	}
	watcher := func() *nodes.Watcher {
		w := &nodes.Watcher{InactiveFailover: true, SyncMode: "all", Globals: []string{"arb1", "arb2"}}
		for _, s := range snap.Servers {
			w.Nodes = append(w.Nodes, nodes.WatchedNode{Host: s.Host, Zone: s.Zone})
		}
		return w
	}
	var hosts []string
	for i := range snap.Servers {
		s := &snap.Servers[i]
		s.Watcher.Service.State = cluster.ServiceActive
		hosts = append(hosts, s.Host)
		c.Inventory.Servers = append(c.Inventory.Servers, nodes.Server{Host: s.Host, Zone: s.Zone})
		c.Inventory.Zones = append(c.Inventory.Zones, nodes.Zone{ID: s.Zone, Path: "server.yaml." + s.Zone, Watcher: watcher()})
		c.Vitals[s.Host] = cluster.Vitals{Fsync: "on", FullPageWrites: "on", SyncCommit: "on"}
	}
	for i := range snap.Arbiters {
		snap.Arbiters[i].Watcher.Service.State = cluster.ServiceActive
		hosts = append(hosts, snap.Arbiters[i].Host)
	}
	for _, from := range hosts {
		for _, to := range hosts {
			if from != to {
				c.Links = append(c.Links, cluster.Link{From: from, To: to, Port: 22, Answer: cluster.LinkConnected})
			}
		}
	}
	c.Links = append(c.Links, cluster.Link{From: "db1", To: "db2", Port: 5432, Postgres: true, Answer: cluster.LinkConnected})
	return c
}

func TestExamine(t *testing.T) {
	type change func(*cluster.Snapshot, *cluster.Checkup)
	vitals := func(host string, f func(*cluster.Vitals)) change {
		return func(_ *cluster.Snapshot, c *cluster.Checkup) {
			v := c.Vitals[host]
			f(&v)
			c.Vitals[host] = v
		}
	}
	link := func(from, to string, postgres bool, answer cluster.LinkAnswer) change {
		return func(_ *cluster.Snapshot, c *cluster.Checkup) {
			for i := range c.Links {
				if l := &c.Links[i]; l.From == from && l.To == to && (l.Postgres == postgres || !postgres) {
					l.Answer, l.Failure = answer, "why"
				}
			}
		}
	}
	for _, tt := range []struct {
		name    string
		servers int // 0 is 2
		change  change
		want    []string // "severity code host: a part of the message"
	}{
		{name: "nothing wrong", change: func(*cluster.Snapshot, *cluster.Checkup) {}},
		{name: "a 9.x site has no watchers and no rules", change: func(s *cluster.Snapshot, c *cluster.Checkup) {
			pg9(s)
			c.Inventory.Zones = nil
			s.Servers[0].Watcher.Service.State = cluster.ServiceAbsent
		}},
		{name: "a watcher is missing although HA is off", change: func(s *cluster.Snapshot, _ *cluster.Checkup) {
			s.Servers[1].Watcher.Service.State = cluster.ServiceAbsent
		}, want: []string{"critical watcher-down db2: pg_watcher is absent"}},
		{name: "two servers alone", change: func(s *cluster.Snapshot, _ *cluster.Checkup) { s.Arbiters = nil }, want: []string{
			"critical arbiter-missing : 2 zones and no arbiter", "critical too-few-votes : make 1 of the 3 votes",
		}},
		{name: "two servers and one arbiter", change: func(s *cluster.Snapshot, _ *cluster.Checkup) { s.Arbiters = s.Arbiters[:1] }},
		{name: "three servers, and one zone has two of them", servers: 3, change: func(s *cluster.Snapshot, _ *cluster.Checkup) {
			s.Arbiters, s.Zones, s.Servers[1].Zone = nil, 3, "zone1a"
			s.Servers[0].SQL.Standbys[0].Slot, s.Servers[0].SQL.Standbys[1].Slot = "db2", "db3"
		}, want: []string{"warning zone-has-quorum : the zone zone1a has 2 of 3 votes"}},
		{name: "a commit waits for two, and one uses no slot", servers: 3, change: func(s *cluster.Snapshot, _ *cluster.Checkup) {
			s.Arbiters, s.Zones = nil, 3
			s.Servers[0].SQL.Standbys[0].Slot = "db2"
		}, want: []string{"warning may-count-twice db3: it uses no replication slot"}},
		{name: "a server is in no pg_node_info of one zone", change: func(_ *cluster.Snapshot, c *cluster.Checkup) {
			c.Inventory.Zones[1].Watcher.Nodes = c.Inventory.Zones[1].Watcher.Nodes[:1]
		}, want: []string{"critical ha-config-mismatch : server.yaml.zone1b differs from server.yaml.zone1a in pg_node_info", "critical ha-config-mismatch : server.yaml.zone1b: pg_node_info does not name db2"}},
		{name: "zones that are switched differently are what enable-ha mends", change: func(_ *cluster.Snapshot, c *cluster.Checkup) {
			c.Inventory.Zones[1].Watcher.InactiveFailover, c.Inventory.Zones[1].Watcher.UsingMasterByTS = false, true
		}},
		{name: "a zone without the section", change: func(_ *cluster.Snapshot, c *cluster.Checkup) { c.Inventory.Zones[0].Watcher = nil }, want: []string{
			"critical ha-config-mismatch : server.yaml.zone1a has no pg_watcher section",
		}},
		{name: "no zone", change: func(_ *cluster.Snapshot, c *cluster.Checkup) { c.Inventory.Zones = nil }, want: []string{
			"critical ha-config-mismatch : no zone has a server.yaml",
		}},
		{name: "nobody is synchronous", change: func(s *cluster.Snapshot, _ *cluster.Checkup) {
			s.Servers[0].SQL.Standbys[0].SyncState = "async"
		}, want: []string{"critical not-synchronous : a commit waits for 0 of 1 standbys", "warning not-synchronous db2: a commit does not wait"}},
		{name: "one of two is enough for any 1", servers: 3, change: func(s *cluster.Snapshot, c *cluster.Checkup) {
			for i := range c.Inventory.Zones {
				c.Inventory.Zones[i].Watcher.SyncMode = "any 1"
			}
			s.Servers[0].SQL.Standbys[0].SyncState = "quorum"
			s.Servers[0].SQL.Standbys[1].SyncState = "async"
		}, want: []string{"warning not-synchronous db3"}},
		{name: "pgpool's file lets it fail over", change: func(s *cluster.Snapshot, _ *cluster.Checkup) {
			s.Pools[0].Backends[0].Flag = "ALLOW_TO_FAILOVER"
		}, want: []string{"critical pgpool-fails-over db1: the backend db1:5432 in pgpool.conf"}},
		{name: "the running pgpool may fail over", change: func(s *cluster.Snapshot, _ *cluster.Checkup) {
			s.Pools[1].Running[0].Flag = "ALLOW_TO_FAILOVER"
		}, want: []string{"critical pgpool-fails-over db2: the running pgpool may"}},
		{name: "a pool clears what it does not use", change: func(s *cluster.Snapshot, _ *cluster.Checkup) {
			s.Pools[1].Shared = 134_686_720
		}, want: []string{"warning pgpool-slow-start db2: each start of pgpool, so each failover too, waits until 134 MB are cleared"}},
		{name: "a pool needs what it clears, and one has little", change: func(s *cluster.Snapshot, _ *cluster.Checkup) {
			s.Pools[0].Shared, s.Pools[0].QueryCache, s.Pools[1].Shared = 134<<20, true, 8<<20
		}},
		{name: "fsync", change: vitals("db2", func(v *cluster.Vitals) { v.Fsync = "off" }), want: []string{"critical unsafe-setting db2: fsync is off"}},
		{name: "full_page_writes", change: vitals("db1", func(v *cluster.Vitals) { v.FullPageWrites = "off" }), want: []string{"critical unsafe-setting db1: full_page_writes is off"}},
		{name: "remote_apply is stronger", change: vitals("db1", func(v *cluster.Vitals) { v.SyncCommit = "remote_apply" })},
		{name: "remote_write is weaker", change: vitals("db1", func(v *cluster.Vitals) { v.SyncCommit = "remote_write" }), want: []string{"critical unsafe-setting db1: synchronous_commit is remote_write"}},
		{name: "a role's own setting, told once", change: func(_ *cluster.Snapshot, c *cluster.Checkup) {
			for host, v := range c.Vitals {
				v.Weaker = []cluster.SyncSetting{{Role: "app", Value: "off"}, {Database: "d", Value: "ON"}}
				c.Vitals[host] = v
			}
		}, want: []string{"warning unsafe-setting db1: synchronous_commit is off for the role app"}},
		{name: "a line that nobody can read", change: vitals("db1", func(v *cluster.Vitals) {
			v.FileErrors = []cluster.FileError{{File: "/c", Line: 3, Error: "syntax error"}, {File: "/c", Line: 4, Name: "work_mem", Known: true, Error: "invalid value"}}
		}), want: []string{"critical config-file-error db1: /c:3: syntax error: as long as", "warning config-file-error db1: /c:4: work_mem: invalid value"}},
		{name: "an old script", change: func(_ *cluster.Snapshot, c *cluster.Checkup) { c.OldScripts["db2"] = []string{"/o/pg_upmaster"} }, want: []string{"warning old-script db2: /o/pg_upmaster"}},
		{name: "something could not be asked", change: func(_ *cluster.Snapshot, c *cluster.Checkup) { c.Unasked["db2"] = "no" }, want: []string{"warning not-examined db2: no"}},
		{name: "a host does not reach another, told once", change: link("db1", "db2", false, cluster.LinkSilent), want: []string{"critical link-down db1: does not reach db2: why"}},
		{name: "a refusal comes from there", change: link("arb1", "db2", false, cluster.LinkRefused)},
		{name: "PostgreSQL's port is closed to one server", change: link("db1", "db2", true, cluster.LinkRefused), want: []string{"critical link-down db1: does not reach PostgreSQL of db2 at port 5432"}},
		{name: "and its sshd's too", change: link("db1", "db2", true, cluster.LinkSilent), want: []string{"critical link-down db1: does not reach PostgreSQL of db2 at port 5432"}},
		{name: "forwarding is forbidden", change: func(s *cluster.Snapshot, c *cluster.Checkup) {
			for _, to := range []string{"db2", "arb1", "arb2"} {
				link("db1", to, false, cluster.LinkUntried)(s, c)
			}
		}, want: []string{"warning not-examined db1: whether it reaches the other nodes"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			snap := region(max(tt.servers, 2))
			c := checkup(&snap)
			tt.change(&snap, &c)
			d := cluster.Examine(snap, c)
			var got []string
			for i, f := range d.Findings {
				text := fmt.Sprintf("%s %s %s: %s", f.Severity, f.Code, f.Host, f.Message)
				if i < len(tt.want) && matches(text, tt.want[i]) {
					text = tt.want[i]
				}
				got = append(got, text)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got\n%s\nexpected\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}

// matches: the words before the message in front, and a part of the message.
func matches(text, want string) bool {
	head, part, ok := strings.Cut(want, ": ")
	return strings.HasPrefix(text, head) && (!ok || strings.Contains(text, part))
}

func TestSyncSettingHint(t *testing.T) {
	snap := region(2)
	c := checkup(&snap)
	c.Vitals["db1"] = cluster.Vitals{Fsync: "on", FullPageWrites: "on", SyncCommit: "on", Weaker: []cluster.SyncSetting{
		{Role: "My app", Database: "d", Value: "off"}, {Role: "r", Value: "off"}, {Database: "d", Value: "off"}, {Value: "off"},
	}}
	var hints []string
	for _, f := range cluster.Examine(snap, c).Findings {
		hints = append(hints, f.Hint)
	}
	want := []string{`ALTER ROLE ALL RESET synchronous_commit`, `ALTER DATABASE "d" RESET synchronous_commit`, `ALTER ROLE "My app" IN DATABASE "d" RESET synchronous_commit`, `ALTER ROLE "r" RESET synchronous_commit`}
	slices.Sort(hints)
	slices.Sort(want)
	if !slices.Equal(hints, want) {
		t.Errorf("%q", hints)
	}
}
