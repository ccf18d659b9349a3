// Package register says whether clients of single registers were told what one copy of each could have told them: whether their history is
// linearizable. The search for an order is porcupine's; what is told to it is this package's. Only tests use it.
package register

import (
	"fmt"
	"slices"
	"time"
)

// Kind is what an operation does.
type Kind int

// The kinds of operations.
const (
	Read  Kind = iota // returns Value
	Write             // makes it Value
	Swap              // makes it Value where it is Old, which its client wanted or was told; one that found something else is no operation
)

// Never is the time at which an operation of unknown outcome returned: it may be done at any time after its call, or not at all.
const Never = time.Duration(1<<63 - 1)

// Op is one operation. No value is written twice, and none is 0, which every register holds at first. An operation that was not done is in no history.
type Op struct {
	Client   int           `json:"client"`
	Register int           `json:"register"`
	Kind     Kind          `json:"kind"`
	Old      int64         `json:"old,omitempty"`
	Value    int64         `json:"value"`
	Call     time.Duration `json:"call"`   // by one clock for all
	Return   time.Duration `json:"return"` // Never: the outcome is unknown
	At       string        `json:"at"`     // whom the client asked; for those who read a history
}

// String is the operation for people.
func (o Op) String() string {
	what := fmt.Sprintf("read %d: %d", o.Register, o.Value)
	switch o.Kind {
	case Write:
		what = fmt.Sprintf("write %d: %d", o.Register, o.Value)
	case Swap:
		what = fmt.Sprintf("swap %d: %d for %d", o.Register, o.Value, o.Old)
	case Read:
	}
	until := "unknown"
	if o.Return != Never {
		until = fmt.Sprintf("%.6f", o.Return.Seconds())
	}
	return fmt.Sprintf("%.6f to %s, client %d at %s: %s", o.Call.Seconds(), until, o.Client, o.At, what)
}

// settle leaves hardly an operation of unknown outcome, and nothing else changes: a history is linearizable just when what is left of it is. Each of
// them would double what there is to try. One whose value nobody met (read, or swapped for another) may as well not have been done: without it, all others
// were told the same. One that was met was done before the first who met it was told so.
func settle(history []Op) []Op {
	first := firstMet(history)
	settled := slices.DeleteFunc(slices.Clone(history), func(o Op) bool {
		_, met := first[o.Value]
		return o.Return == Never && !met
	})
	for i, o := range settled {
		if o.Return == Never {
			settled[i].Return = max(first[o.Value], o.Call) // Never, if they cannot be sure either
		}
	}
	return settled
}

// firstMet says when somebody first knew that a value had been there.
func firstMet(history []Op) map[int64]time.Duration {
	first := map[int64]time.Duration{}
	for _, o := range history {
		value := o.Value
		switch o.Kind {
		case Write:
			continue
		case Swap:
			value = o.Old
		case Read:
		}
		if at, met := first[value]; !met || o.Return < at {
			first[value] = o.Return
		}
	}
	return first
}
