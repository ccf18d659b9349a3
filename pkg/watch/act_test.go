package watch

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/postgres"
)

// TestBrokenOff: a stop waits for nothing, and neither does the next one; but nothing else is begun while what was broken off is still between two steps.
func TestBrokenOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatcher(Options{Host: "db1", Log: slog.New(slog.DiscardHandler), Now: time.Now, MemoryPath: t.TempDir() + "/memory"})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		w.life = ctx
		hung, done := make(chan struct{}), []cluster.Do{}
		w.do = func(ctx context.Context, a cluster.Action) error {
			if a.Do == cluster.DoRenew {
				<-hung // whatever its context says
			}
			done = append(done, a.Do)
			return ctx.Err()
		}
		expectOf := func(acts []cluster.Action, want ...cluster.Do) {
			t.Helper()
			if acts != nil {
				w.begin(ctx, acts)
			}
			for synctest.Wait(); len(w.events) > 0; synctest.Wait() {
				(<-w.events)()
			}
			if len(done) != len(want) {
				t.Fatalf("after %v: %v were done, expected %v", acts, done, want)
			}
			for i := range want {
				if done[i] != want[i] {
					t.Fatalf("after %v: %v were done, expected %v", acts, done, want)
				}
			}
		}
		expect := func(act cluster.Do, want ...cluster.Do) {
			t.Helper()
			expectOf([]cluster.Action{{Do: act}}, want...)
		}
		expect(cluster.DoRenew)
		expect(cluster.DoStop, cluster.DoStop)
		expect(cluster.DoStartReadOnly, cluster.DoStop)
		expect(cluster.DoKill, cluster.DoStop, cluster.DoKill)
		expect(cluster.DoFollow, cluster.DoStop, cluster.DoKill)
		close(hung)
		expectOf(nil, cluster.DoStop, cluster.DoKill, cluster.DoRenew)
		expect(cluster.DoStartReadOnly, cluster.DoStop, cluster.DoKill, cluster.DoRenew, cluster.DoStartReadOnly)
		hung, done = make(chan struct{}), nil
		expect(cluster.DoRenew)
		expectOf([]cluster.Action{{Do: cluster.DoStop}, {Do: cluster.DoStartReadOnly}}, cluster.DoStop)
		expect(cluster.DoKill, cluster.DoStop, cluster.DoKill)
		close(hung)
		expectOf(nil, cluster.DoStop, cluster.DoKill, cluster.DoRenew) // what was to come after the stop was broken off too
		hung = make(chan struct{})
		expect(cluster.DoRenew, cluster.DoStop, cluster.DoKill, cluster.DoRenew)
		expectOf([]cluster.Action{{Do: cluster.DoStop}, {Do: cluster.DoStartReadOnly}}, cluster.DoStop, cluster.DoKill, cluster.DoRenew, cluster.DoStop)
		close(hung)
		expectOf(nil, cluster.DoStop, cluster.DoKill, cluster.DoRenew, cluster.DoStop, cluster.DoRenew, cluster.DoStartReadOnly)
	})
}

// TestElectedNoMore: what was decided for an epoch is not done when its time has passed while something before it took long.
func TestElectedNoMore(t *testing.T) {
	w := newWatcher(Options{Host: "db1", Log: slog.New(slog.DiscardHandler), Now: time.Now, MemoryPath: t.TempDir() + "/memory"})
	w.server = newServer(postgres.OwnServer(nil, postgres.Settings{DataDir: t.TempDir()}), "db1", &w.memory, time.Hour)
	w.quorum = &quorum{}
	for _, tt := range []struct {
		s    cluster.State
		over bool
	}{
		{cluster.State{Phase: cluster.Elected, Master: "db1", Epoch: 4}, false},
		{cluster.State{Phase: cluster.Elected, Master: "db2", Epoch: 5}, true},
		{cluster.State{Phase: cluster.Elected, Master: "db1", Epoch: 5}, true},
		{cluster.State{Phase: cluster.Electing, Epoch: 5}, true},
	} {
		w.quorum.state.Store(&known{State: tt.s})
		for _, do := range []cluster.Do{cluster.DoPromote, cluster.DoWriteRow} {
			err := w.act(t.Context(), cluster.Action{Do: do, Epoch: 4})
			if err == nil || strings.Contains(err.Error(), "is over") != tt.over { // there is no PostgreSQL here
				t.Errorf("%s in %+v: %v", do, tt.s, err)
			}
		}
	}
}

// TestHeed: what the quorum decides is done by the look before, where that still says what a look would say now.
func TestHeed(t *testing.T) {
	voting := &cluster.State{Format: 1, Epoch: 5, Phase: cluster.Electing, Election: &cluster.Election{Base: 4, OldMaster: "db2", Attempt: 1}}
	for name, tt := range map[string]struct {
		change func(w *watcher)
		want   bool
	}{
		"a look of just now":                   {func(*watcher) {}, true},
		"nothing new was decided":              {func(w *watcher) { w.heeded = 7 }, false},
		"an action ended after it began":       {func(w *watcher) { w.acted = w.saw.began }, false},
		"an action is at work":                 {func(w *watcher) { w.working[laneServer] = &work{actions: []cluster.Action{{Do: cluster.DoFollow}}} }, false},
		"a pool is at work, which is another":  {func(w *watcher) { w.working[lanePool] = &work{} }, true},
		"it did not come back":                 {func(w *watcher) { w.saw.late = true }, false},
		"the watcher did not run for a while":  {func(w *watcher) { w.saw.began -= lookLimit + time.Millisecond }, false},
		"nobody has looked since it has begun": {func(w *watcher) { w.facts = nil }, false},
	} {
		t.Run(name, func(t *testing.T) {
			w, did := hanging(t, 0)
			w.do = func(_ context.Context, a cluster.Action) error { did <- a.Do; return nil }
			w.life = t.Context()
			w.quorum.state.Store(&known{Index: 7, State: *voting})
			w.saw, w.acted = look{began: sinceBoot()}, sinceBoot()-time.Second
			w.facts = &cluster.Facts{Host: "db1", Running: true, Recovery: true, Names: cluster.NamesFacts{Shown: cluster.ClosedNames}}
			w.facts.Upstream.File, w.facts.Upstream.Gone = "db2", 3*time.Second
			before := w.facts
			tt.change(w)
			if got := w.heed(t.Context()); got != tt.want {
				t.Fatalf("%v, expected %v", got, tt.want)
			}
			if !tt.want {
				if len(did) > 0 {
					t.Errorf("%s was done", <-did)
				}
				return
			}
			if do := <-did; do != cluster.DoFreeze || w.memory.Epoch != 5 {
				t.Errorf("%s was done, and it knows of epoch %d", do, w.memory.Epoch)
			}
			if w.facts == before || w.facts.Upstream.Gone != 3*time.Second {
				t.Errorf("what was reported is changed, or it is taken for frozen for longer than it was seen: %+v", w.facts.Upstream)
			}
		})
	}
}

// TestHeedStopsNoMaster: a running master is not stopped for want of a sign of the quorum by what was seen before it could have one.
func TestHeedStopsNoMaster(t *testing.T) {
	formed, err := cluster.Apply(cluster.State{}, cluster.Command{Kind: cluster.Form, Host: "db1", Name: "db1_a", Nonce: "n", System: 7})
	if err != nil {
		t.Fatal(err)
	}
	serving, _ := reigning()
	changed := *serving
	changed.Feature++
	for name, tt := range map[string]struct {
		before, after cluster.State
	}{
		"its watchers looked on for hours, and HA is enabled": {cluster.State{}, formed},
		"its last canary is about to be judged":               {*serving, changed},
	} {
		t.Run(name, func(t *testing.T) {
			w, did := hanging(t, time.Hour)
			w.life, w.asking = t.Context(), true
			now := sinceBoot()
			w.born, w.memory.EpochAt = now-time.Hour, now-time.Hour
			w.memory.Epoch, w.memory.Phase, w.memory.LeaseEpoch = tt.before.Epoch, tt.before.Phase, 0
			sql := &postgres.OwnSQL{Version: "15.18", Timeline: 1, Current: 100, Rows: w.memory.Rows}
			if len(tt.before.Configs) > 0 {
				sql.Names = tt.before.Configs[0].Names(tt.before.Epoch)
				w.memory.Canary, w.memory.CanaryNames = now-1900*time.Millisecond, sql.Names
			} else {
				sql.Rows, w.memory.Rows = nil, nil
			}
			w.quorum.state.Store(&known{Index: 1, State: tt.before})
			w.round(t.Context(), look{sight: postgres.OwnSight{Running: true, PID: 1 << 30, Gate: true, SystemID: 7, Member: "db1_a", SQL: sql}, began: now})
			if len(w.wanted) > 0 && w.wanted[0].Do == cluster.DoStop {
				t.Fatalf("it has to stop without it: %v", w.wanted)
			}
			time.Sleep(110 * time.Millisecond) // the canary is too old
			w.quorum.state.Store(&known{Index: 2, State: tt.after})
			w.heed(t.Context())
			w.run(t.Context(), sinceBoot()+50*time.Millisecond)
			if len(did) > 0 {
				t.Errorf("%s: %v", <-did, w.wanted)
			}
		})
	}
}
