package watch

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pgctl/pgctl/pkg/failover"
)

// TestPoolFacts: a pool that is not proven to write to a master has to be pointed at it, whatever its file says by now.
func TestPoolFacts(t *testing.T) {
	for _, tt := range []struct{ name, backend, begun, want string }{
		{"proven", "db2", "", "db2"},
		{"its file names the master, no more", "db2", "db2", failover.NoBackend},
		{"it was begun for another master", "db1", "db2", "db1"},
		{"it was begun, and nobody can be asked", "", "db2", ""},
	} {
		p := pool{backend: tt.backend, begun: tt.begun}
		if got := p.facts().Backend; got != tt.want {
			t.Errorf("%s: %q, expected %q", tt.name, got, tt.want)
		}
	}
}

// TestPoolMissed: a watcher that begins in the middle of an election does not stop the pool for it; for the next one it does.
func TestPoolMissed(t *testing.T) {
	p := pool{}
	p.missed(7)
	p.missed(6)
	if held := p.facts().Held; held != 7 {
		t.Errorf("%d", held)
	}
}

// TestPoolServes: a pool starts for the master that it is meant for, when that is heard to serve.
func TestPoolServes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, began := pool{}, time.Now()
		done := make(chan time.Duration, 1)
		go func() {
			if p.serves(t.Context(), "db2") == nil {
				done <- time.Since(began)
			}
		}()
		for _, serving := range []string{"", "db1", "db1", "", "db2"} {
			synctest.Wait()
			if len(done) > 0 {
				t.Fatalf("it starts after %s", <-done)
			}
			time.Sleep(time.Second)
			p.hears(serving)
		}
		if after := <-done; after != 5*time.Second {
			t.Errorf("after %s", after)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := p.serves(ctx, "db3"); err == nil {
			t.Error("db3 never served")
		}
	})
}
