package cluster

import (
	"fmt"
	"time"
)

// inForce is the proof of M3, but for the position that is read after it. What SHOW, sync_state and a reload's success say is not part
// of it: each of them was seen to be right while a process still went by the old names.
//
//   - The postmaster has read the new names: a new session shows them.
//   - Every walsender has: its sync_priority, which it alone writes, is the new one, 0 where nobody is waited for: else the next configuration
//     could give it the priority that it has not given up. Under ANY all priorities are 1, so every walsender must be younger than the
//     new names.
//   - Where commits did not wait before, the checkpointer has, which alone tells backends to wait at all.
//   - It answered this very time: what is left of a look without an answer shows no walsender and no statement, and they are there all the same.
//   - Up to PostgreSQL 10 every backend has: no statement is older than the new names. An idle one reads them before its next.
//
// Older (outdated) is who was there when a new session first showed the names, process by process: an age would not tell it, as a clock may be set back.
func inForce(f *Facts, epoch int64, c SyncConfig, inForce []SyncConfig) string {
	if f.Silent > 0 {
		return "PostgreSQL gives no answer"
	}
	if f.Names.Shown != c.Names(epoch) {
		return "a new session does not show the names"
	}
	for i := range f.Senders {
		w := &f.Senders[i]
		if w.outdated(c) {
			return fmt.Sprintf("the walsender %d of %s goes by older names", w.PID, w.Name)
		}
	}
	if c.K == 0 {
		return "" // weaker than all before it: whatever a backend still waits for is waited for in vain
	}
	for _, o := range inForce {
		if o.K == 0 && !f.Names.Waited {
			return "no commit was seen to wait yet"
		}
	}
	if f.Names.Statement {
		return "a statement is older than the names"
	}
	return ""
}

// rereadAfter is how long the master's processes may take to go by names that a new session shows.
const rereadAfter = 10 * time.Second

// Unread tells whether the master is to read its files once more: some process has not gone by the names for long, although a new session shows them; or nobody is to be
// waited for, and a commit has waited for so long. A process that found an error in the files when it came to them keeps what it had until the next reload. A statement
// that is older than the names (up to 10) has to end, and reads nothing.
func Unread(s *State, f *Facts, waits time.Duration) bool {
	n, ok := s.Newest()
	serves := ok && s.Phase == Serving && s.Halted == "" && s.Master == f.Host && f.Running && !f.Recovery && f.Silent == 0
	if !serves || f.Names.Statement || f.Names.Shown != n.Names(s.Epoch) || f.Names.ShownFor < rereadAfter {
		return false
	}
	return !f.Names.proves(s.Epoch, n) || n.K == 0 && waits >= rereadAfter
}

// outdated tells whether a walsender may go by other names than those of c: it shows another priority, or it was there before and its priority cannot tell. One that began since,
// and does not stream yet, has perhaps not come to write its priority.
func (w *Sender) outdated(c SyncConfig) bool {
	return w.Older && c.Any || w.Priority != c.Priority(w.Name) && (w.Older || w.Stream)
}

// settled: the master's own watcher has proven the newest configuration, and then K members have flushed what was read after the
// proof, each by its own word. Every commit that returned under an older one lies before that.
func settled(r Rules, s *State, v *Sight, p *Policy) (LSN, string) {
	n, _ := s.Newest()
	m := v.fresh(s.Master, p.Fresh)
	if m == nil || m.Facts == nil {
		return 0, "the master's watcher is silent"
	}
	proof := m.Facts.Names.Proof
	if !m.Facts.Names.proves(s.Epoch, n) {
		return 0, "the names are not proven to be in force"
	}
	if missing := r.InForce(m.Facts, s.Epoch, n, s.Configs); missing != "" {
		return 0, missing
	}
	if !n.Holds(proof.At, func(member string) (LSN, bool) { return r.Flushed(s, v, p, member) }) {
		return 0, fmt.Sprintf("fewer than %d members have flushed %s", n.K, proof.At)
	}
	if n.K == 0 {
		return 0, ""
	}
	return proof.At, ""
}

// flushed believes a member only as the one walsender of its name on the master, from that host, whose own watcher says that its
// receiver streams from the master, and how far it has flushed. A name alone may be anybody's: a copy, a backup, a receivewal.
func flushed(s *State, v *Sight, p *Policy, member string) (LSN, bool) {
	host := s.HostOf(member)
	m, own := v.fresh(s.Master, p.Fresh), v.fresh(host, p.Fresh)
	if m == nil || m.Facts == nil || own == nil || own.Facts == nil || s.QuarantineOf(host) != "" {
		return 0, false
	}
	found := 0
	for i := range m.Facts.Senders {
		if w := &m.Facts.Senders[i]; sameName(w.Name, member) {
			found++
			if w.Host != host {
				return 0, false
			}
		}
	}
	f := own.Facts
	streams := f.Running && f.Recovery && f.Name == member && f.Upstream.Receiver == s.Master && f.Upstream.Name == member && f.Upstream.Streaming
	return f.Received, found == 1 && streams && f.FrozenFor == 0
}

// reached: what lies before x is flushed by the members of every configuration in force, so nothing that a reader may see can vanish.
func reached(r Rules, s *State, v *Sight, p *Policy, x LSN) bool {
	for _, c := range s.Configs {
		if !c.Holds(x, func(member string) (LSN, bool) { return r.Flushed(s, v, p, member) }) {
			return false
		}
	}
	return len(s.Configs) > 0
}
