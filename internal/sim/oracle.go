package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// oracle knows everything and says what is wrong.
type oracle struct {
	must      []bool // by commit: it returned, or a reader saw it on a master
	reader    []bool // of those: a reader saw it
	ackEpoch  int64
	ackHost   string
	masters   []string // by epoch
	truth     *entry
	batch     []*entry
	violation string
	lastAck   time.Duration // through a pool
	acks      int
	failovers int
	lastEpoch int64
	byHand    bool // an operator failed over without the quorum
}

func (o *oracle) begin(w *world) {
	o.must, o.reader = make([]bool, 0, 1024), make([]bool, 0, 1024)
	o.truth = w.hosts[0].raft.log
}

func (w *world) violate(format string, args ...any) {
	if w.oracle.violation == "" {
		w.oracle.violation = fmt.Sprintf(format, args...)
		w.say("VIOLATION: %s", w.oracle.violation)
	}
}

func mark(set []bool, id int) []bool {
	for len(set) <= id {
		set = append(set, false)
	}
	set[id] = true
	return set
}

func (h *host) index(w *world) int { return w.index(h.name) }

// acknowledge: a commit returns without a warning. Once a master of a later epoch has done that, no other may, but for what that one has.
func (w *world) acknowledge(h *host, id rec, who int, _ time.Duration) {
	o := &w.oracle
	if who == canaryClient {
		x := &h.w
		if x.probing != longAgo && x.probeID == id {
			if cluster.Genuine(x.state, w.senders(h.pg)) {
				x.canary, x.canaryText = x.probing, x.probeText
			}
			x.probing = longAgo
		}
	} else if who < len(w.hosts) && who >= 0 {
		o.lastAck = w.now
	}
	o.acks++
	if h.pg.countsTwice() || slices.ContainsFunc(h.pg.senders, func(s *sender) bool { return s.host < 0 && s.prio > 0 }) {
		return // an impostor under the very name of a member, or a member that counts twice: docs/safety.md says that this is not covered
	}
	o.must = mark(o.must, int(id))
	var epoch int64
	if n := len(h.pg.rows); n > 0 {
		epoch = h.pg.rows[n-1].Epoch
	}
	if later := w.index(o.ackHost); later >= 0 && later != h.index(w) && epoch <= o.ackEpoch {
		if slices.Contains(w.hosts[later].pg.data, id) {
			return // it waited for a word that is late: the master of today has it
		}
		w.violate("%s acknowledges a commit of epoch %d, after %s did of epoch %d", h.name, epoch, o.ackHost, o.ackEpoch)
	}
	o.ackEpoch, o.ackHost = epoch, h.name
}

// shown is called when a server has started: all that it holds is visible.
func (w *world) shown(h *host) { h.wasOpen = false }

// check is asked at each tick: who shows himself as master, and does he hold all that anybody relies on?
func (w *world) check() {
	openers := 0
	for i := range w.topo.Servers {
		h := &w.hosts[i]
		open := w.open(h)
		if !h.w.runs || h.w.paused != 0 || h.raft.suspect || len(h.w.acts) > 0 && h.w.actDue > w.now+time.Second {
			h.excused = max(h.excused, w.now+wakes) // nobody is there to stop it
		}
		if open && !h.rogue && w.now > h.excused {
			openers++
		}
		if open && !h.wasOpen && !h.rogue && w.now > h.excused {
			w.opened(h)
		}
		h.wasOpen = open
	}
	if openers > 1 {
		w.violate("%d servers serve clients as masters", openers)
	}
}

// opened: clients come to a master that holds this. Whatever returned or was seen has to be there, and what is there is seen now.
func (w *world) opened(h *host) {
	w.holdsAll(h)
	o := &w.oracle
	for _, r := range h.pg.data[:min(len(h.pg.data), h.pg.recover)] { // the later ones have returned, or wait, or came with a warning
		if r&kindMask == commitRec && !w.waitsFor(h, r) {
			o.must, o.reader = mark(o.must, int(r)), mark(o.reader, int(r))
		}
	}
}

func (w *world) waitsFor(h *host, id rec) bool {
	for i := range h.pg.waiters {
		if h.pg.waiters[i].id == id {
			return true
		}
	}
	return false
}

// holdsAll compares what a master holds with what it must.
func (w *world) holdsAll(h *host) {
	o := &w.oracle
	left := 0
	for _, m := range o.must {
		if m {
			left++
		}
	}
	has := make([]bool, len(o.must))
	for _, r := range h.pg.data {
		if id := int(r); r&kindMask == commitRec && id < len(has) && o.must[id] && !has[id] {
			has[id] = true
			left--
		}
	}
	if left == 0 {
		return
	}
	for id, m := range o.must {
		if m && !has[id] {
			what := "acknowledged"
			if id < len(o.reader) && o.reader[id] {
				what = "seen by a reader"
			}
			w.violate("%s serves as master and lacks %d commits, the first one %d (%s)", h.name, left, id, what)
			return
		}
	}
}

// decided looks at each entry of the log once it is the quorum's.
func (o *oracle) decided(w *world, e *entry) {
	if e.cmd == nil {
		return
	}
	s := e.state
	if e.err == nil {
		w.say("quorum %d: %s %s (%s) -> epoch %d %s %s %s", e.index, e.cmd.Kind, e.cmd.Host, e.cmd.Record.Rule, s.Epoch, s.Phase, s.Master, configs(s))
	} else {
		w.say("quorum %d: %s %s: %v", e.index, e.cmd.Kind, e.cmd.Host, e.err)
	}
	if s.Epoch < o.lastEpoch {
		w.violate("epoch %d after %d", s.Epoch, o.lastEpoch)
	}
	if e.err == nil {
		w.happened(string(e.cmd.Kind))
	}
	o.lastEpoch = s.Epoch
	for len(o.masters) <= int(s.Epoch) {
		o.masters = append(o.masters, "")
	}
	if was := o.masters[s.Epoch]; s.Master != "" && was != "" && was != s.Master {
		w.violate("epoch %d has two masters, %s and %s", s.Epoch, was, s.Master)
	}
	if s.Master != "" {
		o.masters[s.Epoch] = s.Master
	}
	switch {
	case e.err != nil:
	case e.cmd.Kind == cluster.Adopt && e.cmd.Rows[len(e.cmd.Rows)-1].ByHand():
		w.giveUp()
	case e.cmd.Kind == cluster.Serve:
		o.failovers++
		if m := &w.hosts[w.index(s.Master)]; m.rogue { // promoted by a hand that was right
			m.rogue, m.wasOpen = false, false
		}
	case e.cmd.Kind == cluster.Isolate:
		w.isolated(s, e.cmd)
	case e.cmd.Kind == cluster.Settle:
		w.settled(s.Configs[0])
	}
}

// settled: a configuration that is the only one has what lies before it in K of its members.
func (w *world) settled(c cluster.SyncConfig) {
	n := 0
	for i := range w.topo.Servers {
		h := &w.hosts[i]
		if c.Has(h.incarnation) && cluster.LSN(len(h.pg.wal)) >= c.From {
			n++
		}
	}
	if n < c.K {
		w.violate("configuration %d counts alone, and only %d of %d members that a commit waits for have %s", c.Gen, n, c.K, c.From)
	}
}

func configs(s *cluster.State) string {
	text := ""
	for _, c := range s.Configs {
		text += fmt.Sprintf("[g%d k%d %v]", c.Gen, c.K, c.Members)
	}
	return text
}

// healthy says what is missing to a region that is whole: one writable master, every pool on it, every server in sync.
func (w *world) healthy() string {
	s := w.oracle.truth.state
	if s.Phase != cluster.Serving || !s.Opened || len(s.Pools) > 0 {
		return fmt.Sprintf("epoch %d is %s, opened %v, pools left %v, halted %q", s.Epoch, s.Phase, s.Opened, s.Pools, s.Halted)
	}
	m := w.index(s.Master)
	if !w.open(&w.hosts[m]) {
		return fmt.Sprintf("%s is master and not open", s.Master)
	}
	for _, i := range w.pools {
		if w.hosts[i].pool != m {
			return fmt.Sprintf("the pool of %s points at %s", w.hosts[i].name, w.hosts[w.hosts[i].pool].name)
		}
	}
	if w.now > w.oracle.lastAck+2*time.Second {
		return "no commit returns"
	}
	if len(s.Configs) != 1 || len(s.Configs[0].Members) != w.topo.Servers-1 {
		return fmt.Sprintf("configurations %s", configs(s))
	}
	return ""
}

// isolated: a copy of the master that can be proven to be one is not thrown away.
func (w *world) isolated(s *cluster.State, c *cluster.Command) {
	h := &w.hosts[w.index(c.Host)]
	if h.incarnation != c.Name || s.Master == "" { // it was renewed since; or a mistake has it decided while nobody is master
		return
	}
	p, m := h.pg, w.hosts[w.index(s.Master)].pg
	rule := c.Record.Rule
	if strings.HasPrefix(rule, "it runs as a master") || len(p.data) > len(m.data) {
		return
	}
	if last := s.Rows[len(s.Rows)-1]; strings.HasPrefix(rule, "it ends at") && slices.Contains(p.rows, last) && h.serviceEpoch != s.Epoch {
		return // it could not be proven when this was decided, and has gone on following since
	}
	f := &cluster.Facts{Timeline: cluster.Timeline(p.timeline()), Rows: p.rows}
	if slices.Equal(p.data, m.data[:len(p.data)]) && cluster.Foreign(f, s.Rows, cluster.LSN(len(p.data))) == "" {
		w.violate("%s is quarantined, and it is a copy: %s", c.Host, rule)
	}
}
