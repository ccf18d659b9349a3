package nodes

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// warn notes what is odd in an inventory without errors.
func (r *reader) warn() {
	if len(r.sections) == 0 {
		return
	}
	r.warnUnnamed()
	r.warnSectionMissing()
	for _, key := range watcherKeys() {
		if key != keyNodeInfo {
			r.warnDifferent(key, "", func(w *Watcher) string { return w.value(key) })
		}
	}
	for _, s := range r.inv.Servers {
		r.warnDifferent(keyNodeInfo, " of "+s.Host, func(w *Watcher) string { return w.nodeValue(s.Host) })
	}
}

// warnUnnamed finds servers that nobody watches and pools that nobody would move.
func (r *reader) warnUnnamed() {
	for _, n := range r.lists[RoleServer] {
		if !slices.ContainsFunc(r.inv.Zones, func(z Zone) bool { return z.node(n.Host) != nil }) {
			r.warnings.add(r.files.Nodes[RoleServer].Path, n.Line, "lists the server %q, which no pg_node_info names, "+
				"expected every server there; add it to pg_node_info in every zone's file", n.Host)
		}
	}
	for i, n := range r.lists[RolePool] {
		if len(r.inv.Pools[i].Servers) == 0 {
			r.warnings.add(r.files.Nodes[RolePool].Path, n.Line, "lists the pool %q, which pgpools of no server names, "+
				"expected it with some server; add it to pg_node_info in every zone's file", n.Host)
		}
	}
}

func (r *reader) warnSectionMissing() {
	for _, z := range r.inv.Zones {
		if r.sections[z.ID] == nil {
			r.warnings.add(z.Path, 0, "has no pg_watcher section, which other zones have (%s), expected it in every zone's file, "+
				"as failover stays off until then; add the section", strings.Join(slices.Sorted(maps.Keys(r.sections)), ", "))
		}
	}
}

// warnDifferent says which zone says what, when they do not all say the same. The warning stands at the first file
// that differs from the first zone's.
func (r *reader) warnDifferent(key, of string, value func(*Watcher) string) {
	var said []string
	first, differs := "", (*section)(nil)
	for _, z := range r.inv.Zones {
		s := r.sections[z.ID]
		if s == nil {
			continue
		}
		v := value(s.watcher)
		if said == nil {
			first = v
		} else if v != first && differs == nil {
			differs = s
		}
		said = append(said, fmt.Sprintf("%s says %s", z.ID, v))
	}
	if differs == nil {
		return
	}
	line := differs.lines[key]
	if line == 0 {
		line = differs.line
	}
	r.warnings.add(differs.path, line, "gives another %s%s than another zone (%s), expected the same in every zone's file; "+
		"make them equal and roll them out", key, of, strings.Join(said, "; "))
}

// value returns a key's value for comparing and showing. The order of a list does not count.
func (w *Watcher) value(key string) string {
	switch key {
	case keyGlobals:
		return listText(w.Globals)
	case keyInactiveFailover:
		return flagText(w.InactiveFailover)
	case keyUsingMasterByTS:
		return flagText(w.UsingMasterByTS)
	case keyDownAfter:
		return w.DownAfter.String()
	case keyStandbyDownAfter:
		return w.StandbyDownAfter.String()
	case keyLease:
		return w.Lease.String()
	case keySpareAfter:
		return w.SpareAfter.String()
	case keyPort:
		return fmt.Sprint(w.Port)
	case keySyncMode:
		return w.SyncMode
	default:
		return ""
	}
}

func (w *Watcher) nodeValue(host string) string {
	for _, n := range w.Nodes {
		if n.Host == host {
			return fmt.Sprintf("zone_id %s, pgpools %s", n.Zone, listText(n.Pools))
		}
	}
	return "nothing"
}

func listText(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(slices.Sorted(slices.Values(list)), ",")
}

func flagText(on bool) string {
	if on {
		return "1"
	}
	return "0"
}

// Differs names the keys of which two zones' sections say different things; of pg_node_info only what the two say of the
// given servers counts.
func (w *Watcher) Differs(other *Watcher, servers []string) []string {
	var keys []string
	for _, key := range watcherKeys() {
		if key != keyNodeInfo && w.value(key) != other.value(key) {
			keys = append(keys, key)
		}
	}
	if slices.ContainsFunc(servers, func(host string) bool { return w.nodeValue(host) != other.nodeValue(host) }) {
		keys = append(keys, keyNodeInfo)
	}
	return keys
}

// Names tells whether pg_node_info names a server.
func (w *Watcher) Names(server string) bool {
	return slices.ContainsFunc(w.Nodes, func(n WatchedNode) bool { return n.Host == server })
}
