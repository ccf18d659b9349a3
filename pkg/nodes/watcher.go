package nodes

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What the watcher uses where the pg_watcher section says nothing.
const (
	DefaultDownAfter        = 120 * time.Second
	DefaultStandbyDownAfter = 30 * time.Second
	DefaultSpareAfter       = 60 * time.Second
	DefaultWatcherPort      = 5480
	DefaultSyncMode         = syncAll

	maxDefaultLease = 10 * time.Second
)

// MaxStopTime and MinStopTime bound how long a master may take to stop once its lease is over (StopTimeOf). ClockDrift
// is what two monotonic clocks may differ by meanwhile. Stop time and drift have to fit between the end of the old
// master's lease and the moment at which a new master may be chosen, so that the two never serve at once.
const (
	MaxStopTime = 5 * time.Second
	MinStopTime = 2 * time.Second
	ClockDrift  = 1 * time.Second
)

// minLease leaves room for several heartbeats of the quorum.
const minLease = 2 * time.Second

const syncAll = "all"

// Watcher is the pg_watcher section of one zone's server.yaml, defaults filled in.
type Watcher struct {
	Globals          []string      // arbiters, in the order of the file; none with 3 zones and more
	InactiveFailover bool          // true: the watchers only watch; also when the key is missing
	UsingMasterByTS  bool          // true: an old master rejoins by itself
	Nodes            []WatchedNode // pg_node_info, in the order of the file
	DownAfter        time.Duration // a master without progress for so long is down; 5s to 24h
	StandbyDownAfter time.Duration // the same for a standby; 2s to 24h
	Lease            time.Duration // a master without a quorum for so long stops; 2s to 1h
	SpareAfter       time.Duration // a voter silent for so long is replaced by the spare; 5s to 24h
	Port             int           // TCP port of the watchers; 1 to 65535
	SyncMode         string        // "all" or "any N", N from 1
}

// WatchedNode is one server of pg_node_info.
type WatchedNode struct {
	Host  string
	Zone  string   // zone_id
	Pools []string // pgpools: the pools to be moved with this server, in the order of the file
	// The lines where the server, its zone_id and its pgpools stand, from 1; 0 for a key that is not there.
	Line, ZoneLine, PoolsLine int
}

// SyncNeeded returns how many standbys must have flushed a commit before it returns: N for "any N", 0 for "all",
// which means every standby.
func (w *Watcher) SyncNeeded() int {
	n, _ := anyCount(w.SyncMode) // of "all": 0
	return n
}

func defaultWatcher() *Watcher {
	return &Watcher{
		InactiveFailover: true,
		DownAfter:        DefaultDownAfter,
		StandbyDownAfter: DefaultStandbyDownAfter,
		SpareAfter:       DefaultSpareAfter,
		Port:             DefaultWatcherPort,
		SyncMode:         DefaultSyncMode,
	}
}

// StopTimeOf returns how long a master may take to stop once its lease is over: 5 s, or what the shortest lease and the
// clock drift leave of downAfter.
func StopTimeOf(downAfter time.Duration) time.Duration {
	return min(MaxStopTime, downAfter-minLease-ClockDrift)
}

// defaultLease returns the smaller of 10 s and half of downAfter, and never more than stop time and clock drift leave
// of downAfter.
func defaultLease(downAfter time.Duration) time.Duration {
	return min(maxDefaultLease, downAfter/2, downAfter-StopTimeOf(downAfter)-ClockDrift)
}

// parseDuration reads a Go duration such as 120s or 2m, or a whole number of seconds.
func parseDuration(s string) (time.Duration, error) {
	if n, err := strconv.ParseInt(s, 10, 32); err == nil {
		return time.Duration(n) * time.Second, nil
	}
	return time.ParseDuration(s)
}

// parseSyncMode returns the mode as Watcher.SyncMode holds it.
func parseSyncMode(s string) (string, bool) {
	words := strings.Fields(strings.ToLower(s))
	if slices.Equal(words, []string{syncAll}) {
		return syncAll, true
	}
	mode := strings.Join(words, " ")
	if n, ok := anyCount(mode); ok {
		return fmt.Sprintf("any %d", n), true
	}
	return "", false
}

func anyCount(mode string) (int, bool) {
	digits, ok := strings.CutPrefix(mode, "any ")
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(digits)
	return n, err == nil && n >= 1 && strconv.Itoa(n) == digits
}

// parsePort reads a TCP port, 1 to 65535, in plain decimal digits.
func parsePort(s string) (int, bool) {
	n, err := strconv.Atoi(s)
	return n, err == nil && n >= 1 && n <= 65535 && strconv.Itoa(n) == s
}
