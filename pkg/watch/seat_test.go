package watch

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/consensus"
)

// TestKeepSteady: a gap begins the time anew, and so does a watcher that was started again between two reports.
func TestKeepSteady(t *testing.T) {
	w := newWatcher(Options{Host: "db1", MemoryPath: filepath.Join(t.TempDir(), "memory"), Log: slog.New(slog.DiscardHandler), Now: time.Now})
	const s = time.Second
	for _, tt := range []struct {
		name           string
		came, up, want time.Duration
	}{
		{"the first report", 100 * s, 50 * s, 100 * s},
		{"the next", 101 * s, 51 * s, 100 * s},
		{"some are lost", 105 * s, 55 * s, 100 * s},
		{"a gap", 110 * s, 60 * s, 110 * s},
		{"without one", 111 * s, 61 * s, 110 * s},
		{"it was started again", 113 * s, s, 112 * s},
		{"and runs", 114 * s, 2 * s, 112 * s},
		{"a version that does not say it", 115 * s, 0, 115 * s},
	} {
		d := &dispatch{Report: &cluster.Report{Host: "arb1"}, Up: tt.up, came: tt.came}
		w.keepSteady(d)
		w.heard["arb1"] = cluster.Heard{Report: d.Report, At: d.came}
		if got := w.steady["arb1"]; got != tt.want {
			t.Errorf("%s: since %s, expected %s", tt.name, got, tt.want)
		}
	}
}

// TestInsist: who does not lead, or not yet, is asked once more within the round; any other answer stands. What counts is when the last question was asked.
func TestInsist(t *testing.T) {
	handing := &errAnswer{http.StatusConflict, "arb1: this host does not lead"}
	for _, tt := range []struct {
		name    string
		answers []error
		asked   int
		fails   bool
	}{
		{"granted", []error{nil}, 1, false},
		{"granted by the next leader", []error{handing, consensus.ErrNotLeader, nil}, 3, false},
		{"refused", []error{&errAnswer{http.StatusUnprocessableEntity, "another master"}, nil}, 1, true},
		{"not reached", []error{errors.New("no route"), nil}, 1, true},
		{"nobody leads", []error{consensus.ErrNotLeader}, 20, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second-time.Millisecond)
			defer cancel()
			asked, last := 0, time.Duration(0)
			_, sent, err := insist(ctx, func() (leaseGrant, error) {
				last = sinceBoot()
				asked++
				return leaseGrant{}, tt.answers[min(asked, len(tt.answers))-1]
			})
			if asked != tt.asked || (err != nil) != tt.fails || sent > last || sent == 0 {
				t.Errorf("%s: asked %d times at %s, sent %s: %v", tt.name, asked, last, sent, err)
			}
		})
	}
}

// TestAwaitGrant: no transfer begins late in a short lease, and a long one need not be new.
func TestAwaitGrant(t *testing.T) {
	for _, tt := range []struct {
		name  string
		age   time.Duration // of the grant; 0 it comes 200 ms later
		lease time.Duration
		quick bool
		err   error
	}{
		{"a new one", time.Millisecond, 2 * time.Second, true, nil},
		{"an old one of a long lease", 3 * time.Second, 10 * time.Second, true, nil},
		{"an old one of a short lease, and no other", time.Second, 2 * time.Second, false, errNoGrant},
		{"the next one", 0, 2 * time.Second, false, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			q, ctx := &quorum{}, t.Context()
			q.confirmed.Store(int64(sinceBoot() - tt.age))
			if tt.age == 0 {
				q.confirmed.Store(int64(sinceBoot() - time.Second))
				time.AfterFunc(200*time.Millisecond, func() { q.confirmed.Store(int64(sinceBoot())) })
			}
			began := sinceBoot()
			if err := q.awaitGrant(ctx, tt.lease); !errors.Is(err, tt.err) || (sinceBoot()-began < 150*time.Millisecond) != tt.quick {
				t.Errorf("after %s: %v", sinceBoot()-began, err)
			}
		})
	}
}

// TestHandOverOfAnotherState: what the decision was made from is no more.
func TestHandOverOfAnotherState(t *testing.T) {
	q := &quorum{} // without a node: to go on would panic
	q.state.Store(&known{Index: 8})
	q.confirmed.Store(int64(sinceBoot()))
	if err := q.handOver(t.Context(), &move{to: "arb1"}, 7, 10*time.Second); !errors.Is(err, cluster.ErrStale) {
		t.Errorf("%v", err)
	}
}

// TestKeepRest: each decision of the quorum begins the time anew, and so does a new lead.
func TestKeepRest(t *testing.T) {
	w := &watcher{}
	const s = time.Second
	for _, tt := range []struct {
		name      string
		lost      bool
		index     uint64
		now, want time.Duration
	}{
		{"it leads", false, 7, 100 * s, 100 * s},
		{"nothing new", false, 7, 105 * s, 100 * s},
		{"something was decided", false, 8, 106 * s, 106 * s},
		{"it leads again", true, 8, 120 * s, 120 * s},
	} {
		if tt.lost {
			w.decide(t.Context(), &cluster.State{}, tt.now) // without a quorum it does not lead
		}
		w.keepRest(tt.index, tt.now)
		if w.rests != tt.want {
			t.Errorf("%s: since %s, expected %s", tt.name, w.rests, tt.want)
		}
	}
}
