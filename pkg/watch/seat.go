package watch

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/consensus"
)

// The limits of handing the lead to a better seat. A transfer that fails, as its target dies in the middle, must not cost the master its lease, which may be 2 s:
// it begins within lease - handOverBlocks of a grant, and then takes at the most catchUpLimit with all that it still grants, 1.5 s in raft
// (consensus.timeoutNowLimit), and leaseRetry until the master asks again.
const (
	seatRetry      = time.Minute // between two tries
	grantWait      = 3 * time.Second
	catchUpLimit   = 250 * time.Millisecond
	handOverBlocks = 1900 * time.Millisecond
	leaseRetry     = 100 * time.Millisecond
)

// errNoGrant: the master asks for no lease, or gets none. It is no time to hand over.
var errNoGrant = errors.New("no lease was granted just now")

// move is where the lead is to go.
type move struct{ to, why string }

// keepSteady notes since when a host is heard without a gap, by a watcher that runs all the while.
func (w *watcher) keepSteady(d *dispatch) {
	host := d.Report.Host
	if before, known := w.heard[host]; !known || d.came-before.At > freshFor {
		w.steady[host] = d.came
	}
	w.steady[host] = max(w.steady[host], d.came-d.Up)
}

// keepRest notes since when this host leads and nothing new was decided.
func (w *watcher) keepRest(index uint64, now time.Duration) {
	if w.decided != index {
		w.decided, w.rests = index, now
	}
}

// betterSeat is where the lead is to go now; nil it stays. It is asked for on the executor.
func (w *watcher) betterSeat(s *cluster.State, sight *cluster.Sight, p *cluster.Policy, now time.Duration) *move {
	if w.moved != 0 && now-w.moved < seatRetry || w.deciding {
		return nil
	}
	own, contacts := cluster.Seat{Host: w.name, Arbiter: w.server == nil, Steady: now - w.rests}, w.quorum.node.Contacts()
	voters, _ := w.quorum.voters()
	var others []cluster.Seat
	for _, h := range w.hosts {
		c, met := contacts[h.Name]
		since, known := w.steady[h.Name]
		if met && known && slices.Contains(voters, h.Name) && c.CaughtUp && c.Refused == "" && c.Silent < 3*round {
			others = append(others, cluster.Seat{Host: h.Name, Arbiter: h.Role == consensus.Arbiter, Steady: now - since})
		}
	}
	to, why := cluster.BetterSeat(s, sight, p, own, others)
	if to == "" {
		return nil
	}
	return &move{to, why}
}

// handOver hands the lead over, right after a lease was granted, unless the state has moved on since.
func (q *quorum) handOver(ctx context.Context, m *move, index uint64, lease time.Duration) error {
	if err := q.awaitGrant(ctx, lease); err != nil {
		return err
	}
	if q.state.Load().Index != index {
		return cluster.ErrStale
	}
	ctx, cancel := context.WithTimeout(ctx, catchUpLimit)
	defer cancel()
	return q.node.Transfer(ctx, m.to)
}

// awaitGrant waits until the lease that was granted last lasts for as long as a transfer may hold up the next one.
func (q *quorum) awaitGrant(ctx context.Context, lease time.Duration) error {
	for deadline := sinceBoot() + grantWait; sinceBoot()-time.Duration(q.confirmed.Load())+handOverBlocks > lease; {
		if sinceBoot() > deadline || ctx.Err() != nil {
			return errNoGrant
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil
}
