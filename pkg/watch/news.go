package watch

import (
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// news is what of the region and of the own server was told, and what is still to be told. It is the loop's.
type news struct {
	begun     bool
	known     known  // up to which the events of the region are made
	announced uint64 // up to which index some executor has told them
	unsaid    []unsaid
	verdict   verdict
	own       power
}

// verdict is what this host, as the executor, has judged, as names. What is the matter changes several times a second in an election, and nobody needs to be woken
// for each: it is told when it has lasted, or has changed for so long without lasting.
type verdict struct {
	told, now string
	since     time.Duration // of now
	differs   time.Duration // since when what was told is not so; 0 it is
}

const (
	verdictLasts = 2 * time.Second
	verdictLimit = 10 * time.Second
)

// judge takes what is the matter at a moment, and tells whether it is to be told.
func (v *verdict) judge(names string, now time.Duration) bool {
	if names != v.now {
		v.now, v.since = names, now
	}
	if names == v.told {
		v.differs = 0
		return false
	}
	if v.differs == 0 {
		v.differs = now
	}
	if now-v.since < verdictLasts && now-v.differs < verdictLimit {
		return false
	}
	v.told, v.differs = names, 0
	return true
}

// unsaid is an event that the executor is to tell. Every watcher keeps it until it hears that it was told: that executor may be gone.
type unsaid struct {
	index uint64
	event Event
}

// learn makes the events of a later state.
func (n *news) learn(k known, from string) {
	if !n.begun {
		n.begun, n.known = true, k
		return
	}
	if k.Index <= n.known.Index {
		return
	}
	for _, e := range regionEvents(&n.known.State, &k.State, from) {
		n.unsaid = append(n.unsaid, unsaid{k.Index, e})
	}
	n.known = k
	n.unsaid = n.unsaid[max(0, len(n.unsaid)-tellQueue):]
}

// heard drops what was told up to an index.
func (n *news) heard(announced uint64) {
	n.announced = max(n.announced, announced)
	for len(n.unsaid) > 0 && n.unsaid[0].index <= n.announced {
		n.unsaid = n.unsaid[1:]
	}
}

// say is what is to be told by the executor.
func (n *news) say() []Event {
	var all []Event
	for _, u := range n.unsaid {
		all = append(all, u.event)
	}
	n.unsaid, n.announced = nil, max(n.announced, n.known.Index)
	return all
}

// announce tells what has happened since the last round: of the region where this host is the executor, and of the own server.
func (w *watcher) announce(now time.Duration) {
	if w.quorum != nil {
		w.news.learn(w.latest(), w.name)
		if w.quorum.leads() {
			for _, e := range w.news.say() {
				w.notify(e)
			}
		} else {
			w.news.verdict = verdict{}
		}
	}
	if w.server == nil || w.facts == nil {
		return
	}
	after, event := w.news.own.next(w.facts, now-w.born)
	w.news.own = after
	if event {
		kind, message := EventUp, "PostgreSQL runs and answers"
		if !after.up {
			kind, message = EventDown, "PostgreSQL does not run"
			if w.facts.Running {
				message = serverStatus(w.Host, w.Postgres, w.server.last, w.facts)
			}
		}
		w.notifyOwn(kind, message)
	}
}

// announceJudged tells what is the matter, when that has changed.
func (w *watcher) announceJudged(names string, s *cluster.State) {
	if w.news.verdict.judge(names, sinceBoot()) {
		w.notify(judged(&w.decision, names, s, w.name))
	}
}

// notifyOwn tells of this host.
func (w *watcher) notifyOwn(kind EventKind, message string) {
	e := eventOf(kind, w.state(), w.name)
	e.Host, e.Message = &w.name, message
	w.notify(e)
}

// notify has the program told.
func (w *watcher) notify(e Event) {
	if w.teller == nil {
		return
	}
	if e.Time == "" {
		e.Time = w.recordTime()
	}
	w.teller.tell(e)
}
