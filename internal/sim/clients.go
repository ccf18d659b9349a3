package sim

import "slices"

// clients commit through every pool, and one knows no pool and tries whatever it finds.
func (w *world) clients() {
	for _, at := range w.pools {
		h := &w.hosts[at]
		if h.up && h.paused == 0 && h.pool >= 0 && w.rng.one(3) && (h.pool == at || w.reaches(at, h.pool)) {
			w.write(h.pool, at)
		}
	}
	if w.rng.one(4) {
		w.write(w.rng.n(w.topo.Servers), len(w.hosts))
	}
	for i := range w.topo.Servers {
		p := w.hosts[i].pg
		if w.f.cancels > 0 && len(p.waiters) > 0 && w.rng.one(w.f.cancels) {
			w.cancel(i, w.rng.n(len(p.waiters)))
		}
	}
}

// write is one client's commit on one server.
func (w *world) write(to, who int) {
	h := &w.hosts[to]
	if w.open(h) && len(h.pg.waiters) < 6 && w.now >= h.pg.full {
		w.commit(h, who, h.pg.run)
	}
}

// cancel ends a client's wait: a warning, and the row is there.
func (w *world) cancel(i, k int) {
	p := w.hosts[i].pg
	if p.waiters[k].who == canaryClient {
		return
	}
	p.waiters = slices.Delete(p.waiters, k, k+1)
}

// open tells whether clients get in and meet a master.
func (w *world) open(h *host) bool {
	return h.up && h.paused == 0 && h.pg.works(w.now) && w.now >= h.pg.hung && !h.pg.recovery && h.pg.openHBA
}
