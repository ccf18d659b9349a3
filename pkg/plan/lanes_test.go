package plan_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgctl/pgctl/pkg/plan"
)

// race is a handler whose steps wait for each other: "left" is done when "right" has begun, and the other way round.
type race struct {
	mu    sync.Mutex
	order []string
	begun map[string]chan struct{}
	fail  string
	done  map[string]bool
}

func (r *race) Done(_ context.Context, s plan.Step) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.done[s.ID], nil
}

func (r *race) Do(_ context.Context, s plan.Step) error {
	r.mu.Lock()
	r.order = append(r.order, s.ID)
	r.mu.Unlock()
	if own := r.begun[s.ID]; own != nil {
		close(own)
		for id, other := range r.begun {
			select {
			case <-other:
			case <-time.After(10 * time.Second):
				return errors.New("waited in vain for " + id)
			}
		}
	}
	if s.ID == r.fail {
		return errors.New("broken")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done[s.ID] = true
	return nil
}

func lanes() plan.Plan {
	p := plan.Plan{Name: "test"}
	for _, id := range []string{"first", "left-1", "right-1", "left-2", "right-2", "last"} {
		lane, _, ok := strings.Cut(id, "-")
		if !ok {
			lane = ""
		}
		p.Steps = append(p.Steps, plan.Step{ID: id, Verb: "do", Host: "h", Text: id, Lane: lane})
	}
	return p
}

func racing(r *race) *plan.Runner {
	return &plan.Runner{Handlers: map[string]plan.Handler{"do": r}, Now: time.Now, Proof: time.Second, Poll: time.Millisecond}
}

// TestLanes: lanes run side by side, a lane in order, and what has no lane alone.
func TestLanes(t *testing.T) {
	r := &race{done: map[string]bool{}, begun: map[string]chan struct{}{"left-1": make(chan struct{}), "right-1": make(chan struct{})}}
	if err := racing(r).Run(t.Context(), lanes()); err != nil {
		t.Fatal(err)
	}
	at := func(id string) int { return slices.Index(r.order, id) }
	if at("first") != 0 || at("last") != 5 || at("left-1") > at("left-2") || at("right-1") > at("right-2") {
		t.Errorf("order %q", r.order)
	}
}

// TestLaneFails: the other lane comes to its end, what follows is not begun, and the error names the step.
func TestLaneFails(t *testing.T) {
	r := &race{done: map[string]bool{}, fail: "left-1"}
	err := racing(r).Run(t.Context(), lanes())
	var stopped *plan.Stopped
	if !errors.As(err, &stopped) || stopped.Done != 1 || !stopped.Changed || !strings.HasPrefix(err.Error(), "step 2 of 6, h: left-1: broken") {
		t.Fatalf("got %v", err)
	}
	if !r.done["right-2"] || slices.Contains(r.order, "left-2") || slices.Contains(r.order, "last") {
		t.Errorf("did %q", r.order)
	}
}
