package nodes

import (
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// The keys of server.yaml that pgctl reads.
const (
	sectionWatcher = "pg_watcher"

	keyGlobals          = "globals"
	keyInactiveFailover = "inactive_failover"
	keyUsingMasterByTS  = "using_master_by_ts"
	keyNodeInfo         = "pg_node_info"
	keyDownAfter        = "down_after"
	keyStandbyDownAfter = "standby_down_after"
	keyLease            = "lease"
	keySpareAfter       = "spare_after"
	keyPort             = "port"
	keySyncMode         = "sync_mode"

	keyZoneID  = "zone_id"
	keyPgpools = "pgpools"
)

func watcherKeys() []string {
	return []string{
		keyGlobals, keyInactiveFailover, keyUsingMasterByTS, keyNodeInfo, keyDownAfter, keyStandbyDownAfter,
		keyLease, keySpareAfter, keyPort, keySyncMode,
	}
}

// ParseServerYAML reads the pg_watcher section of server.yaml.ZONE. The watcher is nil when the file has no such
// section; other sections may hold anything. The problems beside it are warnings: unknown keys and a missing
// inactive_failover, which counts as 1. An error is of type Problems.
func ParseServerYAML(zone string, file File) (*Watcher, []Problem, error) {
	s, warnings, err := parseSection(zone, file)
	if s == nil {
		return nil, warnings, err
	}
	return s.watcher, warnings, nil
}

// section is a pg_watcher section being read, with the line of every key for messages.
type section struct {
	path     string
	watcher  *Watcher
	line     int // of the key pg_watcher
	lines    map[string]int
	badTimes bool // some duration could not be read, so their relation says nothing
	problems Problems
	warnings Problems
}

// parseSection returns nil when the file has no pg_watcher section.
func parseSection(zone string, file File) (*section, []Problem, error) {
	if err := checkZone(zone); err != nil {
		return nil, nil, Problems{{file.Path, 0, err.Error() + "; rename the file to server.yaml.ZONE_ID"}}
	}
	root, problems := parseRoot(file)
	if root == nil {
		return nil, nil, problems.err()
	}
	line, value, problems := findSection(file.Path, root)
	if value == nil {
		return nil, nil, problems.err()
	}
	s := &section{path: file.Path, line: line, watcher: defaultWatcher(), lines: map[string]int{}, problems: problems}
	if value.Kind != yaml.MappingNode {
		s.problems.add(s.path, line, "gives pg_watcher %s, expected keys such as inactive_failover; "+
			"write the keys or remove the section", kindName(value))
		return nil, nil, s.problems.err()
	}
	for _, e := range entries(s.path, value, &s.problems) {
		s.lines[e.key] = e.line
		s.read(e)
	}
	s.finish()
	if len(s.problems) > 0 {
		return nil, nil, s.problems.err()
	}
	return s, s.warnings.sorted(), nil
}

// findSection returns the pg_watcher section with the line of its key. The other sections are not looked at.
func findSection(path string, root *yaml.Node) (int, *yaml.Node, Problems) {
	var problems Problems
	var line int
	var value *yaml.Node
	for i := 0; i+1 < len(root.Content); i += 2 {
		key := follow(root.Content[i])
		if key.Kind != yaml.ScalarNode || key.Value != sectionWatcher {
			continue
		}
		if value != nil {
			problems.add(path, root.Content[i].Line, "has the section pg_watcher twice, first on line %d, expected it once; "+
				"remove one of the two", line)
			continue
		}
		line, value = root.Content[i].Line, follow(root.Content[i+1])
	}
	return line, value, problems
}

// read takes one key of the section.
func (s *section) read(e entry) {
	const day = 24 * time.Hour
	w := s.watcher
	switch e.key {
	case keyGlobals:
		w.Globals = s.hosts(e)
	case keyInactiveFailover:
		s.flag(e, &w.InactiveFailover, "1 (automatic failover off) or 0 (on)")
	case keyUsingMasterByTS:
		s.flag(e, &w.UsingMasterByTS, "1 (an old master rejoins by itself) or 0 (it waits for the operator)")
	case keyNodeInfo:
		s.nodeInfo(e)
	case keyDownAfter:
		s.duration(e, &w.DownAfter, minLease+MinStopTime+ClockDrift, day)
	case keyStandbyDownAfter:
		s.duration(e, &w.StandbyDownAfter, 2*time.Second, day)
	case keyLease:
		s.duration(e, &w.Lease, minLease, time.Hour)
	case keySpareAfter:
		s.duration(e, &w.SpareAfter, 5*time.Second, day)
	case keyPort:
		value, _ := scalarText(e.value)
		port, ok := parsePort(value)
		if !ok {
			s.wrong(e, "a TCP port from 1 to 65535")
		}
		w.Port = port
	case keySyncMode:
		value, _ := scalarText(e.value)
		mode, ok := parseSyncMode(value)
		if !ok {
			s.wrong(e, `"all" or "any N" with N from 1`)
		}
		w.SyncMode = mode
	default:
		s.unknown(e, watcherKeys())
	}
}

// finish fills in what depends on other keys and checks how the keys fit together.
func (s *section) finish() {
	w := s.watcher
	if s.lines[keyInactiveFailover] == 0 {
		s.warnings.add(s.path, s.line, "has no key inactive_failover in pg_watcher, which counts as 1 (automatic failover off), "+
			"expected 0 or 1; add the key")
	}
	if s.lines[keyLease] == 0 {
		w.Lease = defaultLease(w.DownAfter)
		return
	}
	if !s.badTimes && w.DownAfter < w.Lease+StopTimeOf(w.DownAfter)+ClockDrift {
		// The lease is longer than the shortest one, so a longer down_after is a longer stop time until that is at its most.
		s.problems.add(s.path, s.lines[keyLease], "has lease %v and down_after %v, expected down_after to be at least %v "+
			"(lease + %v to stop + %v of clock drift), as two masters could serve at once; lower lease or raise down_after",
			w.Lease, w.DownAfter, w.Lease+MaxStopTime+ClockDrift, MaxStopTime, ClockDrift)
	}
}

func (s *section) wrong(e entry, expected string) {
	s.problems.add(s.path, e.line, "gives %s %s, expected %s; correct the value", e.key, kindName(e.value), expected)
}

func (s *section) unknown(e entry, known []string) {
	s.warnings.add(s.path, e.line, "has the unknown key %q in pg_watcher%s, expected one of %s; it is ignored: correct or remove it",
		e.key, didYouMean(e.key, known), strings.Join(known, ", "))
}

func (s *section) flag(e entry, into *bool, expected string) {
	value, ok := scalarText(e.value)
	if !ok || value != "0" && value != "1" {
		s.wrong(e, expected)
		return
	}
	*into = value == "1"
}

func (s *section) duration(e entry, into *time.Duration, lowest, highest time.Duration) {
	value, ok := scalarText(e.value)
	d, err := parseDuration(value)
	switch {
	case !ok || err != nil:
		s.badTimes = true
		s.wrong(e, "a duration such as 90s or 2m, or a whole number of seconds")
	case d < lowest || d > highest:
		s.badTimes = true
		s.problems.add(s.path, e.line, "gives %s %v, expected %v to %v; correct the value", e.key, d, lowest, highest)
	default:
		*into = d
	}
}

// hosts reads a comma list or a YAML list of hosts. No value at all is an empty list.
func (s *section) hosts(e entry) []string {
	var names []Name
	switch {
	case isNull(e.value):
		return nil
	case e.value.Kind == yaml.SequenceNode:
		for _, item := range e.value.Content {
			value, ok := scalarText(follow(item))
			if !ok {
				s.problems.add(s.path, item.Line, "lists %s in %s, expected a host name; correct the list", kindName(item), e.key)
				continue
			}
			names = append(names, Name{strings.TrimSpace(value), item.Line})
		}
	case e.value.Kind == yaml.ScalarNode:
		names = s.commaList(e)
	default:
		s.wrong(e, "host names with commas between them")
	}
	return s.checked(e.key, names)
}

func (s *section) commaList(e entry) []Name {
	if strings.TrimSpace(e.value.Value) == "" {
		return nil
	}
	var names []Name
	for item := range strings.SplitSeq(e.value.Value, ",") {
		if item = strings.TrimSpace(item); item != "" {
			names = append(names, Name{item, e.value.Line})
			continue
		}
		s.warnings.add(s.path, e.value.Line, "has a comma too many in %s, expected one comma between two hosts; remove it", e.key)
	}
	return names
}

// checked returns the hosts of a list when every one is a host name and stands there once.
func (s *section) checked(key string, names []Name) []string {
	var hosts []string
	for _, n := range names {
		switch err := CheckHost(n.Host); {
		case err != nil:
			s.problems.add(s.path, n.Line, "has a bad name in %s: %v; correct the name", key, err)
		case slices.ContainsFunc(hosts, func(h string) bool { return strings.EqualFold(h, n.Host) }):
			s.problems.add(s.path, n.Line, "lists the host %q twice in %s, expected every host once; remove one of the two", n.Host, key)
		default:
			hosts = append(hosts, n.Host)
		}
	}
	return hosts
}
