package main

import (
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/failover"
	"github.com/pgctl/pgctl/pkg/observe"
	"github.com/pgctl/pgctl/pkg/pgpool"
	"github.com/pgctl/pgctl/pkg/plan"
	"github.com/pgctl/pgctl/pkg/postgres"
)

// servers does the steps of servers on this site.
func (a *app) servers(site *observe.Site) *failover.Servers {
	c := site.Config.Postgres
	h := &failover.Servers{
		Hosts: site.Hosts, Replication: site.Config.Replication, Timeout: a.timeout, Stamp: a.stamp(), Now: a.now,
		Settings: postgres.Settings{DataDir: c.DataDir, Port: c.Port, OSUser: c.OSUser, User: c.User, DBName: c.DBName, Service: c.Service, BinDir: c.BinDir},
		Progress: func(host, message string) { fmt.Fprintf(a.err, "       %s: %s\n", host, message) },
		Warn:     a.warn,
	}
	for _, s := range site.Inventory.Servers {
		h.Inventory = append(h.Inventory, s.Host)
	}
	return h
}

// pools does the steps of pools on this site.
func (a *app) pools(site *observe.Site) *failover.Pools {
	return &failover.Pools{Hosts: site.Hosts, Settings: poolSettings(site), Timeout: a.timeout, Stamp: a.stamp(), Warn: a.warn}
}

func poolSettings(site *observe.Site) pgpool.Settings {
	cfg := site.Config.Pgpool
	return pgpool.Settings{Conf: cfg.Conf, Service: cfg.Service, User: cfg.User, DBName: cfg.DBName}
}

func (a *app) warn(host, message string) {
	fmt.Fprintf(a.err, "pgctl: warning: %s: %s\n", host, message)
}

// stamp is the moment of the command, for the names of what is set aside.
func (a *app) stamp() string { return a.now().UTC().Format("20060102T150405Z") }

// token is a random word of n lower-case letters and digits.
func token(n int) string { return strings.ToLower(rand.Text())[:n] }

// handles is whoever does steps.
type handles interface {
	Handlers() map[string]plan.Handler
}

// handlers joins the handlers of servers, pools and whatever else.
func handlers(all ...handles) map[string]plan.Handler {
	joined := map[string]plan.Handler{}
	for _, h := range all {
		maps.Copy(joined, h.Handlers())
	}
	return joined
}

// areServers refuses names that the inventory has for no server; "" is none.
func areServers(command string, site *observe.Site, names ...string) error {
	var all []string
	for _, s := range site.Inventory.Servers {
		all = append(all, s.Host)
	}
	for _, name := range names {
		if name != "" && !slices.Contains(all, name) {
			return usageError(command, fmt.Errorf("the inventory has no server %s: expected one of %s", name, strings.Join(all, ", ")))
		}
	}
	return nil
}

// lockHosts are the hosts that hold the region's lock: the servers that answer.
func lockHosts(snap cluster.Snapshot) []string {
	var hosts []string
	for _, s := range snap.Servers {
		if s.Reached() {
			hosts = append(hosts, s.Host)
		}
	}
	return hosts
}
