package watch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/failover"
)

// poolEvery is how often a pool is asked for its backend while nothing is to be done.
const poolEvery = 5 * time.Second

// poolLimit is how long one question to a pool may take.
const poolLimit = 2 * time.Second

// holdLimit is for how long a pool is kept stopped that waits for the next master.
const holdLimit = 5 * time.Second

// pool is the pgpool on this host.
type pool struct {
	pools *failover.Pools
	host  string

	mu      sync.Mutex
	asked   bool
	at      time.Duration
	backend string // that it writes to; "" not known
	busy    int    // how many are at work on it
	works   int    // how often somebody began or ended to be: what was asked before then is of no use
	held    int64  // epoch for whose election it was stopped
	halt    *failover.Halt
	begun   string        // the master that it is being pointed at, until that is proven; a pool that does not run would pass for one that its file describes
	serving string        // the master that is heard to serve; "" none is
	heard   chan struct{} // closed when that changes
}

// look asks the pool, unless that is under way, or was done a moment ago and nothing waits for it; nor while somebody is at work on it: its file names
// the next master before pgpool has begun anew.
func (p *pool) look(ctx context.Context, now time.Duration, urgent bool, seen func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asked || p.busy > 0 || !urgent && p.backend != "" && now-p.at < poolEvery {
		return
	}
	p.asked = true
	works := p.works
	go func() {
		ctx, cancel := context.WithTimeout(ctx, poolLimit)
		defer cancel()
		backend := p.pools.Backend(ctx, p.host)
		p.mu.Lock()
		changed := works == p.works && backend != p.backend
		p.asked = false
		if works == p.works {
			p.at, p.backend = sinceBoot(), backend
		}
		p.mu.Unlock()
		if changed {
			seen()
		}
	}()
}

func (p *pool) facts() *cluster.PoolFacts {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := &cluster.PoolFacts{Host: p.host, Backend: p.backend, Held: p.held}
	if f.Backend != "" && f.Backend == p.begun {
		f.Backend = failover.NoBackend
	}
	return f
}

// missed notes that it is too late to stop the pool for an election: this watcher has begun in the middle of it, and it may be over long since.
func (p *pool) missed(epoch int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = max(p.held, epoch)
}

// begins notes that somebody is at work on the pool, from now on until the function returned is called with the backend that it has then.
func (p *pool) begins() (ends func(backend string)) {
	p.busy, p.works = p.busy+1, p.works+1
	return func(backend string) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.busy, p.works = p.busy-1, p.works+1
		p.at, p.backend = sinceBoot(), backend
	}
}

// hold stops the pool for the election of an epoch.
func (p *pool) hold(ctx context.Context, epoch int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ends := p.begins()
	p.held, p.backend = epoch, failover.NoBackend
	halt := p.pools.Halt(ctx, p.host, holdLimit)
	p.halt = halt
	go func() {
		<-halt.Ended()
		p.mu.Lock()
		if p.halt == halt {
			p.halt = nil
		}
		p.mu.Unlock()
		ends("")
	}()
}

// hears notes which master serves.
func (p *pool) hears(serving string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.serving == serving {
		return
	}
	p.serving = serving
	if p.heard != nil {
		close(p.heard)
		p.heard = nil
	}
}

// serves returns when the master is heard to serve.
func (p *pool) serves(ctx context.Context, master string) error {
	for {
		p.mu.Lock()
		if p.serving == master {
			p.mu.Unlock()
			return nil
		}
		if p.heard == nil {
			p.heard = make(chan struct{})
		}
		heard := p.heard
		p.mu.Unlock()
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not heard to be master: %w", master, ctx.Err())
		case <-heard:
		}
	}
}

// point has the pool write to the master, and proves it.
func (p *pool) point(ctx context.Context, to failover.PoolTarget) error {
	if to.Port == 0 {
		return errors.New("where the master's PostgreSQL listens is not known yet")
	}
	p.mu.Lock()
	ends, halt := p.begins(), p.halt
	p.begun = to.Master
	p.mu.Unlock()
	err := p.pools.Point(ctx, p.host, to, halt, func(ctx context.Context) error { return p.serves(ctx, to.Master) })
	if err != nil {
		ends("")
		return err
	}
	ends(to.Master)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.begun = ""
	return nil
}
