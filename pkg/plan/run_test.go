package plan_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgctl/pgctl/pkg/plan"
)

// world is a handler over a set of effects; step s is done when the effect of its ID is there.
type world struct {
	effects map[string]bool
	did     []string
	crash   string // dies after the effect of this step is there, before anybody saw it
	deaf    string // this step's effect never shows
	lost    error  // Done cannot see anything
}

var errCrash = errors.New("crash")

func (w *world) Done(_ context.Context, s plan.Step) (bool, error) {
	if w.lost == nil && !w.effects[s.ID] {
		return false, &plan.NotYet{Reason: errors.New("it is dark")}
	}
	return w.effects[s.ID], w.lost
}

func (w *world) Do(_ context.Context, s plan.Step) error {
	w.did = append(w.did, s.ID)
	w.effects[s.ID] = s.ID != w.deaf
	if s.ID == w.crash {
		panic(errCrash)
	}
	return nil
}

func steps(n int) plan.Plan {
	p := plan.Plan{Name: "test", Facts: map[string]string{"master": "db1"}}
	for i := range n {
		p.Steps = append(p.Steps, plan.Step{ID: fmt.Sprintf("s%d", i+1), Verb: "do", Host: "db1", Text: fmt.Sprintf("make effect %d", i+1)})
	}
	return p
}

func runner(w *world, journal plan.Journal) *plan.Runner {
	now := time.Time{}
	return &plan.Runner{
		Handlers: map[string]plan.Handler{"do": w}, Journal: journal, Proof: 5 * time.Millisecond,
		Now:   func() time.Time { return now },
		Sleep: func(_ context.Context, d time.Duration) { now = now.Add(d) },
	}
}

func TestRun(t *testing.T) {
	w := &world{effects: map[string]bool{"s2": true}}
	var seen []string
	r := runner(w, nil)
	r.Report = func(s plan.Step, state plan.State, _ error) { seen = append(seen, s.ID+" "+string(state)) }
	if err := r.Run(t.Context(), steps(3)); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(w.did, []string{"s1", "s3"}) {
		t.Errorf("did %q, expected what was not done already", w.did)
	}
	if want := []string{"s1 running", "s1 done", "s2 as it should be", "s3 running", "s3 done"}; !slices.Equal(seen, want) {
		t.Errorf("reported %q, expected %q", seen, want)
	}
}

// TestCrashAfterEveryStep: wherever a run dies, the next one does what is left, and nothing twice.
func TestCrashAfterEveryStep(t *testing.T) {
	const n = 4
	for i := range n {
		crash := fmt.Sprintf("s%d", i+1)
		t.Run(crash, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "journal", "test.json")
			w := &world{effects: map[string]bool{}, crash: crash}
			func() {
				defer func() {
					if recover() == nil {
						t.Error("did not crash")
					}
				}()
				_ = runner(w, &plan.File{Path: path}).Run(t.Context(), steps(n))
			}()
			left, done, err := plan.Unfinished(path)
			if err != nil || left == nil || len(left.Steps) != n || done != i || left.Facts["master"] != "db1" {
				t.Fatalf("the journal says %+v, %d done, %v", left, done, err)
			}
			w.crash = ""
			if err := runner(w, &plan.File{Path: path}).Run(t.Context(), *left); err != nil {
				t.Fatal(err)
			}
			if want := []string{"s1", "s2", "s3", "s4"}; !slices.Equal(w.did, want) {
				t.Errorf("both runs did %q, expected each step once", w.did)
			}
			if left, _, err := plan.Unfinished(path); left != nil || err != nil {
				t.Errorf("a journal is left: %+v, %v", left, err)
			}
		})
	}
}

func TestStopped(t *testing.T) {
	errGone := errors.New("the master is db2 now")
	tests := []struct {
		name    string
		change  func(r *plan.Runner, w *world, cancel func())
		cause   error
		done    int
		changed bool
		begun   bool // the step that it stopped at
		text    string
		did     []string
	}{
		{name: "the guard refuses before the first step", change: func(r *plan.Runner, _ *world, _ func()) {
			r.Guard = func(context.Context, plan.Plan) error { return errGone }
		}, cause: plan.ErrGuard, text: "step 1 of 3, db1: make effect 1: the plan no longer applies: the master is db2 now"},
		{name: "the guard refuses later", change: func(r *plan.Runner, w *world, _ func()) {
			r.Guard = func(_ context.Context, p plan.Plan) error {
				if p.Facts["master"] == "db1" && len(w.did) == 2 {
					return errGone
				}
				return nil
			}
		}, cause: errGone, done: 2, changed: true, text: "step 3 of 3", did: []string{"s1", "s2"}},
		{name: "no proof", change: func(_ *plan.Runner, w *world, _ func()) { w.deaf = "s2" }, cause: plan.ErrUnproven, done: 1, changed: true, begun: true, text: "its effect does not show: it is dark", did: []string{"s1", "s2"}},
		{name: "cannot see", change: func(_ *plan.Runner, w *world, _ func()) { w.lost = errors.New("no answer") }, text: "no answer"},
		{name: "interrupted during a step: that step is brought to its end", change: func(r *plan.Runner, _ *world, cancel func()) {
			r.Report = func(s plan.Step, state plan.State, _ error) {
				if s.ID == "s1" && state == plan.Running {
					cancel()
				}
			}
		}, cause: context.Canceled, done: 1, changed: true, did: []string{"s1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := &world{effects: map[string]bool{}}
			r := runner(w, nil)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			tt.change(r, w, cancel)
			err := r.Run(ctx, steps(3))
			var stopped *plan.Stopped
			if !errors.As(err, &stopped) {
				t.Fatalf("got %v", err)
			}
			if stopped.Done != tt.done || stopped.Changed != tt.changed || stopped.Begun != tt.begun || tt.cause != nil && !errors.Is(err, tt.cause) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("done %d, changed %v: %v", stopped.Done, stopped.Changed, err)
			}
			if !slices.Equal(w.did, tt.did) {
				t.Errorf("did %q, expected %q", w.did, tt.did)
			}
		})
	}
}

func TestNoJournalIsLeftWhenNothingChanged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.json")
	r := runner(&world{effects: map[string]bool{"s1": true}}, &plan.File{Path: path})
	r.Guard = func(context.Context, plan.Plan) error { return errors.New("another master") }
	if err := r.Run(t.Context(), steps(2)); !errors.Is(err, plan.ErrGuard) {
		t.Errorf("got %v", err)
	}
	if left, _, err := plan.Unfinished(path); left != nil || err != nil {
		t.Errorf("a journal is left: %+v, %v", left, err)
	}
}

// TestResumed: what an earlier run began is not forgotten by a run that comes to nothing.
func TestResumed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.json")
	r := runner(&world{effects: map[string]bool{"s1": true}}, &plan.File{Path: path})
	r.Resumed = true
	r.Guard = func(context.Context, plan.Plan) error { return errors.New("no answer") }
	var stopped *plan.Stopped
	if err := r.Run(t.Context(), steps(2)); !errors.As(err, &stopped) || !stopped.Changed {
		t.Errorf("got %v", err)
	}
	if left, _, err := plan.Unfinished(path); left == nil || err != nil {
		t.Errorf("the journal is gone: %v", err)
	}
}

// TestReached: how far a plan has come is not forgotten by a run that does not come as far; another plan begins anew.
func TestReached(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.json")
	far := &plan.File{Path: path}
	p := steps(3)
	if err := errors.Join(far.Begin(p), far.Done(p.Steps[0]), far.Done(p.Steps[1])); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{2, 2} { // and a third run still knows
		if err := (&plan.File{Path: path}).Begin(p); err != nil {
			t.Fatal(err)
		}
		if _, done, err := plan.Unfinished(path); done != want || err != nil {
			t.Errorf("%d steps, expected %d, %v", done, want, err)
		}
	}
	p.Facts["master"] = "db2"
	if err := (&plan.File{Path: path}).Begin(p); err != nil {
		t.Fatal(err)
	}
	if _, done, err := plan.Unfinished(path); done != 0 || err != nil {
		t.Errorf("another plan: %d steps, %v", done, err)
	}
}

func TestPreviewChangesNothing(t *testing.T) {
	w := &world{effects: map[string]bool{"s2": true}}
	states, err := runner(w, nil).Preview(t.Context(), steps(3))
	if err != nil || !slices.Equal(states, []plan.State{plan.Waiting, plan.Skipped, plan.Waiting}) || len(w.did) != 0 {
		t.Errorf("states %q, did %q, %v", states, w.did, err)
	}
}

func TestCheck(t *testing.T) {
	p := steps(2)
	p.Steps[1].ID, p.Steps[1].Verb = "s1", "fly"
	w := &world{effects: map[string]bool{}}
	err := runner(w, nil).Run(t.Context(), p)
	if err == nil || !strings.Contains(err.Error(), "two steps are called s1") || !strings.Contains(err.Error(), `nobody does "fly"`) || len(w.did) != 0 {
		t.Errorf("got %v, did %q", err, w.did)
	}
}

func TestJournalThatCannotBeWritten(t *testing.T) {
	w := &world{effects: map[string]bool{}}
	err := runner(w, &plan.File{Path: "/proc/nowhere/test.json"}).Run(t.Context(), steps(1))
	if err == nil || !strings.HasPrefix(err.Error(), "nothing was changed") || len(w.did) != 0 {
		t.Errorf("got %v, did %q", err, w.did)
	}
}

func TestUnlike(t *testing.T) {
	tests := []struct {
		name   string
		change func(p *plan.Plan)
		want   string
	}{
		{"another fact", func(p *plan.Plan) { p.Facts["master"] = "db2" }, `master is "db2", not "db1"`},
		{"a step less", func(p *plan.Plan) { p.Steps = p.Steps[:2] }, "step 3, s3, is not needed"},
		{"a step more", func(p *plan.Plan) { p.Steps = append(p.Steps, plan.Step{ID: "s4"}) }, "step 4, s4, is needed too"},
		{"another host", func(p *plan.Plan) { p.Steps[1].Host = "db9" }, "step 2 is s2, not s2"},
		{"another argument", func(p *plan.Plan) { p.Steps[1].Args = map[string]string{"names": "db3"} }, `names of step 2, s2, is "db3", not ""`},
		{"another order", func(p *plan.Plan) { slices.Reverse(p.Steps) }, "step 1 is s3, not s1"},
		{"what is measured", func(p *plan.Plan) { p.Steps[1].Args = map[string]string{"position": "0/5000"} }, ""},
		{"said otherwise, for a reason", func(p *plan.Plan) { p.Steps[0].Text, p.Steps[2].Why = "otherwise", "a reason" }, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := steps(3)
			tt.change(&p)
			if got := steps(3).Unlike(p, "position"); got != tt.want {
				t.Errorf("got %q, expected %q", got, tt.want)
			}
		})
	}
}
