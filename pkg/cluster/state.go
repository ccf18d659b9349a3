package cluster

import (
	"slices"
	"time"
)

// StateFormat is the version of State's JSON. A reader of another version refuses it.
const StateFormat = 1

// Phase is where an epoch is.
type Phase string

// The phases. An epoch goes from electing over elected to serving, or to the next epoch; never back.
const (
	Unformed Phase = ""         // nothing was decided yet
	Electing Phase = "electing" // the epoch before is over for good; who is master of this one is not decided
	Elected  Phase = "elected"  // decided; it may promote itself, closed
	Serving  Phase = "serving"  // its promotion is recorded; it may acknowledge under the configurations in force
)

// State is what the watchers agree on through the quorum: small, versioned, a value that is never changed in place. The zero value is
// a region that was never formed. Only Apply makes a new one.
type State struct {
	Format  int    `json:"format"`
	Feature int    `json:"feature"` // level of the commands in use: a program that knows fewer stops, see Features
	System  uint64 `json:"system"`  // system identifier of the cluster

	Epoch  int64  `json:"epoch"`
	Phase  Phase  `json:"phase"`
	Master string `json:"master"` // host; "" while electing
	Nonce  string `json:"nonce"`  // of this epoch's row in the master's data (M7)

	Gen      int64        `json:"gen"`     // of the newest configuration ever opened
	Configs  []SyncConfig `json:"configs"` // in force at the master, oldest first; none until it serves
	Election *Election    `json:"election,omitempty"`

	Rows    []Epoch  `json:"rows"`   // the signatures in the master's own data, oldest first
	Opened  bool     `json:"opened"` // clients may come: the gate is open
	Pools   []string `json:"pools"`  // still to be pointed at the master
	Members []Member `json:"members"`

	Before []string `json:"before,omitempty"` // masters that may have had clients when this epoch began (hadClients); none: not known, it was formed or adopted
	// Quiet is for how long nobody can have confirmed an old master when this one was elected: that much of the hand-over is over already.
	Quiet       time.Duration `json:"quiet,omitempty"`
	Former      []string      `json:"former,omitempty"` // old masters that have not rejoined: they are Registered anew when they do, or in sync as they were
	Quarantined []Quarantine  `json:"quarantined,omitempty"`
	Wanted      string        `json:"wanted,omitempty"` // the server that an operator wants to be master, while the present one hands over; ""
	Paused      *Pause        `json:"paused,omitempty"`
	Halted      string        `json:"halted,omitempty"`  // why nothing is done by itself until an operator adopts; ""
	History     []Record      `json:"history,omitempty"` // the newest
	Dropped     int64         `json:"dropped,omitempty"` // how many records were before those
}

// Election is the record of an election that has begun (M4). It lasts until an epoch serves, through as many attempts as that takes.
type Election struct {
	Base      int64        `json:"base"`             // the epoch that is over
	OldMaster string       `json:"old_master"`       // its master
	Before    []string     `json:"before,omitempty"` // masters that may have clients: State.Before to come
	Wanted    string       `json:"wanted,omitempty"` // whom an operator wants: the old master handed over; "" it did not
	Attempt   int          `json:"attempt"`          // from 1
	Failed    string       `json:"failed"`           // the host elected by the attempt before; ""
	Configs   []SyncConfig `json:"configs"`          // in force when the epoch ended
	Frozen    []Frozen     `json:"frozen"`           // who is frozen for this election, and where: final, an entry never changes
}

// Frozen is one server that receives nothing more until a new epoch serves, and its final position.
type Frozen struct {
	Host     string   `json:"host"`
	Member   string   `json:"member"`
	Timeline Timeline `json:"timeline"`
	Position LSN      `json:"position"`
}

// Member is a server under its present incarnation.
type Member struct {
	Host  string `json:"host"`
	Name  string `json:"name"`  // MemberName; application_name of its receiver
	Flaps int    `json:"flaps"` // times it left soon after it had joined, which makes the next join wait
}

// Quarantine is a server whose data is not a copy of the master's, as Name: until it is cloned or rewound it is nobody's copy.
type Quarantine struct {
	Host string `json:"host"`
	Name string `json:"name"`
	Why  string `json:"why"`
}

// Pause is an operator's wish that no failover begins. What keeps writes possible and an election that has begun go on. One for a single
// host is for its maintenance: that host may be away for as long as it takes, while the failure of any other one counts as ever.
type Pause struct {
	Owner  string `json:"owner"`
	Reason string `json:"reason"`
	Until  string `json:"until"`          // for people, RFC 3339; the executor proposes the end, no replica looks at a clock. "": until it is resumed
	Host   string `json:"host,omitempty"` // the one server that it is for; "": every server
}

// Holds tells whether the pause keeps this master's epoch from being ended. No pause does not.
func (p *Pause) Holds(master string) bool { return p != nil && (p.Host == "" || p.Host == master) }

// MayReplace tells whether the pause may take the place of one that is in force: its owner makes it anew for the same hosts, or it is as wide and lasts as
// long. Anything else would end, without a word to its owner, a pause under which somebody works.
func (p *Pause) MayReplace(old *Pause) bool {
	switch {
	case old == nil, p.Owner == old.Owner && p.Host == old.Host:
		return true
	case p.Host != "" && p.Host != old.Host:
		return false
	}
	return p.Until == "" || old.Until != "" && old.Until <= p.Until // RFC 3339 in UTC, in whole seconds: the order of text is that of time
}

// Record is one decision for `pgctl history`: what was decided, by which rule, on what evidence.
type Record struct {
	Epoch    int64         `json:"epoch"`
	Command  CommandKind   `json:"command"`
	Host     string        `json:"host,omitempty"`
	Rule     string        `json:"rule"`
	Evidence []string      `json:"evidence,omitempty"`
	Took     time.Duration `json:"took,omitempty"` // since the phase before began, as the executor saw it
	At       string        `json:"at,omitempty"`   // for people, RFC 3339, by the proposer's clock; nothing is decided by it
}

// Number is the number of the i-th record of History, from 1 on. It stays the same for as long as the region lasts.
func (s *State) Number(i int) int64 { return s.Dropped + int64(i) + 1 }

// historyLength is how many records are kept; the newest.
const historyLength = 64

// failedOver tells whether this epoch came of a failover: not of a formation, an adoption, or an operator's wish. What is not in History any more was
// long ago.
func (s *State) failedOver() bool {
	i := len(s.History) - 1
	for ; i >= 0 && s.History[i].Command != OpenVote; i-- {
		if c := s.History[i].Command; c == Form || c == Adopt {
			return false
		}
	}
	for i--; i >= 0; i-- { // how the epoch before came to its end
		switch s.History[i].Command {
		case HandOver:
			return false
		case KeepMaster, Serve, Form, Adopt:
			return true
		}
	}
	return false
}

// Newest is the configuration that the master's watcher has to bring into force.
func (s *State) Newest() (SyncConfig, bool) {
	if len(s.Configs) == 0 {
		return SyncConfig{}, false
	}
	return s.Configs[len(s.Configs)-1], true
}

// Listed tells whether the name is a member of any configuration in force, or of one that an election goes by.
func (s *State) Listed(name string) bool {
	has := func(c SyncConfig) bool { return c.Has(name) }
	return slices.ContainsFunc(s.Configs, has) || s.Election != nil && slices.ContainsFunc(s.Election.Configs, has)
}

// MemberOf is the name under which the host counts; "" when it has none.
func (s *State) MemberOf(host string) string {
	for i := range s.Members {
		if s.Members[i].Host == host {
			return s.Members[i].Name
		}
	}
	return ""
}

// HostOf is the host that counts under the name; "" when there is none.
func (s *State) HostOf(name string) string {
	for i := range s.Members {
		if sameName(s.Members[i].Name, name) {
			return s.Members[i].Host
		}
	}
	return ""
}

// QuarantineOf says why the host is no copy under its present name; "" when it is one.
func (s *State) QuarantineOf(host string) string {
	for i := range s.Quarantined {
		if s.Quarantined[i].Host == host {
			return s.Quarantined[i].Why
		}
	}
	return ""
}

// frozenAt is the host's entry in the election; nil when there is none.
func (e *Election) frozenAt(host string) *Frozen {
	for i := range e.Frozen {
		if e.Frozen[i].Host == host {
			return &e.Frozen[i]
		}
	}
	return nil
}
