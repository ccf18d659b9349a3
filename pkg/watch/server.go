package watch

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/postgres"
)

// lookLimit ends a look at PostgreSQL; what its files and the process table say is known before.
const lookLimit = 2 * time.Second

// server is this host's own PostgreSQL: what is seen of it, and what has to be remembered to give that an age. All but the
// commits is the loop's.
type server struct {
	own  *postgres.Own
	host string

	mu     sync.Mutex // of memory, which the commits write too
	memory *memory

	last  postgres.OwnSight
	sql   *postgres.OwnSQL // the last that answered; nil none did
	since time.Duration    // it streams without a break
	gone  time.Duration    // last that a receiver was seen, or the service file was another
	file  postgres.Upstream

	receiverPID  int // at the last look that was answered; 0 there was none
	receiverFile postgres.Upstream
	named        bool // shown is what a session showed
	shown        string
	shownAt      time.Duration
	shownClock   int64           // the server's clock then
	older        map[string]bool // walsenders and statements that were there then
	waited       bool
	proof        *cluster.Proof
	flush        map[string]cluster.LSN // as master, by standby's host
	flushAt      map[string]time.Duration
	stallsAt     time.Duration // when the flush positions were seen last; 0 never
	ended        cluster.LSN   // where the recovery of the postmaster of memory.Postmaster ended
	canary       committer
	back         returned
	write        committer
	waits        committer // that looks for a commit that waits
	nudged       bool      // it was made to ask its master again a moment ago
	ending       bool      // sessions of an earlier watcher may be there still
}

func newServer(own *postgres.Own, host string, m *memory, now time.Duration) *server {
	return &server{
		own: own, host: host, memory: m, ending: true, since: now, gone: now, shownAt: now,
		flush: map[string]cluster.LSN{}, flushAt: map[string]time.Duration{},
	}
}

// view is what the loop knows at a moment beside the server itself.
type view struct {
	now, asked time.Duration // now, and when the look began
	idle       bool          // HA is off and no writes are made: how old the last one is says nothing
	between    bool          // an action on the server was under way: the look may have seen it half done
	state      *cluster.State
	sight      *cluster.Sight // heard before the look began
	frozen     int64          // base of the marker; 0
	masterFile string
	hostOf     func(address string) string
}

// facts turns a look into what the decisions go by.
func (s *server) facts(seen postgres.OwnSight, v view) *cluster.Facts {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.memory
	s.last = seen
	if seen.Running && seen.Life() != m.StoppedLife {
		m.Stopped = false
	}
	f := &cluster.Facts{
		Host: s.host, Name: seen.Member, System: seen.SystemID, Running: seen.Running, Stopped: !seen.Running && seen.CleanStop && !m.Stopped, Gate: seen.Gate,
		Clients: !seen.HBAClosed, Archive: seen.Archive, FrozenFor: v.frozen, MasterFile: v.masterFile,
	}
	if !seen.Running && seen.Orphans > 0 && !m.Recovery && v.state.Master != s.host { // its sessions live on, and show what they show
		f.Running = true
	}
	f.Upstream.File, f.Upstream.FileEpoch = seen.Service.Host, seen.Service.Epoch
	if seen.Direct != "" {
		f.Upstream.File, f.Upstream.FileEpoch = seen.Direct, 0
	}
	if seen.Service != s.file {
		s.file, s.gone = seen.Service, v.asked
	}
	if v.between || seen.Unread {
		s.gone = v.now // whether a receiver can come back is not known
	}
	if seen.Running && seen.SQL != nil {
		m.Answered, s.sql = v.now, seen.SQL
		s.answered(f, seen.SQL, v)
	} else {
		s.silent(f, seen, v)
	}
	f.Rows, f.Silent = m.Rows, 0
	if seen.SQL == nil {
		f.Silent = v.now - m.Answered
	}
	f.Starts, f.StartAge = m.Starts, v.now-m.StartedAt
	s.ages(f, seen, v)
	return f
}

// silent: it is down, or gives no answer. One that was started with the gate in place is a standby, whatever it does not say: the gate goes
// with a promotion.
func (s *server) silent(f *cluster.Facts, seen postgres.OwnSight, v view) {
	f.Names.Shown = s.shown
	s.since, s.gone = v.now, v.now
	if !seen.Running {
		return
	}
	if m := s.memory; seen.Life() == m.Postmaster { // it is the one that answered before
		f.Recovery = m.Recovery
		f.Recovered, f.Names.ShownFor, f.Names.Proof = s.ended, max(0, v.asked-s.shownAt), s.proof
	}
	f.Recovery = f.Recovery || seen.Gate && !seen.GateSince.After(seen.Started)
}

// ages are what goes on whether it answers or not.
func (s *server) ages(f *cluster.Facts, seen postgres.OwnSight, v view) {
	m := s.memory
	if seen.Running && f.Recovery {
		m.Write, m.Canary = v.now, longAgo
	}
	if v.idle {
		m.Write = v.now
	}
	f.WriteAge = v.now - m.Write
	if seen.Running {
		f.WriteAge = max(0, min(f.WriteAge, v.now-seen.Began))
	}
	f.Lease, f.Canary = cluster.Never, cluster.Canary{Age: v.now - m.Canary, Names: m.CanaryNames}
	if m.LeaseEpoch == v.state.Epoch && m.LeaseGen <= v.state.Gen {
		f.Lease = v.now - m.Lease
	}
	f.Upstream.For, f.Upstream.Gone, f.Upstream.Moved = v.now-s.since, v.now-s.gone, v.now-m.GotAt
}

// aged are facts as they would be had the look taken until now: what runs out has run for longer, and of what has to last no more was seen.
func (s *server) aged(f cluster.Facts, v view) *cluster.Facts {
	s.mu.Lock()
	defer s.mu.Unlock()
	up := f.Upstream
	s.ages(&f, s.last, v)
	f.Upstream = up
	return &f
}

// answered takes what PostgreSQL itself says.
func (s *server) answered(f *cluster.Facts, q *postgres.OwnSQL, v view) {
	m := s.memory
	if m.Starts > 0 && v.now-m.StartedAt > cluster.StartLasts {
		m.Starts = 0
	}
	if life := s.last.Life(); life != m.Postmaster {
		m.Postmaster, s.ended = life, 0
	}
	m.Rows, m.Recovery = q.Rows, q.Recovery
	f.Recovery, f.Timeline, f.Received, f.Replayed, f.Paused = q.Recovery, q.Timeline, q.Received, q.Replayed, q.Paused
	f.AtEnd, f.Unsafe = q.AtEnd, unsafe(q.Settings)
	f.Saved = q.CheckpointTimeline == q.Timeline
	s.receiver(f, q, v)
	s.names(f, q, v)
	if q.Recovery {
		s.ended = 0
		return
	}
	if s.ended == 0 { // it came out of recovery before this; a later position is on the safe side
		s.ended = q.Current
	}
	f.Recovered, f.Current = s.ended, q.Current
	for _, w := range q.Senders {
		f.Senders = append(f.Senders, cluster.Sender{
			PID: w.PID, Name: w.Name, Host: v.hostOf(w.Address), Stream: w.State == "streaming", Priority: w.Priority, Sync: w.SyncState, Flush: w.Flush, Older: s.older[life(w)],
		})
	}
	s.judgeCanary(f, v)
	s.stalls(f, q, v)
	f.Ahead = cluster.AheadOf(f, v.sight)
}

// unsafe says why what is acknowledged here may not be on the disk.
func unsafe(settings map[string]string) string {
	for _, name := range []string{"fsync", "full_page_writes"} {
		if settings[name] == "off" {
			return name + " is off"
		}
	}
	return ""
}

// unknownUpstream stands for whom a receiver receives from that has not connected yet, or does not say it any more (receives).
const unknownUpstream = "?"

func (s *server) receiver(f *cluster.Facts, q *postgres.OwnSQL, v view) {
	up := &f.Upstream
	if r := s.receives(q.Receiver); r != nil {
		up.Receiver, up.Name, up.Streaming = unknownUpstream, r.Name, r.Status == "streaming"
		if r.SenderHost != "" {
			up.Receiver = r.SenderHost
			if host := v.hostOf(r.SenderHost); host != "" {
				up.Receiver = host
			}
		}
		s.gone = v.now
	}
	if !up.Streaming {
		s.since = v.now
	}
	if q.Received != s.memory.Got {
		s.memory.Got, s.memory.GotAt = q.Received, v.now
	}
}

// receives completes what PostgreSQL says of the receiver. When a receiver goes on with a new timeline over the connection that it has, its
// conninfo becomes what the configuration says, which is the name of the service and nothing else (tried on 10.23; source:
// RequestXLogStreaming). What it connected by is then what was seen of that very process before, or, when it is new since the last look and the
// service file was one and the same in both, what that file says.
func (s *server) receives(r *postgres.OwnReceiver) *postgres.OwnReceiver {
	m := s.memory
	before, file := s.receiverPID, s.receiverFile
	s.receiverPID, s.receiverFile = 0, s.last.Service
	if r == nil {
		return nil
	}
	s.receiverPID = r.PID
	switch {
	case r.SenderHost != "" && r.Name != "":
		m.Receiver = receiver{r.PID, r.SenderHost, r.Name}
	case m.Receiver.PID == r.PID:
	case r.Status == "streaming" && r.PID != before && file == s.last.Service && file.Host != "":
		m.Receiver = receiver{r.PID, file.Host, file.Name}
	default:
		return r
	}
	whole := *r
	whole.SenderHost, whole.Name = m.Receiver.Host, m.Receiver.Name
	return &whole
}

// names dates what a new session shows, and remembers who was there when one showed it first: everybody else began when the postmaster had it. An age by a clock would
// not tell, as one may be set back. Who was being let in at that moment, and is in no view then, is told by the server's clock, as long as that may take.
// The look began at v.asked, so an age that counts from its end is rather too small.
func (s *server) names(f *cluster.Facts, q *postgres.OwnSQL, v view) {
	if q.Names != s.shown || !s.named {
		s.named, s.shown, s.shownAt, s.waited, s.proof = true, q.Names, v.now, false, nil
		s.shownClock, s.older = q.Clock, map[string]bool{}
		for _, w := range q.Senders {
			s.older[life(w)] = true
		}
		for _, statement := range q.Statements {
			s.older[statement] = true
		}
	}
	for _, w := range q.Senders {
		if w.Started <= s.shownClock && v.now-s.shownAt <= lettingIn {
			s.older[life(w)] = true
		}
	}
	s.waited = s.waited || q.WaitingSync
	f.Names = cluster.NamesFacts{
		Shown: s.shown, ShownFor: max(0, v.asked-s.shownAt), Waited: s.waited, Proof: s.proof,
		Statement: slices.ContainsFunc(q.Statements, func(statement string) bool { return s.older[statement] }),
	}
}

// lettingIn is for how long PostgreSQL may be letting somebody in: the most that authentication_timeout can be.
const lettingIn = 10 * time.Minute

// life tells one walsender from every other one.
func life(w postgres.OwnSender) string { return fmt.Sprintf("%d@%d", w.PID, w.Started) }

// stalls is for how long each member has flushed nothing, while there was something to flush. When it stopped is not seen: it was after the look before, and
// where commits wait, not before the oldest of them began.
func (s *server) stalls(f *cluster.Facts, q *postgres.OwnSQL, v view) {
	stopped := v.now
	if q.SyncWaits > 0 && s.stallsAt > 0 {
		stopped = max(s.stallsAt, v.now-q.SyncWaits, v.now-3*round/2) // looks without an answer between say nothing of the standby
	}
	s.stallsAt = v.now
	for _, member := range v.state.Members {
		if member.Host == s.host {
			continue
		}
		var best cluster.LSN
		there := false
		for i := range f.Senders {
			if w := &f.Senders[i]; w.Host == member.Host && w.Stream {
				best, there = max(best, w.Flush), true
			}
		}
		if _, known := s.flushAt[member.Host]; !known || there && (best > s.flush[member.Host] || best >= f.Current) {
			s.flushAt[member.Host] = v.now
			if best < f.Current {
				s.flushAt[member.Host] = stopped
			}
		}
		s.flush[member.Host] = best
		f.Stalls = append(f.Stalls, cluster.Stall{Member: member.Name, For: min(v.now-s.flushAt[member.Host], v.now-s.last.Began)})
	}
}

// remember keeps a proof until the names change or the watcher ends.
func (s *server) remember(p *cluster.Proof) { s.proof = p }

// leased notes a lease of an epoch that was asked for at a moment.
func (s *server) leased(epoch, gen int64, sent time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if epoch != s.memory.LeaseEpoch || sent > s.memory.Lease {
		s.memory.Lease, s.memory.LeaseEpoch, s.memory.LeaseGen = sent, epoch, gen
	}
}

// stopping notes that the watcher stops it: what pg_control says of the stop is nobody's wish then.
func (s *server) stopping(now time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.memory.Stopped, s.memory.StoppedAt = true, now
	if life := s.last.Life(); life != "" {
		s.memory.StoppedLife = life
	}
}

// started notes that a start is tried.
func (s *server) started(now time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.memory.Starts++
	s.memory.StartedAt = now
}

// seenNow is the last look, for an action.
func (s *server) seenNow() postgres.OwnSight {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}
