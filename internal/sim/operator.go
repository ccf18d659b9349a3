package sim

import (
	"slices"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// operate is what an operator does about what waits for one.
func (w *world) operate() {
	s := w.oracle.truth.state
	stuck := s.Phase == cluster.Electing && w.now > w.healed+40*time.Second // all are on a timeline that an operator opened
	if i := w.leader(); (s.Halted != "" || stuck) && i >= 0 {
		w.adopt(i)
		return
	}
	if s.Paused != nil {
		w.pauseHA(false)
	}
	for i := range w.topo.Servers {
		h := &w.hosts[i]
		h.pg.replayOff = false
		if h.pg.stopped || !h.pg.up && s.Phase == cluster.Unformed {
			h.pg.stopped = false
			w.start(h)
		}
		if m := w.index(s.Master); (s.QuarantineOf(h.name) != "" || slices.Contains(s.Former, h.name)) && !w.p.MasterByTS && s.Opened && m >= 0 && !s.Listed(h.incarnation) && s.MemberOf(h.name) == h.incarnation {
			w.say("%s: an operator runs upmaster", h.name)
			w.renew(i, m)
		}
	}
}

// pauseHA asks whoever leads to begin a pause, or to end it.
func (w *world) pauseHA(begin bool) {
	i, s := w.leader(), w.oracle.truth.state
	if i < 0 || s.Phase == cluster.Unformed || begin == (s.Paused != nil) {
		return
	}
	cmd := cluster.Command{Kind: cluster.ResumeHA, Epoch: s.Epoch, Gen: s.Gen}
	if begin {
		cmd.Kind, cmd.Pause = cluster.PauseHA, &cluster.Pause{Owner: "an operator", Reason: "works"}
	}
	w.propose(i, &cmd, w.hosts[i].raft.log.voters)
}

// inventory takes a server out of it for every watcher, and puts back whoever was out before.
func (w *world) inventory(out string) {
	w.p.Servers, w.policies = nil, nil
	for i := range w.topo.Servers {
		if w.hosts[i].name != out {
			w.p.Servers = append(w.p.Servers, w.hosts[i].name)
		}
	}
}

// adopt takes the server with the newest signature for the master, as an operator says who has seen to it that the master of before is none.
func (w *world) adopt(i int) {
	s := w.oracle.truth.state
	best := w.signed()
	if best < 0 {
		return
	}
	cmd := cluster.Command{Kind: cluster.Adopt, Epoch: s.Epoch, Gen: s.Gen, Host: w.hosts[best].name, Nonce: "adopted", Rows: w.hosts[best].pg.rows}
	cmd.Record.Rule = "an operator says so"
	old := w.index(s.Master)
	if s.Phase == cluster.Electing {
		old = w.index(s.Election.OldMaster)
	}
	if h := &w.hosts[best]; w.healed != 0 && !h.pg.up {
		h.pg.gate, h.pg.service, h.serviceEpoch = true, -1, 0
		w.start(h)
	}
	if old >= 0 && old != best {
		seen := w.ended(i, old)
		if seen == "" || !w.reaches(i, best) || !w.hosts[best].pg.works(w.now) {
			return
		}
		cmd.Record.Evidence = []string{w.hosts[old].name + ": " + seen}
	}
	w.propose(i, &cmd, w.hosts[i].raft.log.voters)
}

// ended says why the old master is none, as the operator at host i sees it or makes sure of; "" as long as it may be one.
func (w *world) ended(i, old int) string {
	h := &w.hosts[old]
	word := w.p.Lease + w.p.StopTime + w.p.Drift
	switch {
	case !h.up && h.pg.gate:
		return "its host is dead"
	case h.up && w.reaches(i, old) && w.reaches(old, i) && w.now >= h.pg.hung:
		w.crashWatcher(old, w.now+2*time.Second) // and with it whatever it was about to do
		h.pg.stop()
		h.pg.gate = true
		return "its PostgreSQL does not run, and starts read-only"
	case h.alive() && w.now > max(h.pg.hung, h.excused) && h.pg.gate && h.clock > max(h.w.lease, h.w.canary)+word:
		return "it has been cut off for longer than its word holds"
	}
	return ""
}

// giveUp: what a master by hand lacks is given up knowingly.
func (w *world) giveUp() {
	clear(w.oracle.must)
	clear(w.oracle.reader)
}

// signed is the server with the newest signature, the quorum's master before others; -1 none.
func (w *world) signed() int {
	s := w.oracle.truth.state
	best, top := w.index(s.Master), s.Epoch
	if s.Phase == cluster.Electing {
		best = w.index(s.Election.OldMaster)
	}
	for j := range w.topo.Servers {
		for _, r := range w.hosts[j].pg.rows {
			if r.Epoch > top {
				best, top = j, r.Epoch
			}
		}
	}
	if best >= 0 && len(w.hosts[best].pg.rows) == 0 {
		return -1
	}
	return best
}

// resetQuorum is `pgctl deploy --reset-quorum` after a failover by hand: every store begins anew with what the operator says.
func (w *world) resetQuorum() {
	best := w.signed()
	if best < 0 {
		return
	}
	s := w.oracle.truth.state
	cmd := cluster.Command{Kind: cluster.Adopt, Epoch: s.Epoch, Gen: s.Gen, Host: w.hosts[best].name, Nonce: "reset", Rows: w.hosts[best].pg.rows}
	cmd.Record.Evidence = []string{"the master of before was dead when another one was made by hand"}
	e := w.extend(w.oracle.truth, w.oracle.truth.term, w.oracle.truth.voters, &cmd)
	w.committed(e)
	for i := range w.hosts {
		r := &w.hosts[i].raft
		r.log, r.commit, r.term, r.vote, r.leader, r.suspect = e, e, e.term, -1, -1, false
	}
}

// takeover is `pgctl failover --accept=data-loss`: the master's host is dead and no quorum helps. It stops every watcher that it reaches,
// promotes a standby, signs it with an epoch above any seen, and lets clients in. What the standby lacks is given up knowingly.
func (w *world) takeover(i int) {
	h := &w.hosts[i]
	s := w.oracle.truth.state
	m := w.index(s.Master)
	if m < 0 || m == i || s.Phase != cluster.Serving || w.hosts[m].up || !h.server || !h.up || h.paused != 0 || !h.pg.works(w.now) || !h.pg.recovery {
		return
	}
	if !w.hosts[m].pg.gate {
		return // docs/safety.md: nobody can know it, and what comes of it is the risk that --accept=unfenced-master names
	}
	for j := range w.hosts {
		o := &w.hosts[j]
		if j != m && (!o.alive() || !w.reaches(i, j) || o.server && o.pg.up && !o.pg.recovery) {
			return // the operator sees that there may be a quorum without him, or another master
		}
	}
	for j := range w.hosts {
		if j != m {
			w.crashWatcher(j, never)
			w.hosts[j].removed = true
		}
	}
	w.orphans = w.orphans[:0]
	h.pg.replayOff, h.frozenFor, h.pg.service = false, 0, -1
	w.promote(h)
	h.pg.conf, h.pg.hba, h.pg.gate, h.rogue = w.parsed(""), true, true, false
	h.pg.run, h.pg.ckptRun, h.pg.waits, h.pg.openHBA = h.pg.conf, h.pg.conf, false, true
	w.sign(h, s.Epoch+1, cluster.HandNonce("x"))
	h.pool = i
	for _, j := range w.pools {
		w.hosts[j].pool = i
	}
	w.giveUp()
	w.oracle.byHand = true
	w.opened(h)
	h.wasOpen = true
}
