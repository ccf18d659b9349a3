package cluster

import "time"

// Never is the age of what has not happened; it may be added to other ages.
const Never = time.Duration(1 << 60)

// Facts is what a watcher knows of its own server at one moment. Ages are monotonic and count up to that moment; they survive a restart
// of the watcher, not of the machine. What a PostgreSQL that does not run or answer would have to say keeps its last known value where the
// comment says so, else it is zero.
//
// A standby is asked in this order: Upstream, AtEnd, Replayed, Rows. A receiver that is gone before replay is seen to wait brings nothing more, so
// the position read then is the end, and no row that lies before it is missing. A master's Current is read last.
type Facts struct {
	Host   string
	Name   string // member name of the data here: minted at the last clone, rewind or rejoin; "" none yet
	System uint64 // 0 not known

	Running   bool          // the postmaster is there
	Silent    time.Duration // since PostgreSQL answered all this; 0 it does so now
	Stopped   bool          // it was shut down cleanly, not by the watcher
	Starts    int           // starts tried in a row, of any kind, without a lasting success (StartLasts); survives a restart of the watcher
	StartAge  time.Duration // since the last of them was tried; of no meaning where there was none
	Recovery  bool          // false as long as it has not answered
	Gate      bool          // the data directory says read-only (M9)
	Unsafe    string
	Timeline  Timeline
	Rows      []Epoch // signatures replayed here, oldest first; kept. Read after AtEnd and Replayed: none that lies before that position is missing (Foreign)
	Received  LSN     // pg_last_wal_receive_lsn(): after a restart it falls back to the start of its segment
	Replayed  LSN
	Current   LSN  // master: pg_current_wal_insert_lsn(), read after everything else; it ends a whole record, as a flush position need not
	Recovered LSN  // master: where its last recovery or promotion ended
	AtEnd     bool // the startup process waits for more after the last whole record of the local WAL, read before Replayed; Received may be past that
	Archive   bool // restore_command is set: an archive may feed it
	Paused    bool // replay is paused

	Upstream   Upstream
	FrozenFor  int64 // Election.Base that the marker on disk names; 0: not frozen. Survives every restart
	Clients    bool  // the hba gate is open, and in effect
	Names      NamesFacts
	Senders    []Sender
	Stalls     []Stall
	Ahead      []string // master: data, by its member name, of which it was said before Current was read that it is further (AheadOf)
	MasterFile string   // what /pitrix/run/pg_master says
	Saved      bool     // a checkpoint was completed since the promotion

	WriteAge time.Duration // since the watcher's own local write last succeeded, or PostgreSQL was started
	Lease    time.Duration // since the request was SENT that the quorum's leader granted last, for this epoch, and from no later generation than is known here now
	Canary   Canary
}

// Upstream is whom a standby receives from.
type Upstream struct {
	File      string        // host in the service file; "": it can connect to nobody
	FileEpoch int64         // the epoch for which that was written
	Receiver  string        // host that a running WAL receiver receives from; "": there is no receiver
	Name      string        // its application_name
	Streaming bool          // it streams
	For       time.Duration // since when it does so without a break
	Gone      time.Duration // without any receiver, since the service file was written
	Moved     time.Duration // since the received position last moved
}

// NamesFacts is what is known of the names in effect on a master.
type NamesFacts struct {
	Shown     string        // SHOW in a new session; kept
	ShownFor  time.Duration // since the first new session that showed it
	Waited    bool          // since then a commit was seen to wait for a standby
	Statement bool          // one that ran then still does, and every backend goes by its own copy (up to 10)
	Proof     *Proof        // what the watcher remembers to have proven
}

// proves tells whether the watcher has proven the names of that configuration, for that epoch.
func (n *NamesFacts) proves(epoch int64, c SyncConfig) bool {
	return n.Proof != nil && n.Proof.Epoch == epoch && n.Proof.Gen == c.Gen
}

// Proof says that the configuration was in force in every process, and that At was read after that.
type Proof struct {
	Epoch, Gen int64
	At         LSN
}

// Sender is one walsender.
type Sender struct {
	PID      int
	Name     string // application_name
	Host     string // whose address it is fed to; "" nobody's of the inventory
	Stream   bool   // state is "streaming"
	Priority int    // sync_priority, which this walsender alone writes
	Sync     string // sync_state, as the asking session computes it: proves nothing
	Flush    LSN
	Older    bool // it was there, or being let in, when a new session first showed the names: it may go by others
}

// Stall is how long a member has flushed nothing new, as its master sees it, while there was something; not longer than PostgreSQL there runs.
// A master that dies again and again would else take out every standby in the moments in which it lives, and have no successor.
type Stall struct {
	Member string
	For    time.Duration
}

// Canary is the last commit of the watcher that returned without a warning, while the walsenders were Genuine, looked at after it had returned.
type Canary struct {
	Age   time.Duration // since it was BEGUN
	Names string        // in effect, as shown before it
}

// Report is what a watcher tells all others, once a heartbeat.
type Report struct {
	Host     string
	Seq      int64 // grows with each report of a host; one that comes late is dropped
	Features int
	Epoch    int64         // the state that it knows
	Phase    Phase         // of that epoch
	EpochAge time.Duration // since it knew of that epoch
	PhaseAge time.Duration // since it knew of that phase
	// MasterAge is since it knew who is master of that epoch; 0 nobody is.
	MasterAge time.Duration
	Facts     *Facts     // nil: no server here
	Probes    []Probe    // every server, asked by this watcher itself
	Pool      *PoolFacts // nil: no pool here
}

// Probe is what one watcher knows of one server by its own trials.
type Probe struct {
	Host   string
	Quiet  time.Duration // since it last answered a connection as a master, or refused it by an answer of its own
	Answer Answer        // to the last trial
}

// Answer is what came of trying to connect.
type Answer string

// The answers. All but the last two are signs of life: PostgreSQL itself said them.
const (
	AnswerMaster  Answer = "master"
	AnswerAuth    Answer = "authentication error"
	AnswerFull    Answer = "too many clients"
	AnswerStandby Answer = "read-only"
	AnswerRefused Answer = "refused"
	AnswerNone    Answer = "no answer"
)

// PoolFacts is a pool as its watcher sees it.
type PoolFacts struct {
	Host    string
	Backend string // server that the running pgpool writes to; "?" not exactly one; "" not known
	Held    int64  // epoch for whose election it was last stopped
}

// Heard is a report and when it came, on the clock of the hearer.
type Heard struct {
	*Report
	At time.Duration
	// Delay is how long it may have been under way before that: what lay in a socket is not news when it comes.
	Delay time.Duration
}

// Sight is all that one watcher has heard, its own report too. Every watcher keeps all reports with their ages, so that a new executor
// begins with what is known and no timer starts again.
type Sight struct {
	Now   time.Duration // monotonic
	Since time.Duration // it has been listening
	// Confirmed, of the executor, is since it last confirmed a master's lease, or since it leads, whichever is less; no other can have done so since.
	// 0: not known.
	Confirmed time.Duration
	Heard     []Heard // one a host, in any order
}

// of is the last report of a host and its age; nil when there was none.
func (s *Sight) of(host string) (*Report, time.Duration) {
	for i := range s.Heard {
		if s.Heard[i].Host == host {
			return s.Heard[i].Report, s.Now - s.Heard[i].At
		}
	}
	return nil, Never
}

// fresh is the report of a host if it is younger than limit; nil when not.
func (s *Sight) fresh(host string, limit time.Duration) *Report {
	for i := range s.Heard {
		if h := &s.Heard[i]; h.Host == host && s.Now-h.At+h.Delay <= limit {
			return h.Report
		}
	}
	return nil
}

// stalled is for how long the master has seen nothing of a member; 0 while it has not looked for it yet.
func (f *Facts) stalled(member string) time.Duration {
	for i := range f.Stalls {
		if f.Stalls[i].Member == member {
			return f.Stalls[i].For
		}
	}
	return 0
}

// AheadOf lists the servers, by the member name of their data, whose reports, heard before f was gathered, say that they have replayed more than this
// master has: what its standby has replayed it must have had before; what it has received may be half a record that nobody has. Only the
// master's own watcher can tell: anybody else may hold an older report of it than of the standby. Data that was renewed since is not meant.
func AheadOf(f *Facts, v *Sight) []string {
	var all []string
	for i := range v.Heard {
		o := v.Heard[i].Facts
		if o != nil && o.Host != f.Host && o.Running && o.Recovery && f.Running && !f.Recovery && o.Replayed > f.Current {
			all = append(all, o.Name)
		}
	}
	return all
}

// signed tells whether the data here bears the row of this epoch and nonce.
func (f *Facts) signed(s *State) bool {
	for i := len(f.Rows) - 1; i >= 0; i-- {
		if r := &f.Rows[i]; r.Epoch == s.Epoch {
			return r.Master == s.Master && r.Nonce == s.Nonce
		}
	}
	return false
}

// crowned tells whether the newest signature is this epoch's, and of the timeline that the server is on: one that crashed after its
// promotion and was promoted again is on a later one.
func (f *Facts) crowned(s *State) bool {
	n := len(f.Rows)
	return n > 0 && f.signed(s) && f.Rows[n-1].Epoch == s.Epoch && f.Rows[n-1].Timeline == f.Timeline
}

// top is the highest epoch that the data here is signed with.
func (f *Facts) top() int64 {
	var top int64
	for i := range f.Rows {
		top = max(top, f.Rows[i].Epoch)
	}
	return top
}
