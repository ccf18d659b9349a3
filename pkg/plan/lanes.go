package plan

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// blockEnd is where the block that begins with step i ends: one step without a lane, or all that follow it with one.
func blockEnd(steps []Step, i int) int {
	end := i + 1
	for steps[i].Lane != "" && end < len(steps) && steps[end].Lane != "" {
		end++
	}
	return end
}

// progress is how far a run is.
type progress struct {
	runner *Runner
	plan   Plan

	mu      sync.Mutex
	done    []bool
	changed bool
	begun   bool // a step that failed had been begun
}

// count is how many steps, from the first, are done.
func (p *progress) count() int {
	if n := slices.Index(p.done, false); n >= 0 {
		return n
	}
	return len(p.done)
}

// block runs the steps from i to end, lane beside lane. A lane that fails stops none of the others: each brings itself to an end.
func (p *progress) block(ctx context.Context, i, end int) error {
	var lanes []string
	steps := map[string][]int{}
	for n := i; n < end; n++ {
		lane := p.plan.Steps[n].Lane
		if steps[lane] == nil {
			lanes = append(lanes, lane)
		}
		steps[lane] = append(steps[lane], n)
	}
	errs := make([]error, len(lanes))
	var wait sync.WaitGroup
	for l, lane := range lanes[1:] {
		wait.Go(func() { errs[l+1] = p.lane(ctx, steps[lane]) })
	}
	errs[0] = p.lane(ctx, steps[lanes[0]])
	wait.Wait()
	return p.join(errs)
}

// join puts the errors of lanes together. The first one is told of the step where the plan stopped; the others name theirs.
func (p *progress) join(errs []error) error {
	var all []error
	for _, err := range errs {
		var at *stepError
		if errors.As(err, &at) {
			if err = at.err; len(all) > 0 {
				err = fmt.Errorf("%s: %s: %w", at.step.Host, at.step.Text, at.err)
			}
			all = append(all, err)
		}
	}
	return errors.Join(all...)
}

// stepError is the error of one step.
type stepError struct {
	step Step
	err  error
}

func (e *stepError) Error() string { return e.err.Error() }

// lane runs the steps of one lane in order.
func (p *progress) lane(ctx context.Context, steps []int) error {
	for _, n := range steps {
		s := p.plan.Steps[n]
		did, err := p.runner.step(ctx, p.plan, s)
		if err != nil {
			p.runner.report(s, Failed, err)
		}
		if err := p.note(n, did, err); err != nil {
			return &stepError{s, err}
		}
	}
	return nil
}

// note keeps what came of a step.
func (p *progress) note(n int, did bool, err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.changed = p.changed || did
	if err != nil {
		p.begun = p.begun || did
		return err
	}
	p.done[n] = true
	if p.runner.Journal != nil {
		if err := p.runner.Journal.Done(p.plan.Steps[n]); err != nil {
			return fmt.Errorf("the journal cannot be written: %w", err)
		}
	}
	return nil
}
