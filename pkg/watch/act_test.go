package watch

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
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
		expect := func(act cluster.Do, want ...cluster.Do) {
			t.Helper()
			if act != "" {
				w.begin(ctx, []cluster.Action{{Do: act}})
			}
			for synctest.Wait(); len(w.events) > 0; synctest.Wait() {
				(<-w.events)()
			}
			if len(done) != len(want) {
				t.Fatalf("after %q: %v were done, expected %v", act, done, want)
			}
			for i := range want {
				if done[i] != want[i] {
					t.Fatalf("after %q: %v were done, expected %v", act, done, want)
				}
			}
		}
		expect(cluster.DoRenew)
		expect(cluster.DoStop, cluster.DoStop)
		expect(cluster.DoStartReadOnly, cluster.DoStop)
		expect(cluster.DoKill, cluster.DoStop, cluster.DoKill)
		expect(cluster.DoFollow, cluster.DoStop, cluster.DoKill)
		close(hung)
		expect("", cluster.DoStop, cluster.DoKill, cluster.DoRenew)
		expect(cluster.DoStartReadOnly, cluster.DoStop, cluster.DoKill, cluster.DoRenew, cluster.DoStartReadOnly)
	})
}
