package sim

import (
	"fmt"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// tick is how far the virtual clock goes at once.
const tick = 200 * time.Millisecond

// Topology is a region's shape.
type Topology struct {
	Servers, Arbiters int
	Needed            int // sync_mode: 0 all, N any N
}

// String is the shape as people write it.
func (t Topology) String() string {
	mode := "all"
	if t.Needed > 0 {
		mode = fmt.Sprintf("any %d", t.Needed)
	}
	return fmt.Sprintf("%d+%d %s", t.Servers, t.Arbiters, mode)
}

// Topologies are those that are simulated.
var Topologies = []Topology{{2, 1, 0}, {2, 2, 0}, {3, 0, 0}, {3, 0, 1}, {5, 0, 0}, {5, 0, 2}}

// host is one machine.
type host struct {
	name   string
	server bool
	up     bool
	booted int           // how often
	paused time.Duration // the whole machine, until then; 0 not
	clock  time.Duration // monotonic
	stops  bool          // its clock stops while it is paused
	drift  int           // thousandths that its clock is fast

	pg           *pg
	incarnation  string
	frozenFor    int64
	serviceEpoch int64
	masterFile   string
	pool         int   // host that its pool writes to; -1 none here
	held         int64 // epoch for whose election its pool was stopped

	raft replica
	w    watcher

	removed bool          // an operator took the watcher away
	rogue   bool          // promoted by an operator's hand
	back    time.Duration // when a dead host boots
	excused time.Duration
	wasOpen bool
}

func (h *host) frozenTime() bool { return h.paused != 0 }

// world is one schedule.
type world struct {
	seed  uint64
	rng   rng
	topo  Topology
	m     Mutant
	rules cluster.Rules
	p     cluster.Policy
	f     faults
	now   time.Duration
	hosts []host
	cut   [12][12]bool
	loss  int // one in so many messages is lost; 0 none

	rows      []cluster.Epoch
	texts     []*names
	orphans   []orphan
	ends      []ending
	late      []late
	mail      [64][]message
	policies  []policyFor
	version10 bool
	lastID    int
	lastPID   int
	pools     []int
	oracle    oracle
	story     []string
	quiet     bool // no story is kept
	healed    time.Duration
	faultAt   time.Duration // of a promise
	until     time.Duration // when it has to be kept; 0 none was made
}

type policyFor struct {
	voters uint32
	policy cluster.Policy
}

// orphan is a statement whose client died: it changes the names when it comes to it.
type orphan struct {
	host int
	text string
	due  time.Duration
}

func (w *world) say(format string, args ...any) {
	if !w.quiet {
		w.story = append(w.story, fmt.Sprintf("%7.1fs  ", w.now.Seconds())+fmt.Sprintf(format, args...))
	}
}

// oldClient is who runs the long statements of version 10.
const oldClient = 90

// newWorld is a region that works and was never formed: the first server is master, the others follow it.
func newWorld(seed uint64, topo Topology, m Mutant, quiet bool) *world {
	w := &world{seed: seed, rng: rng{state: seed}, topo: topo, m: m, quiet: quiet, rules: m.rules()}
	n := topo.Servers + topo.Arbiters + 1
	w.hosts = make([]host, n)
	w.version10 = w.rng.one(3)
	closed, open := w.parsed(cluster.ClosedNames), w.parsed("")
	voters := uint32(1<<(topo.Servers+topo.Arbiters) - 1)
	if (topo.Servers+topo.Arbiters)%2 == 0 {
		voters &^= 1 << (topo.Servers + topo.Arbiters - 1)
	}
	root := &entry{voters: voters, state: &cluster.State{}}
	for i := range w.hosts {
		h := &w.hosts[i]
		*h = host{up: true, pool: -1, clock: w.rng.between(0, time.Hour), drift: w.rng.n(7) - 3}
		h.raft = replica{vote: -1, log: root, commit: root, leader: -1, patience: electionTimeout + w.rng.between(0, electionTimeout), heard: h.clock}
		switch {
		case i < topo.Servers:
			h.name, h.server = string(rune('a'+i)), true
			h.incarnation = h.name + "_0"
			h.pg = &pg{forks: []fork{{timeline: 1}}, gate: i > 0, hba: true, conf: closed, service: 0, saved: true}
			for k := range 20 {
				h.pg.wal = append(h.pg.wal, rec(k+1))
			}
			h.pg.data = append(h.pg.data, h.pg.wal...)
			if i == 0 {
				h.pg.conf, h.pg.service, h.pool = open, -1, 0
			}
		case i < n-1:
			h.name = fmt.Sprintf("arb%d", i-topo.Servers+1)
		default:
			h.name, h.pool = "pool", 0
		}
	}
	w.lastID = 20
	w.pools = []int{0, n - 1}
	w.oracle.begin(w)
	w.policy()
	for i := range w.hosts {
		if w.hosts[i].server {
			w.start(&w.hosts[i])
		}
		w.hosts[i].w.begin(w, i)
	}
	return w
}

// policy is what the site decided: short times, so that a schedule has room for many faults.
func (w *world) policy() {
	w.p = cluster.Policy{
		Needed: w.topo.Needed, MasterByTS: w.rng.one(2),
		DownAfter: 12 * time.Second, StandbyDownAfter: 4 * time.Second, SpareAfter: 10 * time.Second, Lease: 4 * time.Second,
		StopTime: 2 * time.Second, Drift: 500 * time.Millisecond, Fresh: 3 * time.Second, RetryInterval: time.Nanosecond,
		PromoteTimeout: 15 * time.Second, JoinDeadline: 3 * time.Second, JoinDamping: time.Second, JoinLag: 8,
		AntiFlap: 0, MaxStarts: 3, StartRetry: time.Second,
	}
	if w.rng.one(4) {
		w.p.AntiFlap = 20 * time.Second
	}
	for i := range w.hosts {
		if w.hosts[i].server {
			w.p.Servers = append(w.p.Servers, w.hosts[i].name)
		}
	}
	for _, i := range w.pools {
		w.p.Pools = append(w.p.Pools, w.hosts[i].name)
	}
}

// policyOf is the policy with the voters of a log.
func (w *world) policyOf(e *entry) *cluster.Policy {
	for i := range w.policies {
		if w.policies[i].voters == e.voters {
			return &w.policies[i].policy
		}
	}
	p := w.p
	all := w.topo.Servers + w.topo.Arbiters
	for i := range all {
		if e.voters&(1<<i) != 0 {
			p.Voters = append(p.Voters, w.hosts[i].name)
		} else {
			p.Spare = w.hosts[i].name
		}
	}
	if len(p.Voters)%2 == 0 { // between the two halves of a change
		p.Spare = ""
	}
	w.policies = append(w.policies, policyFor{e.voters, p})
	return &w.policies[len(w.policies)-1].policy
}

// index is the host of a name; -1 for "".
func (w *world) index(name string) int {
	for i := range w.hosts {
		if w.hosts[i].name == name {
			return i
		}
	}
	return -1
}

// reaches tells whether one message gets from a host to another now.
func (w *world) reaches(from, to int) bool {
	return w.hosts[from].up && w.hosts[to].up && w.hosts[from].paused == 0 && w.hosts[to].paused == 0 && !w.cut[from][to] && (w.loss == 0 || !w.rng.one(w.loss))
}

// wakes is how long a watcher that wakes up needs until it has looked and acted: a heartbeat and a few ticks.
const wakes = heartbeat + 7*tick

// late is a proposal that comes when it comes.
type late struct {
	cmd *cluster.Command
	due time.Duration
}

// runLate brings what is late to whoever leads.
func (w *world) runLate() {
	i := w.leader()
	for k := range w.late {
		if l := &w.late[k]; i >= 0 && l.cmd != nil && w.now >= l.due {
			w.say("%s, decided a while ago, comes to %s now", l.cmd.Kind, w.hosts[i].name)
			w.propose(i, l.cmd, w.hosts[i].raft.log.voters)
			l.cmd = nil
		}
	}
}

// step is one tick of everything.
func (w *world) step() {
	w.now += tick
	for i := range w.hosts {
		h := &w.hosts[i]
		if h.paused != 0 && w.now >= h.paused {
			h.paused = 0
			if h.stops {
				h.excused = w.now + w.p.Lease + wakes // it believes that its lease goes on
			} else {
				h.excused = w.now + wakes
			}
		}
		if h.paused == 0 || !h.stops {
			h.clock += tick + tick*time.Duration(h.drift)/1000
		}
	}
	w.inject()
	w.raft()
	w.runLate()
	w.deliver()
	for i := range w.hosts {
		h := &w.hosts[i]
		if !h.server || !h.up || h.paused != 0 {
			continue
		}
		w.tickPG(h)
		w.feed(i)
		w.stream(i)
	}
	w.runOrphans()
	w.clients()
	for i := range w.hosts {
		w.watch(i)
	}
	w.check()
}

func (w *world) runOrphans() {
	kept := w.orphans[:0]
	for _, o := range w.orphans {
		h := &w.hosts[o.host]
		switch {
		case w.now < o.due:
			kept = append(kept, o)
		case h.up && h.pg.works(w.now):
			h.pg.conf = w.parsed(o.text)
			w.say("%s: a statement of a watcher that is gone sets the names to %q", h.name, o.text)
			w.reload(h.pg)
		}
	}
	w.orphans = kept
}
