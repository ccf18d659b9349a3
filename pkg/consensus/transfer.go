package consensus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// ErrTransferStuck is the failure of a leader that refuses everything as it is handing over, long after it should have
// ended: a transfer to a host that is behind can block raft for ever, when the lead is lost meanwhile (hashicorp/raft
// issue 696). Only a new process gets out of it.
var ErrTransferStuck = errors.New("a transfer of the lead is stuck")

// How long a transfer may take, with the target's catching up, and for how long raft may speak of one before it is stuck.
// raft itself gives one up after twice its election's timeout.
const (
	transferLimit = 5 * time.Second
	stuckAfter    = 5 * time.Second
	transferPoll  = 20 * time.Millisecond
)

// handover is the state of transfers on this host.
type handover struct {
	mu     sync.Mutex
	active bool      // this host is handing over: it proposes nothing, so that the target can catch up
	since  time.Time // raft has refused for a transfer since; zero: it does not
}

func (h *handover) inProgress() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.active
}

func (h *handover) set(active bool) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	changed := h.active != active
	h.active = active
	return changed
}

// note takes an answer of raft's. One that speaks of a transfer for too long ends the replica.
func (h *handover) note(n *Node, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := n.options.Now()
	switch {
	case !errors.Is(err, raft.ErrLeadershipTransferInProgress):
		h.since = time.Time{}
	case h.since.IsZero():
		h.since = now
	case now.Sub(h.since) > n.times.of(stuckAfter):
		n.fail(fmt.Errorf("%w: raft has refused for %s", ErrTransferStuck, now.Sub(h.since).Round(time.Second)))
	}
}

func (h *handover) suspected() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.since.IsZero()
}

// probe asks raft again whether it is still handing over, when it has said so: a leader that proposes nothing must notice too.
func (n *Node) probe() {
	if n.handover.suspected() {
		ctx, cancel := context.WithTimeout(n.life, n.times.of(heartbeat))
		defer cancel()
		_ = n.Barrier(ctx) // its answer is noted
	}
}

// Transfer hands the lead to a voter that has caught up, in a few milliseconds instead of an election's seconds, and returns
// when this host has lost it. For that time nothing is proposed here. It takes transferLimit at the most; an error says
// that this host may lead on.
func (n *Node) Transfer(ctx context.Context, to string) error {
	if !n.Leads() {
		return ErrNotLeader
	}
	if !n.votes(to) || to == n.options.Host {
		return fmt.Errorf("%s is not another voter", to)
	}
	if !n.handover.set(true) {
		return fmt.Errorf("another transfer is under way: %w", ErrBusy)
	}
	defer n.handover.set(false)
	ctx, cancel := context.WithTimeout(ctx, n.times.of(transferLimit))
	defer cancel()
	if err := n.catchUp(ctx, to); err != nil {
		return err
	}
	_, err := await(ctx, n, func() raft.Future {
		return n.raft.LeadershipTransferToServer(raft.ServerID(to), raft.ServerAddress(to))
	})
	if err != nil {
		return fmt.Errorf("the lead does not go to %s: %w", to, err)
	}
	return nil
}

// catchUp waits until a host has every entry: only to such a one raft can hand over without risking to block.
func (n *Node) catchUp(ctx context.Context, to string) error {
	for {
		err := n.rounds.meet(ctx, to)
		if err == nil && n.manners.look(to).index >= n.raft.LastIndex() {
			return nil
		}
		timer := time.NewTimer(n.times.of(transferPoll))
		select {
		case <-timer.C:
		case <-ctx.Done():
			if err == nil {
				err = ctx.Err()
			}
			return fmt.Errorf("%s does not catch up, the lead stays: %w", to, err)
		}
	}
}
