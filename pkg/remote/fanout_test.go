package remote

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestEachKeepsOrderAndBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running, most atomic.Int32
		items := make([]int, 50)
		for i := range items {
			items[i] = i
		}
		results := Each(t.Context(), items, 7, time.Minute, func(_ context.Context, i int) int {
			now := running.Add(1)
			defer running.Add(-1)
			for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
			}
			time.Sleep(time.Duration(50-i) * time.Millisecond)
			return i * i
		})
		for i, result := range results {
			if result != i*i {
				t.Errorf("result %d is %d", i, result)
			}
		}
		if most.Load() != 7 {
			t.Errorf("%d at once, want 7", most.Load())
		}
	})
}

func TestEachDeadlineIsEachOnesOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		started := time.Now()
		took := Each(t.Context(), []bool{false, true, false}, 0, 5*time.Second, func(ctx context.Context, hangs bool) time.Duration {
			if hangs {
				<-ctx.Done()
			}
			return time.Since(started)
		})
		if took[0] != 0 || took[1] != 5*time.Second || took[2] != 0 {
			t.Errorf("took %v", took)
		}
	})
}

func TestEachAfterCancelStillCallsAll(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	errs := Each(ctx, make([]int, 5), 2, time.Second, func(ctx context.Context, _ int) error { return ctx.Err() })
	for i, err := range errs {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("call %d: %v", i, err)
		}
	}
	if got := Each(ctx, nil, 3, 0, func(context.Context, int) int { return 1 }); len(got) != 0 {
		t.Errorf("no items gave %v", got)
	}
}
