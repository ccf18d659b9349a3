package lab

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
)

// NoArbiters as Spec.Arbiters asks for a region without arbiters, whatever its
// number of zones.
const NoArbiters = -1

// Passwords of the roles that every region has. The region's network reaches
// nothing else, so they are no secrets.
const (
	AppPassword        = "app-lab-password"
	PoolPassword       = "pgpool-lab-password"
	ReplicatorPassword = "replicator-lab-password"
)

// Spec says which region to build. Its zero value is the default region: two
// servers on PostgreSQL 15 that carry the pools too, two arbiters, failover off.
type Spec struct {
	// Name of the region, "region" when empty: a lower-case letter, then up to
	// 15 letters, digits and dashes. Regions of different names may be up at once.
	Name string
	// Servers is the number of PostgreSQL servers, db1 to db4; 0 means 2. db1 is
	// the master. Each server has a zone of its own: zone1a, zone1b, ...
	Servers int
	// Arbiters is the number of hosts of the global zone, arb1 and so on. 0 means
	// what a site has: two with fewer than three zones, else none.
	Arbiters int
	// OwnPools puts the pools on hosts pool1 and pool2 of their own, instead of on
	// the first two servers.
	OwnPools bool
	// NoPools leaves the pools out.
	NoPools bool
	// Postgres is "15" (Debian's packages and paths; also when empty) or "10"
	// (10.23 with its data in /opt/postgresql/data, on port 5433).
	Postgres string
	// PG9 makes the region a site of installer 3.x: node files pgmaster and pgslave,
	// two servers that replicate asynchronously, two pools of their own that can fail
	// over, the site scripts (stand-ins of ours), no zones and no arbiters, no host
	// with systemd. PostgreSQL 10.23 stands in for 9.3, in the paths of 9.3.
	PG9 bool
	// NoSystemd names the hosts that run without systemd, as Ubuntu 14.04 did:
	// services are started by their init scripts.
	NoSystemd []string
	// HAOn writes inactive_failover: 0 into every server.yaml (1 otherwise).
	HAOn bool
	// MasterByTS writes using_master_by_ts: 1 (0 otherwise).
	MasterByTS bool
	// Watcher holds more keys for section pg_watcher of every server.yaml, for
	// instance down_after: 12s. Everything not set here is at pgctl's default.
	Watcher map[string]string
	// Binary is the pgctl of this machine that firstbox gets as
	// /usr/local/bin/pgctl; none when empty.
	Binary string
	// DataBytes is the size of each server's data file system; 0 means 1 GiB.
	DataBytes int64
	// ServerConf holds more settings for postgresql.conf, alike on all servers:
	// wal_sender_timeout = "5s" and the like. Everything not set here or needed
	// for synchronous replication is at PostgreSQL's own default.
	ServerConf map[string]string
	// Log gets one line for each stage with the time it took; nil means stderr.
	Log io.Writer `json:"-"`
}

var regionName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,15}$`)

// withDefaults returns the spec with every zero value replaced by what it means,
// or an error that names the first value that makes no sense.
func (s Spec) withDefaults() (Spec, error) {
	if s.Name == "" {
		s.Name = "region"
	}
	if !regionName.MatchString(s.Name) {
		return s, fmt.Errorf("region name %q: want a lower-case letter, then up to 15 letters, digits and dashes", s.Name)
	}
	if s.PG9 {
		var err error
		if s, err = s.asPG9(); err != nil {
			return s, err
		}
	}
	if s.Servers == 0 {
		s.Servers = 2
	}
	if s.Servers < 1 || s.Servers > 4 {
		return s, fmt.Errorf("%d servers: want 1 to 4", s.Servers)
	}
	switch {
	case s.Arbiters == NoArbiters, s.Arbiters == 0 && s.Servers >= 3:
		s.Arbiters = NoArbiters
	case s.Arbiters == 0:
		s.Arbiters = 2
	case s.Arbiters < 0 || s.Arbiters > 4:
		return s, fmt.Errorf("%d arbiters: want 1 to 4, 0 for the usual number or %d for none", s.Arbiters, NoArbiters)
	}
	if s.Postgres == "" {
		s.Postgres = "15"
	}
	if s.Postgres != "15" && s.Postgres != "10" {
		return s, fmt.Errorf("PostgreSQL %q: the lab has 15 and 10", s.Postgres)
	}
	if s.DataBytes == 0 {
		s.DataBytes = 1 << 30
	}
	if s.DataBytes < 256<<20 {
		return s, fmt.Errorf("data file system of %d bytes: want at least 256 MiB", s.DataBytes)
	}
	if s.Log == nil {
		s.Log = os.Stderr
	}
	for _, name := range s.NoSystemd {
		if !slices.ContainsFunc(s.hosts(), func(h hostSpec) bool { return h.name == name }) {
			return s, fmt.Errorf("host %q without systemd: the region has no such host, only %s", name, strings.Join(s.hostNames(), ", "))
		}
	}
	return s, nil
}

// asPG9 fills in what a 9.x region is, or refuses what it cannot be.
func (s Spec) asPG9() (Spec, error) {
	given := s
	s.Servers, s.Arbiters, s.Postgres, s.OwnPools = 2, NoArbiters, "10", true
	s.NoSystemd = s.hostNames()
	other := func(set, is bool) bool { return set && !is }
	if other(given.Servers != 0, given.Servers == 2) || other(given.Arbiters != 0, given.Arbiters == NoArbiters) ||
		other(given.Postgres != "", given.Postgres == "10") || other(given.NoSystemd != nil, len(given.NoSystemd) == len(s.NoSystemd)) || given.HAOn {
		return s, errors.New("a 9.x region has two servers, no arbiter, no watcher, no host with systemd, and its PostgreSQL is given")
	}
	return s, nil
}

// hostSpec is what one host is to be.
type hostSpec struct {
	name    string
	addr    string
	zone    string // zoneGlobal for an arbiter, empty for firstbox and pool-only hosts
	server  bool
	pool    bool
	arbiter bool
	systemd bool
}

const (
	zoneGlobal = "global"
	firstbox   = "firstbox"
	master     = "db1"
	subnet     = "198.51.100.0/24"
	gateway    = "198.51.100.1/24"
)

// hosts lists the region's hosts: firstbox, servers, pools, arbiters.
func (s Spec) hosts() []hostSpec {
	hosts := []hostSpec{{name: firstbox, addr: address(10)}}
	for i := range s.Servers {
		hosts = append(hosts, hostSpec{
			name: fmt.Sprintf("db%d", i+1), addr: address(11 + i), zone: zoneID(i),
			server: true, pool: !s.OwnPools && !s.NoPools && i < 2,
		})
	}
	if s.OwnPools {
		for i := range 2 {
			hosts = append(hosts, hostSpec{name: fmt.Sprintf("pool%d", i+1), addr: address(21 + i), pool: true})
		}
	}
	for i := range max(s.Arbiters, 0) {
		hosts = append(hosts, hostSpec{name: fmt.Sprintf("arb%d", i+1), addr: address(31 + i), zone: zoneGlobal, arbiter: true})
	}
	for i := range hosts {
		hosts[i].systemd = !slices.Contains(s.NoSystemd, hosts[i].name)
	}
	return hosts
}

func (s Spec) hostNames() []string {
	return s.namesOf(func(hostSpec) bool { return true })
}

func (s Spec) servers() []string {
	return s.namesOf(func(h hostSpec) bool { return h.server })
}

func (s Spec) pools() []string {
	return s.namesOf(func(h hostSpec) bool { return h.pool })
}

func (s Spec) arbiters() []string {
	return s.namesOf(func(h hostSpec) bool { return h.arbiter })
}

func (s Spec) namesOf(is func(hostSpec) bool) []string {
	var names []string
	for _, h := range s.hosts() {
		if is(h) {
			names = append(names, h.name)
		}
	}
	return names
}

// zones lists the zones that have servers, by name.
func (s Spec) zones() []string {
	var zones []string
	for i := range s.Servers {
		zones = append(zones, zoneID(i))
	}
	return zones
}

func zoneID(server int) string { return "zone1" + string(rune('a'+server)) }

func address(last int) string { return fmt.Sprintf("198.51.100.%d", last) }
