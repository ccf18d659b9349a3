package sim

import (
	"fmt"
	"strings"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// Result is what came of one schedule.
type Result struct {
	Seed      uint64
	Topology  Topology
	Violation string        // "" none
	Story     []string      // nil when nobody asked for it
	Acks      int           // commits that returned
	Masters   int           // epochs that came to serve
	Whole     time.Duration // from the last fault to a whole region
	Promise   bool          // its fault was one that lasts
}

// String is the story of a schedule.
func (r Result) String() string {
	return fmt.Sprintf("schedule %d, %s: %s\n%s", r.Seed, r.Topology, r.Violation, strings.Join(r.Story, "\n"))
}

// Run runs one schedule to its end. The same arguments give the same result.
func Run(seed uint64, m Mutant, story bool) Result {
	topo := Topologies[seed%uint64(len(Topologies))]
	w := newWorld(seed*0x9e3779b97f4a7c15+1, topo, m, !story)
	if m == FailsafeAsksSet {
		w.failsafeAsksSet()
	}
	w.draw()
	if w.rng.one(8) {
		w.promise()
	}
	missing, wholeSince := "", time.Duration(0)
	for w.now < endAt && w.oracle.violation == "" {
		w.step()
		if w.healed == 0 && !w.due() {
			continue
		}
		if missing = w.whole(); missing != "" {
			wholeSince = 0
		} else if wholeSince == 0 {
			wholeSince = w.now
		}
		if missing == "" && (w.now > wholeSince+3*time.Second || w.promised()) || w.promised() && w.now > w.until {
			break
		}
	}
	if w.oracle.violation == "" && missing != "" {
		w.explain()
		w.violate("not whole again %s after the last fault: %s", w.now-max(w.healed, w.faultAt), missing)
	}
	if w.oracle.violation == "" && wholeSince != 0 && !w.promised() {
		w.holdsAll(&w.hosts[w.index(w.oracle.truth.state.Master)])
	}
	return Result{
		Seed: seed, Topology: topo, Violation: w.oracle.violation, Story: w.story, Acks: w.oracle.acks, Masters: w.oracle.failovers,
		Promise: w.promised(), Whole: w.now - max(w.healed, w.faultAt),
	}
}

// failsafeAsksSet: a master goes on while somebody of its newest configuration, as it knows it, has been heard.
func (w *world) failsafeAsksSet() {
	w.rules.MayServe = func(s *cluster.State, f *cluster.Facts, p *cluster.Policy) bool {
		if f.Lease <= p.Lease {
			return true
		}
		x := &w.hosts[w.index(f.Host)].w
		n, _ := s.Newest()
		for _, m := range n.Members {
			for i := range x.heard {
				if h := &x.heard[i]; h.Host == s.HostOf(m) && x.sight.Now-h.At <= p.Fresh {
					return true
				}
			}
		}
		return false
	}
}

// explain tells what everybody waits for.
func (w *world) explain() {
	if i := w.leader(); i >= 0 && !w.quiet {
		x := &w.hosts[i].w
		d := w.rules.Decide(x.state, &x.sight, w.policyOf(w.hosts[i].raft.commit), "")
		w.say("%s, the executor, waits: %q", w.hosts[i].name, d.Waits)
		for _, j := range d.Judgements {
			w.say("judged %s %s", j.Code, j.Host)
		}
	}
	for i := range w.hosts {
		h := &w.hosts[i]
		w.say("%s: up %v, watcher %v, raft term %d leader %d log %d/%d commit %d voters %b suspect %v", h.name, h.up, h.w.runs, h.raft.term, h.raft.leader, h.raft.log.term, h.raft.log.index, h.raft.commit.index, h.raft.log.voters, h.raft.suspect)
	}
	for i := range w.topo.Servers {
		if f := w.hosts[i].w.last; f != nil {
			w.say("%s: %+v", w.hosts[i].name, *f)
		}
	}
}
