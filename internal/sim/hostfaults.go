package sim

import (
	"slices"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// impostor is a walsender that bears a standby's name and is not it.
func (w *world) impostor(h *host, name string) {
	if name != "" && h.up && h.pg.works(w.now) && !h.pg.recovery {
		w.lastPID++
		x := &sender{pid: w.lastPID, name: name, host: -1, conf: h.pg.run, due: never, in: true}
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

// leader is the host that leads the quorum; -1 nobody.
func (w *world) leader() int {
	for i := range w.hosts {
		if w.hosts[i].raft.leader == i {
			return i
		}
	}
	return -1
}
