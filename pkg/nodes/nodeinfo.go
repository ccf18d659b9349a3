package nodes

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// nodeInfo reads pg_node_info: a mapping of server to zone_id and pgpools.
func (s *section) nodeInfo(e entry) {
	if isNull(e.value) {
		return
	}
	if e.value.Kind != yaml.MappingNode {
		s.wrong(e, "a mapping of every server to its zone_id and pgpools")
		return
	}
	for _, server := range entries(s.path, e.value, &s.problems) {
		if err := CheckHost(server.key); err != nil {
			s.problems.add(s.path, server.line, "has a bad name in pg_node_info: %v; correct the name", err)
			continue
		}
		same := func(n WatchedNode) bool { return strings.EqualFold(n.Host, server.key) }
		if slices.ContainsFunc(s.watcher.Nodes, same) {
			s.problems.add(s.path, server.line, "has the server %q twice in pg_node_info, expected it once; remove one of the two", server.key)
			continue
		}
		s.watchedNode(server)
	}
}

func (s *section) watchedNode(server entry) {
	node := WatchedNode{Host: server.key, Line: server.line}
	if server.value.Kind != yaml.MappingNode {
		s.wrong(server, "the keys zone_id and pgpools")
		return
	}
	zoneSeen := false
	for _, e := range entries(s.path, server.value, &s.problems) {
		switch e.key {
		case keyZoneID:
			zoneSeen = true
			value, ok := scalarText(e.value)
			if !ok {
				s.wrong(e, "the id of a zone")
			} else if err := checkZone(value); err != nil {
				s.problems.add(s.path, e.line, "has a bad zone_id for %s: %v; correct the zone_id", server.key, err)
			}
			node.Zone, node.ZoneLine = value, e.line
		case keyPgpools:
			node.Pools, node.PoolsLine = s.hosts(e), e.line
		default:
			s.unknown(e, []string{keyZoneID, keyPgpools})
		}
	}
	if !zoneSeen {
		s.problems.add(s.path, server.line, "has no zone_id for the server %s, expected the id of its zone; add the key", server.key)
	}
	s.watcher.Nodes = append(s.watcher.Nodes, node)
}
