package sim

import (
	"slices"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// segment is how many records a WAL segment has.
const segment = 16

// rec is one place in the WAL: what kind of record it ends, and which. A long record has places before its last one that are part of it only.
type rec uint32

const (
	commitRec rec = 0       // a commit, by its number
	rowRec    rec = 1 << 30 // a signature, by its number in world.rows
	switchRec rec = 2 << 30 // the beginning of a timeline
	partRec   rec = 3 << 30 // of a record that ends further on, or nowhere
	kindMask  rec = 3 << 30
)

// fork is where a timeline began.
type fork struct{ timeline, at int }

// never is a time after every schedule.
const never = time.Duration(1 << 60)

// pg is one PostgreSQL: files, then processes.
type pg struct {
	wal     []rec  // flushed
	data    []rec  // applied; the same as wal, unless wal was overwritten behind replay
	forks   []fork // the timelines it came through, oldest first
	rows    []cluster.Epoch
	gate    bool   // standby.signal
	hba     bool   // pg_hba.conf lets clients in
	conf    *names // in the file
	broken  bool   // a syntax error in the file: who reads it now keeps what it had
	service int    // host in the service file; -1
	stopped bool   // cleanly
	recover int    // where its last recovery or promotion ended
	saved   bool

	up        bool
	recovery  bool
	startedAt time.Duration
	openHBA   bool   // in effect
	run       *names // the postmaster's
	waits     bool   // the checkpointer's word: commits wait
	ckptDue   time.Duration
	ckptRun   *names
	stuckCkpt time.Duration // it reads nothing until then
	released  int
	senders   []*sender
	waiters   []waiter
	long      long
	pid       int

	receiver   int // host; -1 none
	streaming  bool
	recvName   string
	recvLost   time.Duration // since when it hears nothing
	recvRetry  time.Duration
	received   int // as the function says
	replay     int // as the function says; behind data for a while after a restart
	replayStop time.Duration
	replayOff  bool // paused by somebody
	stallRecv  time.Duration
	slowRecv   time.Duration

	doomed              bool          // SIGKILL was sent
	sigstop, hung, full time.Duration // until then
	noStart             time.Duration // until then it does not start, or dies soon after
	dies                time.Duration // 0 not
	old                 *names        // version 10: a long statement's backend has this
	oldEnds             time.Duration
	oldOlder            bool // the long statement was there when the watcher first saw the names
}

// sender is one walsender with its own copy of the names.
type sender struct {
	pid       int
	name      string
	host      int // whose; -1 an impostor's
	conf      *names
	due       time.Duration // when it reads the reload
	ready     time.Duration // until then it is being let in: it reads nothing, and has no priority yet
	in        bool
	hidden    bool // ... and is in no view
	ended     bool // it was told to end
	prio      int  // in shared memory
	streaming bool
	flush     int
	older     bool          // it was there when its server's watcher first saw the names
	lost      time.Duration // since when its receiver is silent; 0 not
	stuck     time.Duration // not scheduled until then
}

// waiter is a commit that waits for standbys.
type waiter struct {
	lsn   int
	id    rec
	who   int // client; canary: the watcher's
	since time.Duration
}

const canaryClient = -1

// long is a commit whose record is being written: nothing else is, before it is whole. A server that dies has the beginning of it.
type long struct {
	left int // places still to be written; 0 there is none
	who  int
	own  *names
}

// wholeUpTo is where the last record ends that is whole within the first n places of the WAL.
func (p *pg) wholeUpTo(n int) int {
	for n > 0 && p.wal[n-1]&kindMask == partRec {
		n--
	}
	return n
}

// whole is where the last whole record ends: there replay waits for more, and a promotion begins a timeline.
func (p *pg) whole() int { return p.wholeUpTo(len(p.wal)) }

func (p *pg) timeline() int { return p.forks[len(p.forks)-1].timeline }

// works tells whether its processes do anything.
func (p *pg) works(now time.Duration) bool { return p.up && now >= p.sigstop }

func (p *pg) writes(now time.Duration) bool { return p.works(now) && now >= p.hung && !p.recovery }

// append flushes a record of a master.
func (p *pg) append(r rec) {
	p.wal = append(p.wal, r)
	p.data = append(p.data, r)
	p.replay = len(p.data)
}

// start brings up the postmaster. Without the gate it is a master, whoever starts it.
func (w *world) start(h *host) {
	p := h.pg
	if w.now < p.noStart {
		if w.rng.one(2) {
			return
		}
		p.dies = w.now + w.rng.between(0, 3*time.Second) // it answers, and crashes
	}
	p.up, p.stopped, p.recovery, p.startedAt = true, false, p.gate, w.now
	p.openHBA, p.run, p.ckptRun, p.waits = p.hba, p.conf, p.conf, p.conf.k > 0
	p.ckptDue, p.stuckCkpt, p.sigstop, p.replayStop, p.replayOff = never, 0, 0, 0, false
	p.received = len(p.wal) / segment * segment
	p.receiver, p.recvRetry, p.released, p.old = -1, w.now, 0, nil
	p.data = p.data[:min(len(p.data), p.whole())]
	p.replay = p.wholeUpTo(min(len(p.data), p.received))
	if !p.recovery {
		p.catchUp(w)
		p.replay, p.recover = len(p.data), len(p.wal)
	}
	w.shown(h)
}

// catchUp applies all of the local WAL. What comes next is written over the half of a record.
func (p *pg) catchUp(w *world) {
	p.wal = p.wal[:p.whole()]
	for len(p.data) < len(p.wal) {
		p.apply(w)
	}
}

// apply replays one record.
func (p *pg) apply(w *world) {
	r := p.wal[len(p.data)]
	p.data = append(p.data, r)
	if r&kindMask == rowRec {
		p.rows = append(slices.Clip(p.rows), w.rows[r&^kindMask])
	}
}

// stop ends every process. Who waited has no answer, and will find the row there.
func (p *pg) stop() {
	p.up, p.senders, p.waiters, p.receiver, p.streaming, p.long = false, nil, nil, -1, false, long{}
}

// end is what comes of a SIGKILL, and of a start that was no success.
func (p *pg) end(now time.Duration) {
	if p.doomed && now >= p.hung {
		p.doomed = false
		p.stop()
	}
	if p.dies != 0 && now >= p.dies {
		p.dies = 0
		p.stop()
	}
}

// reload is SIGHUP: the postmaster reads the file, and each process when it comes to it. Some take long.
func (w *world) reload(p *pg) {
	if !p.up {
		return
	}
	p.openHBA = p.hba
	if !p.broken {
		p.run = p.conf
	}
	p.ckptDue = w.now + w.slow()
	for _, s := range p.senders {
		s.due = w.now + w.slow()
	}
}

// slow is how long a process may take to read a reload.
func (w *world) slow() time.Duration {
	switch {
	case w.rng.one(w.f.slowReload):
		return w.rng.between(0, 20*time.Second)
	case w.rng.one(3):
		return w.rng.between(0, 600*time.Millisecond)
	}
	return 0
}

// tickPG runs a PostgreSQL's own processes: reloads that are read, replay.
func (w *world) tickPG(h *host) {
	p := h.pg
	p.end(w.now)
	if !p.works(w.now) {
		return
	}
	if w.now >= p.ckptDue && w.now >= p.stuckCkpt {
		p.ckptDue = never
		if !p.broken {
			p.ckptRun, p.waits = p.conf, p.conf.k > 0
		}
		if !p.waits {
			w.releaseAll(h)
		}
	}
	w.tickSenders(h)
	if p.recovery && w.now >= p.replayStop && !p.replayOff {
		end := p.whole()
		for n := 8 + w.rng.n(60); p.replay < end && (n > 0 || p.wholeUpTo(p.replay) < p.replay); n-- {
			if p.replay == len(p.data) {
				p.apply(w)
			}
			p.replay++
		}
	}
	if p.long.left > 0 && p.writes(w.now) {
		w.writeLong(h, 1+w.rng.n(4))
	}
	if p.old != nil && w.now >= p.oldEnds {
		w.commit(h, oldClient, p.old)
		p.old = nil
	}
}

// tickSenders has each walsender end that was told to, come in, and read the file, when it comes to it.
func (w *world) tickSenders(h *host) {
	p := h.pg
	p.senders = slices.DeleteFunc(p.senders, func(s *sender) bool { return s.ended && w.now >= s.stuck })
	for _, s := range p.senders {
		if w.now < s.stuck || w.now < s.ready {
			continue
		}
		if !s.in {
			if s.due != never { // a signal has waited for it; that it finds an error in the file is not covered (docs/safety.md)
				s.conf, s.due = p.conf, never
				if p.broken {
					s.conf = p.run
				}
			}
			s.in, s.hidden, s.prio = true, false, s.conf.priority(s.name)
		}
		if w.now < s.due {
			continue
		}
		s.due = never
		if p.broken {
			continue
		}
		s.conf = p.conf
		s.prio = s.conf.priority(s.name)
		if s.conf.k > 0 { // SyncRepInitConfig, then the walsender may release by the new names
			w.release(h, s)
		}
	}
}

// commit writes a commit and waits as PostgreSQL would. own is the names that the backend has read, looked at up to version 10 only. Some are
// long: the first places are on disk, and may be sent, before the last one.
func (w *world) commit(h *host, who int, own *names) {
	p := h.pg
	if !p.writes(w.now) || p.long.left > 0 {
		return
	}
	if who >= 0 && w.rng.one(8) {
		p.long = long{left: 2 + w.rng.n(12), who: who, own: own}
		w.writeLong(h, 1)
		return
	}
	w.committing(h, who, own)
}

// writeLong writes some places more of the long record, at last the one that makes it whole.
func (w *world) writeLong(h *host, places int) {
	p := h.pg
	for ; p.long.left > 1 && places > 0; places-- {
		p.append(partRec)
		p.long.left--
	}
	if p.long.left == 1 && places > 0 {
		l := p.long
		p.long = long{}
		w.committing(h, l.who, l.own)
	}
}

// committing is the end of a commit's record, and the wait.
func (w *world) committing(h *host, who int, own *names) {
	p := h.pg
	w.lastID++
	id := rec(w.lastID)
	p.append(id)
	if !p.waits || w.version10 && own.k == 0 || len(p.wal) <= p.released {
		w.acknowledge(h, id, who, w.now)
		return
	}
	p.waiters = append(p.waiters, waiter{lsn: len(p.wal), id: id, who: who, since: w.now})
}

// release is SyncRepReleaseWaiters of one walsender: by its own copy of the names, and the priorities that all have written. Under FIRST it has to be one of the K
// that come first; of two of one priority the one before it in the list is.
func (w *world) release(h *host, s *sender) {
	if s.prio == 0 || !s.streaming || s.flush == 0 {
		return
	}
	c := s.conf
	var counted [8]*sender
	n, self := 0, 0
	for _, o := range h.pg.senders {
		if o.prio > 0 && o.streaming && o.flush > 0 && n < len(counted) {
			i := n
			for ; i > 0 && (c.any && counted[i-1].flush < o.flush || !c.any && counted[i-1].prio > o.prio); i-- {
				counted[i] = counted[i-1]
			}
			counted[i] = o
			n++
		}
	}
	for self < n && counted[self] != s {
		self++
	}
	if c.k == 0 || n < c.k || !c.any && self >= c.k {
		return
	}
	at := counted[c.k-1].flush
	for i := range c.k {
		at = min(at, counted[i].flush)
	}
	if at > h.pg.released {
		h.pg.released = at
		w.wake(h, at)
	}
}

// countsTwice tells whether two walsenders of one name may count for a commit that waits for two or more.
func (p *pg) countsTwice() bool {
	if !slices.ContainsFunc(p.senders, func(s *sender) bool { return s.prio > 0 && s.conf.k > 1 }) {
		return false
	}
	for i, s := range p.senders {
		if s.prio > 0 && slices.ContainsFunc(p.senders[i+1:], func(o *sender) bool { return o.name == s.name && o.prio > 0 }) {
			return true
		}
	}
	return false
}

// wake acknowledges what waited up to a position.
func (w *world) wake(h *host, at int) {
	p := h.pg
	kept := p.waiters[:0]
	for _, x := range p.waiters {
		if x.lsn <= at {
			w.acknowledge(h, x.id, x.who, x.since)
		} else {
			kept = append(kept, x)
		}
	}
	p.waiters = kept
}

func (w *world) releaseAll(h *host) {
	if len(h.pg.waiters) > 0 {
		w.wake(h, len(h.pg.wal))
	}
}
