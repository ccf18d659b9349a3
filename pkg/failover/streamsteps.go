package failover

import (
	"context"
	"fmt"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/plan"
)

// hasCaughtUp: it streams, and is not a standby-lagging one.
func (h *Servers) hasCaughtUp(ctx context.Context, s plan.Step) (bool, error) {
	if err := h.streams(ctx, s); err != nil {
		return no(err)
	}
	behind, err := h.behind(ctx, s)
	if err != nil {
		return no(err)
	}
	if behind >= cluster.LagLimit/16 {
		return no(fmt.Errorf("it is %s behind", cluster.Size(behind)))
	}
	return true, nil
}

// behind is how much of the master's WAL of this moment the standby has not replayed yet.
func (h *Servers) behind(ctx context.Context, s plan.Step) (int64, error) {
	ctx, cancel := h.ask(ctx)
	defer cancel()
	master, err := h.on(s.Args["master"], "").Probe(ctx)
	if err != nil {
		return 0, err
	}
	standby, err := h.server(s).Probe(ctx)
	if err != nil {
		return 0, err
	}
	return standby.Position.Behind(master.Position), nil
}

// catchLimit is how long a standby may be without any progress before it is given up.
const catchLimit = time.Minute

// catchUp waits until the standby streams and has replayed what the master has, as long as it comes nearer.
func (h *Servers) catchUp(ctx context.Context, s plan.Step) error {
	var best int64 = -1
	said := ""
	lastProgress, lastWord := h.Now(), h.Now()
	for {
		done, reason := h.hasCaughtUp(ctx, s)
		if done {
			return nil
		}
		if err := plan.Interrupted(ctx); err != nil {
			return err
		}
		if behind, err := h.behind(ctx, s); err == nil && (best < 0 || behind < best) {
			best, lastProgress = behind, h.Now()
		}
		now := h.Now()
		if limit := h.patience(ctx, s); now.Sub(lastProgress) > limit {
			return fmt.Errorf("%w; the last words of PostgreSQL there:\n%s", reason, h.server(s).LastWords(ctx, s.Args["data_dir"]))
		}
		if word := reason.Error(); word != said && now.Sub(lastWord) > 2*time.Second {
			h.progress(s.Host, "%s", word)
			lastWord, said = now, word
		}
		pause(ctx, 100*time.Millisecond)
	}
}

// patience is how long a standby may be without progress: a server that has ended is not waited for, beyond what a service manager
// takes to start one; one that replays and does not answer yet may take long.
func (h *Servers) patience(ctx context.Context, s plan.Step) time.Duration {
	stopped, err := h.stoppedNow(ctx, h.server(s), s.Args["data_dir"])
	if err == nil && stopped {
		return 10 * time.Second
	}
	ask, cancel := h.ask(ctx)
	defer cancel()
	if _, err := h.server(s).InRecovery(ask); err != nil {
		return 24 * time.Hour
	}
	return catchLimit
}

func (h *Servers) forgetRenewal(ctx context.Context, s plan.Step) error {
	ctx, cancel := h.ask(ctx)
	defer cancel()
	return h.server(s).ForgetRenewal(ctx, s.Args["data_dir"])
}

// isRepointed: its files name the master, and it streams from there.
func (h *Servers) isRepointed(ctx context.Context, s plan.Step) (bool, error) {
	if follows, err := h.isFollower(ctx, s); err != nil || !follows {
		return false, err
	}
	if err := h.streams(ctx, s); err != nil {
		return no(fmt.Errorf("%w; if it cannot: stop PostgreSQL there and run it again, and have it rejoin by pgctl upmaster afterwards", err))
	}
	return true, nil
}

// repointLimit is how long a standby may take to connect to its new master before it is restarted.
const repointLimit = 8 * time.Second

// repoint has a running standby follow another master: by its service file and, where it can be turned, without a restart. Its receiver
// ends, and the startup process is woken to ask again.
func (h *Servers) repoint(ctx context.Context, s plan.Step) error {
	turns, err := h.turns(ctx, s)
	if err != nil {
		return err
	}
	if err := h.follow(ctx, s); err != nil {
		return err
	}
	if turns {
		if err := h.endReceiver(ctx, s); err != nil {
			return err
		}
	}
	for began := h.Now(); turns && h.Now().Sub(began) < repointLimit; pause(ctx, 200*time.Millisecond) {
		if err := h.wake(ctx, s); err != nil {
			return err
		}
		if h.streams(ctx, s) == nil {
			return nil
		}
	}
	if err := h.stop(ctx, s); err != nil {
		return err
	}
	return h.start(ctx, s)
}

func (h *Servers) turns(ctx context.Context, s plan.Step) (bool, error) {
	ctx, cancel := h.ask(ctx)
	defer cancel()
	return h.server(s).Turns(ctx, s.Args["data_dir"])
}

// endReceiver ends a receiver that streams from elsewhere.
func (h *Servers) endReceiver(ctx context.Context, s plan.Step) error {
	if h.streams(ctx, s) == nil {
		return nil
	}
	ctx, cancel := h.ask(ctx)
	defer cancel()
	return h.server(s).EndReceiver(ctx)
}

// wake has the configuration read, which also ends the wait before the next connect.
func (h *Servers) wake(ctx context.Context, s plan.Step) error {
	ctx, cancel := h.ask(ctx)
	defer cancel()
	return h.server(s).Reload(ctx)
}
