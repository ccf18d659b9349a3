package nodes

import (
	"slices"
	"strings"
)

// crossCheck notes what is wrong between two files. What a file that could not be read would have said is not held
// against the others.
func (r *reader) crossCheck() {
	r.checkMasterAndSlave()
	for _, z := range r.inv.Zones {
		s := r.sections[z.ID]
		if s == nil {
			continue
		}
		r.checkArbiters(s)
		r.checkSync(s)
		for _, n := range s.watcher.Nodes {
			r.checkNode(s, n)
			r.checkPools(s, n)
		}
	}
	r.checkZoneIDs()
}

func (r *reader) checkMasterAndSlave() {
	master, slave := r.files.Nodes[RoleMaster], r.files.Nodes[RoleSlave]
	for _, n := range r.lists[RoleSlave] {
		if m := findHost(r.lists[RoleMaster], n.Host); m != nil {
			r.problems.add(slave.Path, n.Line, "lists the host %q, which is listed as master too (%s), expected another host; "+
				"remove one of the two", n.Host, place(master.Path, m.Line))
		}
	}
}

// findHost returns the entry of a host in a list, in whatever case it is written, or nil.
func findHost(list []Name, host string) *Name {
	i := slices.IndexFunc(list, func(n Name) bool { return strings.EqualFold(n.Host, host) })
	if i < 0 {
		return nil
	}
	return &list[i]
}

func (r *reader) checkArbiters(s *section) {
	for _, host := range s.watcher.Globals {
		for _, a := range r.inv.Arbiters {
			if a.Host < host && strings.EqualFold(a.Host, host) {
				r.problems.add(s.path, s.lines[keyGlobals], "names the arbiter %q, which another zone's file calls %q, "+
					"expected one spelling, as both are the same host; correct one of the two", host, a.Host)
			}
		}
		if n := findHost(r.lists[RoleServer], host); n != nil {
			r.problems.add(s.path, s.lines[keyGlobals], "names the arbiter %q, which is a server too (%s), expected a host "+
				"without a server, as it would have two votes; take another host", host, place(r.files.Nodes[RoleServer].Path, n.Line))
		}
	}
}

// checkSync refuses a mode that could never be fulfilled and would stop every write.
func (r *reader) checkSync(s *section) {
	standbys := len(r.lists[RoleServer]) - 1
	if need := s.watcher.SyncNeeded(); standbys >= 0 && need > standbys {
		r.problems.add(s.path, s.lines[keySyncMode], "gives sync_mode %q to a site whose number of standbys is %d, "+
			"expected at most that, as no write could ever be acknowledged; lower the number or use \"all\"", s.watcher.SyncMode, standbys)
	}
}

func (r *reader) checkNode(s *section, n WatchedNode) {
	servers, read := r.lists[RoleServer]
	if read && !slices.ContainsFunc(servers, func(x Name) bool { return x.Host == n.Host }) {
		r.problems.add(s.path, n.Line, "names the server %q in pg_node_info, which is not in %s%s, expected a server of the site; "+
			"correct the name, or add it there", n.Host, r.files.Nodes[RoleServer].Path, didYouMean(n.Host, hosts(servers)))
	}
	if _, exists := r.files.Zones[n.Zone]; !exists {
		var ids []string
		for _, z := range r.inv.Zones {
			ids = append(ids, z.ID)
		}
		r.problems.add(s.path, n.ZoneLine, "gives the server %s the zone_id %q, for which there is no file server.yaml.%s%s, "+
			"expected one of %s; correct the zone_id, or add the file", n.Host, n.Zone, n.Zone, didYouMean(n.Zone, ids),
			strings.Join(ids, ", "))
	}
}

func (r *reader) checkPools(s *section, n WatchedNode) {
	pools, read := r.lists[RolePool]
	file, exists := r.files.Nodes[RolePool]
	for _, host := range n.Pools {
		switch {
		case !exists:
			r.problems.add(s.path, n.PoolsLine, "names the pool %q for the server %s, but the inventory has no node file pgpool, "+
				"expected the pool there; add the file, or remove the pool", host, n.Host)
		case read && !slices.ContainsFunc(pools, func(x Name) bool { return x.Host == host }):
			r.problems.add(s.path, n.PoolsLine, "names the pool %q for the server %s, which is not in %s%s, expected a pool of the site; "+
				"correct the name, or add it there", host, n.Host, file.Path, didYouMean(host, hosts(pools)))
		}
	}
}

// checkZoneIDs refuses a server that two files put into different zones.
func (r *reader) checkZoneIDs() {
	type saying struct {
		zone, path string
		line       int
	}
	first := map[string]saying{}
	for _, z := range r.inv.Zones {
		s := r.sections[z.ID]
		if s == nil {
			continue
		}
		for _, n := range s.watcher.Nodes {
			f, seen := first[n.Host]
			if !seen {
				first[n.Host] = saying{n.Zone, s.path, n.ZoneLine}
			} else if f.zone != n.Zone {
				r.problems.add(s.path, n.ZoneLine, "puts the server %s into the zone %q, while %s says %q, expected the same zone in every "+
					"file; correct one of the two", n.Host, n.Zone, place(f.path, f.line), f.zone)
			}
		}
	}
}

func hosts(names []Name) []string {
	var out []string
	for _, n := range names {
		out = append(out, n.Host)
	}
	return out
}
