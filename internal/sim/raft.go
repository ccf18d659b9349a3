package sim

import (
	"errors"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// entry is one entry of the quorum's log, and with its parents the whole log: two logs are equal when they end in the same entry. The
// state after it is worked out once.
type entry struct {
	parent *entry
	index  int
	term   int
	voters uint32           // who votes from here on, by host
	cmd    *cluster.Command // nil: a barrier, or a change of voters
	state  *cluster.State
	err    error // why the command changed nothing
}

// replica is a host's part in the quorum. term, vote and log are on its disk.
type replica struct {
	term    int
	vote    int // host voted for in this term; -1 nobody
	log     *entry
	commit  *entry
	suspect bool // its disk went back: it does not vote until a leader has brought it up to date

	leader   int           // -1 unknown
	heard    time.Duration // own clock: last word of the leader, or of a majority to a leader
	patience time.Duration
}

const (
	electionTimeout = 1 * time.Second
	quorumTimeout   = 1 * time.Second // a leader without a majority for so long steps down
)

func (w *world) extend(parent *entry, term int, voters uint32, cmd *cluster.Command) *entry {
	e := &entry{parent: parent, index: parent.index + 1, term: term, voters: voters, cmd: cmd, state: parent.state}
	if cmd != nil {
		next, err := w.rules.Apply(*parent.state, *cmd)
		switch {
		case err == nil:
			e.state = &next
		case errors.Is(err, cluster.ErrUnknown):
			panic(err)
		default:
			e.err = err
		}
	}
	return e
}

// has tells whether the log that ends in e contains o.
func (e *entry) has(o *entry) bool {
	for e.index > o.index {
		e = e.parent
	}
	return e == o
}

// newer is raft's order of logs for a vote.
func (e *entry) newer(o *entry) bool {
	return e.term > o.term || e.term == o.term && e.index >= o.index
}

func (w *world) majority(voters uint32, have func(int) bool) bool {
	all, yes := 0, 0
	for i := range w.hosts {
		if voters&(1<<i) != 0 {
			all++
			if have(i) {
				yes++
			}
		}
	}
	return yes > all/2
}

// alive tells whether the host's watcher takes part right now.
func (h *host) alive() bool { return h.up && h.paused == 0 && h.w.runs && h.w.paused == 0 }

// raft is one tick of every replica.
func (w *world) raft() {
	for i := range w.hosts {
		h := &w.hosts[i]
		if !h.alive() {
			continue
		}
		if h.raft.leader == i {
			w.lead(i)
		} else if h.clock > h.raft.heard+h.raft.patience {
			w.stand(i)
		}
	}
}

// stand asks for votes. Nobody gives one who has just heard of a leader.
func (w *world) stand(i int) {
	h := &w.hosts[i]
	r := &h.raft
	r.heard, r.patience, r.leader = h.clock, electionTimeout+w.rng.between(0, electionTimeout), -1
	if r.log.voters&(1<<i) == 0 || r.suspect {
		return
	}
	votes := uint32(1 << i)
	for j := range w.hosts {
		o := &w.hosts[j]
		if j == i || !w.reaches(i, j) || !o.alive() || o.raft.suspect {
			continue
		}
		v := &o.raft
		if v.leader >= 0 && o.clock < v.heard+electionTimeout || v.term > r.term+1 {
			if v.term > r.term && w.reaches(j, i) {
				r.term, r.vote = v.term, -1
				return
			}
			continue
		}
		if v.term < r.term+1 {
			v.term, v.vote, v.leader = r.term+1, -1, -1
		}
		if !r.log.newer(v.log) {
			continue
		}
		if v.vote == -1 || v.vote == i {
			v.vote, v.heard = i, o.clock
			if w.reaches(j, i) {
				votes |= 1 << j
			}
		}
	}
	r.term, r.vote = r.term+1, i
	if w.majority(r.log.voters, func(j int) bool { return votes&(1<<j) != 0 }) {
		r.leader = i
		r.log = w.extend(r.log, r.term, r.log.voters, nil)
		h.w.barrier = r.log
		w.say("%s leads the quorum (term %d)", h.name, r.term)
		w.established(i)
	}
}

// lead sends what is new to every other, and counts who has it.
func (w *world) lead(i int) {
	h := &w.hosts[i]
	r := &h.raft
	acks, fresh, deposed := w.replicate(i)
	if deposed {
		return
	}
	if !w.majority(r.log.voters, func(j int) bool { return acks&(1<<j) != 0 }) {
		if h.clock > r.heard+quorumTimeout {
			r.leader, r.heard = -1, h.clock
		}
		return
	}
	r.heard = h.clock
	if r.log.term == r.term && r.log != r.commit {
		w.committed(r.log)
		r.commit = r.log
	}
	for j := range w.hosts {
		if fresh&(1<<j) != 0 && r.commit.term == r.term {
			w.hosts[j].raft.suspect = false
		}
	}
}

// replicate is one message to each other host and its answer. fresh are those whose disk went back: they are brought up to date, and count
// once a majority without them has the same.
func (w *world) replicate(i int) (acks, fresh uint32, deposed bool) {
	h := &w.hosts[i]
	r := &h.raft
	acks = 1 << i
	for j := range w.hosts {
		o := &w.hosts[j]
		if j == i || !w.reaches(i, j) || !o.alive() {
			continue
		}
		if o.raft.term > r.term {
			if w.reaches(j, i) {
				r.term, r.vote, r.leader, r.heard = o.raft.term, -1, -1, h.clock
				return 0, 0, true
			}
			continue
		}
		if o.raft.term < r.term {
			o.raft.vote = -1
		}
		o.raft.term, o.raft.leader, o.raft.heard, o.raft.log = r.term, i, o.clock, r.log
		if !w.rng.one(12) { // one that applies late
			o.raft.commit = r.commit
		}
		if o.raft.suspect {
			fresh |= 1 << j
		} else if w.reaches(j, i) {
			acks |= 1 << j
		}
	}
	return acks, fresh, false
}

// verified tells whether the host leads and a majority says so right now.
func (w *world) verified(i int) bool {
	r := &w.hosts[i].raft
	return r.leader == i && w.hosts[i].alive() && w.majority(r.log.voters, func(j int) bool {
		o := &w.hosts[j]
		return j == i || o.alive() && w.reaches(i, j) && w.reaches(j, i) && o.raft.term == r.term && o.raft.leader == i
	})
}

// propose appends a command to the leader's log. What becomes of it is seen later, or never.
func (w *world) propose(i int, cmd *cluster.Command, voters uint32) *entry {
	r := &w.hosts[i].raft
	r.log = w.extend(r.log, r.term, voters, cmd)
	return r.log
}
