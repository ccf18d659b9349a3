package consensus

import (
	"fmt"
	"slices"
	"time"
)

// move gives or takes one vote on the way from the voters to the target. From an odd number a vote is given first, so that
// nobody is missed before somebody stands in; from an even number one is taken first.
func (s Situation) move(voters []string, target []candidate) *Change {
	give := func() *Change { return s.promote(voters, target) }
	take := func() *Change { return s.demote(voters, target) }
	if len(voters)%2 == 0 {
		give, take = take, give
	}
	if c := give(); c != nil {
		return c
	}
	return take()
}

func (s Situation) promote(voters []string, target []candidate) *Change {
	for _, c := range slices.Backward(target) { // who would lose a vote last gets one first
		if !c.votes && s.safe(append(slices.Clone(voters), c.Name)) {
			return &Change{Verb: Promote, Host: c.Name, Why: s.whyPromote(target)}
		}
	}
	return nil
}

func (s Situation) whyPromote(target []candidate) string {
	for _, c := range s.candidates() {
		leaves := !slices.ContainsFunc(target, func(t candidate) bool { return t.Name == c.Name })
		if c.votes && c.absent && leaves {
			return "it takes the vote of " + c.Name + ", " + s.whyAbsent(c.Name)
		}
	}
	return "the inventory gives it a vote, it answers and has caught up"
}

func (s Situation) whyAbsent(name string) string {
	c, known := s.Contacts[name]
	switch {
	case !known:
		return "which has not answered yet"
	case c.Refused != "":
		return "which is refused: " + c.Refused
	}
	return fmt.Sprintf("which has been silent for %s", c.Silent.Round(time.Second))
}

func (s Situation) demote(voters []string, target []candidate) *Change {
	for _, c := range s.candidates() { // sorted: who goes first
		if !c.votes || slices.ContainsFunc(target, func(t candidate) bool { return t.Name == c.Name }) || !s.safe(without(voters, c.Name)) {
			continue
		}
		if c.Name == s.Leader {
			return s.handOver(target)
		}
		why := "the number of voters is odd, and this one is the spare"
		switch {
		case !c.wanted:
			why = "the inventory has it no more"
		case c.absent:
			why = "another has its vote: " + s.whyAbsent(c.Name)
		}
		return &Change{Verb: Demote, Host: c.Name, Why: why}
	}
	return nil
}

// handOver lets another voter lead that keeps its vote: a leader that takes its own vote would leave without a word.
func (s Situation) handOver(target []candidate) *Change {
	for _, c := range slices.Backward(target) {
		if c.votes && c.Name != s.Leader && s.alive(c.Name) && s.Contacts[c.Name].CaughtUp {
			return &Change{Verb: HandOver, Host: c.Name, Why: s.Leader + " is to lose its vote"}
		}
	}
	return nil
}

// join takes in a host of the inventory that is no member yet and answers.
func (s Situation) join() *Change {
	for _, h := range replicating(s.Hosts) {
		member := slices.ContainsFunc(s.Members, func(m Member) bool { return m.Name == h.Name })
		if !member && s.alive(h.Name) {
			return &Change{Verb: Join, Host: h.Name, Why: "the inventory has it, and it answers"}
		}
	}
	return nil
}

// remove ends the membership of who is not wanted, and of a refused store: only removed can its host begin again empty.
func (s Situation) remove(voters []string) *Change {
	for _, m := range s.Members {
		_, wanted := s.host(m.Name)
		refused := s.Contacts[m.Name].Refused
		if m.Name == s.Leader || wanted && refused == "" || m.Votes && (!wanted || !s.safe(without(voters, m.Name))) {
			continue
		}
		why := "the inventory has it no more"
		if wanted {
			why = "it is refused: " + refused
		}
		return &Change{Verb: Remove, Host: m.Name, Why: why}
	}
	return nil
}

// safe tells whether a majority of these voters answers.
func (s Situation) safe(voters []string) bool {
	alive := 0
	for _, v := range voters {
		if s.alive(v) {
			alive++
		}
	}
	return alive > len(voters)/2
}

func without(all []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(n string) bool { return n == name })
}
