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

// Same tells whether two plans do the same: step by step the same verb on the same host with the same arguments, for the same facts. How
// they say it to the operator does not count.
func (p Plan) Same(q Plan) bool {
	return p.Name == q.Name && maps.Equal(p.Facts, q.Facts) && slices.EqualFunc(p.Steps, q.Steps, func(a, b Step) bool {
		return a.ID == b.ID && a.Verb == b.Verb && a.Host == b.Host && a.Lane == b.Lane && maps.Equal(a.Args, b.Args)
	})
}
