package sim

import (
	"slices"
	"time"
)

type ending struct {
	at   time.Duration
	kind int
	host int    // of an impostor
	name string // its own
}

// recover ends what has an end: a host boots and systemd starts its PostgreSQL, links come back.
func (w *world) recover(i int) {
	h := &w.hosts[i]
	if !h.up && w.now >= h.back {
		h.up, h.back, h.wasOpen = true, 0, false
		h.booted++
		h.w.runs, h.w.restart, h.w.paused = false, w.now+w.rng.between(time.Second, 6*time.Second), 0
		if h.server && !h.pg.stopped && !w.rng.one(4) {
			w.start(h)
		}
		w.say("%s: is up again", h.name)
	}
	if i > 0 {
		return
	}
	kept := w.ends[:0]
	for _, e := range w.ends {
		if w.now < e.at {
			kept = append(kept, e)
			continue
		}
		switch e.kind {
		case partition:
			w.cut = [12][12]bool{}
		case lossy:
			w.loss = 0
		case brokenFile:
			w.mendFiles()
		case pauseHA:
			w.pauseHA(false)
		case inventory:
			w.inventory("")
		case impostor:
			p := w.hosts[e.host].pg
			p.senders = slices.DeleteFunc(p.senders, func(s *sender) bool { return s.host < 0 && s.name == e.name })
		}
	}
	w.ends = kept
	w.impostors()
}

func (w *world) mendFiles() {
	for i := range w.topo.Servers {
		w.hosts[i].pg.broken = false
	}
}

// heal ends every fault.
func (w *world) heal() {
	w.say("every fault ends")
	w.healed = w.now
	w.cut, w.loss, w.orphans, w.late, w.ends = [12][12]bool{}, 0, nil, nil, nil
	w.f = faults{slowReload: 1000}
	w.mendFiles()
	w.inventory("")
	if w.oracle.byHand {
		w.resetQuorum()
	}
	for i := range w.hosts {
		h := &w.hosts[i]
		h.removed = false
		h.back = min(h.back, w.now)
		h.paused = min(h.paused, w.now)
		h.w.restart, h.w.paused = min(h.w.restart, w.now), min(h.w.paused, w.now)
		h.w.actDue, h.w.cmdDue, h.w.lie = min(h.w.actDue, w.now), min(h.w.cmdDue, w.now), 0
		if !h.server {
			continue
		}
		p := h.pg
		p.sigstop, p.hung, p.full, p.noStart, p.dies, p.replayStop, p.stallRecv, p.slowRecv, p.stuckCkpt = 0, 0, 0, 0, 0, 0, 0, 0, 0
		p.senders = slices.DeleteFunc(p.senders, func(s *sender) bool { return s.host < 0 })
		for _, s := range p.senders {
			s.stuck = 0
		}
	}
}
