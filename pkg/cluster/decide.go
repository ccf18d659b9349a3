package cluster

import (
	"fmt"
	"time"
)

// Judgement is one thing that is the matter, named apart from what is done about it.
type Judgement struct {
	Code     Judged   `json:"code"`
	Host     string   `json:"host,omitempty"`
	FailOver bool     `json:"fail_over,omitempty"` // it may lead to another master
	Evidence []string `json:"evidence,omitempty"`
}

// Decision is what the executor thinks of the region, and the one change that it proposes.
type Decision struct {
	Judgements []Judgement  `json:"judgements"`        // by order of the rules
	Command    *Command     `json:"command,omitempty"` // nil: undecided, or nothing to do
	Voters     *VoterChange `json:"voters,omitempty"`  // a change of who votes; never together with a command
	Waits      []string     `json:"waits,omitempty"`   // what is waited for before the next step
}

// VoterChange is one change of who votes: one host gets a vote, or loses it. The next one waits until it is committed.
type VoterChange struct {
	Add    string `json:"add,omitempty"`
	Remove string `json:"remove,omitempty"`
}

// Decide is what the executor proposes in this state, from all that it has heard. Nothing of it is done by itself: the command is
// validated once more by Apply, at the place that it gets in the log.
func Decide(s *State, v *Sight, p *Policy, nonce string) Decision {
	return Sound().Decide(s, v, p, nonce)
}

// Decide is Decide under these rules. Nonce is a new random word, for a row that the decision may need.
func (r Rules) Decide(s *State, v *Sight, p *Policy, nonce string) Decision {
	d := decider{Rules: r, s: s, v: v, p: p, nonce: nonce}
	d.judge()
	if p.Inactive {
		return d.out
	}
	for _, step := range []func(){d.foreignSignature, d.formation, d.election, d.succession, d.handOver, d.failover, d.opening, d.isolation, d.registration, d.syncSet, d.pools, d.level, d.spare} {
		if step(); d.out.Command != nil || d.out.Voters != nil || d.done {
			break
		}
	}
	return d.out
}

// decider is one round of Decide. A step leaves at most one command; done ends the round without one.
type decider struct {
	Rules
	s     *State
	v     *Sight
	p     *Policy
	nonce string
	out   Decision
	done  bool
}

// propose makes the command of this round.
func (d *decider) propose(c Command, rule string, evidence ...string) {
	c.Epoch, c.Gen = d.s.Epoch, d.s.Gen
	c.Record.Rule, c.Record.Evidence = rule, evidence
	_, c.Record.Took = d.age()
	d.out.Command = &c
}

func (d *decider) wait(format string, args ...any) {
	d.out.Waits = append(d.out.Waits, fmt.Sprintf(format, args...))
}

// facts are those of a host whose watcher is not silent; nil otherwise.
func (d *decider) facts(host string) *Facts {
	if r := d.v.fresh(host, d.p.Fresh); r != nil {
		return r.Facts
	}
	return nil
}

// foreignSignature: data that is signed above the quorum's epoch says that the quorum has forgotten, or that somebody went round it; so
// does a master on a timeline that nobody signed. Whatever would be done by itself could stop the right master.
func (d *decider) foreignSignature() {
	if d.s.Halted != "" {
		d.done = true
		return
	}
	for _, host := range d.p.Servers {
		if f := d.facts(host); f != nil && d.s.Phase != Unformed && f.System == d.s.System && f.top() > d.s.Epoch {
			why := fmt.Sprintf("%s is signed with epoch %d, the quorum knows %d", host, f.top(), d.s.Epoch)
			d.propose(Command{Kind: Halt, Host: host}, why)
			return
		}
	}
	if f := d.facts(d.s.Master); d.s.Phase == Serving && f != nil && f.Running && !f.Recovery && f.signed(d.s) && f.Silent == 0 {
		if why := d.Foreign(f, d.s.Rows, f.Current); why != "" {
			d.propose(Command{Kind: Halt, Host: f.Host}, f.Host+" was promoted by another hand: "+why)
		}
	}
}

// formation: a region that was never formed gets the one server for master that is one already, when all others are seen to be none.
func (d *decider) formation() {
	if d.s.Phase != Unformed {
		return
	}
	d.done = true
	var master *Facts
	var above int64
	for _, host := range d.p.Servers {
		f := d.facts(host)
		if f != nil {
			above = max(above, f.top())
		}
		switch {
		case f == nil:
			d.wait("%s has not been heard", host)
			return
		case f.Running && !f.Recovery && master != nil:
			d.wait("%s and %s are both masters", master.Host, host)
			return
		case f.Running && !f.Recovery:
			master = f
		}
	}
	if master == nil || master.System == 0 || !majority(d.v, d.p) {
		d.wait("no server is master, or no majority is heard")
		return
	}
	d.propose(Command{Kind: Form, Host: master.Host, Name: master.Name, System: master.System, Nonce: d.nonce, Rows: master.Rows, Above: above}, "the only master of a region that was never formed")
}

// handOver ends the epoch of a master that has made way, as its own watcher says.
func (d *decider) handOver() {
	if d.s.Phase != Serving || d.s.Wanted == "" {
		return
	}
	f := d.facts(d.s.Master)
	if f == nil || f.Running {
		d.wait("%s makes way for %s", d.s.Master, d.s.Wanted)
		return
	}
	if missing := d.prospect(); missing != "" {
		d.wait("%s", missing)
		return
	}
	d.propose(Command{Kind: OpenVote, Host: d.s.Master}, fmt.Sprintf("%s has made way for %s", d.s.Master, d.s.Wanted))
}

// failover ends the epoch of a master that has made no progress for down_after, for anybody. It needs the prospect of a successor: the
// servers that could be frozen now must block every configuration, else the election would only keep the old master from coming back.
func (d *decider) failover() {
	if d.s.Phase != Serving || d.s.Paused.Holds(d.s.Master) {
		return
	}
	limit := d.p.DownAfter
	if age, _ := d.age(); age < d.p.AntiFlap && d.s.failedOver() {
		limit *= 2
	}
	if d.quiet() < limit {
		return
	}
	if !majority(d.v, d.p) {
		d.wait("less than a majority of the voters is heard")
		return
	}
	if missing := d.prospect(); missing != "" {
		d.wait("%s", missing)
		return
	}
	d.propose(Command{Kind: OpenVote, Host: d.s.Master}, fmt.Sprintf("no progress for %s, for anybody", limit), evidence(d.s, d.v, d.p)...)
}

// age is for how long the epoch, and its phase, are known to the one that has known them for the longest time. A new executor, or one
// that was restarted, takes that over.
func (d *decider) age() (epoch, phase time.Duration) {
	for i := range d.v.Heard {
		h := &d.v.Heard[i]
		if h.Epoch != d.s.Epoch || d.v.Now-h.At > d.p.Fresh {
			continue
		}
		epoch = max(epoch, h.EpochAge)
		if h.Phase == d.s.Phase {
			phase = max(phase, h.PhaseAge)
		}
	}
	return epoch, phase
}

// prospect says what is missing for an election to come to an end now.
func (d *decider) prospect() string {
	able := func(member string) bool {
		f := d.facts(d.s.HostOf(member))
		return f != nil && f.Running && f.Recovery && f.Name == member && f.Unsafe == "" && d.s.QuarantineOf(f.Host) == ""
	}
	if d.AllBlocked(d.s.Configs, able) {
		return ""
	}
	for _, c := range d.s.Configs {
		if c.K == 0 {
			return fmt.Sprintf("%s alone has what it acknowledged: no standby is in sync with it", d.s.Master)
		}
	}
	return fmt.Sprintf("the standbys that could be asked do not block what %s may acknowledge with", d.s.Master)
}

// opening lets clients come once the new master's own watcher has opened the gate.
func (d *decider) opening() {
	f := d.facts(d.s.Master)
	if d.s.Phase != Serving || d.s.Opened || f == nil {
		return
	}
	if f.Running && !f.Recovery && f.Silent == 0 && f.Clients && f.signed(d.s) {
		d.propose(Command{Kind: Open, Host: d.s.Master}, "the gate is open")
		return
	}
	d.wait("%s has not opened its gate", d.s.Master)
}

// pools strikes off the pools that are seen to point at the master.
func (d *decider) pools() {
	if d.s.Phase != Serving || !d.s.Opened {
		return
	}
	for _, pool := range d.s.Pools {
		r := d.v.fresh(pool, d.p.Fresh)
		if r != nil && r.Pool != nil && r.Pool.Backend == d.s.Master && r.Epoch == d.s.Epoch {
			d.propose(Command{Kind: PoolMoved, Host: pool}, "it points at the master")
			return
		}
		d.wait("pool %s does not point at %s yet", pool, d.s.Master)
	}
}
