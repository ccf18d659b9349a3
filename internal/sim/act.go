package sim

import (
	"fmt"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// perform does one thing to a host's own server, as its watcher would.
func (w *world) perform(i int, a cluster.Action) {
	h := &w.hosts[i]
	p := h.pg
	w.happened(string(a.Do))
	if a.Do != cluster.DoRemember && a.Do != cluster.DoMasterFile {
		w.say("%s: %s %s%s (%s)", h.name, a.Do, a.Host, a.Text, a.Why)
	}
	switch a.Do {
	case cluster.DoFreeze:
		w.freeze(i, a.Base)
	case cluster.DoFollow:
		h.frozenFor, h.serviceEpoch, p.service = 0, a.Epoch, w.index(a.Host)
		p.endReceiver(w.now - retryInterval)
	case cluster.DoSetNames:
		h.w.setLSN = len(p.wal)
		p.conf = w.parsed(a.Text)
		w.reload(p)
	case cluster.DoRemember:
		h.w.proof = a.Proof
		if w.m == PositionBeforeProof {
			h.w.proof.At = cluster.LSN(h.w.setLSN)
		}
	case cluster.DoEndSender:
		w.endSender(p, a.PID)
	case cluster.DoCloseClients:
		p.hba = false
		w.reload(p)
	case cluster.DoOpenClients:
		p.hba = true
		w.reload(p)
	case cluster.DoResumeReplay:
		p.replayOff = false
	case cluster.DoMasterFile:
		h.masterFile = a.Host
	case cluster.DoHoldPool:
		h.held = a.Epoch
	case cluster.DoPointPool:
		h.pool = w.index(a.Host)
	default:
		w.performPower(i, a)
	}
}

// performPower does what starts, stops and promotes.
func (w *world) performPower(i int, a cluster.Action) {
	h := &w.hosts[i]
	p := h.pg
	switch a.Do {
	case cluster.DoPromote:
		w.promote(h)
	case cluster.DoWriteRow:
		if p.writes(w.now) {
			w.sign(h, a.Epoch, a.Nonce)
		}
	case cluster.DoMakeWay:
		w.makeWay(i)
	case cluster.DoStop, cluster.DoKill:
		if p.doomed = w.now < p.hung; !p.doomed { // a process that waits for its disk ends when that answers
			p.stop()
		}
	case cluster.DoStartReadOnly:
		h.w.starts, h.w.triedAt = h.w.starts+1, h.clock
		if !p.up && w.now >= p.hung {
			p.gate, p.conf, p.broken, h.rogue = true, w.parsed(cluster.ClosedNames), false, false
			if !p.recovery { // it was a master: whom it followed before, it may not be a copy of
				p.service, h.serviceEpoch = -1, 0
			}
			w.start(h)
		}
	case cluster.DoStartMaster:
		h.w.starts, h.w.triedAt = h.w.starts+1, h.clock
		if w.now >= p.hung {
			p.stop()
			if w.m != CrashPassesGate {
				p.hba = false
			}
			p.gate = false
			w.start(h)
			p.gate = !w.rng.one(50) // once it has read its files; unless the watcher dies in between
		}
	case cluster.DoPutGate:
		p.gate = true
	case cluster.DoCheckpoint:
		p.saved, p.stuckCkpt = true, w.now+w.rng.between(0, 3*time.Second)
	case cluster.DoRenew:
		w.renew(i, w.index(a.Host))
	default:
		panic("an action that the simulation does not know: " + a.Do)
	}
}

// freeze writes the marker and the service file, and ends the receiver; a receiver may be slow to go.
func (w *world) freeze(i int, base int64) {
	h := &w.hosts[i]
	h.frozenFor, h.serviceEpoch, h.pg.service = base, 0, -1
	h.w.frozen = w.now
	if w.m == FreezeIsReload && w.rng.one(2) {
		return // the reload does nothing while replay is held up
	}
	if w.rng.one(5) && h.pg.receiver >= 0 {
		return
	}
	h.pg.endReceiver(w.now)
	h.w.gone = h.clock
}

func (w *world) endSender(p *pg, pid int) {
	for k, s := range p.senders {
		switch {
		case s.pid != pid:
		case w.now < s.stuck: // a signal waits for it
			s.ended = true
		default:
			p.senders = append(p.senders[:k:k], p.senders[k+1:]...)
			return
		}
	}
}

// promote ends recovery: all local WAL is applied, a timeline begins. Nobody could be sure of its number.
func (w *world) promote(h *host) {
	p := h.pg
	if !p.works(w.now) || !p.recovery || p.replayOff && w.version10 {
		return
	}
	p.receiver, p.streaming = -1, false
	p.catchUp(w)
	p.forks = append(p.forks[:len(p.forks):len(p.forks)], fork{timeline: p.timeline() + 1, at: len(p.wal)})
	p.recovery, p.gate, p.saved = false, false, false
	p.append(switchRec | rec(w.rng.n(1<<20)))
	p.recover = len(p.wal)
	p.released = 0
}

// sign writes the row of an epoch, without waiting for anybody.
func (w *world) sign(h *host, epoch int64, nonce string) {
	p := h.pg
	w.writeLong(h, p.long.left)
	var history cluster.History
	for k := 1; k < len(p.forks); k++ {
		history = append(history, cluster.Fork{Parent: cluster.Timeline(p.forks[k-1].timeline), At: cluster.LSN(p.forks[k].at)})
	}
	row := cluster.NewRow(epoch, h.name, nonce, cluster.Timeline(p.timeline()), history, p.rows, cluster.LSN(len(p.wal)))
	w.rows = append(w.rows, row)
	p.append(rowRec | rec(len(w.rows)-1))
	p.rows = append(p.rows[:len(p.rows):len(p.rows)], row)
	p.recover = len(p.wal)
}

// renew copies a master: data, history and its names; the names are put right before it starts.
func (w *world) renew(i, from int) {
	h, src := &w.hosts[i], &w.hosts[from]
	if from == i || !w.reaches(i, from) || !w.reaches(from, i) || !src.pg.works(w.now) || src.pg.recovery {
		return
	}
	w.lastPID++
	h.pg.stop()
	h.incarnation = fmt.Sprintf("%s_%d", h.name, w.lastPID)
	h.frozenFor, h.serviceEpoch, h.rogue = 0, 0, false
	*h.pg = pg{
		wal: append([]rec{}, src.pg.wal...), data: append([]rec{}, src.pg.data...), forks: append([]fork{}, src.pg.forks...),
		rows: src.pg.rows, gate: true, hba: true, conf: w.parsed(cluster.ClosedNames), service: -1, saved: true,
	}
	w.start(h)
	w.say("%s: is a copy of %s now, as %s", h.name, src.name, h.incarnation)
}

// makeWay is a clean stop: the standbys that stream get what there is, as far as the network lets it, and nobody is acknowledged in the middle of it.
func (w *world) makeWay(i int) {
	p := w.hosts[i].pg
	if w.now < p.hung || !p.works(w.now) {
		return // it heeds nothing: what is decided next will
	}
	p.waiters = nil
	for j := range w.topo.Servers {
		if w.hosts[j].pg.receiver == i {
			w.stream(j)
		}
	}
	p.stop()
}
