package nodes

import "strings"

// Kind is the kind of site, read from the inventory alone and never from a server's version.
type Kind string

// The two kinds of site.
const (
	KindPG10 Kind = "pg10" // PostgreSQL 10 and later: the node file pgserver
	KindPG9  Kind = "pg9"  // PostgreSQL 9.x: the node files pgmaster and pgslave
)

// HA says whether the site's configuration allows the watchers to act.
type HA string

// The states of HA.
const (
	HAEnabled  HA = "enabled"  // every zone's file has a pg_watcher section that says inactive_failover: 0
	HADisabled HA = "disabled" // some file has the section, but not every one says 0
	HAPaused   HA = "paused"   // enabled, and an operator has paused it: the quorum knows, no file does
	HAAbsent   HA = "absent"   // no file has the section
)

// The node files that are read, by role name, which is their file name too.
const (
	RoleServer = "pgserver"
	RoleMaster = "pgmaster"
	RoleSlave  = "pgslave"
	RolePool   = "pgpool"
)

// What Server.Listed says of a 9.x server.
const (
	ListedMaster = "master"
	ListedSlave  = "slave"
)

// GlobalZone is the zone of an arbiter that pgctl.yaml gives no other.
const GlobalZone = "global"

// ZoneFilePrefix is what the name of a zone's file begins with; the id of the zone follows.
const ZoneFilePrefix = "server.yaml."

// File is a file that the caller has read.
type File struct {
	Path string // as it is to appear in messages
	Data []byte
}

// Files is the inventory as the caller has read it. A key that is absent is a file that does not exist.
type Files struct {
	Nodes map[string]File // by role name; others than the four Role constants are ignored
	Zones map[string]File // server.yaml.ZONE_ID by zone id
}

// Inventory is what a site consists of.
type Inventory struct {
	Kind     Kind
	Servers  []Server  // in the order of the node file; 9.x: those of pgmaster, then those of pgslave
	Pools    []Pool    // in the order of the node file; none when the file does not exist
	Arbiters []Arbiter // every host of any zone's globals, in the order of zone and file; none on 9.x
	Zones    []Zone    // sorted by ID
	Warnings []Problem // sorted; what is odd but stops nothing
}

// Server is a PostgreSQL node.
type Server struct {
	Host   string
	Zone   string   // empty: unknown, as always on 9.x unless watch.zones of pgctl.yaml says it
	Pools  []string // what any pg_node_info names for it
	Listed string   // 9.x: the role by the inventory, "master" or "slave"; empty otherwise. Not what it is now
}

// Pool is a pgpool-II node.
type Pool struct {
	Host    string
	Servers []string // the servers whose pg_node_info names it, in inventory order
}

// Arbiter is a host that votes and holds no data.
type Arbiter struct {
	Host string
	Zone string // GlobalZone unless watch.zones of pgctl.yaml says otherwise
}

// Zone is one server.yaml.ZONE_ID file.
type Zone struct {
	ID      string
	Path    string
	Watcher *Watcher // nil: the file has no pg_watcher section, or the site is a 9.x one
}

// HA returns whether failover is on: only when every zone's file says so.
func (inv *Inventory) HA() HA {
	present, on := 0, 0
	for _, z := range inv.Zones {
		if z.Watcher == nil {
			continue
		}
		present++
		if !z.Watcher.InactiveFailover {
			on++
		}
	}
	switch {
	case present == 0:
		return HAAbsent
	case on == len(inv.Zones):
		return HAEnabled
	default:
		return HADisabled
	}
}

// ZoneOfFile returns the zone id of a file name such as server.yaml.devops1a, and false for every other name, copies
// such as server.yaml.devops1a.bak among them.
func ZoneOfFile(name string) (zone string, ok bool) {
	zone, ok = strings.CutPrefix(name, ZoneFilePrefix)
	if !ok || checkZone(zone) != nil {
		return "", false
	}
	return zone, true
}

// Parse reads the whole inventory. Of cfg it uses watch.zones alone. An error is of type Problems and holds
// everything that is wrong in any file.
func Parse(files Files, cfg Config) (*Inventory, error) {
	r := &reader{files: files, cfg: cfg, lists: map[string][]Name{}, sections: map[string]*section{}}
	r.readKind()
	r.readLists()
	r.readZones()
	r.buildServers()
	r.buildPools()
	r.buildArbiters()
	r.crossCheck()
	if len(r.problems) > 0 {
		return nil, r.problems.err()
	}
	r.warn()
	r.inv.Warnings = r.warnings.sorted()
	return &r.inv, nil
}
