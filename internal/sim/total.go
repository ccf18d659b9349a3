package sim

import (
	"fmt"
	"time"
)

// Total is what came of many schedules.
type Total struct {
	Violations int
	Acks       int
	Masters    int
	Promises   int
	Longest    time.Duration // from a lasting fault of the master to another one that serves
	Whole      time.Duration // from the last fault to a whole region
}

// Add counts one more.
func (t *Total) Add(r Result) {
	t.Acks += r.Acks
	t.Masters += r.Masters
	switch {
	case r.Violation != "":
		t.Violations++
	case r.Promise:
		t.Promises++
		t.Longest = max(t.Longest, r.Whole)
	default:
		t.Whole = max(t.Whole, r.Whole)
	}
}

// String is the sum in words.
func (t Total) String() string {
	return fmt.Sprintf("%d commits returned, %d epochs came to serve; after a lasting fault of the master another one served within %s (%d schedules), after the last fault the region was whole within %s",
		t.Acks, t.Masters, t.Longest.Round(time.Second), t.Promises, t.Whole.Round(time.Second))
}
