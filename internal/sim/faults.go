package sim

import (
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// faults are what may go wrong all the time, as one in so many; 0 never. And what goes wrong at certain times.
type faults struct {
	pauses     int // checks that are followed by a long pause before their act
	slowReload int // processes that read a reload late
	slowNet    int // messages that are under way for seconds
	cancels    int // waiting commits that a client gives up
	late       int // proposals whose outcome is not known, and that come much later
	switches   int // rounds of the executor in which an operator wants another master
	events     []event
}

// times of a schedule: the region is whole by begin, every fault ends at heal, and it is whole again by the end.
const (
	beginAt = 14 * time.Second
	healAt  = 75 * time.Second
	endAt   = healAt + 110*time.Second
)

// event is one fault. It begins at its time, or so long after what it waits for: a command that the quorum has committed, or something
// that a watcher does. What loses data is mostly a fault at the worst moment, and those are the moments.
type event struct {
	at, long time.Duration
	kind     int
	host     int // or one of those below
	arg      int
	after    string        // cluster.CommandKind or cluster.Do; "" nothing
	delay    time.Duration // after that
	begun    bool
}

// Hosts that are known only when the fault begins.
const (
	theMaster = -1 - iota
	theLeader
	theCandidate // who is elected, or else some standby
)

// The kinds of faults.
const (
	hostCrash = iota
	hostPause
	watcherCrash
	watcherPause
	pgCrash
	pgStop
	pgHung
	pgFull
	pgRestart
	partition
	oneWay
	lossy
	stuckSender
	stuckCheckpointer
	stallReceiver
	stallReplay
	pauseReplay
	impostor
	longStatement
	promoteByHand
	stopByHand
	brokenFile
	lyingProbe
	oldDisk
	takeover
	slowReceiver
	cannotStart
	signByHand
	pauseHA
	inventory
	syncMode // the last one: only a theme has it happen
	kinds
)

// moments are what faults wait for.
var moments = []string{
	string(cluster.Change), string(cluster.Change), string(cluster.Settle), string(cluster.Settle), string(cluster.OpenVote), string(cluster.Elect), string(cluster.Serve), string(cluster.Open),
	string(cluster.DoOpenClients), string(cluster.DoSetNames), string(cluster.DoFreeze), string(cluster.DoStartMaster), string(cluster.DoPromote),
}

// draw makes the faults of a schedule. They come in bursts: what loses data is seldom one fault alone.
func (w *world) draw() {
	r := &w.rng
	w.f.pauses = []int{0, 0, 200, 60, 25}[r.n(5)]
	w.f.slowReload = []int{1000, 20, 5, 3}[r.n(4)]
	w.f.slowNet = []int{0, 0, 100, 15}[r.n(4)]
	w.f.cancels = []int{0, 0, 60}[r.n(3)]
	w.f.late = []int{0, 0, 30, 6}[r.n(4)]
	for range 1 + r.n(4) {
		at := r.between(beginAt, healAt-8*time.Second)
		for range 1 + r.n(4) {
			w.f.events = append(w.f.events, w.random(at))
		}
	}
	if themes := []func(){w.zombie, w.zombie, w.sleeper, w.badJoin, w.deadMaster, w.alone, w.sleeper, w.tornJoin, w.pretender, w.thinGate, w.split, w.secondKing}; r.one(2) {
		themes[r.n(len(themes))]()
	}
	if w.seed%5 == 0 && w.topo.Servers > 3 { // by its number: the schedules that are kept stay what they are
		w.shrinking()
	}
	w.f.switches = []int{0, 0, 0, 25, 8}[r.n(5)]
}

// random is any fault near a moment.
func (w *world) random(at time.Duration) event {
	r := &w.rng
	e := event{at: at + r.between(0, 7*time.Second), kind: r.n(syncMode), host: r.n(w.topo.Servers), arg: r.n(1 << 20)}
	switch r.n(8) {
	case 0, 1, 2:
		e.host = theMaster
	case 3:
		e.host = theCandidate
	case 4:
		e.host = r.n(len(w.hosts))
	}
	if r.one(3) {
		e.at = r.between(beginAt-6*time.Second, at)
		e.after, e.delay = moments[r.n(len(moments))], r.between(0, 3*time.Second)
	}
	e.long = []time.Duration{2 * time.Second, 6 * time.Second, 15 * time.Second, 30 * time.Second, time.Minute}[r.n(5)]
	e.long = r.between(e.long/2, e.long)
	return e
}

var kindNames = [kinds]string{
	"host crash", "host pause", "watcher crash", "watcher pause", "PostgreSQL crash", "postmaster stopped (SIGSTOP)", "disk hangs", "too many clients",
	"PostgreSQL restart", "partition", "one-way cut", "lossy network", "walsender not scheduled", "checkpointer busy", "receiver stalls",
	"replay held up", "replay paused", "impostor walsender", "long statement", "promoted by hand", "stopped by hand", "syntax error in postgresql.conf",
	"probes that lie", "old disk put back", "failover by hand, without the quorum", "receiver is slow",
	"PostgreSQL crashes and does not start", "promoted by hand, and signed", "failover is paused", "out of the inventory", "another sync_mode",
}

// inject lets the faults begin that are due, and ends all at the heal.
func (w *world) inject() {
	if w.healed == 0 {
		for k := range w.f.events {
			w.strike(&w.f.events[k])
		}
	}
	for i := range w.hosts {
		w.recover(i)
	}
	if w.healed == 0 && w.now >= healAt && !w.promised() {
		w.heal()
	}
	switch {
	case w.now%(3*time.Second) >= tick:
	case w.healed != 0:
		w.operate()
	case w.oracle.truth.state.Halted != "" && !w.oracle.byHand && w.leader() >= 0 && w.rng.one(3):
		w.adopt(w.leader()) // an operator does not always wait until all is well
	}
}

// happened arms the faults that wait for this.
func (w *world) happened(what string) {
	for k := range w.f.events {
		if e := &w.f.events[k]; e.after == what && w.now >= e.at {
			e.at, e.after = w.now+e.delay, ""
		}
	}
}

// strike begins a fault when it is its time.
func (w *world) strike(e *event) {
	if e.begun || e.after != "" || w.now < e.at {
		return
	}
	if w.promised() && e.host == theMaster && !w.inSync() {
		e.at = w.now + tick // it is made of a region that is whole
		w.faultAt += tick
		w.until += tick
		return
	}
	e.begun = true
	s := w.oracle.truth.state
	f := *e
	switch e.host {
	case theMaster:
		f.host = w.index(s.Master)
	case theLeader:
		f.host = w.leader()
	case theCandidate:
		f.host = w.index(s.Master)
		if s.Phase == cluster.Serving || f.host < 0 {
			f.host = 1 + e.arg%(w.topo.Servers-1)
		}
	}
	if f.host >= 0 && (f.kind != promoteByHand && f.kind != signByHand || s.Phase != cluster.Unformed && !w.oracle.byHand) {
		w.say("%s: FAULT %s for %s", w.hosts[f.host].name, kindNames[f.kind], f.long)
		w.begin(f)
	}
}

// begin is a fault's first moment.
func (w *world) begin(e event) {
	h := &w.hosts[e.host]
	until := w.now + e.long
	switch e.kind {
	case hostCrash:
		w.crashHost(e.host, until)
	case hostPause:
		if h.up {
			h.paused, h.stops = until, e.arg%2 == 0
		}
	case watcherCrash:
		again := w.rng.between(time.Second, 8*time.Second)
		if w.promised() {
			again = time.Second
		}
		w.crashWatcher(e.host, w.now+again)
	case watcherPause:
		h.w.paused = until
	case partition:
		for i := range w.hosts {
			for j := range w.hosts {
				w.cut[i][j] = (i == e.host || e.arg>>i&1 == 1 && e.arg>>15&1 == 1) != (j == e.host || e.arg>>j&1 == 1 && e.arg>>15&1 == 1)
			}
		}
		w.ends = append(w.ends, ending{at: until, kind: partition})
	case oneWay:
		w.cut[e.host][e.arg%len(w.hosts)] = true
		w.ends = append(w.ends, ending{at: until, kind: partition})
	case lossy:
		w.loss = 2 + e.arg%6
		w.ends = append(w.ends, ending{at: until, kind: lossy})
	case oldDisk:
		w.oldDisk(e.host, e.arg)
	case takeover:
		w.takeover(e.host)
	case pauseHA:
		w.pauseHA(true)
		w.ends = append(w.ends, ending{at: until, kind: pauseHA})
	case inventory:
		if s := w.oracle.truth.state; h.server && s.Phase == cluster.Serving && s.Master != h.name {
			w.inventory(h.name)
			w.ends = append(w.ends, ending{at: until, kind: inventory})
		}
	case syncMode:
		w.p.Needed, w.policies = e.arg, nil
	default:
		if h.server {
			w.beginPG(e, until)
		}
	}
}

// beginPG is the first moment of a fault of PostgreSQL.
func (w *world) beginPG(e event, until time.Duration) {
	h := &w.hosts[e.host]
	p := h.pg
	if !h.up {
		return
	}
	switch e.kind {
	case pgCrash:
		if p.up {
			p.stop()
			if w.m == CrashPassesGate { // restart_after_crash
				w.start(h)
			}
		}
	case cannotStart:
		p.stop()
		p.noStart = until
	case pgStop:
		p.sigstop = until
	case pgHung:
		p.hung = until
	case pgFull:
		p.full = until
	case pgRestart, stopByHand:
		p.stop()
		if p.stopped = e.kind == stopByHand; !p.stopped {
			w.start(h)
		}
	case stuckSender:
		for _, s := range p.senders {
			if s.pid%2 == e.arg%2 {
				s.stuck, s.due = until, max(s.due, min(s.due, until))
			}
		}
	case stuckCheckpointer:
		p.stuckCkpt = until
	case stallReceiver:
		p.stallRecv = until
	case slowReceiver:
		p.slowRecv = until
	case stallReplay:
		p.replayStop = until
	case pauseReplay:
		p.replayOff = p.recovery
	default:
		w.beginHand(e, until)
	}
}

// beginHand is the first moment of what comes from somebody else: clients, strangers, an operator.
func (w *world) beginHand(e event, until time.Duration) {
	h := &w.hosts[e.host]
	p := h.pg
	switch e.kind {
	case impostor:
		if s := w.oracle.truth.state; len(s.Members) > 0 {
			w.ends = append(w.ends, ending{until, impostor, e.host, s.Members[e.arg%len(s.Members)].Name})
		}
	case longStatement:
		if w.version10 && p.writes(w.now) {
			p.old, p.oldOlder, p.oldEnds = p.run, false, w.now+w.rng.between(time.Second, 9*time.Second)
		}
	case promoteByHand, signByHand:
		if p.recovery && h.frozenFor == 0 {
			h.rogue = true
			w.promote(h)
		}
		if e.kind == signByHand && p.up && !p.recovery && h.rogue {
			w.sign(h, w.oracle.truth.state.Epoch+1, cluster.HandNonce("x"))
		}
	case brokenFile:
		p.broken = true
		w.ends = append(w.ends, ending{at: until, kind: brokenFile})
	case lyingProbe:
		h.w.lie = h.clock + e.long
	}
}
