package cluster

import (
	"fmt"
	"regexp"
	"slices"
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

// Anybody tells whether everybody is a member ("*").
func (n SyncNames) Anybody() bool { return slices.Contains(n.Members, "*") }

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

// With gives the names with this member in place of any other that is the host's, else at the end: a server is counted once, under its
// present name, and keeps its priority. What all members had to have, all must have afterwards; "any N" stays so. Names that were empty become all of the members.
func (n SyncNames) With(host, member string) SyncNames {
	if n.Anybody() {
		return n
	}
	at := slices.IndexFunc(n.Members, func(m string) bool { return IsMember(m, host) })
	kept := n.without(host)
	if at < 0 {
		at = len(kept.Members)
	}
	kept.Members = slices.Insert(kept.Members, at, member)
	return kept.counted(n)
}

// Without gives the names without the host's. A commit never waits for more members than there are.
func (n SyncNames) Without(host string) SyncNames { return n.without(host).counted(n) }

func (n SyncNames) without(host string) SyncNames {
	kept := SyncNames{Needed: n.Needed, Any: n.Any}
	for _, m := range n.Members {
		if !IsMember(m, host) {
			kept.Members = append(kept.Members, m)
		}
	}
	return kept
}

// counted sets how many are needed, in the form that the names had before.
func (n SyncNames) counted(before SyncNames) SyncNames {
	if !before.Any && before.Needed == len(before.Members) {
		n.Needed = len(n.Members)
	}
	n.Needed = min(n.Needed, len(n.Members))
	return n
}

// String is the setting, every name quoted; "" waits for nobody.
func (n SyncNames) String() string {
	if n.Needed == 0 || len(n.Members) == 0 {
		return ""
	}
	quoted := make([]string, len(n.Members))
	for i, m := range n.Members {
		quoted[i] = `"` + strings.ReplaceAll(m, `"`, `""`) + `"`
	}
	form := "FIRST"
	if n.Any {
		form = "ANY"
	}
	return fmt.Sprintf("%s %d (%s)", form, n.Needed, strings.Join(quoted, ","))
}

// Same tells whether two settings mean the same.
func (n SyncNames) Same(other SyncNames) bool { return n.String() == other.String() }

// SlotName is the name of the slot that a server uses on its master: its host name in what a slot's name may have, which is lower-case letters,
// digits and underscores, at most 63 (manual, "Querying and Manipulating Replication Slots").
func SlotName(host string) string {
	name := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			return c
		}
		return '_'
	}, strings.ToLower(host))
	return name[:min(len(name), 63)]
}

// MemberName is the name under which a server shows itself to its master after pgctl has made it a copy anew: its host name and an
// incarnation, so that whatever else bears the old name counts for nothing. PostgreSQL cuts names at 63 bytes and ignores case.
func MemberName(host, incarnation string) string {
	name := strings.ToLower(host) + "_" + incarnation
	if len(name) > 63 {
		return host // its name cannot be told from another's end
	}
	return name
}
