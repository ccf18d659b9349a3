package cluster

import "time"

// CommandKind names a change of the state.
type CommandKind string

// The commands. Who proposes is always the executor; what its proposal rests on is in its reports, and what it must not break is
// checked by Apply, on every replica alike.
const (
	Form       CommandKind = "form"        // a region that was never formed gets its first master, elected
	OpenVote   CommandKind = "open-vote"   // the epoch is over: electing the next
	Elect      CommandKind = "elect"       // the candidate, with who is frozen and where
	VoteAgain  CommandKind = "vote-again"  // the elected one did not get there: electing again
	Serve      CommandKind = "serve"       // the elected one is promoted: its row, and the first configuration
	HandOver   CommandKind = "hand-over"   // an operator's wish: the master makes way for Host
	KeepMaster CommandKind = "keep-master" // that comes to nothing: it goes on
	Open       CommandKind = "open"        // clients may come
	Change     CommandKind = "change"      // one more configuration in force, the newest
	Settle     CommandKind = "settle"      // the newest is proven to be the only one
	PoolMoved  CommandKind = "pool-moved"  // a pool is proven to point at the master
	Register   CommandKind = "register"    // a server under a new incarnation
	Isolate    CommandKind = "quarantine"  // a server is no copy
	PauseHA    CommandKind = "pause"       // an operator's wish
	ResumeHA   CommandKind = "resume"      // its end
	Halt       CommandKind = "halt"        // a signature above the quorum's epoch was seen
	Adopt      CommandKind = "adopt"       // an operator takes that signature for the truth; Record.Evidence says what was seen of the master of before
	RaiseLevel CommandKind = "raise-level" // every member understands this feature level
)

// Features is the feature level of this program: the highest level of a command that it can apply.
const Features = 1

// Command is one proposed change. Epoch and Gen are those of the state that it was decided on: another one by then refuses it
// (compare-and-set). The other fields are the command's own; what it has no use for stays zero.
type Command struct {
	Kind  CommandKind `json:"kind"`
	Epoch int64       `json:"epoch"`
	Gen   int64       `json:"gen"`

	Host   string        `json:"host,omitempty"`   // the candidate, pool or server that it is about
	Name   string        `json:"name,omitempty"`   // member name
	Nonce  string        `json:"nonce,omitempty"`  // for the row of the epoch's master
	System uint64        `json:"system,omitempty"` // Form
	Config *SyncConfig   `json:"config,omitempty"` // Change, Serve
	From   LSN           `json:"from,omitempty"`   // Settle: what K members have flushed
	Left   string        `json:"left,omitempty"`   // Change: the member that leaves soon after it joined; ""
	Frozen []Frozen      `json:"frozen,omitempty"` // Elect
	Quiet  time.Duration `json:"quiet,omitempty"`  // Elect: for so long nobody can have confirmed the old master
	Rows   []Epoch       `json:"rows,omitempty"`   // Serve, Adopt: all signatures in the master's data
	Pools  []string      `json:"pools,omitempty"`  // Serve: every pool of the region
	Above  int64         `json:"above,omitempty"`  // Form, Adopt: the highest epoch that any server's data is signed with
	Pause  *Pause        `json:"pause,omitempty"`
	Level  int           `json:"level,omitempty"` // RaiseLevel
	Record Record        `json:"record"`
}
