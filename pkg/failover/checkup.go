package failover

import (
	"cmp"
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/observe"
	"github.com/pgctl/pgctl/pkg/postgres"
	"github.com/pgctl/pgctl/pkg/remote"
)

// oldScript is the site's own command that changes the master, older than the watchers.
const oldScript = "/opt/postgresql/work/pg_upmaster"

// Checkup asks what cluster.Examine wants to know beyond the snapshot: settings of the servers, old scripts, and whether the
// nodes reach each other. All hosts are asked at once, each question within the site's timeout. It changes nothing.
func Checkup(ctx context.Context, site *observe.Site, snap cluster.Snapshot) cluster.Checkup {
	c := checkup{Site: site, found: cluster.Checkup{
		Inventory: site.Inventory, Vitals: map[string]cluster.Vitals{}, Unasked: map[string]string{}, OldScripts: map[string][]string{},
	}}
	remote.Each(ctx, reached(snap), 0, site.Timeout, func(ctx context.Context, s node) struct{} { c.ask(ctx, s); return struct{}{} })
	links := pairs(snap, cmp.Or(site.Config.SSH.Port, 22))
	c.found.Links = remote.Each(ctx, links, 0, site.Timeout, func(ctx context.Context, l cluster.Link) cluster.Link {
		return dialed(l, dial(ctx, site.Hosts(l.From), l))
	})
	return c.found
}

// node is a host that answers, with the port of its PostgreSQL when it has one.
type node struct {
	name string
	port int
	sql  bool // its PostgreSQL answers
}

// reached are the servers and arbiters that answer.
func reached(snap cluster.Snapshot) []node {
	var all []node
	for _, s := range snap.Servers {
		if s.Reached() {
			n := node{name: s.Host, sql: s.SQL != nil}
			if s.Data != nil {
				n.port = s.Data.Port
			}
			all = append(all, n)
		}
	}
	for _, a := range snap.Arbiters {
		if a.Reached() {
			all = append(all, node{name: a.Host})
		}
	}
	return all
}

// pairs are the connections to try: from every node to every other one's sshd, and between servers to PostgreSQL.
func pairs(snap cluster.Snapshot, sshPort int) []cluster.Link {
	var links []cluster.Link
	all := reached(snap)
	for _, from := range all {
		for _, to := range all {
			if from.name == to.name {
				continue
			}
			links = append(links, cluster.Link{From: from.name, To: to.name, Port: sshPort})
			if from.port != 0 && to.port != 0 {
				links = append(links, cluster.Link{From: from.name, To: to.name, Port: to.port, Postgres: true})
			}
		}
	}
	return links
}

func dial(ctx context.Context, from remote.Host, l cluster.Link) error {
	conn, err := from.Dial(ctx, "tcp", net.JoinHostPort(l.To, strconv.Itoa(l.Port)))
	if err == nil {
		_ = conn.Close()
	}
	return err
}

// dialed is the link with what came of it. A host that cannot be asked to dial says nothing of its links.
func dialed(l cluster.Link, err error) cluster.Link {
	var d *remote.DialError
	switch {
	case err == nil:
		l.Answer = cluster.LinkConnected
	case !errors.As(err, &d), d.Forbidden:
		l.Answer, l.Failure = cluster.LinkUntried, err.Error()
	case d.Refused:
		l.Answer, l.Failure = cluster.LinkRefused, d.Cause.Error()
	default:
		l.Answer, l.Failure = cluster.LinkSilent, strings.TrimSuffix(d.Cause.Error(), ": "+context.DeadlineExceeded.Error())
	}
	return l
}

// checkup is the work in progress of Checkup.
type checkup struct {
	*observe.Site
	mu    sync.Mutex
	found cluster.Checkup
}

// ask asks one host.
func (c *checkup) ask(ctx context.Context, n node) {
	began := c.Now()
	var vitals cluster.Vitals
	var errVitals error
	settings := serverSettings(c.Site)
	if n.sql {
		vitals, errVitals = postgres.On(c.Hosts(n.name), settings).Vitals(ctx)
	}
	out, err := c.Hosts(n.name).Run(ctx, remote.Script(`for f in "$@"; do [ -e "$f" ] && echo "$f"; done; exit 0`, oldScript))
	c.mu.Lock()
	defer c.mu.Unlock()
	if n.sql && errVitals == nil {
		c.found.Vitals[n.name] = vitals
	}
	for line := range strings.Lines(string(out.Stdout)) {
		c.found.OldScripts[n.name] = append(c.found.OldScripts[n.name], cluster.Printable(strings.TrimSpace(line)))
	}
	switch {
	case errVitals != nil:
		c.found.Unasked[n.name] = "its settings could not be asked: " + why(n.name, settings, errVitals, c.Now().Sub(began))
	case err != nil:
		c.found.Unasked[n.name] = strings.TrimPrefix(err.Error(), n.name+": ")
	}
}

func why(host string, s postgres.Settings, err error, waited time.Duration) string {
	f := postgres.Explain(host, s, err, waited)
	if f.Hint != "" {
		return f.Message + " (" + f.Hint + ")"
	}
	return f.Message
}

// serverSettings are the site's settings of PostgreSQL.
func serverSettings(site *observe.Site) postgres.Settings {
	c := site.Config.Postgres
	return postgres.Settings{DataDir: c.DataDir, Port: c.Port, OSUser: c.OSUser, User: c.User, DBName: c.DBName, Service: c.Service}
}
