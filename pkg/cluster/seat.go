package cluster

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Seat is a host that votes, as a place for the executor.
type Seat struct {
	Host    string
	Arbiter bool // no PostgreSQL is there
	// Steady is for how long its watcher has run, and was heard without a gap; of the executor's own host, for how long it has led and nothing new was decided.
	Steady time.Duration
}

// seatSteady is for how long a host must have been Steady, on either side: a host that comes and goes is not given the lead, and whoever has just got it
// keeps it for a while. What is between two steps is not at rest.
const seatSteady = 10 * time.Second

// What the loss of a host costs while the executor is there: an arbiter's costs an election of raft's. A standby's may also be the canary of the master, which has
// neither that nor a lease until there is an executor. The master's own makes the failover wait for that election first.
const (
	costsElection = iota
	costsCanary
	costsMaster
)

func (x *Seat) cost(master string) int {
	switch {
	case x.Host == master:
		return costsMaster
	case x.Arbiter:
		return costsElection
	}
	return costsCanary
}

// BetterSeat is the host that the executor hands the lead to, and why; "" it keeps it. It goes only to where its loss costs less, so never back and forth, and only
// while nothing is the matter with the master and nothing is under way: a transfer that fails holds up leases and proposals for a moment. Who leads is a
// matter of cost alone, no invariant rests on it.
func BetterSeat(s *State, v *Sight, p *Policy, own Seat, others []Seat) (to, why string) {
	if own.Steady < seatSteady || !s.atRest() || !atEase(s, v, p) {
		return "", ""
	}
	others = slices.DeleteFunc(slices.Clone(others), func(x Seat) bool {
		return x.Steady < seatSteady || v.fresh(x.Host, p.Fresh) == nil || x.cost(s.Master) >= own.cost(s.Master)
	})
	if len(others) == 0 {
		return "", ""
	}
	best := slices.MinFunc(others, func(a, b Seat) int {
		return cmp.Or(cmp.Compare(a.cost(s.Master), b.cost(s.Master)), cmp.Compare(a.Host, b.Host))
	})
	is := "an arbiter"
	if !best.Arbiter {
		is = "a standby's host"
	}
	has := "a standby's host"
	if own.Host == s.Master {
		has = "the master's host"
	}
	return best.Host, fmt.Sprintf("it is %s, %s is %s", is, own.Host, has)
}

// atRest: by the state, nothing is under way.
func (s *State) atRest() bool {
	return s.Phase == Serving && s.Opened && len(s.Configs) == 1 && len(s.Pools) == 0 && s.Wanted == "" && s.Halted == ""
}

// atEase: the master was heard just now and serves by both its signs of the quorum, so that it has one left if the lease is late.
func atEase(s *State, v *Sight, p *Policy) bool {
	r := v.fresh(s.Master, p.Fresh)
	if r == nil || r.Facts == nil || r.Epoch != s.Epoch {
		return false
	}
	f := r.Facts
	return f.Running && !f.Recovery && f.Silent == 0 && f.Clients && f.Lease <= p.Lease && f.Canary.Age <= p.Lease
}
