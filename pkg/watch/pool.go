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
	points  int    // how often it was being pointed at a master, or ceased to be: odd, it is now
}

// look asks the pool, unless that is under way, or was done a moment ago and nothing waits for it; nor while it is pointed at a master: its file names
// that one before pgpool has begun anew.
func (p *pool) look(ctx context.Context, now time.Duration, urgent bool, seen func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asked || p.points%2 == 1 || !urgent && p.backend != "" && now-p.at < poolEvery {
		return
	}
	p.asked = true
	points := p.points
	go func() {
		ctx, cancel := context.WithTimeout(ctx, poolLimit)
		defer cancel()
		backend := p.pools.Backend(ctx, p.host)
		p.mu.Lock()
		changed := points == p.points && backend != p.backend
		p.asked = false
		if points == p.points {
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
	return &cluster.PoolFacts{Host: p.host, Backend: p.backend}
}

// point has the pool write to the master, and proves it.
func (p *pool) point(ctx context.Context, to failover.PoolTarget) error {
	if to.Port == 0 {
		return errors.New("where the master's PostgreSQL listens is not known yet")
	}
	p.mu.Lock()
	p.points++
	p.mu.Unlock()
	err := p.pools.Point(ctx, p.host, to)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.points++
	p.at, p.backend = sinceBoot(), to.Master
	if err != nil {
		p.backend = ""
	}
	return err
}
