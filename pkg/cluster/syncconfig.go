package cluster

import (
	"fmt"
	"slices"
	"strings"
)

// SyncConfig is one synchronous configuration of the master: a commit returns when K of the Members have flushed it. The state holds
// the list of those that the processes of the master's PostgreSQL may be using at this moment; what is true of a commit or of a
// promotion is asked of every one in the list (M1 of docs/safety.md).
type SyncConfig struct {
	Gen     int64    `json:"gen"`           // order in which the configurations were opened, never used twice
	K       int      `json:"k"`             // members that a commit waits for, 0 to len(Members); 0 waits for nobody
	Any     bool     `json:"any,omitempty"` // any K of the members; else all of them, and K is their number
	Members []string `json:"members"`       // member names (MemberName), in the order of their priority
	Pad     int      `json:"pad"`           // placeholders before the members, see Names; from 1
	From    LSN      `json:"from"`          // K members have flushed this far, as proven when it became the only one; 0 not yet
}

// Has tells whether the name is a member's.
func (c SyncConfig) Has(name string) bool { return c.place(name) >= 0 }

// place is where among the members the name is; -1 nowhere.
func (c SyncConfig) place(name string) int {
	return slices.IndexFunc(c.Members, func(m string) bool { return sameName(m, name) })
}

// sameName: PostgreSQL compares application_name with the names without regard to case (SyncRepGetStandbyPriority in src/backend/replication/syncrep.c).
func sameName(a, b string) bool { return strings.EqualFold(a, b) }

// Blocked tells whether the frozen members leave too few others for any commit to return under c. K = 0 can never be blocked.
func (c SyncConfig) Blocked(frozen func(member string) bool) bool {
	others := 0
	for _, m := range c.Members {
		if !frozen(m) {
			others++
		}
	}
	return others < c.K
}

// AllBlocked tells whether the frozen members block every configuration in force: no commit can return on the old master any more,
// and the furthest of the frozen members has every commit that did. One configuration left out, and the master may be using that one.
//
// A walsender releases commits by the K that it has read itself, and counts everybody who shows a priority: also a member of another
// configuration, which has not read yet that it is none of these, or has read before the others that it is one (SyncRepReleaseWaiters
// and SyncRepGetCandidateStandbys in src/backend/replication/syncrep.c). So the members of all configurations together are K for each of
// them. Under FIRST 1 it counts nobody but itself.
func AllBlocked(configs []SyncConfig, frozen func(member string) bool) bool {
	var all []string
	for _, c := range configs {
		for _, m := range c.Members {
			if !slices.Contains(all, m) {
				all = append(all, m)
			}
		}
	}
	for _, c := range configs {
		if c.K > 1 || c.Any {
			c.Members = all
		}
		if !c.Blocked(frozen) {
			return false
		}
	}
	return len(configs) > 0
}

// Holds tells whether K members have flushed x, so that whoever blocks c has one of them among the frozen: c may then replace the
// configurations before it, whose commits all lie before x.
func (c SyncConfig) Holds(x LSN, flushed func(member string) (LSN, bool)) bool {
	n := 0
	for _, m := range c.Members {
		if at, known := flushed(m); known && at >= x {
			n++
		}
	}
	return n >= c.K
}

// Same tells whether a commit waits for the same under both.
func (c SyncConfig) Same(o SyncConfig) bool {
	return c.K == o.K && c.Any == o.Any && slices.Equal(c.Members, o.Members)
}

// Sentence is what a commit waits for under c, in words.
func (c SyncConfig) Sentence() string {
	switch {
	case c.K == 0:
		return "a commit waits for nobody"
	case c.Any:
		return fmt.Sprintf("a commit waits for any %d of %s", c.K, strings.Join(c.Members, ", "))
	}
	return "a commit waits for " + strings.Join(c.Members, ", ")
}

// NewSyncConfig is the configuration of these members. Needed is sync_mode: 0 is all of them, N is any N (all, where there are no more
// than N). It is told apart from those in force by its priorities: under FIRST every member has another one than in each of them.
func NewSyncConfig(gen int64, members []string, needed int, inForce []SyncConfig) SyncConfig {
	c := SyncConfig{Gen: gen, K: len(members), Members: members, Pad: 1}
	if needed > 0 && needed < len(members) {
		c.K, c.Any = needed, true
	}
	for slices.ContainsFunc(inForce, func(o SyncConfig) bool { return !distinct(c, o) }) {
		c.Pad++
	}
	return c
}

// distinct tells whether no member has the same priority under both.
func distinct(a, b SyncConfig) bool {
	for _, m := range a.Members {
		if p := a.Priority(m); !a.Any && !b.Any && p == b.Priority(m) {
			return false
		}
	}
	return true
}

// Priority is sync_priority as the walsender of this name computes it under c, and it alone writes it: 0 when the name is none of
// its. Under ANY it is 1 for every member (PostgreSQL manual, "pg_stat_replication").
func (c SyncConfig) Priority(name string) int {
	i := c.place(name)
	switch {
	case i < 0:
		return 0
	case c.Any:
		return 1
	}
	return c.Pad + i + 1
}

// Names is synchronous_standby_names for c in this epoch. Placeholders that nobody can match stand first, so that the text names its
// generation and every change moves every priority; they are not counted, as K of the members are there to be waited for.
func (c SyncConfig) Names(epoch int64) string {
	if c.K == 0 {
		return ""
	}
	form := "FIRST"
	if c.Any {
		form = "ANY"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %d (", form, c.K)
	for i := range c.Pad {
		fmt.Fprintf(&b, `"pgctl.e%d.g%d.%d",`, epoch, c.Gen, i)
	}
	for i, m := range c.Members {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`"` + m + `"`)
	}
	b.WriteByte(')')
	return b.String()
}

// ClosedNames is synchronous_standby_names of a server that may acknowledge nothing: it waits for one that nobody can be (M5). Standbys
// bear it too, so that a promotion by any other hand acknowledges nothing either.
const ClosedNames = `FIRST 1 ("pgctl.closed")`

// newerNames tells whether names that are in effect were made of a later state than s. Nothing else writes names of this form, so what is
// known of the quorum went back: a disk was restored.
func newerNames(s *State, shown string) bool {
	_, tag, ok := strings.Cut(shown, `"pgctl.e`)
	if !ok {
		return false
	}
	tag, _, _ = strings.Cut(tag, `"`)
	var epoch, gen int64
	if n, _ := fmt.Sscanf(tag, "%d.g%d.", &epoch, &gen); n != 2 {
		return false
	}
	return epoch > s.Epoch || epoch == s.Epoch && gen > s.Gen
}
