package sim

import (
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// facts is what the watcher sees of its own server.
func (w *world) facts(i int) *cluster.Facts {
	h := &w.hosts[i]
	x, p := &h.w, h.pg
	if p.up && w.now < p.sigstop && x.last != nil {
		return w.silent(i)
	}
	f := &cluster.Facts{
		Host: h.name, Name: h.incarnation, System: 42, Running: p.up, Stopped: p.stopped, Starts: x.starts, StartAge: h.clock - x.triedAt, Gate: p.gate,
		FrozenFor: h.frozenFor, MasterFile: h.masterFile, Saved: p.saved,
	}
	f.Upstream.File, f.Upstream.FileEpoch = w.nameOf(p.service), h.serviceEpoch
	if x.last != nil {
		f.Rows, f.Names.Shown = x.last.Rows, x.last.Names.Shown
	}
	if p.works(w.now) {
		x.answered = h.clock
		w.asked(i, f)
	} else {
		f.Silent = cluster.Never
		x.since, x.gone = h.clock, h.clock
	}
	x.ages(f, h, w.now)
	x.last = f
	return f
}

// silent is what is known of a server that runs and does not answer: the files, and what cannot have changed; none of its processes.
func (w *world) silent(i int) *cluster.Facts {
	h := &w.hosts[i]
	x, last := &h.w, h.w.last
	f := &cluster.Facts{
		Host: last.Host, Name: last.Name, System: last.System, Running: true, Silent: h.clock - x.answered, Starts: x.starts, StartAge: h.clock - x.triedAt,
		Recovery: last.Recovery, Gate: h.pg.gate, Rows: last.Rows, Recovered: last.Recovered, Clients: last.Clients, FrozenFor: h.frozenFor, MasterFile: h.masterFile,
		Names: cluster.NamesFacts{Shown: x.shown, ShownFor: h.clock - x.shownAt, Proof: x.proof},
	}
	f.Upstream.File, f.Upstream.FileEpoch = w.nameOf(h.pg.service), h.serviceEpoch
	x.since, x.gone = h.clock, h.clock
	x.ages(f, h, w.now)
	x.last = f
	return f
}

// ages are what goes on while nothing answers.
func (x *watcher) ages(f *cluster.Facts, h *host, now time.Duration) {
	f.WriteAge = min(h.clock-x.write, now-h.pg.startedAt)
	f.Lease, f.Canary = cluster.Never, cluster.Canary{Age: h.clock - x.canary, Names: x.canaryText}
	if x.leaseEpoch == x.epoch && x.leaseGen <= x.state.Gen {
		f.Lease = h.clock - x.lease
	}
}

func (w *world) nameOf(i int) string {
	if i < 0 {
		return ""
	}
	return w.hosts[i].name
}

// asked is what a PostgreSQL that answers says.
func (w *world) asked(i int, f *cluster.Facts) {
	h := &w.hosts[i]
	x, p := &h.w, h.pg
	if x.starts > 0 && w.now > p.startedAt+cluster.StartLasts {
		x.starts = 0
	}
	f.Recovery, f.Timeline, f.Rows, f.Clients = p.recovery, cluster.Timeline(p.timeline()), p.rows, p.openHBA
	f.Received, f.Replayed = cluster.LSN(p.received), cluster.LSN(p.replay)
	f.AtEnd = p.receiver < 0 && p.replay >= p.whole() // further where a server of the same timeline's number has overwritten its WAL
	f.Paused = p.replayOff
	f.Recovered = cluster.LSN(p.recover)
	w.upstream(i, f)
	w.names(i, f)
	if p.recovery {
		x.canary, x.probing, x.write = longAgo, longAgo, h.clock
		return
	}
	if p.writes(w.now) {
		x.write = h.clock
	}
	f.Senders = w.senders(p)
	w.stalls(i, f)
	f.Current = cluster.LSN(len(p.wal) + p.long.left) // last
	x.sight = cluster.Sight{Now: h.clock, Since: x.born, Heard: x.heard}
	f.Ahead = cluster.AheadOf(f, w.m.sightOf(&x.sight))
}

// senders are the walsenders as pg_stat_replication shows them.
func (w *world) senders(p *pg) []cluster.Sender {
	all := make([]cluster.Sender, 0, len(p.senders))
	for _, s := range p.senders {
		if s.hidden {
			continue
		}
		all = append(all, cluster.Sender{
			PID: s.pid, Name: s.name, Host: w.nameOf(s.host), Stream: s.streaming, Priority: s.prio, Sync: w.syncState(p, s),
			Flush: cluster.LSN(s.flush), Older: s.older,
		})
	}
	return all
}

// syncState is what pg_stat_replication would show: the asking session's own, new copy of the names, and the priorities.
func (w *world) syncState(p *pg, s *sender) string {
	switch {
	case s.prio == 0 || p.run.k == 0:
		return "async"
	case p.run.any:
		return "quorum"
	}
	return "sync"
}

func (w *world) upstream(i int, f *cluster.Facts) {
	h := &w.hosts[i]
	x, p := &h.w, h.pg
	up := &f.Upstream
	if p.receiver >= 0 {
		up.Receiver, up.Name, up.Streaming = w.nameOf(p.receiver), p.recvName, p.streaming
		x.gone = h.clock
	}
	if !up.Streaming {
		x.since = h.clock
	}
	if p.received != x.got {
		x.got, x.gotAt = p.received, h.clock
	}
	up.For, up.Gone, up.Moved = h.clock-x.since, h.clock-x.gone, h.clock-x.gotAt
}

// names is what a new session sees, and what the watcher remembers of it.
func (w *world) names(i int, f *cluster.Facts) {
	h := &w.hosts[i]
	x, p := &h.w, h.pg
	if p.run.text != x.shown || !x.named {
		x.named, x.shown, x.shownAt, x.waited, x.proof = true, p.run.text, h.clock, false, nil
		for _, s := range p.senders {
			s.older = true
		}
		p.oldOlder = true
	}
	x.waited = x.waited || x.waiting(p) || w.m == CheckpointIsWait && p.ckptDue == never
	f.Names = cluster.NamesFacts{Shown: x.shown, ShownFor: h.clock - x.shownAt, Statement: p.old != nil && p.oldOlder, Waited: x.waited, Proof: x.proof}
}

// stalls is for how long each standby has flushed nothing, while there was something to flush.
func (w *world) stalls(i int, f *cluster.Facts) {
	h := &w.hosts[i]
	x, p := &h.w, h.pg
	for j := range w.topo.Servers {
		if j == i {
			continue
		}
		best := -1
		for _, s := range p.senders {
			if s.host == j && s.streaming {
				best = max(best, s.flush)
			}
		}
		if best >= 0 && (best > x.flush[j] || best >= len(p.wal)) {
			x.flushAt[j] = h.clock
		}
		x.flush[j] = best
		if m := x.state.MemberOf(w.hosts[j].name); m != "" {
			f.Stalls = append(f.Stalls, cluster.Stall{Member: m, For: min(h.clock-x.flushAt[j], w.now-p.startedAt)})
		}
	}
}
