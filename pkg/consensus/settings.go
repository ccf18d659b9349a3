package consensus

import (
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// raft's times and sizes. A leader that hears no majority for leaderLease steps down; followers that hear no leader for
// heartbeat ask for votes. A new leader is there after twice the heartbeat at the median and thrice at the most (measured:
// docs/consensus.md). Options.Multiplier scales all times.
const (
	heartbeat   = time.Second // and the election's timeout
	leaderLease = 500 * time.Millisecond
	// Followers hear of what was committed by the entry that spread adds; this is for what got lost. At 50 ms (raft's default) it was half of what a leader costs.
	commitTimeout     = 200 * time.Millisecond
	transportTimeout  = 2 * time.Second
	diskLimit         = 2 * time.Second
	roundEvery        = time.Second
	snapshotEvery     = 30 * time.Second
	snapshotThreshold = 1024
	trailingLogs      = 256
	snapshotsKept     = 2
	maxPool           = 3
	// One request at a time: with two a follower that stalls may never be replicated to again (hashicorp/raft issue 612).
	maxInFlight = 1
	// maxCommand bounds a command, and with trailingLogs and snapshotThreshold the log.
	maxCommand = 64 << 10
)

// times is how long things take on a site whose machines are slower than usual by a factor.
type times float64

func (m times) of(d time.Duration) time.Duration { return time.Duration(float64(d) * float64(m)) }

func (m times) config(host string, log hclog.Logger) *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(host)
	c.HeartbeatTimeout, c.ElectionTimeout = m.of(heartbeat), m.of(heartbeat)
	c.LeaderLeaseTimeout, c.CommitTimeout = m.of(leaderLease), m.of(commitTimeout)
	c.SnapshotInterval, c.SnapshotThreshold, c.TrailingLogs = m.of(snapshotEvery), snapshotThreshold, trailingLogs
	c.ShutdownOnRemove = false // it follows without a vote, and may be taken in again
	c.NoLegacyTelemetry = true
	c.Logger = log
	return c
}
