package cluster

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// SyncNames is synchronous_standby_names taken apart (PostgreSQL manual, "synchronous_standby_names"): a commit waits for
// Needed of the Members.
type SyncNames struct {
	Needed  int      // 0: a commit waits for nobody
	Any     bool     // any of the members, in place of the first ones
	Members []string // as written, quotes off; "*" is everybody
}

var (
	syncForm = regexp.MustCompile(`(?is)^\s*(?:(first|any)\s+)?([0-9]+)\s*\((.*)\)\s*$`)
	syncName = regexp.MustCompile(`^\s*(?:"((?:[^"]|"")*)"|([^\s",()"]+))\s*(?:,|$)`)
)

// ParseSyncNames reads all forms: FIRST n (a, b), ANY n (a, b), n (a, b), and the plain list, which means FIRST 1.
func ParseSyncNames(text string) (SyncNames, error) {
	if strings.TrimSpace(text) == "" {
		return SyncNames{}, nil
	}
	names := SyncNames{Needed: 1}
	list := text
	if m := syncForm.FindStringSubmatch(text); m != nil {
		needed, err := strconv.Atoi(m[2])
		if err != nil || needed < 1 {
			return SyncNames{}, fmt.Errorf("synchronous_standby_names is %q: expected a number of standbys above zero", text)
		}
		names.Needed, names.Any, list = needed, strings.EqualFold(m[1], "any"), m[3]
	}
	for list != "" {
		m := syncName.FindStringSubmatch(list)
		if m == nil {
			return SyncNames{}, fmt.Errorf("synchronous_standby_names is %q: expected names separated by commas at %q", text, list)
		}
		names.Members = append(names.Members, strings.ReplaceAll(m[1], `""`, `"`)+m[2])
		list = list[len(m[0]):]
	}
	if len(names.Members) == 0 {
		return SyncNames{}, fmt.Errorf("synchronous_standby_names is %q: expected at least one name", text)
	}
	return names, nil
}

// has tells whether an application_name is one of the members; case does not count.
func (n SyncNames) has(name string) bool {
	for _, m := range n.Members {
		if m == "*" || strings.EqualFold(m, name) {
			return true
		}
	}
	return false
}

// Blocked tells whether commits on this master wait for standbys that are not there: fewer walsenders stream under the
// names than a commit needs. Several walsenders of one name count as one.
func (in *Instance) Blocked() bool {
	names, err := ParseSyncNames(in.SyncNames)
	if err != nil || names.Needed == 0 {
		return false
	}
	present := map[string]bool{}
	for _, w := range in.Standbys {
		if w.State == "streaming" && names.has(w.ApplicationName) {
			present[strings.ToLower(w.ApplicationName)] = true
		}
	}
	return len(present) < names.Needed
}
