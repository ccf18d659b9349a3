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
