package watch

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/nodes"
	"github.com/pgctl/pgctl/pkg/postgres"
)

// hanging is the watcher of a serving master whose looks do not come back: its PostgreSQL is frozen. sign is how old its lease is. Which stops it begins comes out.
func hanging(t *testing.T, sign time.Duration) (w *watcher, did chan cluster.Do) {
	t.Helper()
	dir, now := t.TempDir(), sinceBoot()
	w = newWatcher(Options{
		Host: "db1", ServerYAML: "testdata/none", RunDir: dir, StateDir: dir, MemoryPath: filepath.Join(dir, "watch.json"),
		Log: slog.New(slog.DiscardHandler), Now: time.Now,
	})
	w.config.taken, w.config.watcher = true, &nodes.Watcher{DownAfter: 5 * time.Second, Lease: 2 * time.Second, StandbyDownAfter: time.Minute}
	state, _ := reigning()
	w.quorum = &quorum{}
	w.quorum.state.Store(&known{Index: 1, State: *state})
	w.server = newServer(postgres.OwnServer(nil, postgres.Settings{}), "db1", &w.memory, 0)
	w.server.canary.busy, w.server.write.busy, w.server.waits.busy, w.server.ending = true, true, true, false // they hang too
	w.working[lanePrepare] = &work{}
	w.memory.Rows = []cluster.Epoch{{Epoch: 4, Master: "db1"}}
	w.memory.Lease, w.memory.LeaseEpoch = now-sign, 4
	w.server.last = postgres.OwnSight{Running: true, PID: 1 << 30, SQLErr: errors.New("it hangs")}
	w.rounded, w.looking, w.lookedAt = now, now, now
	w.directory.resolving = true
	did = make(chan cluster.Do, 9)
	w.do = func(_ context.Context, a cluster.Action) error {
		if urgent[a.Do] {
			did <- a.Do
		}
		return nil
	}
	return w, did
}

// run has the loop handle its timer and what is posted, for so long.
func (w *watcher) run(ctx context.Context, until time.Duration) {
	for {
		select {
		case <-time.After(until - sinceBoot()):
			return
		case <-w.lapse.timer.C:
			w.lapsed(ctx)
		case f := <-w.events:
			f()
		}
	}
}

// TestLapse: a master whose look hangs is stopped within lapseLook after its last sign of the quorum, not when the look comes back, and not before that sign
// is too old.
func TestLapse(t *testing.T) {
	w, did := hanging(t, 1700*time.Millisecond)
	w.life = t.Context()
	over := w.memory.Lease + 2*time.Second
	w.blind(t.Context())
	w.run(t.Context(), over+lapseLook-100*time.Millisecond)
	if len(did) > 0 {
		t.Fatalf("%q before a look had its time", <-did)
	}
	w.run(t.Context(), over+lapseLook+200*time.Millisecond)
	if len(did) != 1 || <-did != cluster.DoStop {
		t.Fatal("it was not stopped")
	}
}

// TestLapseIsPutOff: a lease that is renewed meanwhile counts, and so does a round that comes while the look has its time.
func TestLapseIsPutOff(t *testing.T) {
	w, did := hanging(t, 1900*time.Millisecond)
	w.life = t.Context()
	w.blind(t.Context())
	w.run(t.Context(), w.memory.Lease+2*time.Second+lapseLook/2)
	if !w.lapse.asked {
		t.Fatal("the server is not looked at")
	}
	w.server.leased(4, 0, sinceBoot())
	w.run(t.Context(), sinceBoot()+lapseLook)
	if len(did) > 0 || w.lapse.asked {
		t.Fatalf("%d things were done, asked %v", len(did), w.lapse.asked)
	}
	w.facts.Running = false
	w.awaitLapse(w.state(), true, sinceBoot())
	if w.lapse.timer.Stop() {
		t.Error("the moment of a server that is down is awaited")
	}
}

// TestLapseStaysSet: a look from before the last act is not gone by, so the end of its time stays set.
func TestLapseStaysSet(t *testing.T) {
	w, _ := hanging(t, 3*time.Second)
	w.facts = &cluster.Facts{Host: "db1", Running: true, Lease: 3 * time.Second, Canary: cluster.Canary{Age: cluster.Never}}
	w.lapse.asked = true
	w.lapse.timer.Reset(time.Hour)
	w.awaitLapse(w.state(), false, sinceBoot())
	if !w.lapse.asked {
		t.Error("nothing is set")
	}
	w.awaitLapse(w.state(), true, sinceBoot())
	if w.lapse.asked || w.lapse.timer.Stop() {
		t.Error("what was gone by is waited for")
	}
}
