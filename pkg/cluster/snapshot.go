package cluster

import (
	"strings"
	"time"

	"github.com/pgctl/pgctl/pkg/nodes"
)

// Snapshot is everything that was seen of a region at one moment, including what could not be seen and why.
type Snapshot struct {
	Kind     nodes.Kind
	HA       nodes.HA
	Zones    int             // how many zones the inventory has
	Problems []nodes.Problem // where the inventory contradicts itself without being unusable
	Servers  []Server        // in inventory order
	Pools    []Pool
	Arbiters []Arbiter
	Begun    []Begun // changes that began on the machine that pgctl runs on, and have not ended
}

// Begun is a change that began and has not ended: it is at work, or was broken off.
type Begun struct {
	Command     string // that goes on, such as "switchover --to db2"
	Back        string // that goes back, such as "switchover --to db1"; "" none
	AtWork      int    // process ID, while it is at work; 0: it was broken off
	Done, Steps int
	Failure     *Failure // its journal cannot be read; nil: it can
}

// Failure is why something could not be seen: one sentence, and what to do about it ("" when there is nothing to say).
type Failure struct {
	Message string
	Hint    string
}

// Common is what is asked of every host, whatever it carries.
type Common struct {
	Host        string
	Unreachable *Failure // nil: the host answered
	Partial     *Failure // it answered only in part: what is missing is not known, not absent; nil: it answered in full
	Clock       *Clock   // nil: not known
	Addresses   []string // the host's own IP addresses
	Watcher     Watcher
}

// Reached tells whether the host answered at all.
func (c Common) Reached() bool { return c.Unreachable == nil }

// Clock is a host's clock against that of the machine pgctl runs on.
type Clock struct {
	Offset time.Duration // positive: the host is ahead
	Within time.Duration // half the time the question took: the offset is known no better
}

// ServiceState is what a service manager says of one service.
type ServiceState string

// The states of a service. Absent means that the host does not have it.
const (
	ServiceActive   ServiceState = "active"
	ServiceInactive ServiceState = "inactive"
	ServiceFailed   ServiceState = "failed"
	ServiceUnknown  ServiceState = "unknown"
	ServiceAbsent   ServiceState = "absent"
)

// Service is one service of one host. The zero value is unknown.
type Service struct {
	Unit    string // what was asked, such as "postgresql@15-main.service"
	Manager string // "systemd", "service" or "supervisor"
	State   ServiceState
	Detail  string // the manager's own words, such as "running" or "exited"
}

// Watcher is the watcher's service and the two status files that it writes.
type Watcher struct {
	Service Service
	Monitor *string // status in pg_watcher.PGMonitor; nil: no such file
	Node    *string // status in pg_watcher.PGNode

	// What pgctl's own watcher says of itself, as long as it does not fall silent.
	Own      bool    // it is one
	Version  string  // "" not known
	Inactive *bool   // the server.yaml that it goes by says inactive_failover: 1; nil: it goes by none
	Quorum   *Quorum // nil: it takes part in none
}

// Server is one PostgreSQL server of the inventory.
type Server struct {
	Common
	Zone       string // "" unknown
	Service    Service
	MasterFile *string   // content of /pitrix/run/pg_master; nil: no such file
	Disk       *Disk     // the file system of the data directory
	Data       *DataDir  // what lies on disk, readable whether or not PostgreSQL runs
	Asides     []Aside   // what renewals of the data directory set aside, their sizes not counted
	SQL        *Instance // what the running server says of itself; nil: it could not be asked
	SQLFailure *Failure  // why it could not be asked
}

// Disk is the size of a file system in bytes.
type Disk struct{ Total, Free int64 }

// DataDir is what the files of a data directory say. They are written at checkpoints: the server may be further.
type DataDir struct {
	Path       string
	Missing    bool     // it is not there, as a renewal of it has not come to its end: to be renewed again
	Renewed    *Renewed // the mark of a renewal; nil: none
	Port       int      // 0 unknown
	Signal     bool     // a file there makes it start as a standby, whatever it was
	Promoted   bool     // there is a recovery.done, as a promotion leaves it up to PostgreSQL 11
	Upstream   string   // host of primary_conninfo in recovery.conf, up to 11; "" none or not known
	Processes  []string // titles of the running server's WAL processes, from "wal " on; sender, receiver and writer
	Postmaster *Process // nil: not known
	SystemID   uint64
	State      string // pg_control's "Database cluster state", such as "in production" or "shut down"
	Timeline   Timeline
	Checkpoint LSN
	// WALTimeline is the newest timeline that there is a segment of: pg_control learns of a timeline at a checkpoint only.
	WALTimeline Timeline
	Histories   map[Timeline]History // by the timeline that they lead to
	Openings    map[Timeline][]byte  // the first WAL record of a timeline, as it lies in pg_wal
	Epochs      []Epoch              // rows that the data is known to have, as the server itself said when it last signed a promotion
}

// Newest is the newest timeline that the files are known to have WAL of.
func (d *DataDir) Newest() Timeline { return max(d.Timeline, d.WALTimeline) }

// Renewed is the mark that a renewal leaves in a data directory as its last act: it is a copy of the master's history. A copy
// of that server would bring the mark along, so it says whose it is.
type Renewed struct {
	Method   string   `json:"method"` // "rewind" or "clone"
	Host     string   `json:"host"`   // whose data directory was renewed
	Master   string   `json:"master"`
	SystemID uint64   `json:"system_id,string"`
	Timeline Timeline `json:"timeline"`
	Stamp    string   `json:"stamp"`
}

// Aside is what a renewal set aside: DATADIR.pgctl-STAMP.
type Aside struct {
	Path  string
	Bytes int64 // with what belongs to it in tablespaces; 0 not counted
	Made  time.Time
	What  string // "data", a whole data directory, or "wal", the WAL past a fork
}

// Process is the postmaster named by postmaster.pid.
type Process struct {
	PID     int  // 0: there is no postmaster.pid
	Alive   bool // the process exists
	Stopped bool // it was sent SIGSTOP: it holds its port and answers nobody
}

// Instance is what a running PostgreSQL says of itself.
type Instance struct {
	Version    string // such as "15.18"
	InRecovery bool
	Position   LSN  // master: current write position; standby: replay position
	AskedAgain bool // Position was read after every other server had answered
	Received   LSN  // standby: what its receiver has flushed; 0 unknown
	Timeline   Timeline
	Paused     bool           // replay is paused
	ReplayAge  *time.Duration // standby: since the last replayed commit, 0 when nothing is left to replay; nil unknown
	Receiver   *Receiver      // standby: nil when there is none
	Standbys   []Walsender    // who is fed from here
	Slots      []Slot
	SyncNames  string // synchronous_standby_names
	SyncWaits  int    // sessions that wait for a standby right now
}

// Receiver is a standby's WAL receiver (pg_stat_wal_receiver).
type Receiver struct {
	Status          string // "streaming" is the good one
	SenderHost      string // as the standby knows it: a name or an address
	ApplicationName string
}

// Walsender is one row of pg_stat_replication.
type Walsender struct {
	ApplicationName string
	ClientAddress   string
	State           string // "streaming", "catchup", "backup" ...
	SyncState       string // "sync", "quorum", "potential", "async"
	Flush, Replay   LSN
	Slot            string // that it uses; "" none
}

// Slot is a replication slot.
type Slot struct {
	Name     string
	Physical bool // of a standby; false: of logical decoding
	Active   bool
	Retained int64  // bytes of WAL kept for it
	Status   string // wal_status from PostgreSQL 13 on: "reserved", "extended", "unreserved", "lost"; "" before
}

// Pool is one pgpool-II of the inventory.
type Pool struct {
	Common
	Service        Service
	ConfFailure    *Failure  // why pgpool.conf could not be read
	Backends       []Backend // as pgpool.conf has them; nil: not known
	Running        []Backend // as the running pgpool has them; nil: it could not be asked
	RunningFailure *Failure  // why not
	ServesNobody   bool      // it answers, and answers every client with an error: all its backends are down, say
	Refuses        bool      // RunningFailure is what every client meets, not a login of pgctl's own that failed
	// FailoverCommand is what pgpool.conf has pgpool run when it takes a backend out of use; "" nothing, or not known.
	FailoverCommand string
	Listening       *bool // something accepts connections on its port; nil: not known
	QueryCache      bool  // pgpool.conf has it cache the results of queries
	Shared          int64 // bytes of shared memory that the running pgpool has allocated (proc(5), sysvipc/shm); 0 not known
}

// Backend is one backend slot of a pool.
type Backend struct {
	Host      string
	Port      int
	Flag      string   // such as "DISALLOW_TO_FAILOVER"
	Addresses []string // what the pool's host takes the name for
	Role      string   // as the running pgpool sees it: "primary", "standby"; "" from the file
	Down      bool     // the running pgpool has taken it out of use
}

// FailsOver tells whether pgpool may take the backend out of use and fail over: it may unless its flag forbids it (pgpool-II manual,
// "backend_flag").
func (b Backend) FailsOver() bool { return !strings.Contains(b.Flag, "DISALLOW_TO_FAILOVER") }

// Arbiter is a host that votes and holds no data.
type Arbiter struct {
	Common
	Zone string
}
