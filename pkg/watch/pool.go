package watch

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/failover"
)

// poolEvery is how often a pool is asked for its backend while nothing is to be done.
const poolEvery = 5 * time.Second

// poolLimit is how long one question to a pool may take.
const poolLimit = 2 * time.Second

// pool is the pgpool on this host.
type pool struct {
	pools *failover.Pools
	host  string

	mu      sync.Mutex
	asked   bool
	at      time.Duration
	backend string // that it writes to; "" not known
}

// look asks the pool, unless that is under way, or was done a moment ago and nothing waits for it.
func (p *pool) look(ctx context.Context, now time.Duration, urgent bool, seen func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asked || !urgent && p.backend != "" && now-p.at < poolEvery {
		return
	}
	p.asked = true
	go func() {
		ctx, cancel := context.WithTimeout(ctx, poolLimit)
		defer cancel()
		backend := p.pools.Backend(ctx, p.host)
		p.mu.Lock()
		changed := backend != p.backend
		p.asked, p.at, p.backend = false, sinceBoot(), backend
		p.mu.Unlock()
		if changed {
			seen()
		}
	}()
}

func (p *pool) facts() *cluster.PoolFacts {
	p.mu.Lock()
	defer p.mu.Unlock()
	return &cluster.PoolFacts{Host: p.host, Backend: p.backend}
}

// point has the pool write to the master, and proves it.
func (p *pool) point(ctx context.Context, to failover.PoolTarget) error {
	if to.Port == 0 {
		return errors.New("where the master's PostgreSQL listens is not known yet")
	}
	if err := p.pools.Point(ctx, p.host, to); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at, p.backend = sinceBoot(), to.Master
	return nil
}
