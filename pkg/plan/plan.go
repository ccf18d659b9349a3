package plan

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Plan is a list of steps in the order in which they are run.
type Plan struct {
	Name  string            `json:"name"`            // the command, such as "pgpool sync"
	Facts map[string]string `json:"facts,omitempty"` // what the plan was made for and its guard holds it to, such as master=db1
	Steps []Step            `json:"steps"`
}

// Step is one change of one host. It holds no secret: plans are printed and kept.
type Step struct {
	ID   string            `json:"id"`             // unique in the plan, and the same each time it is made anew
	Verb string            `json:"verb"`           // which Handler does it
	Host string            `json:"host"`           // where
	Args map[string]string `json:"args,omitempty"` // what the Handler needs to know
	Text string            `json:"text"`           // what is done, one sentence for the operator, without the host
	Why  string            `json:"why,omitempty"`  // the reason, where the sentence leaves one open
	// Lane is for steps that follow each other and need not wait for each other: those of one lane are run in order, the lanes side by
	// side. "": everything before it is done first, and everything after it waits.
	Lane string `json:"lane,omitempty"`
}

// Check refuses a plan that cannot be run as it is written: two steps of one ID, or a verb that nobody does.
func (p Plan) Check(handlers map[string]Handler) error {
	seen := map[string]bool{}
	var errs []error
	for _, s := range p.Steps {
		if seen[s.ID] {
			errs = append(errs, fmt.Errorf("plan %s: two steps are called %s", p.Name, s.ID))
		}
		seen[s.ID] = true
		if handlers[s.Verb] == nil {
			errs = append(errs, fmt.Errorf("plan %s: step %s: nobody does %q", p.Name, s.ID, s.Verb))
		}
	}
	return errors.Join(errs...)
}

// GoesOnWith tells whether it is the same change as one that an earlier run began: what that one did is found done.
func (p Plan) GoesOnWith(begun Plan) bool {
	return p.Name == begun.Name && maps.Equal(p.Facts, begun.Facts)
}

// Unlike says in what the other plan would do something else, "" in nothing: another fact, another step, another argument. How they say it to
// the operator does not count, nor do arguments of the names in but.
func (p Plan) Unlike(other Plan, but ...string) string {
	if p.Name != other.Name {
		return fmt.Sprintf("%s, not %s", other.Name, p.Name)
	}
	if key := differs(p.Facts, other.Facts, nil); key != "" {
		return fmt.Sprintf("%s is %q, not %q", key, other.Facts[key], p.Facts[key])
	}
	for i, s := range p.Steps {
		if i == len(other.Steps) {
			return fmt.Sprintf("step %d, %s, is not needed", i+1, s.ID)
		}
		o := other.Steps[i]
		if s.ID != o.ID || s.Verb != o.Verb || s.Host != o.Host || s.Lane != o.Lane {
			return fmt.Sprintf("step %d is %s, not %s", i+1, o.ID, s.ID)
		}
		if key := differs(s.Args, o.Args, but); key != "" {
			return fmt.Sprintf("%s of step %d, %s, is %q, not %q", key, i+1, s.ID, o.Args[key], s.Args[key])
		}
	}
	if n := len(p.Steps); len(other.Steps) > n {
		return fmt.Sprintf("step %d, %s, is needed too", n+1, other.Steps[n].ID)
	}
	return ""
}

// differs is the first key, in order, whose value is not the same in both; "" none.
func differs(a, b map[string]string, but []string) string {
	keys := slices.Concat(slices.Collect(maps.Keys(a)), slices.Collect(maps.Keys(b)))
	slices.Sort(keys)
	for _, key := range keys {
		x, inA := a[key]
		y, inB := b[key]
		if (inA != inB || x != y) && !slices.Contains(but, key) {
			return key
		}
	}
	return ""
}
