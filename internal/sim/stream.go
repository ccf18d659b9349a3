package sim

import "time"

// timeouts of a link that is silent, and how often a standby without a receiver tries again.
const (
	senderTimeout = 5 * time.Second
	retryInterval = 2 * time.Second
)

// stream moves WAL to one standby, and its answer back.
func (w *world) stream(i int) {
	h := &w.hosts[i]
	p := h.pg
	if !p.works(w.now) || !p.recovery || h.frozenTime() {
		return
	}
	if p.receiver < 0 {
		w.connect(i)
		return
	}
	up := &w.hosts[p.receiver]
	s := up.pg.senderOf(i, p.pid)
	if s == nil || !up.up || !up.pg.up {
		p.endReceiver(w.now)
		return
	}
	if w.now < p.stallRecv || !s.in {
		return
	}
	linked := w.reaches(p.receiver, i) && !up.frozenTime() && up.pg.works(w.now) && w.now >= s.stuck
	if !linked {
		w.silence(p, s)
		return
	}
	p.recvLost = 0
	if w.rng.one(4) {
		return
	}
	to := len(up.pg.wal)
	if w.rng.one(3) {
		to = max(len(p.wal), to-w.rng.n(4))
	}
	if w.now < p.slowRecv {
		to = min(to, len(p.wal)+w.rng.n(2))
	}
	if to > len(p.wal) {
		p.wal = append(p.wal, up.pg.wal[len(p.wal):to]...)
		for k := len(p.forks); k < len(up.pg.forks) && up.pg.forks[k].at < len(p.wal); k++ {
			p.forks = append(p.forks, up.pg.forks[k])
		}
	}
	p.received, p.streaming = len(p.wal), true
	if w.reaches(i, p.receiver) {
		s.flush, s.lost = len(p.wal), 0
		s.streaming = s.streaming || s.flush+segment >= len(up.pg.wal)
		w.release(up, s)
	} else if s.lost == 0 {
		s.lost = w.now
	}
}

// silence ends a receiver that hears nothing for long.
func (w *world) silence(p *pg, s *sender) {
	if p.recvLost == 0 {
		p.recvLost = w.now
	}
	if s.lost == 0 {
		s.lost = w.now
	}
	if w.now > p.recvLost+senderTimeout {
		p.endReceiver(w.now)
	}
}

func (p *pg) endReceiver(now time.Duration) {
	p.receiver, p.streaming, p.recvLost = -1, false, 0
	p.recvRetry = now + retryInterval
}

func (p *pg) senderOf(host, pid int) *sender {
	for _, s := range p.senders {
		if s.host == host && s.pid == pid {
			return s
		}
	}
	return nil
}

// connect starts a receiver when it is time, the service file names a host, and that one's history goes with the standby's by number.
func (w *world) connect(i int) {
	h := &w.hosts[i]
	p := h.pg
	if p.service < 0 || w.now < p.recvRetry || p.replay < len(p.data) {
		return
	}
	whole := p.whole()
	if len(p.data) < whole && w.now < p.replayStop {
		return
	}
	p.recvRetry = w.now + retryInterval
	up := &w.hosts[p.service]
	if p.service == i || !up.up || up.frozenTime() || !up.pg.works(w.now) || !w.reaches(i, p.service) || !w.reaches(p.service, i) {
		return
	}
	if !up.pg.passes(p.timeline(), whole) {
		return
	}
	p.wal = p.wal[:whole]
	// from the start of the segment: what is there is overwritten, and once the numbers match nothing tells
	for k := len(p.wal) / segment * segment; k < len(p.wal) && k < len(up.pg.wal); k++ {
		p.wal[k] = up.pg.wal[k]
	}
	w.lastPID++
	p.receiver, p.streaming, p.recvName, p.pid = p.service, false, h.incarnation, w.lastPID
	s := &sender{pid: p.pid, name: p.recvName, host: i, conf: up.pg.run, due: never, ready: w.now + w.slow(), hidden: w.rng.one(2)}
	up.pg.senders = append(up.pg.senders, s)
}

// passes tells whether a standby on this timeline at this position may stream from here, as far as numbers tell.
func (p *pg) passes(timeline, at int) bool {
	if timeline > p.timeline() || at > len(p.wal) {
		return false
	}
	for k := range p.forks {
		if p.forks[k].timeline == timeline {
			return k+1 == len(p.forks) || at <= p.forks[k+1].at
		}
	}
	return false
}

// feed keeps the walsenders of a server: those whose receiver is gone end when they notice, impostors flush what they like.
func (w *world) feed(i int) {
	h := &w.hosts[i]
	p := h.pg
	if !p.works(w.now) {
		return
	}
	kept := p.senders[:0]
	for _, s := range p.senders {
		switch {
		case s.host < 0:
			s.streaming, s.flush = true, len(p.wal)
			w.release(h, s)
		case w.gone(i, s):
			if s.lost == 0 {
				s.lost = w.now
			}
		}
		if s.lost == 0 || w.now < s.lost+senderTimeout {
			kept = append(kept, s)
		}
	}
	clear(p.senders[len(kept):])
	p.senders = kept
}

// gone tells whether the sender's receiver is another one by now, or none. A live host closes the connection, a dead one does not.
func (w *world) gone(i int, s *sender) bool {
	o := &w.hosts[s.host]
	if o.pg.up && o.pg.receiver == i && o.pg.pid == s.pid && o.up {
		return false
	}
	if o.up && !o.frozenTime() && w.reaches(s.host, i) && w.rng.one(2) {
		s.lost = w.now - senderTimeout
	}
	return true
}
