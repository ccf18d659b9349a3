package sim

import (
	"slices"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
)

const (
	heartbeat = time.Second
	lookLimit = 2 * time.Second // what was seen is gone by for so long
	longAgo   = -never / 4      // on a host's clock: so long ago that no age in it counts
)

// watcher is `pgctl watch` on one host: what it remembers, all on the host's own clock. A restart forgets everything.
type watcher struct {
	runs    bool
	born    time.Duration
	booted  int           // of the machine, when it began
	restart time.Duration // world's time at which supervisor starts it again
	paused  time.Duration // until then; 0 not
	beat    time.Duration

	state   *cluster.State
	epoch   int64
	epochAt time.Duration
	phase   cluster.Phase
	phaseAt time.Duration
	wanted  time.Duration // as executor: since when it knows that another master is wanted; 0 none is

	master   string
	masterAt time.Duration
	granted  time.Duration // as executor: a lease, last; or when it became one

	seq   int64
	heard []cluster.Heard
	sight cluster.Sight
	life  []time.Duration
	ans   []cluster.Answer
	lie   time.Duration // its probes see nothing until then

	flush   []int // as master: of each standby, when it last moved
	flushAt []time.Duration
	got     int // as standby
	gotAt   time.Duration
	since   time.Duration // it streams
	gone    time.Duration // it has no receiver

	named   bool // shown is what a session showed
	shown   string
	shownAt time.Duration
	waited  bool
	reread  time.Duration // when the files were read once more
	proof   *cluster.Proof
	setLSN  int

	lease      time.Duration
	leaseEpoch int64
	leaseGen   int64
	canary     time.Duration
	canaryText string
	probing    time.Duration // when the canary that is under way was begun; longAgo none
	probeText  string
	probeID    rec
	write      time.Duration
	last       *cluster.Facts
	sawAt      time.Duration  // when those were seen, own clock
	actedAt    time.Duration  // when the last act was done
	heeded     *cluster.State // that was gone by last
	answered   time.Duration

	acts    []cluster.Action
	actDue  time.Duration
	told    time.Duration // the executor's message to promote itself (a mutant's)
	starts  int
	triedAt time.Duration
	frozen  time.Duration // since when, for a mutant

	barrier *entry
	pending *entry
	pendAt  time.Duration
	cmd     *cluster.Command
	cmdDue  time.Duration
}

// begin is a watcher that has just started.
func (x *watcher) begin(w *world, i int) {
	h := &w.hosts[i]
	n := len(w.hosts)
	c := h.clock
	old := *x
	if old.state == nil || old.booted != h.booted { // what ages rest on is kept for as long as the machine is up
		old = watcher{lease: longAgo, canary: longAgo, write: c, gotAt: c, ans: make([]cluster.Answer, n), life: make([]time.Duration, n), seq: old.seq}
		for j := range old.life {
			old.life[j] = c
		}
	}
	*x = watcher{
		runs: true, born: c, beat: c + w.rng.between(0, heartbeat), state: &cluster.State{}, heard: make([]cluster.Heard, 0, n),
		life: old.life, ans: old.ans, got: old.got, seq: old.seq, booted: h.booted, flush: make([]int, n), flushAt: make([]time.Duration, n),
		gotAt: old.gotAt, since: c, gone: c, lease: old.lease, leaseEpoch: old.leaseEpoch, leaseGen: old.leaseGen, canary: old.canary, canaryText: old.canaryText,
		starts: old.starts, triedAt: old.triedAt, probing: longAgo, write: old.write, epochAt: c, phaseAt: c, shownAt: c,
	}
	for j := range x.flushAt {
		x.flushAt[j] = c
	}
	if w.m == FreezeLostAtRestart && h.frozenFor != 0 && h.raft.commit.state.Election != nil {
		h.pg.service, h.frozenFor = w.index(h.raft.commit.state.Election.OldMaster), 0
	}
	w.orphans = slices.DeleteFunc(w.orphans, func(o orphan) bool { return o.host == i }) // it ends the sessions of the one before it
}

// watch is one tick of a host's watcher.
func (w *world) watch(i int) {
	h := &w.hosts[i]
	x := &h.w
	if h.up && h.paused == 0 && !x.runs && !h.removed && w.now >= x.restart {
		x.begin(w, i)
	}
	if x.paused != 0 && w.now >= x.paused {
		x.paused = 0
	}
	if !h.alive() {
		return
	}
	x.learn(h.raft.commit.state, h.clock)
	if len(x.acts) > 0 && w.now >= x.actDue {
		a := x.acts[0]
		x.acts = x.acts[1:]
		x.actDue = w.now + w.acting()
		w.perform(i, a)
		x.actedAt = h.clock
		if len(x.acts) == 0 {
			x.beat = min(x.beat, h.clock+2*tick) // what is next is looked at without delay
		}
	}
	if x.cmd != nil && w.now >= x.cmdDue {
		w.submit(i)
	}
	w.heed(i)
	if h.clock < x.beat {
		return
	}
	x.beat += heartbeat
	if h.clock > x.beat {
		x.beat = h.clock + heartbeat
	}
	w.round(i)
}

// heed does what the quorum has decided since the last look by what that showed.
func (w *world) heed(i int) {
	h := &w.hosts[i]
	x := &h.w
	if !h.server || x.last == nil || x.state == x.heeded || len(x.acts) > 0 || x.sawAt <= x.actedAt || h.clock-x.sawAt > lookLimit {
		return
	}
	x.heeded = x.state
	if x.state.Master == h.name && h.raft.leader >= 0 {
		w.send(message{to: h.raft.leader, from: i, lease: askLease, sent: h.clock, epoch: x.epoch})
	}
	f, p := *x.last, w.policyOf(h.raft.commit)
	x.ages(&f, h, w.now)
	if cluster.AwaitsSign(x.state, &f, p) {
		return
	}
	x.sight = cluster.Sight{Now: h.clock, Since: x.born, Heard: x.heard}
	x.acts, x.actDue = w.rules.Reconcile(x.state, &f, &x.sight, p), w.now+w.acting()
}

// learn notes when the watcher came to know of an epoch and of a phase.
func (x *watcher) learn(s *cluster.State, clock time.Duration) {
	x.state = s
	if s.Epoch != x.epoch {
		x.epoch, x.epochAt = s.Epoch, clock
		x.phase, x.master = "-", ""
	}
	if s.Master != x.master {
		x.master, x.masterAt = s.Master, clock
	}
	if s.Phase != x.phase {
		x.phase, x.phaseAt = s.Phase, clock
	}
}

// round looks, reports, asks for the lease, and decides what to do about its own server; the executor decides about the region.
func (w *world) round(i int) {
	h := &w.hosts[i]
	x := &h.w
	w.probe(i)
	x.seq++
	r := &cluster.Report{
		Host: h.name, Seq: x.seq, Features: cluster.Features, Epoch: x.epoch, Phase: x.state.Phase,
		EpochAge: h.clock - x.epochAt, PhaseAge: h.clock - x.phaseAt,
	}
	if x.master != "" {
		r.MasterAge = h.clock - x.masterAt
	}
	r.Probes = make([]cluster.Probe, w.topo.Servers)
	for j := range r.Probes {
		r.Probes[j] = cluster.Probe{Host: w.hosts[j].name, Quiet: h.clock - x.life[j], Answer: x.ans[j]}
	}
	if h.server {
		r.Facts = w.facts(i)
	}
	if h.pool >= 0 {
		r.Pool = &cluster.PoolFacts{Host: h.name, Backend: w.hosts[h.pool].name, Held: h.held}
	}
	x.hear(r, h.clock)
	for j := range w.hosts {
		if j != i {
			w.send(message{to: j, from: i, report: r})
		}
	}
	if w.m == NoBarrier && x.state.Master == h.name {
		x.lease, x.leaseEpoch = h.clock, x.epoch // the state is read where it lies
	}
	if x.state.Master == h.name && h.raft.leader >= 0 {
		w.send(message{to: h.raft.leader, from: i, lease: askLease, sent: h.clock, epoch: x.epoch})
	}
	x.sight = cluster.Sight{Now: h.clock, Since: x.born, Heard: x.heard}
	if h.raft.leader == i {
		x.sight.Confirmed = h.clock - x.granted
	}
	p := w.policyOf(h.raft.commit)
	x.sawAt, x.heeded = h.clock, x.state
	if len(x.acts) == 0 {
		if h.server {
			x.acts = w.rules.Reconcile(x.state, r.Facts, &x.sight, p)
			w.meddle(i, r.Facts)
		}
		if h.pool >= 0 {
			x.acts = append(x.acts, cluster.ReconcilePool(x.state, r.Pool, p)...)
		}
		x.actDue = w.now + w.acting()
	}
	if h.server {
		w.canary(i)
		w.reread(i, r.Facts)
	}
	if h.raft.leader == i {
		w.execute(i, p)
	}
}

// acting is how long it takes from a check to its act: mostly nothing, once in a while up to a minute.
func (w *world) acting() time.Duration {
	if w.f.pauses > 0 && w.rng.one(w.f.pauses) {
		return w.rng.between(0, time.Minute)
	}
	return time.Duration(w.rng.n(3)) * tick
}

func (x *watcher) hear(r *cluster.Report, at time.Duration) {
	for j := range x.heard {
		if x.heard[j].Host == r.Host {
			if x.heard[j].Seq > r.Seq {
				return
			}
			x.heard[j] = cluster.Heard{Report: r, At: at}
			return
		}
	}
	x.heard = append(x.heard, cluster.Heard{Report: r, At: at})
}

// probe connects to every server.
func (w *world) probe(i int) {
	h := &w.hosts[i]
	x := &h.w
	for j := range w.topo.Servers {
		o := &w.hosts[j]
		x.ans[j] = cluster.AnswerNone
		switch {
		case h.clock < x.lie, i != j && (!w.reaches(i, j) || !w.reaches(j, i)), w.now < o.pg.sigstop, w.now < o.pg.hung:
		case !o.pg.up:
			x.ans[j] = cluster.AnswerRefused
		case w.now < o.pg.full:
			x.ans[j], x.life[j] = cluster.AnswerFull, h.clock
		case o.pg.recovery:
			x.ans[j] = cluster.AnswerStandby
		default:
			x.ans[j], x.life[j] = cluster.AnswerMaster, h.clock
		}
	}
}

// canary begins a commit of the watcher's own, when none is under way.
func (w *world) canary(i int) {
	h := &w.hosts[i]
	x := &h.w
	if x.probing != longAgo && !slices.ContainsFunc(h.pg.waiters, func(y waiter) bool { return y.id == x.probeID }) {
		x.probing = longAgo // its connection is gone
	}
	if !h.pg.writes(w.now) || x.probing != longAgo {
		return
	}
	x.probing, x.probeText, x.probeID = h.clock, h.pg.run.text, rec(w.lastID+1)
	w.commit(h, canaryClient, h.pg.run)
	if x.waiting(h.pg) && x.shown == h.pg.run.text {
		x.waited = true // another session looks while it waits
	}
}

// reread has PostgreSQL read its files once more, where some of its processes may have found an error in them, every ten seconds.
func (w *world) reread(i int, f *cluster.Facts) {
	h := &w.hosts[i]
	x := &h.w
	var waits time.Duration
	if len(h.pg.waiters) > 0 {
		waits = w.now - h.pg.waiters[0].since
	}
	if h.clock-x.reread >= 10*time.Second && h.pg.works(w.now) && cluster.Unread(x.state, f, waits) {
		x.reread = h.clock
		w.reload(h.pg)
	}
}

// waiting tells whether the canary waits for a standby now.
func (x *watcher) waiting(p *pg) bool {
	return slices.ContainsFunc(p.waiters, func(y waiter) bool { return y.id == x.probeID })
}

// message is a report, or a request for the lease and its answer.
type message struct {
	to, from int
	report   *cluster.Report
	lease    int
	sent     time.Duration
	epoch    int64
	gen      int64 // of the state that the leader granted it from: whoever knows less has no lease
	promote  bool
}

const (
	askLease = iota + 1
	grantLease
)

func (w *world) send(m message) {
	if !w.reaches(m.from, m.to) {
		return
	}
	d := w.rng.n(2)
	if w.f.slowNet > 0 && w.rng.one(w.f.slowNet) {
		d = w.rng.n(len(w.mail) - 1)
	}
	at := (int(w.now/tick) + 1 + d) % len(w.mail)
	w.mail[at] = append(w.mail[at], m)
}

func (w *world) deliver() {
	at := int(w.now/tick) % len(w.mail)
	for _, m := range w.mail[at] {
		h := &w.hosts[m.to]
		if !h.up || !h.w.runs {
			continue
		}
		if !h.alive() { // it lies in a socket
			next := (at + 1) % len(w.mail)
			w.mail[next] = append(w.mail[next], m)
			continue
		}
		switch {
		case m.report != nil:
			h.w.hear(m.report, h.clock)
		case m.promote:
			h.w.told = w.now
		case m.lease == askLease:
			w.grant(m)
		case m.lease == grantLease && m.epoch == h.w.epoch && m.gen <= h.w.state.Gen:
			if w.m == LeaseFromReceipt {
				m.sent = h.clock
			}
			h.w.lease, h.w.leaseEpoch, h.w.leaseGen = max(h.w.lease, m.sent), m.epoch, m.gen
		}
	}
	w.mail[at] = w.mail[at][:0]
}

// grant confirms the master, if this host leads by the word of a majority now and knows everything up to its own election.
func (w *world) grant(m message) {
	h := &w.hosts[m.to]
	if h.raft.leader != m.to || !w.verified(m.to) || h.w.barrier == nil || !h.raft.commit.has(h.w.barrier) {
		return
	}
	s := h.raft.commit.state
	if s.Epoch == m.epoch && s.Master == w.hosts[m.from].name {
		h.w.granted = h.clock
		w.send(message{to: m.from, from: m.to, lease: grantLease, sent: m.sent, epoch: m.epoch, gen: s.Gen})
	}
}
