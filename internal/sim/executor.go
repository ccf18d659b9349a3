package sim

import (
	"fmt"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// established begins the work of a new executor.
func (w *world) established(i int) {
	x := &w.hosts[i].w
	x.pending, x.granted = nil, w.hosts[i].clock
	if w.m == TimersRestart {
		c := w.hosts[i].clock
		for j := range x.life {
			x.life[j] = c
		}
		for j := range x.heard {
			r := *x.heard[j].Report
			r.Probes = append([]cluster.Probe{}, r.Probes...)
			for k := range r.Probes {
				r.Probes[k].Quiet = 0
			}
			x.heard[j].Report = &r
		}
	}
}

// execute is one round of the executor: nothing before its barrier is committed, one proposal at a time.
func (w *world) execute(i int, p *cluster.Policy) {
	h := &w.hosts[i]
	x := &h.w
	if w.m != NoBarrier && (x.barrier == nil || !h.raft.commit.has(x.barrier)) {
		return
	}
	if x.pending != nil && h.raft.commit.index < x.pending.index && h.clock < x.pendAt+3*time.Second || x.cmd != nil {
		return
	}
	x.pending = nil
	d := w.rules.Decide(x.state, &x.sight, p, fmt.Sprintf("n%d", w.rng.n(1<<30)))
	if d.Voters != nil && h.raft.log == h.raft.commit {
		w.changeVoters(i, d.Voters)
	}
	if d.Command != nil {
		if w.f.late > 0 && w.rng.one(w.f.late) { // its outcome is unknown: it is decided anew
			w.late = append(w.late, late{d.Command, w.now + w.rng.between(0, 20*time.Second)})
			return
		}
		x.cmd, x.cmdDue = d.Command, w.now+w.acting()
		if x.cmdDue <= w.now {
			w.submit(i)
		}
		w.misrule(i)
		return
	}
	x.cmd, x.cmdDue = w.wish(x.state, x, h.clock), w.now+2*tick
}

// wishLimit is how long a master may take to make way until it goes on.
const wishLimit = 15 * time.Second

// wish is what an operator wants of the executor, now and then, and its end; nil nothing.
func (w *world) wish(s *cluster.State, x *watcher, clock time.Duration) *cluster.Command {
	switch {
	case s.Wanted == "":
		x.wanted = 0
	case x.wanted == 0:
		x.wanted = clock
	case clock > x.wanted+wishLimit:
		return &cluster.Command{Kind: cluster.KeepMaster, Epoch: s.Epoch, Gen: s.Gen, Host: s.Wanted, Record: cluster.Record{Rule: "it took too long"}}
	}
	if w.f.switches == 0 || s.Wanted != "" || w.healed != 0 || w.promised() || s.Phase != cluster.Serving || !s.Opened || !w.rng.one(w.f.switches) {
		return nil
	}
	to := w.hosts[w.rng.n(w.topo.Servers)].name
	w.say("an operator wants %s to be master", to)
	return &cluster.Command{Kind: cluster.HandOver, Epoch: s.Epoch, Gen: s.Gen, Host: to, Record: cluster.Record{Rule: "an operator wants it"}}
}

// submit proposes what was decided a while ago.
func (w *world) submit(i int) {
	h := &w.hosts[i]
	x := &h.w
	cmd := x.cmd
	x.cmd = nil
	if h.raft.leader == i {
		x.pending, x.pendAt = w.propose(i, cmd, h.raft.log.voters), h.clock
	} else if to := h.raft.leader; to >= 0 && w.hosts[to].raft.leader == to && w.reaches(i, to) {
		w.say("%s: what it decided a while ago comes to %s now: %s", h.name, w.hosts[to].name, cmd.Kind)
		w.propose(to, cmd, w.hosts[to].raft.log.voters)
	}
}

// changeVoters gives or takes one vote.
func (w *world) changeVoters(i int, c *cluster.VoterChange) {
	v := w.hosts[i].raft.log.voters
	if k := w.index(c.Add); k >= 0 {
		v |= 1 << k
	}
	if k := w.index(c.Remove); k >= 0 {
		v &^= 1 << k
	}
	w.say("votes: %s gets one, %s loses it", c.Add, c.Remove)
	w.propose(i, nil, v)
}

// committed notes what a majority has: the quorum's truth from here on.
func (w *world) committed(to *entry) {
	from := w.oracle.truth
	if from != nil && !to.has(from) {
		w.violate("the quorum has lost what it had committed")
	}
	for e := to; e != from && e.parent != nil; e = e.parent {
		w.oracle.batch = append(w.oracle.batch, e)
	}
	for k := len(w.oracle.batch) - 1; k >= 0; k-- {
		w.oracle.decided(w, w.oracle.batch[k])
	}
	w.oracle.batch, w.oracle.truth = w.oracle.batch[:0], to
}
