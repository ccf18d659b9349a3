package watch

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/consensus"
)

// decide is the executor's.
func (w *watcher) decide(ctx context.Context, state *cluster.State, now time.Duration) {
	if !w.quorum.leads() {
		w.decision, w.decided = cluster.Decision{}, 0
		return
	}
	w.keepRest(w.latest().Index, now)
	p, sight := w.policy(), w.sight(now)
	sight.Confirmed = w.quorum.unconfirmed(sight.Now)
	p.Inactive = p.Inactive || w.anyInactive(p, now)
	w.decision = cluster.Decide(state, &sight, p, rand.Text()[:16])
	w.tellDecision(state)
	w.expect(p.DownAfter - cluster.Sound().Quiet(state, &sight))
	if w.deciding {
		return
	}
	c := w.decision.Command
	if c == nil {
		c = w.pauseIsOver(state)
	}
	if c == nil {
		c = w.wayIsNotMade(state, now)
	}
	if c == nil {
		w.advance(ctx, w.betterSeat(state, &sight, p, now))
		return
	}
	w.deciding = true
	c.Record.At = w.recordTime()
	w.Log.Info("proposes", "command", c.Kind, "host", c.Host, "rule", c.Record.Rule, "epoch", c.Epoch, "gen", c.Gen)
	go func() {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		err, result := w.quorum.propose(ctx, *c), resultDone
		switch {
		case errors.Is(err, cluster.ErrStale):
			err, result = nil, resultStale
		case err != nil:
			result = resultFailed
		}
		w.post(func() {
			w.deciding = false
			w.counters.decided(c.Kind, result)
			w.tell("proposal", problem(err))
			w.again()
		})
	}()
}

// anyInactive tells whether a host of the inventory says to watch only, and has said so within down_after.
func (w *watcher) anyInactive(p *cluster.Policy, now time.Duration) bool {
	return slices.ContainsFunc(w.hosts, func(h consensus.Host) bool {
		d := w.letters[h.Name]
		return d != nil && d.Inactive && now-w.heard[h.Name].At < p.DownAfter
	})
}

// pauseIsOver ends a pause whose time has come. It is the executor's clock that says so, and its proposal that all go by.
func (w *watcher) pauseIsOver(s *cluster.State) *cluster.Command {
	if s.Paused == nil || s.Paused.Until == "" {
		return nil
	}
	until, err := time.Parse(time.RFC3339, s.Paused.Until)
	if err != nil || w.Now().Before(until) {
		return nil
	}
	return &cluster.Command{Kind: cluster.ResumeHA, Epoch: s.Epoch, Gen: s.Gen, Record: cluster.Record{Rule: "the pause of " + s.Paused.Owner + " is over"}}
}

// makeWayLimit is how long a master may take to make way for another one. After that it goes on.
const makeWayLimit = 30 * time.Second

// wayIsNotMade ends the wish for another master that comes to nothing.
func (w *watcher) wayIsNotMade(s *cluster.State, now time.Duration) *cluster.Command {
	switch {
	case s.Wanted == "":
		w.wishedAt = 0
	case w.wishedAt == 0:
		w.wishedAt = now
	case now-w.wishedAt > makeWayLimit:
		rule := fmt.Sprintf("%s has not made way for %s within %s", s.Master, s.Wanted, makeWayLimit)
		return &cluster.Command{Kind: cluster.KeepMaster, Epoch: s.Epoch, Gen: s.Gen, Host: s.Wanted, Record: cluster.Record{Rule: rule}}
	}
	return nil
}

// advance brings the members one change nearer to the inventory, once a round, while a majority has the same one. Where none is due, the lead may go to a better
// seat: never both at a time.
func (w *watcher) advance(ctx context.Context, seat *move) {
	if w.joining || !w.sameInventory() {
		return
	}
	w.joining = true
	index, lease := w.latest().Index, w.config.watcher.Lease
	go func() {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		change, err := w.quorum.node.Advance(ctx)
		if change != nil {
			w.Log.Info("members", "change", change.String(), "error", problem(err))
		}
		tried := change == nil && err == nil && seat != nil
		if tried {
			err = w.quorum.handOver(ctx, seat, index, lease)
			w.Log.Info("hands the lead over", "to", seat.to, "why", seat.why, "error", problem(err))
		}
		w.post(func() {
			w.joining = false
			if tried {
				w.moved = sinceBoot()
			}
		})
	}()
}

// sameInventory tells whether a majority of the voters reports this host's inventory.
func (w *watcher) sameInventory() bool {
	voters, _ := w.quorum.voters()
	own, same := inventoryHash(w.hosts), 0
	for _, voter := range voters {
		if d := w.letters[voter]; d != nil && d.Inventory == own && sinceBoot()-w.heard[voter].At < 3*round {
			same++
		}
	}
	return same > len(voters)/2
}
