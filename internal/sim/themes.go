package sim

import (
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// zombie is a master that is quiet for long enough to be given up, and then goes on without a watcher that would stop it.
func (w *world) zombie() {
	r := &w.rng
	at := r.between(beginAt+2*time.Second, 35*time.Second)
	w.f.events = append(w.f.events,
		event{at: at, kind: watcherPause, host: theMaster, long: time.Minute},
		event{at: at, kind: hostPause, host: theMaster, long: w.p.DownAfter + r.between(time.Second, 7*time.Second), arg: r.n(2)},
		event{at: at, kind: []int{watcherCrash, hostCrash, pgRestart, stallReplay}[r.n(4)], host: r.n(w.topo.Servers), long: 3 * time.Second, after: moments[4+r.n(3)], delay: r.between(0, 4*time.Second)},
		event{at: at, kind: pgCrash, host: theCandidate, after: moments[5+r.n(2)], delay: r.between(0, 4*time.Second)})
}

// sleeper is a master whose host sleeps until another one serves, and wakes up cut off, with an answer of the quorum in its sockets.
func (w *world) sleeper() {
	r := &w.rng
	at := r.between(beginAt+2*time.Second, 30*time.Second)
	w.f.events = append(w.f.events,
		event{at: at, kind: hostPause, host: theMaster, long: w.p.DownAfter + r.between(10*time.Second, 20*time.Second), arg: 1},
		event{at: at, kind: partition, host: 0, long: time.Minute, after: string(cluster.OpenVote)})
}

// alone is a master that no standby is in sync with, gone, and an operator who does not wait for it. It comes back.
func (w *world) alone() {
	r := &w.rng
	at := r.between(beginAt, 20*time.Second)
	for i := 1; i < w.topo.Servers; i++ {
		w.f.events = append(w.f.events, event{at: at, kind: stallReceiver, host: i, long: time.Minute})
	}
	w.f.events = append(w.f.events,
		event{at: at + 2*time.Second, kind: hostCrash, host: theMaster, long: r.between(6*time.Second, 14*time.Second), after: string(cluster.Settle), delay: r.between(0, 2*time.Second)},
		event{at: at + 2*time.Second, kind: takeover, host: 1, after: string(cluster.Settle), delay: r.between(3*time.Second, 6*time.Second)})
}

// badJoin is a standby that leaves and joins again, something that goes wrong then, and the master gone right after.
func (w *world) badJoin() {
	r := &w.rng
	at := r.between(beginAt, 40*time.Second)
	standby := 1 + r.n(w.topo.Servers-1)
	long := w.p.StandbyDownAfter + r.between(time.Second, 4*time.Second)
	join := at + long
	wrong := []event{
		{kind: stuckCheckpointer, host: theMaster, long: r.between(2*time.Second, 20*time.Second)},
		{kind: stuckSender, host: theMaster, long: r.between(2*time.Second, 20*time.Second)},
		{kind: longStatement, host: theMaster},
		{kind: impostor, host: theMaster, arg: standby - 1},
		{kind: watcherCrash, host: theMaster},
		{kind: watcherCrash, host: theLeader},
	}
	e, f := wrong[r.n(len(wrong))], wrong[r.n(len(wrong))]
	e.at, f.at = join, join
	e.after, f.after = moments[r.n(4)], string(cluster.DoSetNames)
	e.delay, f.delay = r.between(0, 2*time.Second), r.between(0, time.Second)
	w.f.events = append(w.f.events, event{at: at, kind: stallReceiver, host: standby, long: long}, e, f,
		event{at: join, kind: []int{stallReceiver, slowReceiver, slowReceiver}[r.n(3)], host: standby, long: 30 * time.Second, after: moments[r.n(4)], delay: r.between(0, 2*time.Second)},
		event{at: join, kind: hostCrash, host: theMaster, long: time.Minute, after: moments[r.n(4)], delay: r.between(0, 5*time.Second)})
}

// deadMaster is a master that crashes and comes back, or not, and standbys that have not all the same.
func (w *world) deadMaster() {
	r := &w.rng
	at := r.between(beginAt+2*time.Second, 40*time.Second)
	standby := 1 + r.n(w.topo.Servers-1)
	w.f.events = append(w.f.events,
		event{at: at, kind: []int{stallReceiver, slowReceiver}[r.n(2)], host: standby, long: r.between(time.Second, 15*time.Second)},
		event{at: at + r.between(0, 2*time.Second), kind: []int{pgCrash, hostCrash, partition}[r.n(3)], host: theMaster, long: r.between(2*time.Second, 20*time.Second), arg: r.n(1 << 20)},
		event{at: at, kind: []int{hostCrash, partition}[r.n(2)], host: theMaster, long: time.Minute, after: string(cluster.DoOpenClients), delay: r.between(0, 2*time.Second)},
		event{at: at, kind: hostCrash, host: 1 + r.n(w.topo.Servers-1), long: time.Minute, after: string(cluster.DoOpenClients), delay: r.between(0, 2*time.Second)},
		event{at: at, kind: takeover, host: standby, after: string(cluster.Settle), delay: r.between(0, 20*time.Second)})
}

// tornJoin is the first join, from nobody, by a standby that has become slow, while the checkpointer does not tell backends to wait; the
// master is gone as soon as the join counts.
func (w *world) tornJoin() {
	r := &w.rng
	early := 5 * time.Second
	for i := 1; i < w.topo.Servers; i++ {
		w.f.events = append(w.f.events, event{at: early, kind: slowReceiver, host: i, long: 40 * time.Second, after: string(cluster.Change), delay: r.between(0, 600*time.Millisecond)})
	}
	w.f.events = append(w.f.events,
		event{at: early, kind: stuckCheckpointer, host: theMaster, long: r.between(time.Second, 4*time.Second), after: string(cluster.Change), delay: 0},
		event{at: early, kind: hostCrash, host: theMaster, long: time.Minute, after: string(cluster.Settle), delay: r.between(0, 2*time.Second)})
}

// pretender is somebody who bears the name of a standby that has become slow before it joins, until the join counts and the master is gone.
func (w *world) pretender() {
	r := &w.rng
	early := 4 * time.Second
	for i := 1; i < w.topo.Servers; i++ {
		w.f.events = append(w.f.events, event{at: early, kind: slowReceiver, host: i, long: 40 * time.Second, after: string(cluster.Register), delay: r.between(0, time.Second)},
			event{at: early, kind: impostor, host: theMaster, arg: i, long: r.between(5*time.Second, 12*time.Second), after: string(cluster.Register), delay: r.between(0, time.Second)})
	}
	w.f.events = append(w.f.events, event{at: early, kind: hostCrash, host: theMaster, long: time.Minute, after: string(cluster.Settle), delay: r.between(0, 2*time.Second)})
}

// thinGate is a master that crashes while a commit waits for slow standbys, comes back, and is gone for good with the one fast standby as
// soon as clients have seen it.
func (w *world) thinGate() {
	r := &w.rng
	at := r.between(beginAt+4*time.Second, 30*time.Second)
	for i := 2; i < w.topo.Servers; i++ {
		w.f.events = append(w.f.events, event{at: at, kind: slowReceiver, host: i, long: 40 * time.Second})
	}
	w.f.events = append(w.f.events,
		event{at: at + r.between(2*time.Second, 5*time.Second), kind: pgCrash, host: theMaster},
		event{at: at, kind: hostCrash, host: theMaster, long: time.Minute, after: string(cluster.DoOpenClients), delay: r.between(0, time.Second)},
		event{at: at, kind: hostCrash, host: 1, long: time.Minute, after: string(cluster.DoOpenClients), delay: r.between(0, time.Second)})
}

// split is a network in two for long: the master with one standby on the small side, if there are enough of them.
func (w *world) split() {
	at := w.rng.between(beginAt+2*time.Second, 30*time.Second)
	w.f.events = append(w.f.events, event{at: at, kind: partition, host: theMaster, long: time.Minute, arg: 1<<15 | 1<<(1+w.rng.n(w.topo.Servers-1))})
}

// secondKing is a standby that an operator makes master although there is one, which is cut off as soon as the region is halted; the operator
// adopts the new one when the old one's word must have run out.
func (w *world) secondKing() {
	at := w.rng.between(beginAt+2*time.Second, 35*time.Second)
	w.f.events = append(w.f.events,
		event{at: at, kind: signByHand, host: 1 + w.rng.n(w.topo.Servers-1)},
		event{at: at, kind: partition, host: theMaster, long: time.Minute, after: string(cluster.Halt), delay: w.rng.between(0, 2*time.Second)})
}

// shrinking is a set of four that one leaves who is back a moment later, while the walsenders read the names late. Then the master is gone, the one that has left,
// and of those that stay all but one that is slow. sync_mode may change meanwhile.
func (w *world) shrinking() {
	r := &w.rng
	at := r.between(beginAt+2*time.Second, 35*time.Second)
	last := 1 + r.n(w.topo.Servers-1)
	left := 1 + (last+r.n(w.topo.Servers-2))%(w.topo.Servers-1)
	w.f.slowReload = 2
	w.f.events = append(w.f.events,
		event{at: at, kind: stallReceiver, host: left, long: w.p.StandbyDownAfter + r.between(0, 2*time.Second)},
		event{at: at, kind: slowReceiver, host: last, long: 40 * time.Second})
	if r.one(2) {
		w.f.events = append(w.f.events, event{at: at, kind: syncMode, arg: r.n(4), after: moments[r.n(4)], delay: r.between(0, time.Second)})
	}
	gone := r.between(0, 3*time.Second)
	for i := range w.topo.Servers {
		kind := cannotStart
		switch i {
		case last:
			continue
		case 0, left:
			kind = hostCrash
		}
		w.f.events = append(w.f.events, event{at: at + 2*time.Second, kind: kind, host: i, long: time.Minute, after: string(cluster.Change), delay: gone})
	}
}
