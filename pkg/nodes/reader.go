package nodes

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// reader puts the inventory together and gathers what is wrong with it.
type reader struct {
	files    Files
	cfg      Config
	inv      Inventory
	lists    map[string][]Name   // by role; absent: no such file, or not readable
	sections map[string]*section // by zone; absent: no such section, or not readable
	problems Problems
	warnings Problems
	badZones bool // some zone's file is not readable
}

func (r *reader) readKind() {
	const expected = "expected pgserver (PostgreSQL 10 and later), or pgmaster and pgslave (9.x)"
	_, server := r.files.Nodes[RoleServer]
	_, master := r.files.Nodes[RoleMaster]
	_, slave := r.files.Nodes[RoleSlave]
	switch {
	case server && !master && !slave:
		r.inv.Kind = KindPG10
	case !server && master && slave:
		r.inv.Kind = KindPG9
	case !server && !master && !slave:
		r.problems.add("", 0, "the inventory has none of the node files pgserver, pgmaster and pgslave, %s; "+
			"check the directory of the configuration", expected)
	case server:
		var found []string
		for _, role := range []string{RoleServer, RoleMaster, RoleSlave} {
			if f, ok := r.files.Nodes[role]; ok {
				found = append(found, f.Path)
			}
		}
		r.problems.add("", 0, "the inventory has node files of both kinds of site (%s), %s; remove those of the other kind",
			strings.Join(found, ", "), expected)
	default:
		found, missing := RoleMaster, RoleSlave
		if slave {
			found, missing = missing, found
		}
		r.problems.add(r.files.Nodes[found].Path, 0, "stands alone: the inventory has no node file %s, %s; add %s", missing, expected, missing)
	}
}

func (r *reader) readLists() {
	for _, role := range []string{RoleServer, RoleMaster, RoleSlave, RolePool} {
		file, ok := r.files.Nodes[role]
		if !ok {
			continue
		}
		names, err := ParseNodeList(file)
		r.note(err)
		if err == nil {
			r.lists[role] = names
		}
	}
}

func (r *reader) readZones() {
	for _, id := range slices.Sorted(maps.Keys(r.files.Zones)) {
		file := r.files.Zones[id]
		zone := Zone{ID: id, Path: file.Path}
		if r.inv.Kind != KindPG9 {
			s, warnings, err := parseSection(id, file)
			r.note(err)
			r.badZones = r.badZones || err != nil
			r.warnings = append(r.warnings, warnings...)
			if s != nil {
				r.sections[id] = s
				zone.Watcher = s.watcher
			}
		}
		r.inv.Zones = append(r.inv.Zones, zone)
	}
}

// note keeps the problems of an error of this package.
func (r *reader) note(err error) {
	if problems, ok := err.(Problems); ok { //nolint:errorlint // made by this package, never wrapped
		r.problems = append(r.problems, problems...)
	}
}

func (r *reader) buildServers() {
	for _, role := range []string{RoleServer, RoleMaster, RoleSlave} {
		for _, n := range r.lists[role] {
			s := Server{Host: n.Host, Zone: r.cfg.Watch.Zones[n.Host]}
			switch role {
			case RoleMaster:
				s.Listed = ListedMaster
			case RoleSlave:
				s.Listed = ListedSlave
			}
			for _, z := range r.inv.Zones {
				if w := z.node(n.Host); w != nil {
					s.Zone = w.Zone
					s.Pools = union(s.Pools, w.Pools)
				}
			}
			r.inv.Servers = append(r.inv.Servers, s)
		}
	}
}

func (r *reader) buildPools() {
	for _, n := range r.lists[RolePool] {
		pool := Pool{Host: n.Host}
		for _, s := range r.inv.Servers {
			if slices.Contains(s.Pools, n.Host) {
				pool.Servers = append(pool.Servers, s.Host)
			}
		}
		r.inv.Pools = append(r.inv.Pools, pool)
	}
}

func (r *reader) buildArbiters() {
	var hosts []string
	for _, z := range r.inv.Zones {
		if z.Watcher != nil {
			hosts = union(hosts, z.Watcher.Globals)
		}
	}
	for _, h := range hosts {
		zone := GlobalZone
		if z, ok := r.cfg.Watch.Zones[h]; ok {
			zone = z
		}
		r.inv.Arbiters = append(r.inv.Arbiters, Arbiter{Host: h, Zone: zone})
	}
}

// node returns what the zone's pg_node_info says about a server, or nil.
func (z Zone) node(host string) *WatchedNode {
	if z.Watcher == nil {
		return nil
	}
	i := slices.IndexFunc(z.Watcher.Nodes, func(n WatchedNode) bool { return n.Host == host })
	if i < 0 {
		return nil
	}
	return &z.Watcher.Nodes[i]
}

func union(a, b []string) []string {
	for _, x := range b {
		if !slices.Contains(a, x) {
			a = append(a, x)
		}
	}
	return a
}

// place names a line for the middle of a sentence.
func place(path string, line int) string {
	if line == 0 {
		return path
	}
	return fmt.Sprintf("%s:%d", path, line)
}
