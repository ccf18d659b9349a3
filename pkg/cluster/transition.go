package cluster

import "slices"

// openVote ends the epoch. From here on its master may never acknowledge again, whatever it believes: the next epoch has a number.
func openVote(s *State, c Command) error {
	if s.Phase != Serving {
		return refuse("only a serving epoch is ended by an election")
	}
	if s.Paused.Holds(s.Master) && s.Wanted == "" {
		return refuse("paused by %s: %s", s.Paused.Owner, s.Paused.Reason)
	}
	s.Election = &Election{Base: s.Epoch, OldMaster: s.Master, Before: s.hadClients(), Wanted: s.Wanted, Attempt: 1, Configs: s.Configs}
	s.toElecting()
	return nil
}

// hadClients are the masters that may have clients now: this epoch's, whose own watcher lets them in before that is recorded, and, as long as it
// is not recorded, those before it. None: that is not known, as who was master before an adoption.
func (s *State) hadClients() []string {
	switch {
	case s.Opened:
		return []string{s.Master}
	case len(s.Before) == 0:
		return nil
	}
	return append(slices.DeleteFunc(slices.Clone(s.Before), func(host string) bool { return host == s.Master }), s.Master)
}

// voteAgain gives up on the one that was elected, not on the election: who is frozen stays so, and was frozen where it was.
func voteAgain(s *State, c Command) error {
	if s.Phase != Elected || s.Election.Base == 0 {
		return refuse("nobody was elected")
	}
	e := *s.Election
	e.Attempt, e.Failed = e.Attempt+1, s.Master
	s.Election = &e
	s.toElecting()
	return nil
}

func (s *State) toElecting() {
	s.Epoch++
	s.Phase, s.Master, s.Nonce, s.Configs, s.Opened, s.Pools, s.Quiet, s.Wanted = Electing, "", "", nil, false, nil, 0, ""
}

// elect decides who is master of the epoch. The frozen ones must leave the old master nobody to acknowledge with, and the candidate
// must be as far as the furthest of them (M1, M4).
func (r Rules) elect(s *State, c Command) error {
	if s.Phase != Electing {
		return refuse("there is no election")
	}
	if c.Nonce == "" {
		return refuse("an epoch's row has a nonce")
	}
	e := *s.Election
	e.Frozen = slices.Clone(e.Frozen)
	for _, f := range c.Frozen {
		if e.frozenAt(f.Host) == nil {
			e.Frozen = append(e.Frozen, f)
		}
	}
	bar, closed := r.Bar(&e)
	at := e.frozenAt(c.Host)
	switch {
	case !closed:
		return refuse("the frozen ones do not block every configuration in force")
	case at == nil || at.Position < bar:
		return refuse("%s is not among the furthest of the frozen", c.Host)
	case s.QuarantineOf(c.Host) != "":
		return refuse("%s is quarantined", c.Host)
	}
	for _, f := range c.Frozen {
		if m := s.MemberOf(f.Host); m == "" || f.Member != m {
			return refuse("%s is frozen as %q, but counts as %q", f.Host, f.Member, m)
		}
	}
	s.Election, s.Phase, s.Master, s.Nonce, s.Quiet = &e, Elected, c.Host, c.Nonce, c.Quiet
	return nil
}

// Bar is the position that a candidate must have reached, and whether anybody may be elected at all: the furthest of the frozen
// members, when they block every configuration. Where they do not, the old master itself, read-only now, closes its epoch: it has all
// that it ever acknowledged, and then it is one of those that have to be reached.
func (e *Election) Bar() (bar LSN, closed bool) { return Sound().Bar(e) }

// Bar is Election.Bar under these rules.
func (r Rules) Bar(e *Election) (bar LSN, closed bool) {
	old := e.frozenAt(e.OldMaster)
	frozen := func(member string) bool {
		return slices.ContainsFunc(e.Frozen, func(f Frozen) bool { return f.Member == member && f.Host != e.OldMaster })
	}
	closed = r.AllBlocked(e.Configs, frozen)
	for i := range e.Frozen {
		if f := &e.Frozen[i]; f != old || !closed {
			bar = max(bar, f.Position)
		}
	}
	for _, c := range e.Configs {
		bar = max(bar, c.From)
	}
	return bar, closed || old != nil
}

// serve records that the elected one is promoted, and under which configuration it begins to acknowledge. Whoever is in that one has
// all that was ever acknowledged: it was frozen exactly where the new master was.
func serve(s *State, c Command) error {
	if s.Phase != Elected || c.Host != s.Master || c.Config == nil {
		return refuse("%s was not elected", c.Host)
	}
	want := Epoch{Epoch: s.Epoch, Master: s.Master, Nonce: s.Nonce}
	if !slices.ContainsFunc(c.Rows, func(e Epoch) bool {
		return e.Epoch == want.Epoch && e.Master == want.Master && e.Nonce == want.Nonce
	}) {
		return refuse("%s does not show the row of epoch %d", c.Host, s.Epoch)
	}
	if err := s.checkConfig(*c.Config); err != nil {
		return err
	}
	at := s.Election.frozenAt(c.Host)
	for _, m := range c.Config.Members {
		f := s.Election.frozenAt(s.HostOf(m))
		if at == nil || f == nil || f.Member != m || f.Position != at.Position || f.Timeline != at.Timeline {
			return refuse("%s is not known to have been frozen where %s was", m, c.Host)
		}
	}
	s.Before = s.Election.Before
	if old := s.Election.OldMaster; s.Election.Base != 0 && s.Election.Wanted == "" { // one that made way comes back by itself
		if !slices.Contains(s.Former, old) {
			s.Former = append(slices.Clone(s.Former), old)
		}
	}
	s.Former = slices.DeleteFunc(slices.Clone(s.Former), func(host string) bool { return host == s.Master })
	first := *c.Config
	if at != nil {
		first.From = at.Position
	}
	s.Phase, s.Gen, s.Configs, s.Rows, s.Election = Serving, first.Gen, []SyncConfig{first}, c.Rows, nil
	s.Opened, s.Pools = false, c.Pools
	return nil
}

// adopt takes a server for the master, as an operator says: one that was made so outside the quorum, or one whose timeline an operator
// has opened. The epoch goes above all that is known, and it is elected without a vote: nobody is frozen, so a master of before that runs on may
// acknowledge beside it for as long as its standbys follow it. Whoever proposes it has seen that there is none (docs/safety.md), and says what he
// has seen in the record's evidence.
func adopt(s *State, c Command) error {
	if c.Host == "" || c.Nonce == "" || len(c.Rows) == 0 {
		return refuse("what is adopted is a host, its signatures and a nonce for the epoch to come")
	}
	if old := s.lastMaster(); old != "" && old != c.Host && len(c.Record.Evidence) == 0 {
		return refuse("nothing is said of what was seen of %s, the master of before", old)
	}
	if s.System == 0 { // a quorum that begins anew
		if c.System == 0 {
			return refuse("a quorum that begins anew needs the system identifier")
		}
		s.Format, s.Feature, s.System = StateFormat, Features, c.System
	}
	s.Quarantined = slices.DeleteFunc(slices.Clone(s.Quarantined), func(q Quarantine) bool { return q.Host == c.Host })
	top := max(s.Epoch, c.Above)
	for i := range c.Rows {
		top = max(top, c.Rows[i].Epoch)
	}
	s.Epoch, s.Phase, s.Master, s.Nonce = top+1, Elected, c.Host, c.Nonce
	s.Configs, s.Opened, s.Pools, s.Halted, s.Quiet, s.Wanted = nil, false, nil, "", 0, ""
	s.Election = &Election{OldMaster: c.Host, Attempt: 1, Frozen: []Frozen{{Host: c.Host, Member: s.MemberOf(c.Host)}}}
	return nil
}

// lastMaster is the master, or during an election the one of before; "" none was.
func (s *State) lastMaster() string {
	if s.Phase == Electing {
		return s.Election.OldMaster
	}
	return s.Master
}
