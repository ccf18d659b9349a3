package watch

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"
)

// probeLimit ends a question that PostgreSQL does not answer; patience is how long an answer may be on its way before its
// absence is told.
const (
	probeLimit = 10 * time.Second
	patience   = 3 * time.Second
)

// prober asks PostgreSQL, one question at a time.
type prober struct {
	ask func(context.Context) (answer, error)
	now func() time.Time

	mu    sync.Mutex
	asked bool // a question is on its way
	seen  sight
}

// sight is what is known of PostgreSQL.
type sight struct {
	since  time.Time // of the last answer; before the first: of the first question
	answer           // the last one; its instance is nil: none yet
	err    error     // why the last question had no answer; nil: it had, or none was asked
}

// start asks, unless a question is still on its way. It does not wait.
func (p *prober) start(ctx context.Context) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asked {
		return
	}
	p.asked = true
	if p.seen.since.IsZero() {
		p.seen.since = p.now()
	}
	go func() {
		ctx, cancel := context.WithTimeout(ctx, probeLimit)
		defer cancel()
		a, err := p.ask(ctx)
		p.note(a, err)
	}()
}

func (p *prober) note(a answer, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked, p.seen.err = false, err
	if err == nil {
		p.seen.answer, p.seen.since = a, p.now()
	}
}

// sight is what is known now.
func (p *prober) sight() sight {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen
}

// silent tells whether an error is the absence of an answer, not an answer that says no.
func silent(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
}
