package watch

import (
	"context"
	"errors"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// lapse wakes the loop at the moment at which the last sign of the quorum is too old for the own server to go on as master. A round may come up to a second
// later, and one whose look hangs up to three: the stop would begin too late for the hand-over to another master (cluster.Policy, StopTime).
type lapse struct {
	timer *time.Timer
	asked bool // the moment has come, and the server is looked at
}

// lapseLook is how long that look may take: a canary may have come back since the last one. What was seen before counts then.
const lapseLook = round / 2

func newLapse() lapse {
	l := lapse{timer: time.NewTimer(time.Hour)}
	l.timer.Stop()
	return l
}

// awaitLapse sets the moment anew after a round. acted: what the round had seen was gone by. Where it was not, and the moment has passed, the end of what the
// look may take stays set.
func (w *watcher) awaitLapse(s *cluster.State, acted bool, now time.Duration) {
	f := w.facts
	if f == nil {
		return
	}
	serves := f.Running && !f.Recovery
	switch left := max(cluster.ServesFor(s, f, w.policy()), w.askingUntil-now); {
	case serves && left >= 0:
		w.lapse.asked = false
		w.lapse.timer.Reset(left + time.Millisecond)
	case !serves || acted:
		w.lapse.asked = false
		w.lapse.timer.Stop()
	}
}

// lapsed looks at the server, and goes by what was seen before when that look does not come back soon.
func (w *watcher) lapsed(ctx context.Context) {
	if w.lapse.asked {
		w.lapse.asked = false
		w.blind(ctx)
		return
	}
	w.lapse.asked = true
	w.lapse.timer.Reset(lapseLook)
	w.look(ctx)
}

// blind is a round without a look: the one that is under way does not come back.
func (w *watcher) blind(ctx context.Context) {
	seen, began := w.server.seenNow(), w.looking
	if began == 0 {
		began = w.lookedAt
	}
	seen.SQL, seen.SQLErr = nil, errors.New("a look at it does not come back")
	w.round(ctx, look{sight: seen, began: began, late: true})
}
