package watch

import (
	"context"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/postgres"
)

// returned is a canary that came back, as long as it is not known whether a stranger may have released it.
type returned struct {
	begun, at time.Duration
	names     string
}

// committer makes one commit at a time.
type committer struct {
	busy bool
	err  error // of the last one that looked for a wait
}

// writes begins the local write, where the one before has come back. It may hang, and takes nobody along. Nor does it wait for what an earlier watcher has left at work: a disk that
// hangs holds that up too.
func (s *server) writes(ctx context.Context, f *cluster.Facts) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !f.Running || f.Recovery || s.write.busy {
		return
	}
	s.write.busy = true
	go func() {
		_, _, err := s.own.Commit(ctx, s.own.Name(), "local")
		s.mu.Lock()
		defer s.mu.Unlock()
		s.write.busy = false
		if err == nil {
			s.memory.Write = sinceBoot()
		}
	}()
}

// commits begins the canary, in the same way.
func (s *server) commits(ctx context.Context, f *cluster.Facts) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !f.Running || f.Recovery {
		return
	}
	if !s.canary.busy && s.back.at == 0 { // the last one has to be judged first
		s.canary.busy = true
		go func() {
			begun := sinceBoot()
			names, warned, err := s.own.Commit(ctx, postgres.CanaryName, "on")
			s.mu.Lock()
			defer s.mu.Unlock()
			s.canary.busy = false
			if err == nil && !warned {
				s.back = returned{begun, sinceBoot(), names}
			}
		}()
	}
}

// seeWait looks for a commit that waits, where that is the only thing that is not proven of the names: on an idle server none is seen by chance.
func (s *server) seeWait(ctx context.Context, f *cluster.Facts) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waits.busy || s.waited || s.shown == "" || s.shown == cluster.ClosedNames || !f.Running || f.Recovery || f.Silent > 0 {
		return
	}
	s.waits.busy = true
	names := s.shown
	go func() {
		ctx, cancel := context.WithTimeout(ctx, lookLimit)
		defer cancel()
		seen, err := s.own.SeeWait(ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.waits.busy, s.waits.err = false, err
		if err == nil && seen && names == s.shown {
			s.waited = true
		}
	}()
}

// unseen says why it could not be looked for.
func (s *server) unseen() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return problem(s.waits.err)
}

// judgeCanary counts the last canary that came back, if the walsenders that were there after it were all who they say they are.
func (s *server) judgeCanary(f *cluster.Facts, v view) {
	if s.back.at == 0 || v.asked <= s.back.at {
		return
	}
	if cluster.Genuine(v.state, f.Senders) {
		s.memory.Canary, s.memory.CanaryNames = s.back.begun, s.back.names
	}
	s.back = returned{}
}
