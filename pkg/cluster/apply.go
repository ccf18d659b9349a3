package cluster

import (
	"errors"
	"fmt"
	"slices"
)

// ErrStale is returned by Apply when the state has moved on since the command was decided. Nothing is wrong: decide anew.
var ErrStale = errors.New("the state has moved on since this was decided")

// ErrRefused is returned by Apply, with the reason, for a command that would break an invariant.
var ErrRefused = errors.New("refused")

// ErrUnknown is returned by Apply for a state or a command that this program does not know. The replica must stop loudly, without vote,
// lease or action: to pass over what others apply would make two truths of one log.
var ErrUnknown = errors.New("made by a newer pgctl")

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrRefused, fmt.Sprintf(format, args...))
}

// Apply gives the state after a command. It is the same on every replica: it knows only its arguments, changes neither of them, and holds
// every condition that can be told from the state. A command that is refused leaves the state as it is.
func Apply(s State, c Command) (State, error) { return Sound().Apply(s, c) }

// Apply is Apply under these rules.
func (r Rules) Apply(s State, c Command) (State, error) {
	if s.Format > StateFormat || s.Feature > Features {
		return s, fmt.Errorf("%w: state of format %d, level %d", ErrUnknown, s.Format, s.Feature)
	}
	change := r.transition(c.Kind)
	if change == nil {
		return s, fmt.Errorf("%w: command %q", ErrUnknown, c.Kind)
	}
	if r.Stale(&s, &c) {
		return s, fmt.Errorf("%w: %s was decided at epoch %d generation %d, the state is at %d and %d", ErrStale, c.Kind, c.Epoch, c.Gen, s.Epoch, s.Gen)
	}
	if s.Halted != "" && c.Kind != Adopt {
		return s, refuse("%s: %s", c.Kind, s.Halted)
	}
	next := s
	if err := change(&next, c); err != nil {
		return s, err
	}
	record := c.Record
	record.Epoch, record.Command, record.Host = next.Epoch, c.Kind, c.Host
	if c.Config != nil {
		record.Evidence = append(slices.Clone(record.Evidence), c.Config.Sentence())
	}
	from := max(0, len(s.History)+1-historyLength)
	next.History, next.Dropped = append(slices.Clone(s.History[from:]), record), s.Dropped+int64(from)
	return next, nil
}

// stale is the compare of compare-and-set.
func stale(s *State, c *Command) bool { return c.Epoch != s.Epoch || c.Gen != s.Gen }

// transition is what a kind of command does; nil for one that is not known. A transition replaces slices, it never writes into them.
func (r Rules) transition(k CommandKind) func(*State, Command) error {
	switch k {
	case Form:
		return form
	case OpenVote:
		return openVote
	case Elect:
		return r.elect
	case VoteAgain:
		return voteAgain
	case Serve:
		return serve
	case HandOver, KeepMaster:
		return handOver
	case Open:
		return open
	case Change:
		return changeConfig
	case Settle:
		return settle
	case PoolMoved:
		return poolMoved
	case Register:
		return register
	case Isolate:
		return isolate
	case PauseHA, ResumeHA:
		return pause
	case Halt:
		return halt
	case Adopt:
		return adopt
	case RaiseLevel:
		return raiseLevel
	}
	return nil
}

// form elects the region's first master. No epoch of the quorum was before it, so nobody has to be frozen; nothing can be elected in its place.
// Its epoch is above every row that is there already, of a deployment or of a change by hand: an epoch has one row.
func form(s *State, c Command) error {
	if s.Phase != Unformed {
		return refuse("the region has been formed")
	}
	if c.Host == "" || c.Nonce == "" || c.System == 0 {
		return refuse("a region is formed of a master, a nonce and a system identifier")
	}
	s.Format, s.Feature, s.System = StateFormat, Features, c.System
	top := max(s.Epoch, c.Above)
	for _, row := range c.Rows {
		top = max(top, row.Epoch)
	}
	s.Epoch, s.Phase, s.Master, s.Nonce = top+1, Elected, c.Host, c.Nonce
	s.Rows = c.Rows
	s.Election = &Election{OldMaster: c.Host, Attempt: 1, Frozen: []Frozen{{Host: c.Host, Member: c.Name}}}
	if c.Name != "" {
		s.Members = []Member{{Host: c.Host, Name: c.Name}}
	}
	return nil
}

func changeConfig(s *State, c Command) error {
	if s.Phase != Serving || c.Config == nil {
		return refuse("configurations change while a master serves")
	}
	if err := s.checkConfig(*c.Config); err != nil {
		return err
	}
	if len(s.Configs) >= s.maxConfigs() && c.Config.K > 0 {
		return refuse("%d configurations are in force already", len(s.Configs))
	}
	s.Gen, s.Configs = c.Config.Gen, append(slices.Clone(s.Configs), *c.Config)
	if i := slices.IndexFunc(s.Members, func(m Member) bool { return m.Name == c.Left }); c.Left != "" && i >= 0 {
		s.Members = slices.Clone(s.Members)
		s.Members[i].Flaps++
	}
	return nil
}

// maxConfigs bounds the list: one that was settled, one join, and every member leaving by itself before any of that is settled. An empty
// configuration may always be added, as it is how writes go on.
func (s *State) maxConfigs() int { return len(s.Members) + 2 }

// checkConfig holds what every new configuration must be.
func (s *State) checkConfig(n SyncConfig) error {
	want := NewSyncConfig(s.Gen+1, n.Members, 0, s.Configs)
	if n.Any {
		want = NewSyncConfig(s.Gen+1, n.Members, n.K, s.Configs)
	}
	if !want.Same(n) || want.Gen != n.Gen || want.Pad != n.Pad || n.From != 0 {
		return refuse("configuration %d is not made by the rules", n.Gen)
	}
	for i, m := range n.Members {
		host := s.HostOf(m)
		switch {
		case host == "" || host == s.Master:
			return refuse("%s is no standby's name", m)
		case slices.Contains(n.Members[:i], m):
			return refuse("%s is named twice", m)
		case s.QuarantineOf(host) != "" && !s.Listed(m):
			return refuse("%s is quarantined: %s", host, s.QuarantineOf(host))
		}
	}
	return nil
}

func settle(s *State, c Command) error {
	n, ok := s.Newest()
	if s.Phase != Serving || !ok || len(s.Configs) < 2 {
		return refuse("there is no change to settle")
	}
	n.From = c.From
	s.Configs = []SyncConfig{n}
	s.Former = slices.DeleteFunc(slices.Clone(s.Former), func(host string) bool { return n.Has(s.MemberOf(host)) }) // in sync under the name that it had
	return nil
}

func open(s *State, _ Command) error {
	if s.Phase != Serving || s.Opened {
		return refuse("it is not a serving master's clients that wait")
	}
	s.Opened = true
	return nil
}

// handOver: the master stops for a server that has all that it acknowledges. What follows is an election like any other.
func handOver(s *State, c Command) error {
	if c.Kind == KeepMaster {
		if s.Wanted == "" {
			return refuse("no other master is wanted")
		}
		s.Wanted = ""
		return nil
	}
	n, _ := s.Newest()
	switch member := s.MemberOf(c.Host); {
	case s.Phase != Serving || !s.Opened || len(s.Configs) != 1:
		return refuse("%s has not settled yet", s.Master)
	case c.Host == s.Master:
		return refuse("%s is the master", c.Host)
	case s.Wanted != "":
		return refuse("%s is about to make way for %s", s.Master, s.Wanted)
	case !n.Has(member) || s.QuarantineOf(c.Host) != "":
		return refuse("no commit waits for %s", c.Host)
	}
	s.Wanted = c.Host
	return nil
}

func poolMoved(s *State, c Command) error {
	i := slices.Index(s.Pools, c.Host)
	if i < 0 || s.Phase != Serving {
		return refuse("pool %s does not wait to be moved", c.Host)
	}
	s.Pools = slices.Delete(slices.Clone(s.Pools), i, i+1)
	return nil
}

// register gives a server its new incarnation. While the old one may still be counted on, the new data would be taken for the old.
func register(s *State, c Command) error {
	old := s.MemberOf(c.Host)
	switch {
	case c.Name == "" || c.Host == "" || len(c.Name) > 63 || !IsMember(c.Name, c.Host):
		return refuse("%q is no member name of %q", c.Name, c.Host)
	case old == c.Name:
		return refuse("%s is %s already", c.Host, c.Name)
	case s.HostOf(c.Name) != "":
		return refuse("%s is %s", c.Name, s.HostOf(c.Name))
	case old != "" && s.Listed(old):
		return refuse("%s is still counted on", old)
	case s.Election != nil && s.Election.frozenAt(c.Host) != nil:
		return refuse("%s is frozen for an election, as what it was", c.Host)
	}
	s.Members = slices.DeleteFunc(slices.Clone(s.Members), func(m Member) bool { return m.Host == c.Host })
	s.Members = append(s.Members, Member{Host: c.Host, Name: c.Name})
	s.Quarantined = slices.DeleteFunc(slices.Clone(s.Quarantined), func(q Quarantine) bool { return q.Host == c.Host })
	s.Former = slices.DeleteFunc(slices.Clone(s.Former), func(host string) bool { return host == c.Host })
	return nil
}

func isolate(s *State, c Command) error {
	if c.Host == "" || c.Host == s.Master || s.QuarantineOf(c.Host) != "" {
		return refuse("%q cannot be quarantined, or is", c.Host)
	}
	if now := s.MemberOf(c.Host); c.Name != now { // its data was renewed since
		return refuse("%q is meant, %s counts as %q", c.Name, c.Host, now)
	}
	s.Quarantined = append(slices.Clone(s.Quarantined), Quarantine{Host: c.Host, Name: s.MemberOf(c.Host), Why: c.Record.Rule})
	return nil
}

func pause(s *State, c Command) error {
	if (c.Kind == PauseHA) != (c.Pause != nil) {
		return refuse("a pause has an owner, a reason and an end")
	}
	s.Paused = c.Pause
	return nil
}

func halt(s *State, c Command) error {
	s.Halted = c.Record.Rule
	return nil
}

func raiseLevel(s *State, c Command) error {
	if c.Level <= s.Feature || c.Level > Features {
		return refuse("level %d after %d", c.Level, s.Feature)
	}
	s.Feature = c.Level
	return nil
}
