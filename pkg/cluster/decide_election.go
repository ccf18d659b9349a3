package cluster

import (
	"fmt"
	"slices"
	"time"
)

// election: while nobody is elected, freeze is what every server does about itself; here it is waited for, counted, and decided.
func (d *decider) election() {
	if d.s.Phase != Electing {
		return
	}
	d.done = true
	e := *d.s.Election
	e.Frozen = slices.Clone(e.Frozen)
	var found []Frozen
	for _, host := range d.p.Servers {
		if e.frozenAt(host) != nil {
			continue
		}
		if f, why := d.frozen(host, &e); why != "" {
			d.wait("%s: %s", host, why)
		} else {
			found, e.Frozen = append(found, f), append(e.Frozen, f)
		}
	}
	bar, closed := d.Bar(&e)
	if !closed {
		d.wait("the frozen ones do not block what %s may acknowledge with", e.OldMaster)
		return
	}
	if d.gathering(&e) {
		return
	}
	best, ok := d.best(&e, bar)
	if !ok {
		d.wait("none of those that reached %s may be elected", bar)
		return
	}
	var text []string
	for _, f := range e.Frozen {
		text = append(text, fmt.Sprintf("%s frozen at %s on timeline %d", f.Host, f.Position, f.Timeline))
	}
	d.propose(Command{Kind: Elect, Host: best.Host, Nonce: d.nonce, Frozen: found, Quiet: d.unconfirmed(&e)}, fmt.Sprintf("the furthest, at %s; %s is needed", best.Position, bar), text...)
}

// frozen is the host's entry for this election, or why it has none yet.
func (d *decider) frozen(host string, e *Election) (Frozen, string) {
	f, member := d.facts(host), d.s.MemberOf(host)
	switch {
	case f == nil:
		return Frozen{}, "not heard"
	case member == "" || f.Name != member:
		return Frozen{}, "it is not known under its present name"
	case f.System != d.s.System:
		return Frozen{}, "it is another cluster"
	case !d.Frozen(f, e.Base, d.p):
		return Frozen{}, "not frozen yet"
	}
	at, ok := d.Final(f)
	if !ok {
		return Frozen{}, "its final position is not known yet"
	}
	if why := d.Foreign(f, d.s.Rows, at); why != "" {
		return Frozen{}, why
	}
	return Frozen{Host: host, Member: member, Timeline: f.Timeline, Position: at}, ""
}

// unconfirmed is for how long nothing can have confirmed the old master: no lease, as only the executor grants one; and no canary that came
// back, as its commit would have moved one of the frozen, without which no configuration had enough members. 0 where that is not known.
func (d *decider) unconfirmed(e *Election) time.Duration {
	frozen := func(member string) bool {
		return slices.ContainsFunc(e.Frozen, func(f Frozen) bool { return f.Member == member && f.Host != e.OldMaster })
	}
	if !d.AllBlocked(e.Configs, frozen) {
		return 0
	}
	least := d.v.Confirmed
	for _, f := range e.Frozen {
		r, age := d.v.of(f.Host)
		switch {
		case f.Host == e.OldMaster:
		case r == nil || r.Facts == nil || r.Facts.FrozenFor != e.Base:
			return 0
		default:
			least = min(least, age+r.Facts.Upstream.Moved)
		}
	}
	return least
}

// gathering waits a little for servers that run and are about to be frozen, although those that are would do: whoever is frozen at the
// same position is in the first configuration, and the new master is not alone.
func (d *decider) gathering(e *Election) bool {
	if _, phase := d.age(); phase > 2*d.p.RetryInterval+2*time.Second {
		return false
	}
	for _, host := range d.p.Servers {
		f := d.facts(host)
		listed := slices.ContainsFunc(e.Configs, func(c SyncConfig) bool { return c.Has(d.s.MemberOf(host)) })
		if f != nil && listed && f.Running && f.Recovery && e.frozenAt(host) == nil {
			return true
		}
	}
	return false
}

// best is the candidate that comes first of those that reached the bar, are heard, and may be elected.
func (d *decider) best(e *Election, bar LSN) (Candidate, bool) {
	var all []Candidate
	for _, f := range e.Frozen {
		own := d.facts(f.Host)
		if f.Position < bar || own == nil || !own.Running || !own.Recovery || own.Unsafe != "" || own.Name != f.Member || d.s.QuarantineOf(f.Host) != "" {
			continue
		}
		all = append(all, Candidate{Host: f.Host, Member: f.Member, Position: f.Position, Failed: f.Host == e.Failed || own.Starts > d.p.MaxStarts, Old: f.Host == e.OldMaster, Wanted: f.Host == e.Wanted})
	}
	if len(all) == 0 {
		return Candidate{}, false
	}
	return slices.MinFunc(all, Compare), true
}

// succession: the elected one shows its row, and may acknowledge; or it does not get there, and is given up.
func (d *decider) succession() {
	if d.s.Phase != Elected {
		return
	}
	d.done = true
	r := d.v.fresh(d.s.Master, d.p.Fresh)
	if r != nil && r.Facts != nil && r.Facts.Running && !r.Facts.Recovery && r.Facts.crowned(d.s) && r.Facts.Gate {
		c := d.first()
		d.propose(Command{Kind: Serve, Host: d.s.Master, Config: &c, Rows: r.Facts.Rows, Pools: d.p.Pools}, "promoted, its row and its gate are there")
		return
	}
	d.wait("%s has not shown the row of epoch %d and a gate", d.s.Master, d.s.Epoch)
	if d.s.Election.Base == 0 {
		return
	}
	_, phase := d.age()
	_, silent := d.v.of(d.s.Master)
	switch {
	case phase > d.p.PromoteTimeout:
		d.propose(Command{Kind: VoteAgain, Host: d.s.Master}, fmt.Sprintf("not promoted within %s", d.p.PromoteTimeout))
	case min(phase, silent, d.v.Now-d.v.Since) >= d.p.DownAfter:
		d.propose(Command{Kind: VoteAgain, Host: d.s.Master}, fmt.Sprintf("nothing was heard of it for %s", d.p.DownAfter))
	}
}

// first is the configuration that the new master begins with: those who were frozen exactly where it was, and are still there. They
// have all that was ever acknowledged, so they may stand for it before they have received anything from the new master.
func (d *decider) first() SyncConfig {
	var members []string
	at := d.s.Election.frozenAt(d.s.Master)
	for _, f := range d.s.Election.Frozen {
		own := d.facts(f.Host)
		if f.Host != d.s.Master && at != nil && f.Position == at.Position && f.Timeline == at.Timeline && f.Host != d.s.Election.OldMaster &&
			own != nil && own.Running && own.Name == f.Member && d.s.QuarantineOf(f.Host) == "" {
			members = append(members, f.Member)
		}
	}
	return NewSyncConfig(d.s.Gen+1, members, d.p.Needed, nil)
}
