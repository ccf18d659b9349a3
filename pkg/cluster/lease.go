package cluster

import (
	"slices"
	"time"
)

// mayServe: a master goes on while the quorum has confirmed it within the lease, counted from the sending of the request, or a canary
// commit that was begun within the lease has returned without a warning under a configuration in force: then nobody was promoted
// before it was begun, as a promotion needs members frozen without which it could not have returned (M10). No watcher is asked.
// Names of a later generation than is known were a configuration in force when they were written, and are as good while they are in effect: none is
// struck off before the master's own watcher has proven the next one.
func mayServe(s *State, f *Facts, p *Policy) bool { return ServesFor(s, f, p) >= 0 }

// ServesFor is for how long a running master may go on without another sign of that; negative: no more.
func ServesFor(s *State, f *Facts, p *Policy) time.Duration {
	sign := f.Lease
	later := f.Canary.Names == f.Names.Shown && newerNames(s, f.Canary.Names)
	if later || f.top() <= s.Epoch && listedNames(s, f.Canary.Names) {
		sign = min(sign, f.Canary.Age)
	}
	return p.Lease - sign
}

// AwaitsSign tells whether the master of the state runs and has no sign of the quorum. Whether it has to stop for that is told by a look, which shows its last canary, and after a
// report, which says since when its host knows of the epoch: what was seen before both could have come is no reason.
func AwaitsSign(s *State, f *Facts, p *Policy) bool {
	return f.Running && !f.Recovery && (s.Master == f.Host || s.Halted != "") && ServesFor(s, f, p) < 0
}

// Genuine tells whether every walsender of a member's name comes from that member's host, and is the only one of it. A commit that returned while one was not
// may have been released by a stranger, whom no election freezes, or by one member that counted twice (manual, "synchronous_standby_names": names need not be
// unique; tried on 10.23 and 15.18): as a canary it proves nothing.
func Genuine(s *State, senders []Sender) bool {
	for i := range senders {
		x := &senders[i]
		twice := func(o Sender) bool { return sameName(o.Name, x.Name) }
		if s.Listed(x.Name) && (x.Host != s.HostOf(x.Name) || slices.ContainsFunc(senders[i+1:], twice)) {
			return false
		}
	}
	return true
}

// listedNames tells whether the names are those of a configuration in force.
func listedNames(s *State, names string) bool {
	for i := range s.Configs {
		if s.Configs[i].Names(s.Epoch) == names {
			return true
		}
	}
	return false
}

// mayStart: a start needs the quorum's own word, now. What was true before a stop need not be: somebody may have been promoted, by the
// quorum or by hand, and with an empty configuration the canary would prove nothing at all.
func mayStart(s *State, f *Facts, p *Policy) bool {
	// Elected: it was master when the region was formed or adopted, or it was promoted, signed, and crashed before it knew more.
	before := s.Phase == Elected && (s.Election.Base == 0 || f.crowned(s))
	return f.Lease <= p.Lease && s.Master == f.Host && (s.Phase == Serving || before)
}

// namesFor: only a serving master's names name anybody. All others acknowledge nothing, whoever promotes them.
func namesFor(s *State, host string) string {
	if n, ok := s.Newest(); ok && s.Phase == Serving && s.Master == host {
		return n.Names(s.Epoch)
	}
	return ClosedNames
}
