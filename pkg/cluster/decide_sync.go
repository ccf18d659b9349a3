package cluster

import (
	"fmt"
	"slices"
	"time"
)

// syncSet keeps the synchronous configuration what it should be: one that is settled, of those standbys that are there. Leaving comes
// first and never waits; joining waits until the change before is settled, and until the standby is near and steady. It also waits until a first configuration of nobody is
// proven: of the names that a server had before it was adopted nothing is known, and walsenders that still go by them could show the very priority that the join gives them.
func (d *decider) syncSet() {
	if d.s.Phase != Serving {
		return
	}
	m := d.facts(d.s.Master)
	if m == nil || !m.Running || m.Recovery {
		return // nobody could bring anything into force
	}
	n, _ := d.s.Newest()
	kept, left, why := d.leavers(n)
	if several := len(d.s.Configs) > 1; left == "" && (several || n.K == 0) {
		from, missing := d.Settled(d.Rules, d.s, d.v, d.p)
		switch {
		case missing != "":
			d.wait("%s", missing)
			return
		case several:
			d.propose(Command{Kind: Settle, From: from}, fmt.Sprintf("configuration %d is in force alone", n.Gen))
			return
		}
	}
	members, joined := kept, ""
	if left == "" {
		members, joined = d.joiners(kept)
	}
	next := NewSyncConfig(d.s.Gen+1, members, d.p.Needed, d.s.Configs)
	if next.Same(n) || len(d.s.Configs) >= d.s.maxConfigs() && next.K > 0 {
		return
	}
	c := Command{Kind: Change, Host: d.s.HostOf(left), Config: &next}
	switch {
	case left != "" && m.Names.ShownFor < d.p.damping(5):
		c.Left = left
	case left == "":
		c.Host, why = d.s.HostOf(joined), "near, and steady"
	}
	d.propose(c, why)
}

// leavers are the members that stay, and the first one that does not, with the reason. A standby that flushes nothing for
// standby_down_after holds up every commit, whatever else it does; one that is joining is given less time.
func (d *decider) leavers(n SyncConfig) (kept []string, left, why string) {
	for _, member := range n.Members {
		host := d.s.HostOf(member)
		stalled := d.stalled(member)
		reason := ""
		switch {
		case d.s.QuarantineOf(host) != "":
			reason = d.s.QuarantineOf(host)
		case !slices.Contains(d.p.Servers, host):
			reason = host + " is not in the inventory any more"
		case stalled >= d.p.StandbyDownAfter:
			reason = fmt.Sprintf("%s has flushed nothing for %s", member, short(stalled))
		case d.joining(member) && stalled >= d.p.JoinDeadline:
			reason = fmt.Sprintf("%s held up commits for %s while it joined", member, short(stalled))
		}
		if reason == "" {
			kept = append(kept, member)
		} else if left == "" {
			left, why = member, reason
		}
	}
	return kept, left, why
}

// stalled is for how long the member has flushed nothing new for this master: not longer than it has been serving.
func (d *decider) stalled(member string) time.Duration {
	r := d.v.fresh(d.s.Master, d.p.Fresh)
	if r == nil || r.Facts == nil || r.Epoch != d.s.Epoch || r.Phase != Serving {
		return 0
	}
	return min(r.Facts.stalled(member), r.PhaseAge)
}

// joining tells whether some configuration in force does without the member.
func (d *decider) joining(member string) bool {
	return slices.ContainsFunc(d.s.Configs, func(c SyncConfig) bool { return !c.Has(member) })
}

// joiners adds the standbys that may join.
func (d *decider) joiners(kept []string) (members []string, first string) {
	members = slices.Clone(kept)
	m := d.facts(d.s.Master)
	for _, host := range d.p.Servers {
		name := d.s.MemberOf(host)
		f := d.facts(host)
		if name == "" || f == nil || host == d.s.Master || slices.Contains(members, name) || f.Unsafe != "" {
			continue
		}
		at, ok := d.Flushed(d.s, d.v, d.p, name)
		if ok && at+d.p.JoinLag >= m.Current && f.Upstream.For >= d.p.damping(d.flaps(name)) && f.Upstream.FileEpoch == d.s.Epoch {
			members = append(members, name)
			if first == "" {
				first = name
			}
		}
	}
	return members, first
}

func (d *decider) flaps(name string) int {
	for _, m := range d.s.Members {
		if m.Name == name {
			return m.Flaps
		}
	}
	return 0
}
