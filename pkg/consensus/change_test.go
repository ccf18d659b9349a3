package consensus

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

const spareAfter = time.Minute

// health is a state of a host as a leader sees it.
type health string

const (
	well    health = "well"
	behind  health = "behind"
	quiet   health = "quiet" // for a while: it is not counted on, and keeps its vote
	gone    health = "gone"
	refused health = "refused"
)

func (h health) contact() Contact {
	return map[health]Contact{
		well: {CaughtUp: true}, behind: {}, quiet: {Silent: spareAfter / 2, CaughtUp: true},
		gone: {Silent: spareAfter, CaughtUp: true}, refused: {Refused: "its disk was emptied"},
	}[h]
}

// situation reads members like "db1* db2* arb2": a star is a vote. The first voter leads. ill is who is not well.
func situation(inventory, members string, ill map[string]health) Situation {
	s := Situation{Hosts: hosts(inventory), SpareAfter: spareAfter, Contacts: map[string]Contact{}}
	for _, word := range strings.Fields(members) {
		name, votes := strings.CutSuffix(word, "*")
		s.Members = append(s.Members, Member{Name: name, Votes: votes})
		if votes && s.Leader == "" {
			s.Leader = name
		}
		s.Contacts[name] = well.contact()
	}
	for _, h := range s.Hosts {
		s.Contacts[h.Name] = well.contact()
	}
	for name, h := range ill {
		s.Contacts[name] = h.contact()
	}
	delete(s.Contacts, s.Leader)
	return s
}

// apply carries a change out.
func (s *Situation) apply(c Change) {
	members := s.Members
	s.Members = nil
	for _, m := range members {
		switch {
		case m.Name != c.Host:
		case c.Verb == Remove:
			continue
		case c.Verb == Promote || c.Verb == Demote:
			m.Votes = c.Verb == Promote
		}
		s.Members = append(s.Members, m)
	}
	switch c.Verb {
	case Join:
		s.Members = append(s.Members, Member{Name: c.Host})
	case HandOver:
		s.Contacts[s.Leader] = well.contact()
		s.Leader = c.Host
	}
}

// settle carries changes out until there are none.
func (s *Situation) settle(t *testing.T) []Change {
	t.Helper()
	var done []Change
	for c := s.Next(); c != nil; c = s.Next() {
		done = append(done, *c)
		s.apply(*c)
		if len(done) > 20 {
			t.Fatalf("it does not settle: %v", done)
		}
	}
	return done
}

func (s Situation) String() string {
	var out []string
	for _, m := range s.Members {
		if m.Votes {
			m.Name += "*"
		}
		out = append(out, m.Name)
	}
	return strings.Join(out, " ")
}

func TestNext(t *testing.T) {
	const two2 = "db1@a db2@b arb1@g arb2@g"
	tests := []struct {
		name, inventory, members string
		ill                      map[string]health
		want                     string // changes, in order, without reasons
	}{
		{"as it should be", two2, "db1* db2* arb1* arb2", nil, ""},
		{"a silent arbiter keeps its vote at first", two2, "db1* db2* arb1* arb2", map[string]health{"arb1": quiet}, ""},
		{"then the spare takes it", two2, "db1* db2* arb1* arb2", map[string]health{"arb1": gone}, "promote arb2, demote arb1"},
		{"and keeps it when the arbiter returns", two2, "db1* db2* arb1 arb2*", nil, ""},
		{"a server's vote too", two2, "db1* db2* arb1* arb2", map[string]health{"db2": gone}, "promote arb2, demote db2"},
		{"but a server that returns has it again", two2, "db1* db2 arb1* arb2*", nil, "promote db2, demote arb2"},
		{"not when it is far behind", two2, "db1* db2 arb1* arb2*", map[string]health{"db2": behind}, ""},
		{"no spare that is far behind", two2, "db1* db2* arb1* arb2", map[string]health{"arb1": gone, "arb2": behind}, ""},
		{"no spare, nothing to do", "db1@a db2@b arb1@g", "db1* db2* arb1*", map[string]health{"arb1": gone}, ""},
		{"two are gone: there is no quorum, and no change", two2, "db1* db2* arb1* arb2", map[string]health{"db2": gone, "arb1": gone}, ""},
		{"cut off between the steps", two2, "db1* db2* arb1* arb2*", map[string]health{"arb1": gone}, "demote arb1"},
		{"the inventory grows by one", "db1@a db2@b arb1@g arb2@g", "db1* db2* arb1*", nil, "join arb2"},
		{"by two: both votes when both can vote", "db1@a db2@b db3@c db4@d db5@e", "db1* db2* db3*", nil, "join db4, join db5, promote db4, promote db5"},
		{"one of two is far behind: none of them votes", "db1@a db2@b db3@c db4@d db5@e", "db1* db2* db3* db4 db5", map[string]health{"db5": behind}, ""},
		{"who does not answer does not join", "db1@a db2@b db3@c", "db1*", map[string]health{"db2": quiet, "db3": gone}, ""},
		{"an arbiter is replaced", "db1@a db2@b arb9@g", "db1* db2* arb1*", nil, "join arb9, promote arb9, demote arb1, remove arb1"},
		{"a dead one too", "db1@a db2@b arb9@g", "db1* db2* arb1*", map[string]health{"arb1": gone}, "join arb9, promote arb9, demote arb1, remove arb1"},
		{"not before the new one answers", "db1@a db2@b arb9@g", "db1* db2* arb1*", map[string]health{"arb9": gone}, ""},
		{"the inventory shrinks: who is gone goes first", "db1@a", "db1* db2* db3*", map[string]health{"db2": gone}, "demote db2, demote db3, remove db2, remove db3"},
		{"the leader is to go", "db2@b db3@c db4@d", "db1* db2* db3*", nil, "join db4, promote db4, hand over db2, demote db1, remove db1"},
		{"an emptied voter, and a spare", two2, "db1* db2* arb1* arb2", map[string]health{"arb1": refused}, "promote arb2, demote arb1, remove arb1"},
		{"an emptied voter, and no spare", "db1@a db2@b arb1@g", "db1* db2* arb1*", map[string]health{"arb1": refused}, "remove arb1"},
		{"it begins again", "db1@a db2@b arb1@g", "db1* db2*", nil, "join arb1, promote arb1"},
		{"not while another voter is quiet", "db1@a db2@b arb1@g", "db1* db2* arb1*", map[string]health{"arb1": refused, "db2": quiet}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := situation(tt.inventory, tt.members, tt.ill)
			var got []string
			for _, c := range s.settle(t) {
				got = append(got, string(c.Verb)+" "+c.Host)
				if c.Why == "" {
					t.Errorf("%s %s has no reason", c.Verb, c.Host)
				}
			}
			if text := strings.Join(got, ", "); text != tt.want {
				t.Errorf("got %q, expected %q", text, tt.want)
			}
		})
	}
}

func TestWhy(t *testing.T) {
	s := situation("db1@a db2@b arb1@g arb2@g", "db1* db2* arb1* arb2", map[string]health{"arb1": gone})
	if got := s.Next().String(); got != "promote arb2: it takes the vote of arb1, which has been silent for 1m0s" {
		t.Error(got)
	}
}

// TestEverySituation settles every site of up to five hosts, from every membership with a leader, under every health of
// the others that stays as it is.
func TestEverySituation(t *testing.T) {
	sites := []string{"db1@a", "db1@a db2@b", "db1@a db2@b arb1@g", "db1@a db2@b db3@c", "db1@a db2@b arb1@g arb2@g", "db1@a db2@b db3@b db4@c"}
	healths := []health{well, behind, quiet, gone, refused}
	count := 0
	for _, site := range sites {
		all := strings.Fields(site + " old@z")
		for n := range pow(3, len(all)) {
			members, others := "", []string{}
			leader := ""
			for i, word := range all {
				name, _, _ := strings.Cut(word, "@")
				mode := n / pow(3, i) % 3
				if mode == 2 && leader == "" {
					leader = name
				} else if mode != 0 || name != "old" {
					others = append(others, name)
				}
				members += []string{"", " " + name, " " + name + "*"}[mode]
			}
			if leader == "" {
				continue
			}
			if len(others) > 3 && n%7 != 0 && os.Getenv("CONSENSUS_RUNS") == "" {
				continue // a seventh of the largest ones, by default
			}
			for m := range pow(len(healths), len(others)) {
				ill := map[string]health{}
				for i, name := range others {
					ill[name] = healths[m/pow(len(healths), i)%len(healths)]
				}
				count++
				checkSettles(t, site, members, ill)
			}
		}
	}
	t.Logf("%d situations", count)
}

func pow(base, exponent int) int {
	out := 1
	for range exponent {
		out *= base
	}
	return out
}

// checkSettles carries the changes out, and looks after each one for what must hold.
func checkSettles(t *testing.T, site, members string, ill map[string]health) {
	t.Helper()
	s := situation(site, members, ill)
	even, steps := 0, []Change{}
	fail := func(what string) {
		t.Helper()
		t.Fatalf("%s, members%s, ill %v: %s: %v leaves %s", site, members, ill, what, steps, s)
	}
	for c := s.Next(); c != nil; c = s.Next() {
		before := s.voting()
		quorum := s.safe(before)
		steps = append(steps, *c)
		if c.Host == s.Leader {
			fail("the leader acts on itself")
		}
		s.apply(*c)
		voters := s.voting()
		if quorum && !s.safe(voters) {
			fail("a quorum is lost")
		}
		if !quorum && fmt.Sprint(before) != fmt.Sprint(voters) && !s.safe(voters) {
			fail("votes are moved without a quorum")
		}
		if len(voters)%2 == 0 {
			even++
		}
		if c.Verb == Remove && ill[c.Host] == refused && ill[c.Host] != "" {
			even = 0 // the way back of a refused voter
		} else if quorum && len(before)%2 == 0 && len(voters)%2 == 0 && fmt.Sprint(before) != fmt.Sprint(voters) {
			fail("an even number for two steps")
		}
		if c.Verb == Promote && ill[c.Host] != well && ill[c.Host] != "" {
			fail("a vote for one that cannot use it")
		}
		if len(steps) > 16 {
			fail("it does not settle")
		}
	}
	checkSettled(t, s, ill, fail)
}

// checkSettled: with everybody well the members are what the inventory says.
func checkSettled(t *testing.T, s Situation, ill map[string]health, fail func(string)) {
	t.Helper()
	for _, h := range ill {
		if h != well {
			return
		}
	}
	voters, _ := Electorate(s.Hosts)
	if len(s.voting()) != len(voters) || len(s.Members) != len(s.Hosts) {
		fail("it settles on something else")
	}
	for _, h := range s.Hosts {
		if h.Role == Server && len(voters) == len(s.Hosts)-1 && strings.Contains(fmt.Sprint(s.Hosts), "arb") && !strings.Contains(s.String(), h.Name+"*") {
			fail("a server has no vote, an arbiter has one")
		}
	}
}

// TestEveryTurn changes the health of everybody between any two steps: over all memberships that can be reached, an even
// number of voters lasts for one step only, as long as a majority answers and nobody is refused.
func TestEveryTurn(t *testing.T) {
	const site = "db1@a db2@b arb1@g arb2@g"
	healths := []health{well, behind, quiet, gone}
	seen, queue := map[string]bool{}, []string{" db1* db2* arb1* arb2"}
	for len(queue) > 0 {
		members := queue[0]
		queue = queue[1:]
		for n := range pow(len(healths), 3) {
			for leader := range 4 {
				s, ok := turn(site, members, leader, n, healths)
				if !ok {
					continue
				}
				before := s.voting()
				c := s.Next()
				if carries(s, before) && len(before)%2 == 0 && (c == nil || c.Verb != Demote && c.Verb != Promote && c.Verb != HandOver) {
					t.Fatalf("%s, %v: stays even: %v", members, s.Contacts, c)
				}
				if c == nil {
					continue
				}
				s.apply(*c)
				if next := " " + s.String(); !seen[next] {
					seen[next] = true
					queue = append(queue, next)
				}
			}
		}
	}
	if len(seen) < 5 {
		t.Errorf("only %d memberships were reached", len(seen))
	}
	t.Logf("%d memberships", len(seen))
}

// carries tells whether a majority of the voters answers and has caught up, which is what it takes to commit anything.
func carries(s Situation, voters []string) bool {
	n := 0
	for _, v := range voters {
		if v == s.Leader || s.alive(v) && s.Contacts[v].CaughtUp {
			n++
		}
	}
	return n > len(voters)/2
}

// turn is a situation with the given leader, if that host votes.
func turn(site, members string, leader, n int, healths []health) (Situation, bool) {
	s := situation(site, members, nil)
	name := s.Hosts[leader].Name
	if !strings.Contains(members, name+"*") {
		return s, false
	}
	s.Leader = name
	i := 0
	for _, h := range s.Hosts {
		if h.Name == name {
			delete(s.Contacts, name)
			continue
		}
		s.Contacts[h.Name] = healths[n/pow(len(healths), i)%len(healths)].contact()
		i++
	}
	return s, true
}
