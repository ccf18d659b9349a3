package remote

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// stopwatch starts to measure how long is waited for something under ctx. When the
// deadline has passed that is the time that had been given.
func stopwatch(ctx context.Context) (waited func() time.Duration) {
	started := time.Now()
	return func() time.Duration {
		if end, ok := ctx.Deadline(); ok && ctx.Err() != nil && time.Now().After(end) {
			return end.Sub(started)
		}
		return time.Since(started)
	}
}

// Each calls fn once for every item, at most limit at a time (0 is all at once),
// each call with a deadline of its own that begins when the call does (timeout 0
// is none). Result i belongs to item i. Each returns when every call has
// returned: fn must honour its context, as Run, Pipe and Dial of this package
// do. When ctx ends, the calls that are left are still made, with a context that
// has ended, so that every result comes from fn.
func Each[T, R any](ctx context.Context, items []T, limit int, timeout time.Duration, fn func(context.Context, T) R) []R {
	results := make([]R, len(items))
	if limit <= 0 || limit > len(items) {
		limit = len(items)
	}
	one := func(i int) {
		ctx, cancel := ctx, context.CancelFunc(func() {})
		if timeout > 0 {
			ctx, cancel = context.WithTimeout(ctx, timeout)
		}
		defer cancel()
		results[i] = fn(ctx, items[i])
	}
	var next atomic.Int64
	var workers sync.WaitGroup
	for range limit {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(items); i = int(next.Add(1)) - 1 {
				one(i)
			}
		})
	}
	workers.Wait()
	return results
}
