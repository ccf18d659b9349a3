package consensus

import (
	"fmt"
	"slices"
	"time"
)

// Verb is what a change of the members does.
type Verb string

// The changes. Join lets a host follow without a vote, Promote gives it a vote, Demote takes the vote, Remove ends its
// membership. HandOver changes no member: the leader gives the lead to the host, as it is to lose its own vote next.
const (
	Join     Verb = "join"
	Promote  Verb = "promote"
	Demote   Verb = "demote"
	Remove   Verb = "remove"
	HandOver Verb = "hand over"
)

// Change is one change of the members, with its reason for the log and the history.
type Change struct {
	Verb Verb
	Host string
	Why  string
}

func (c Change) String() string { return fmt.Sprintf("%s %s: %s", c.Verb, c.Host, c.Why) }

// Member is one host of raft's configuration.
type Member struct {
	Name  string
	Votes bool
}

// Contact is what the leader knows of another host. The zero value is a host that answers and is far behind.
type Contact struct {
	Silent   time.Duration // since its last answer
	CaughtUp bool          // its log is about as long as the leader's
	Refused  string        // why its store is not the one that was known, or went back; "" it is
}

// answering is how lately a host must have answered to be counted on in a change.
const answering = 5 * time.Second

func (c Contact) alive() bool { return c.Silent < answering && c.Refused == "" }

// Situation is all that a change of the members is decided from.
type Situation struct {
	Leader     string             // who asks; it is alive and caught up by definition
	Members    []Member           // raft's configuration, committed
	Hosts      []Host             // the inventory. A majority must have the same one (docs/consensus.md)
	Contacts   map[string]Contact // of the others; who is missing has never answered
	SpareAfter time.Duration      // for how long a voter is silent before the spare takes its vote
}

// Next is the one change that brings the members nearer to what the inventory wants; nil: none is needed, or none is safe now.
//
//   - After each change a majority of the voters answers, if it did before.
//   - The number of voters is odd, but for the one step between a Promote and a Demote, and while a refused voter
//     is taken in again where no spare can stand in for it.
//   - Nobody gets a vote who does not answer or is far behind; a silent voter keeps its vote until another can take it.
func (s Situation) Next() *Change {
	voters, target := s.voting(), s.target()
	if len(voters)%2 == 0 {
		if c := s.move(voters, target); c != nil {
			return c
		}
	}
	if c := s.join(); c != nil {
		return c
	}
	if c := s.move(voters, target); c != nil {
		return c
	}
	return s.remove(voters)
}

func (s Situation) voting() []string {
	var out []string
	for _, m := range s.Members {
		if m.Votes {
			out = append(out, m.Name)
		}
	}
	slices.Sort(out)
	return out
}

func (s Situation) alive(name string) bool {
	c, known := s.Contacts[name]
	return name == s.Leader || known && c.alive()
}

// target is who should vote: of those who vote and those who could, as many as the inventory gives, an odd number.
func (s Situation) target() []candidate {
	all := s.candidates()
	most := odd(len(replicating(s.Hosts)))
	if len(all) > most {
		all, _ = elect(all, max(most, 1))
	}
	if len(all)%2 == 0 { // too few for the inventory: the last one waits until another can come along
		waiting := slices.DeleteFunc(slices.Clone(all), func(c candidate) bool { return c.votes })
		if len(waiting) > 0 {
			last := slices.MinFunc(waiting, func(a, b candidate) int { return goesFirst(all, a, b) })
			all = slices.DeleteFunc(all, func(c candidate) bool { return c.Name == last.Name })
		}
	}
	return all
}

// candidates are the voters, and the other members of the inventory that could vote at once; who goes first is first.
func (s Situation) candidates() []candidate {
	var out []candidate
	for _, m := range s.Members {
		h, wanted := s.host(m.Name)
		c := s.Contacts[m.Name]
		if !m.Votes && (!wanted || !s.alive(m.Name) || !c.CaughtUp) {
			continue
		}
		_, known := s.Contacts[m.Name]
		absent := m.Name != s.Leader && (!known || c.Silent >= s.SpareAfter || c.Refused != "")
		out = append(out, candidate{Host: h, wanted: wanted, votes: m.Votes, absent: absent})
	}
	sorted := slices.Clone(out)
	slices.SortFunc(sorted, func(a, b candidate) int { return goesFirst(out, a, b) })
	return sorted
}

func (s Situation) host(name string) (Host, bool) {
	for _, h := range replicating(s.Hosts) {
		if h.Name == name {
			return h, true
		}
	}
	return Host{Name: name}, false
}
