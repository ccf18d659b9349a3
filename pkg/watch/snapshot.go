package watch

import (
	"maps"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/consensus"
)

// snapshot is what this watcher knew after a round, for metrics and health checks. It is never changed.
type snapshot struct {
	at            time.Duration // of the round
	host, version string

	part    bool // it takes part in a quorum
	state   cluster.State
	index   uint64
	leads   bool
	leader  string // ""
	voters  []string
	raft    *consensus.Stats // nil: no replica here
	heard   map[string]time.Duration
	judged  []cluster.Judgement
	guarded bool // the watchers decide who is master: HA is on here, and the region was formed

	facts    *cluster.Facts // nil: no server here
	postgres string         // its version; ""
	serves   bool           // the rules let it go on as master
	handover time.Duration  // what a hand-over takes after the lease: stop time and drift; 0 not known
	current  cluster.LSN    // the master's position, as it said last
	knows    bool           // that was a moment ago

	counters
	dropped, failed int64 // events
	watchdog        bool  // one is wanted
	armed           bool
}

// counters are counted since the watcher began. They are the loop's.
type counters struct {
	actions   map[outcomeOf]int64
	decisions map[outcomeOf]int64
	looks     int64
	looking   time.Duration // all of them together
	lastLook  time.Duration
	rounds    int64
}

// outcomeOf is what was tried, and what came of it: done, failed, or stale, as the state had moved on.
type outcomeOf struct{ what, result string }

const (
	resultDone   = "done"
	resultFailed = "failed"
	resultStale  = "stale"
)

func newCounters() counters {
	return counters{actions: map[outcomeOf]int64{}, decisions: map[outcomeOf]int64{}}
}

func (c *counters) acted(do cluster.Do, err error) {
	result := resultDone
	if err != nil {
		result = resultFailed
	}
	c.actions[outcomeOf{string(do), result}]++
}

func (c *counters) decided(kind cluster.CommandKind, result string) {
	c.decisions[outcomeOf{string(kind), result}]++
}

func (c *counters) looked(took time.Duration) {
	c.looks, c.looking, c.lastLook = c.looks+1, c.looking+took, took
}

func (c *counters) clone() counters {
	n := *c
	n.actions, n.decisions = maps.Clone(c.actions), maps.Clone(c.decisions)
	return n
}

// snap takes the snapshot of a round.
func (w *watcher) snap(now time.Duration) *snapshot {
	k := w.latest()
	s := &snapshot{
		at: now, host: w.name, version: w.Version, part: w.quorum != nil, state: k.State, index: k.Index, leads: w.quorum.leads(), leader: w.quorum.leader(),
		heard: map[string]time.Duration{}, judged: w.decision.Judgements, facts: w.facts, counters: w.counters.clone(),
	}
	for _, h := range w.hosts {
		if heard, known := w.heard[h.Name]; known && h.Name != w.name {
			s.heard[h.Name] = heard.At
		}
	}
	if w.teller != nil {
		s.dropped, s.failed = w.teller.dropped.Load(), w.teller.failed.Load()
	}
	if w.guard != nil {
		s.watchdog, s.armed = true, w.guard.device != nil
	}
	if w.quorum == nil {
		return s
	}
	p := w.policy()
	s.handover = p.StopTime + p.Drift
	s.voters, s.guarded = p.Voters, !p.Inactive && k.State.Phase != cluster.Unformed
	if w.quorum.node != nil {
		stats := w.quorum.node.Stats()
		s.raft = &stats
	}
	if w.facts != nil {
		s.serves = cluster.Sound().MayServe(&k.State, w.facts, p)
		if w.server.sql != nil {
			s.postgres = w.server.sql.Version
		}
	}
	if h, known := w.heard[k.State.Master]; known && h.Facts != nil && now-h.At < p.Fresh && !h.Facts.Recovery {
		s.current, s.knows = h.Facts.Current, true
	}
	return s
}

// lag is how far the standby's replay is behind what the master said a moment ago.
func (s *snapshot) lag() (bytes int64, known bool) {
	if s.facts == nil || !s.facts.Recovery || !s.knows || s.current == 0 {
		return 0, false
	}
	return max(0, int64(s.current)-int64(s.facts.Replayed)), true
}
