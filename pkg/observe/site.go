package observe

import (
	"context"
	"slices"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/nodes"
	"github.com/pgctl/pgctl/pkg/pgpool"
	"github.com/pgctl/pgctl/pkg/postgres"
	"github.com/pgctl/pgctl/pkg/remote"
)

// Site is a region and the means to ask it.
type Site struct {
	Inventory *nodes.Inventory
	Config    nodes.Config
	Hosts     func(name string) remote.Host
	Timeout   time.Duration    // per host
	Now       func() time.Time // for the hosts' clocks, and for how long something was waited for
}

// Scope is how much of a region is asked.
type Scope int

// The scopes.
const (
	Everything   Scope = iota
	ServersOnly        // only the servers
	ServicesOnly       // every host, but no SQL
)

// atOnce bounds how many hosts are asked at the same time. It is far above the size of a region, since a queue behind
// dead hosts would make the answer later than the timeout.
const atOnce = 512

func (s *Site) postgres() postgres.Settings {
	c := s.Config.Postgres
	return postgres.Settings{DataDir: c.DataDir, Port: c.Port, OSUser: c.OSUser, User: c.User, DBName: c.DBName, BinDir: c.BinDir, Service: c.Service}
}

// Server is the PostgreSQL server on a host of the site.
func (s *Site) Server(host string) *postgres.Server {
	return postgres.On(s.Hosts(host), s.postgres())
}

func (s *Site) pgpool() pgpool.Settings {
	c := s.Config.Pgpool
	return pgpool.Settings{Conf: c.Conf, Service: c.Service, User: c.User, DBName: c.DBName}
}

// Snapshot asks every host in scope at once and returns within the timeout, whatever answers.
func (s *Site) Snapshot(ctx context.Context, scope Scope) cluster.Snapshot {
	carries := s.roles(scope)
	names := make([]string, 0, len(carries))
	for name := range carries {
		names = append(names, name)
	}
	slices.Sort(names)
	deadline := s.Now().Add(s.Timeout)
	visits := remote.Each(ctx, names, atOnce, s.Timeout, func(ctx context.Context, name string) visit {
		return s.visit(ctx, name, carries[name], scope != ServicesOnly)
	})
	byHost := map[string]visit{}
	for i, name := range names {
		byHost[name] = visits[i]
	}
	snap := s.assemble(scope, byHost)
	s.askAgain(ctx, deadline, &snap)
	return snap
}

// askAgain reads the master's position once more when another server seems to be ahead of it: they were asked at different
// moments, and only a position that was read later proves something. It keeps to the first round's deadline.
func (s *Site) askAgain(ctx context.Context, deadline time.Time, snap *cluster.Snapshot) {
	master, seems := snap.Ahead()
	if !seems {
		return
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	again, err := postgres.On(s.Hosts(master), s.postgres()).Probe(ctx)
	if err != nil || again.InRecovery {
		return
	}
	for i := range snap.Servers {
		if in := snap.Servers[i].SQL; snap.Servers[i].Host == master && in.Timeline == again.Timeline {
			in.Position, in.AskedAgain = again.Position, true
		}
	}
}

// roles lists the hosts in scope and what each carries.
func (s *Site) roles(scope Scope) map[string]roles {
	carries := map[string]roles{}
	for _, server := range s.Inventory.Servers {
		r := carries[server.Host]
		r.server = true
		carries[server.Host] = r
	}
	if scope == ServersOnly {
		return carries
	}
	for _, pool := range s.Inventory.Pools {
		r := carries[pool.Host]
		r.pool = true
		carries[pool.Host] = r
	}
	for _, arbiter := range s.Inventory.Arbiters {
		r := carries[arbiter.Host]
		r.arbiter = true
		carries[arbiter.Host] = r
	}
	return carries
}

// assemble puts the answers in the order of the inventory.
func (s *Site) assemble(scope Scope, byHost map[string]visit) cluster.Snapshot {
	snap := cluster.Snapshot{
		Kind: s.Inventory.Kind, HA: s.Inventory.HA(), Zones: len(s.Inventory.Zones), Problems: s.Inventory.Warnings,
	}
	for _, server := range s.Inventory.Servers {
		v := byHost[server.Host]
		snap.Servers = append(snap.Servers, cluster.Server{
			Common: v.common, Zone: server.Zone, Service: v.postgres, MasterFile: v.masterFile,
			Disk: v.facts.Disk, Data: v.facts.Data, Asides: v.facts.Asides, SQL: v.instance, SQLFailure: v.sqlFailure,
		})
	}
	if scope == ServersOnly {
		return snap
	}
	for _, pool := range s.Inventory.Pools {
		v := byHost[pool.Host]
		p := v.pool
		p.Common = v.common
		snap.Pools = append(snap.Pools, p)
	}
	for _, arbiter := range s.Inventory.Arbiters {
		snap.Arbiters = append(snap.Arbiters, cluster.Arbiter{Common: byHost[arbiter.Host].common, Zone: arbiter.Zone})
	}
	return snap
}
