package cluster

import (
	"fmt"
	"slices"
)

// isolation quarantines what is no copy: another system, a history that is not the master's, a server that is ahead of it.
func (d *decider) isolation() {
	if d.s.Phase != Serving {
		return
	}
	for _, host := range d.p.Servers {
		f := d.facts(host)
		if f == nil || host == d.s.Master || d.s.QuarantineOf(host) != "" || f.Name != d.s.MemberOf(host) && f.Name != "" {
			continue
		}
		if why := d.foreign(f); why != "" {
			d.propose(Command{Kind: Isolate, Host: host, Name: d.s.MemberOf(host)}, why)
			return
		}
	}
}

func (d *decider) foreign(f *Facts) string {
	switch {
	case f.System != 0 && f.System != d.s.System:
		return fmt.Sprintf("it is another cluster: its system identifier is %d, not %d", f.System, d.s.System)
	case !f.Running:
		return ""
	case !f.Recovery && f.Silent == 0:
		return "it runs as a master that nobody elected"
	}
	if at, ok := d.Final(f); ok && !d.underWay(f) {
		if why := d.Foreign(f, d.s.Rows, at); why != "" {
			return why
		}
	}
	if m := d.facts(d.s.Master); m != nil && m.signed(d.s) && f.Name != "" && slices.Contains(m.Ahead, f.Name) {
		return fmt.Sprintf("it is ahead of the master: %s against %s", f.Replayed, m.Current)
	}
	return ""
}

// underWay: it was proven to be a copy before it was pointed at this master, and has begun its timeline. A row that it lacks is on its way: its
// walsender may be ended at just that moment. Or it follows somebody of an epoch before, its receiver just lost: it may get more, until its watcher has frozen it.
func (d *decider) underWay(f *Facts) bool {
	up, n := &f.Upstream, len(d.s.Rows)
	waits := !d.p.MasterByTS && slices.Contains(d.s.Former, f.Host) // nobody freezes it
	if up.File != "" && up.FileEpoch < d.s.Epoch && !waits {
		return true
	}
	return up.File == d.s.Master && up.FileEpoch == d.s.Epoch && n > 0 && f.Timeline == d.s.Rows[n-1].Timeline
}

// registration takes in new servers, and those that were cloned, rewound or rejoined, under their new name.
func (d *decider) registration() {
	if d.s.Phase != Serving {
		return
	}
	for _, host := range d.p.Servers {
		f := d.facts(host)
		if f == nil || f.Name == "" || f.Name == d.s.MemberOf(host) || f.System != d.s.System {
			continue
		}
		if old := d.s.MemberOf(host); old == "" || !d.s.Listed(old) {
			d.propose(Command{Kind: Register, Host: host, Name: f.Name}, "a new incarnation")
			return
		}
	}
}

// level raises the feature level once every voter and server is heard to understand a higher one.
func (d *decider) level() {
	lowest := Features
	for _, hosts := range [][]string{d.p.Voters, d.p.Servers} {
		for _, host := range hosts {
			r := d.v.fresh(host, d.p.Fresh)
			if r == nil {
				return
			}
			lowest = min(lowest, r.Features)
		}
	}
	if lowest > d.s.Feature && d.s.Phase != Unformed {
		d.propose(Command{Kind: RaiseLevel, Level: lowest}, "every member understands it")
	}
}

// spare gives the vote of a voter that has been silent for spare_after to the spare. That it is gone for good cannot be known; if it
// comes back it is the spare. Members change one at a time: between the two halves their number is even.
func (d *decider) spare() {
	if !majority(d.v, d.p) || len(d.p.Voters) == 0 {
		return
	}
	silent := ""
	for _, voter := range d.p.Voters {
		if _, age := d.v.of(voter); min(age, d.v.Now-d.v.Since) >= d.p.SpareAfter {
			silent = voter
		}
	}
	last := d.p.Voters[len(d.p.Voters)-1]
	switch {
	case len(d.p.Voters)%2 == 0 && silent != "":
		d.out.Voters = &VoterChange{Remove: silent}
	case len(d.p.Voters)%2 == 0:
		d.out.Voters = &VoterChange{Remove: last}
	case silent != "" && d.p.Spare != "" && d.v.fresh(d.p.Spare, d.p.Fresh) != nil:
		d.out.Voters = &VoterChange{Add: d.p.Spare}
	}
}
