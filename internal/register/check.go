package register

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// Verdict is what is to be said of a history. It is linearizable when both are empty.
type Verdict struct {
	// Broken registers have no order that explains what all clients were told.
	Broken []int
	// Undecided registers would have needed more time.
	Undecided []int
}

// Good says that every register's history is linearizable.
func (v Verdict) Good() bool { return len(v.Broken) == 0 && len(v.Undecided) == 0 }

func (v Verdict) String() string {
	switch {
	case len(v.Broken) > 0:
		return fmt.Sprintf("NOT linearizable: registers %v", v.Broken)
	case len(v.Undecided) > 0:
		return fmt.Sprintf("undecided, for want of time: registers %v", v.Undecided)
	}
	return "linearizable"
}

// Check looks for an order of each register's operations, for no longer than limit each.
func Check(history []Op, limit time.Duration) Verdict {
	var v Verdict
	all := byRegister(history)
	for _, register := range slices.Sorted(maps.Keys(all)) {
		switch porcupine.CheckOperationsTimeout(model, operations(settle(all[register])), limit) {
		case porcupine.Illegal:
			v.Broken = append(v.Broken, register)
		case porcupine.Unknown:
			v.Undecided = append(v.Undecided, register)
		case porcupine.Ok:
		}
	}
	return v
}

// Draw writes a page that shows one register's history, and how far an order of it goes.
func Draw(history []Op, register int, limit time.Duration, to io.Writer) error {
	_, info := porcupine.CheckOperationsVerbose(model, operations(settle(byRegister(history)[register])), limit)
	return porcupine.Visualize(model, info, to)
}

func byRegister(history []Op) map[int][]Op {
	all := map[int][]Op{}
	for _, o := range history {
		all[o.Register] = append(all[o.Register], o)
	}
	return all
}

// model is one register. That an operation was done is known of all that it is told of, except of those that never returned.
var model = porcupine.Model{
	Init: func() any { return int64(0) },
	Step: func(state, input, _ any) (bool, any) {
		is, o := state.(int64), input.(Op)
		switch {
		case o.Kind == Write:
			return true, o.Value
		case o.Kind == Swap && is == o.Old:
			return true, o.Value
		case o.Kind == Swap:
			return o.Return == Never, is
		}
		return is == o.Value, is
	},
	DescribeOperation: func(input, _ any) string { return input.(Op).String() },
}

func operations(history []Op) []porcupine.Operation {
	all := make([]porcupine.Operation, len(history))
	for i, o := range history {
		all[i] = porcupine.Operation{ClientId: o.Client, Input: o, Call: int64(o.Call), Return: int64(o.Return)}
	}
	return all
}
