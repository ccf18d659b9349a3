package sim

import (
	"slices"
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
	if themes := []func(){w.zombie, w.zombie, w.sleeper, w.badJoin, w.deadMaster, w.alone, w.sleeper, w.tornJoin, w.pretender, w.thinGate, w.split}; r.one(2) {
		themes[r.n(len(themes))]()
	}
}

// random is any fault near a moment.
func (w *world) random(at time.Duration) event {
	r := &w.rng
	e := event{at: at + r.between(0, 7*time.Second), kind: r.n(kinds), host: r.n(w.topo.Servers), arg: r.n(1 << 20)}
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
	if w.healed != 0 && w.now%(3*time.Second) < tick {
		w.operate()
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
	if f.host >= 0 && (f.kind != promoteByHand || s.Phase != cluster.Unformed && !w.oracle.byHand) {
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
	case impostor:
		if s := w.oracle.truth.state; len(s.Members) > 0 {
			w.ends = append(w.ends, ending{until, impostor, e.host, s.Members[e.arg%len(s.Members)].Name})
		}
	case longStatement:
		if w.version10 && p.writes(w.now) {
			p.old, p.oldFrom, p.oldEnds = p.run, w.now, w.now+w.rng.between(time.Second, 9*time.Second)
		}
	case promoteByHand:
		if p.recovery && h.frozenFor == 0 {
			h.rogue = true
			w.promote(h)
		}
	case brokenFile:
		p.broken = true
		w.ends = append(w.ends, ending{at: until, kind: brokenFile})
	case lyingProbe:
		h.w.lie = h.clock + e.long
	}
}

// impostor is a walsender that bears a standby's name and is not it.
func (w *world) impostor(h *host, name string) {
	if name != "" && h.up && h.pg.works(w.now) && !h.pg.recovery {
		w.lastPID++
		x := &sender{pid: w.lastPID, name: name, host: -1, conf: h.pg.run, due: never, since: w.now}
		x.prio = x.conf.priority(x.name)
		h.pg.senders = append(h.pg.senders, x)
	}
}

// impostors connect again whenever they were ended.
func (w *world) impostors() {
	for _, e := range w.ends {
		if e.kind == impostor && w.rng.one(3) {
			h := &w.hosts[e.host]
			if !slices.ContainsFunc(h.pg.senders, func(s *sender) bool { return s.host < 0 && s.name == e.name }) {
				w.impostor(h, e.name)
			}
		}
	}
}

type ending struct {
	at   time.Duration
	kind int
	host int    // of an impostor
	name string // its own
}

func (w *world) crashHost(i int, until time.Duration) {
	h := &w.hosts[i]
	if !h.up {
		return
	}
	w.crashWatcher(i, never)
	h.up, h.back = false, until
	h.paused = 0
	if h.server {
		h.pg.stop()
		h.pg.sigstop, h.pg.hung, h.pg.full = 0, 0, 0
	}
}

// crashWatcher ends a watcher; a statement that it has sent may live on.
func (w *world) crashWatcher(i int, again time.Duration) {
	h := &w.hosts[i]
	x := &h.w
	if x.runs && len(x.acts) > 0 && x.acts[0].Do == cluster.DoSetNames && h.server {
		w.orphans = append(w.orphans, orphan{i, x.acts[0].Text, w.now + w.rng.between(0, 40*time.Second)})
	}
	x.runs, x.restart, h.raft.leader = false, again, -1
}

// oldDisk puts back a copy of the quorum's log that was made a while ago.
func (w *world) oldDisk(i, arg int) {
	h := &w.hosts[i]
	if slices.ContainsFunc(w.hosts, func(o host) bool { return o.raft.suspect }) {
		return // of a majority of disks nothing could be known any more
	}
	w.crashWatcher(i, w.now+2*time.Second)
	e := h.raft.log
	for range 1 + arg%8 {
		if e.parent != nil {
			e = e.parent
		}
	}
	h.raft.log, h.raft.commit, h.raft.term, h.raft.vote = e, e, e.term, -1
	for h.raft.commit.parent != nil && !w.oracle.truth.has(h.raft.commit) {
		h.raft.commit = h.raft.commit.parent
	}
	h.raft.suspect = w.m != OldVoterAccepted
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
		p.sigstop, p.hung, p.full, p.replayStop, p.stallRecv, p.slowRecv, p.stuckCkpt = 0, 0, 0, 0, 0, 0, 0
		p.senders = slices.DeleteFunc(p.senders, func(s *sender) bool { return s.host < 0 })
		for _, s := range p.senders {
			s.stuck = 0
		}
	}
}

// leader is the host that leads the quorum; -1 nobody.
func (w *world) leader() int {
	for i := range w.hosts {
		if w.hosts[i].raft.leader == i {
			return i
		}
	}
	return -1
}
