package sim

import (
	"fmt"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// A promise is a schedule with one lasting fault of the master, and perhaps the executor gone in the middle of it, three times: another master has to
// serve within a bound. The bound is what docs/safety.md states: down_after, the hand-over or the freeze, and a few rounds.

// promise replaces the faults of a schedule.
func (w *world) promise() {
	at := w.rng.between(beginAt+4*time.Second, 30*time.Second)
	kind := []int{hostCrash, pgHung, pgStop, partition, cannotStart}[w.rng.n(5)]
	w.f = faults{slowReload: 1 << 40}
	w.p.AntiFlap = 0
	w.policies = nil
	w.faultAt = at
	w.until = at + w.p.DownAfter + promiseBound
	if kind == cannotStart { // it is down when the starts that are tried at once have failed
		w.until += time.Duration(w.p.MaxStarts) * 3 * time.Second
	}
	w.f.events = []event{{at: at, long: never, kind: kind, host: theMaster}}
	if w.rng.one(2) { // before it is time, again and again: who takes over takes over what was seen
		for k := range time.Duration(3) {
			w.f.events = append(w.f.events, event{at: at + (k+1)*w.p.DownAfter - w.rng.between(0, 2*time.Second), kind: watcherCrash, host: theLeader})
		}
	}
}

// promiseBound is how long after down_after the new master serves, at the latest.
const promiseBound = 30 * time.Second

func (w *world) promised() bool { return w.until != 0 }

// due tells whether a promise has to be looked at.
func (w *world) due() bool { return w.promised() && w.now > w.faultAt+tick }

// whole says what is missing to the region being as it should be.
func (w *world) whole() string {
	if !w.promised() {
		return w.healthy()
	}
	s := w.oracle.truth.state
	m := w.index(s.Master)
	switch {
	case s.Phase != cluster.Serving:
		return fmt.Sprintf("epoch %d is %s", s.Epoch, s.Phase)
	case !w.open(&w.hosts[m]):
		return s.Master + " is not open"
	case w.hosts[w.pools[1]].pool != m:
		return "the pool is not moved"
	case w.oracle.lastAck < w.now-2*time.Second || w.now < w.faultAt+3*time.Second:
		return "no commit returns"
	}
	return ""
}

// inSync tells whether every standby is in the one configuration.
func (w *world) inSync() bool {
	s := w.oracle.truth.state
	return s.Phase == cluster.Serving && s.Opened && len(s.Configs) == 1 && len(s.Configs[0].Members) == w.topo.Servers-1
}
