package plan

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Handler does the steps of one verb.
type Handler interface {
	// Done tells whether the step's effect is there. It changes nothing. An error says that it cannot be seen, which
	// stops the plan; a *NotYet says no with the reason.
	Done(ctx context.Context, s Step) (bool, error)
	// Do brings the effect about. It is called when Done said no, and again after an interruption.
	Do(ctx context.Context, s Step) error
}

// State is how far a step is.
type State string

// The states of a step. Skipped means that its effect was there already.
const (
	Waiting  State = "waiting"
	Running  State = "running"
	Skipped  State = "as it should be"
	Finished State = "done"
	Failed   State = "failed"
)

// Runner runs plans.
type Runner struct {
	Handlers map[string]Handler
	// Guard is asked before each step whether the plan still applies; nil is no guard. Its error is the reason.
	Guard func(ctx context.Context, p Plan) error
	// Journal keeps the plan and its progress; nil keeps nothing.
	Journal Journal
	// Resumed says that an earlier run has begun this plan: something was changed, whatever this run comes to.
	Resumed bool
	// Report is told of every change of a step's state; nil is nobody. It may not block.
	Report func(s Step, state State, err error)
	// Proof is how long after Do a step's effect may take to show, and Poll how often it is looked for.
	Proof, Poll time.Duration
	// Now is the clock that Proof is measured by.
	Now func() time.Time
	// Sleep waits; nil is time.Sleep, ended by the context.
	Sleep func(ctx context.Context, d time.Duration)

	mu sync.Mutex // one report at a time
}

// NotYet is returned by Handler.Done for a no with its reason, which is told if the effect never shows.
type NotYet struct{ Reason error }

// Error is the reason.
func (e *NotYet) Error() string { return e.Reason.Error() }

// Unwrap gives the reason.
func (e *NotYet) Unwrap() error { return e.Reason }

// look asks whether a step is done; a no may have a reason.
func look(ctx context.Context, h Handler, s Step) (done bool, reason, err error) {
	done, err = h.Done(ctx, s)
	var no *NotYet
	if errors.As(err, &no) {
		return false, no.Reason, nil
	}
	return done, nil, err
}

// ErrGuard is returned, beside the guard's reason, when a plan no longer applies to the world that it was made for.
var ErrGuard = errors.New("the plan no longer applies")

// ErrUnproven is returned when a step was done and its effect did not show.
var ErrUnproven = errors.New("it was done, but its effect does not show")

// Stopped is returned when a plan did not come to its end.
type Stopped struct {
	Plan    Plan
	Done    int  // so many steps, from the first, are done or were so already
	Changed bool // something was changed, or may have been
	Begun   bool // the step after those was begun, or another one beside it
	Err     error
}

// Error says where the plan stopped and why.
func (e *Stopped) Error() string {
	if e.Done == len(e.Plan.Steps) {
		return fmt.Sprintf("%s: %v", e.Plan.Name, e.Err)
	}
	s := e.Plan.Steps[e.Done]
	return fmt.Sprintf("step %d of %d, %s: %s: %v", e.Done+1, len(e.Plan.Steps), s.Host, s.Text, e.Err)
}

// Unwrap gives the cause.
func (e *Stopped) Unwrap() error { return e.Err }

// Run runs the steps that are not done yet, in order. The end of ctx ends it after the running step: a step that has
// begun is brought to its end. An error is a *Stopped, but for a plan that Check refuses and a journal that cannot be begun.
func (r *Runner) Run(ctx context.Context, p Plan) error {
	if err := p.Check(r.Handlers); err != nil {
		return err
	}
	if r.Journal != nil {
		if err := r.Journal.Begin(p); err != nil {
			return fmt.Errorf("nothing was changed, as the journal cannot be written: %w", err)
		}
	}
	progress := &progress{runner: r, plan: p, done: make([]bool, len(p.Steps)), changed: r.Resumed}
	for i := 0; i < len(p.Steps); {
		end := blockEnd(p.Steps, i)
		if err := progress.block(ctx, i, end); err != nil {
			if r.Journal != nil && !progress.changed {
				err = errors.Join(err, r.Journal.End()) // nothing to go on with
			}
			return &Stopped{Plan: p, Done: progress.count(), Changed: progress.changed, Begun: progress.begun, Err: err}
		}
		i = end
	}
	if r.Journal != nil {
		return r.Journal.End()
	}
	return nil
}

// step runs one step; did tells whether something was, or may have been, changed.
func (r *Runner) step(ctx context.Context, p Plan, s Step) (did bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	whole := context.WithValue(context.WithoutCancel(ctx), asked{}, ctx) // a step that has begun is not cut in half
	handler := r.Handlers[s.Verb]
	guard := make(chan error, 1)
	go func() { guard <- r.guard(whole, p) }() // both only look
	done, _, err := look(whole, handler, s)
	if err := <-guard; err != nil {
		return false, fmt.Errorf("%w: %w", ErrGuard, err)
	}
	if err != nil {
		return false, err
	}
	if done {
		r.report(s, Skipped, nil)
		return false, nil
	}
	r.report(s, Running, nil)
	if err := handler.Do(whole, s); err != nil {
		return true, err
	}
	if err := r.prove(whole, handler, s); err != nil {
		return true, err
	}
	r.report(s, Finished, nil)
	return true, nil
}

// asked is the key of the context that ends when the operator asks for an end.
type asked struct{}

// Interrupted tells whether the operator has asked for an end. A handler that merely waits asks it, and gives up then; one that
// changes something brings that to its end.
func Interrupted(ctx context.Context) error {
	if outer, ok := ctx.Value(asked{}).(context.Context); ok {
		return outer.Err()
	}
	return nil
}

func (r *Runner) guard(ctx context.Context, p Plan) error {
	if r.Guard == nil {
		return nil
	}
	return r.Guard(ctx, p)
}

// prove looks for the step's effect until it shows or Proof has passed. What the last look said is the reason.
func (r *Runner) prove(ctx context.Context, handler Handler, s Step) error {
	poll := max(r.Poll, time.Millisecond)
	for began := r.Now(); ; {
		done, reason, err := look(ctx, handler, s)
		if done && err == nil {
			return nil
		}
		if r.Now().Sub(began) >= r.Proof {
			if reason = errors.Join(reason, err); reason != nil {
				return fmt.Errorf("%w: %w", ErrUnproven, reason)
			}
			return ErrUnproven
		}
		r.sleep(ctx, poll)
	}
}

// Preview asks each step whether it is done and changes nothing: Skipped, or Waiting for what Run would do. What one step's
// effect makes of the next one's is not foreseen: a step is previewed against the world as it is.
func (r *Runner) Preview(ctx context.Context, p Plan) ([]State, error) {
	if err := p.Check(r.Handlers); err != nil {
		return nil, err
	}
	states := make([]State, len(p.Steps))
	for i, s := range p.Steps {
		done, _, err := look(ctx, r.Handlers[s.Verb], s)
		if err != nil {
			return nil, &Stopped{Plan: p, Done: i, Err: err}
		}
		states[i] = Waiting
		if done {
			states[i] = Skipped
		}
	}
	return states, nil
}

func (r *Runner) report(s Step, state State, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.Report != nil {
		r.Report(s, state, err)
	}
}

func (r *Runner) sleep(ctx context.Context, d time.Duration) {
	if r.Sleep != nil {
		r.Sleep(ctx, d)
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
