package failover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pgctl/pgctl/pkg/plan"
)

// PutBack is returned when a script of the roll-out failed and the old files were put back, or were to be.
type PutBack struct {
	Cause    error    // what failed first
	Restored bool     // the old files are back, here and on every node of the plan
	Why      error    // why not
	NewOn    []string // nodes that have the new file
	Silent   []string // nodes that do not tell
}

// Error says what failed and, where the old state is not back, what is where.
func (e *PutBack) Error() string {
	if e.Restored {
		return e.Cause.Error()
	}
	text := fmt.Sprintf("%v; then the old files could not be put back everywhere: %v", e.Cause, e.Why)
	if len(e.NewOn) > 0 {
		text += "; the new file is on " + strings.Join(e.NewOn, ", ")
	} else {
		text += "; no node that answers has the new file"
	}
	if len(e.Silent) > 0 {
		text += "; no answer from " + strings.Join(e.Silent, ", ")
	}
	return text
}

// Unwrap gives what failed first.
func (e *PutBack) Unwrap() error { return e.Cause }

// putBack writes the old files, builds and rolls out once more, and sees what the nodes have then. A change that is in half of
// the region is worse than none. It always returns an error: cause, and what became of it.
func (h *HA) putBack(ctx context.Context, s plan.Step, cause error) error {
	h.Say(cause.Error())
	undone := &PutBack{Cause: cause}
	old := map[string]string{} // by the hash of the new file
	var errs []error
	for _, f := range h.Files {
		if !f.edited() {
			continue
		}
		old[sum(f.After)] = sum(f.Old)
		h.Say("putting back " + f.Path)
		errs = append(errs, h.replace(ctx, f.Path, f.After, f.Old))
	}
	if len(old) == 0 {
		errs = append(errs, errors.New("what they were is not known: they were edited before this run"))
	}
	undone.Why = errors.Join(errs...)
	if undone.Why == nil {
		undone.Why = h.run(ctx, buildScript)
	}
	var errSend error
	if undone.Why == nil {
		h.built = false
		errSend = h.run(ctx, sendScript, "-f", "all", sendPackage)
	}
	undone.Restored = h.look(ctx, s, old, undone) && undone.Why == nil
	if !undone.Restored && undone.Why == nil {
		undone.Why = errSend
		if errSend == nil {
			undone.Why = errors.New("the nodes do not have them")
		}
	}
	return undone
}

// look notes which nodes have the new file and which do not tell, and tells whether all have the old one.
func (h *HA) look(ctx context.Context, s plan.Step, old map[string]string, back *PutBack) bool {
	all := true
	names, want := wantedOn(s)
	for host, n := range h.AskNodes(ctx, names) {
		before, changed := old[want[host]]
		switch {
		case n.Failure != "":
			back.Silent = append(back.Silent, host)
			all = false
		case changed && n.SHA256 == want[host]:
			back.NewOn = append(back.NewOn, host)
			all = false
		case changed && n.SHA256 != before:
			all = false
		}
	}
	sortAll(back.NewOn, back.Silent)
	return all
}

// delivery is who has the plan's file.
type delivery struct{ have, lack, silent []string }

// String names the nodes.
func (d delivery) String() string {
	var parts []string
	for _, part := range []struct {
		who  []string
		what string
	}{{d.have, "the file is on"}, {d.lack, "not on"}, {d.silent, "no answer from"}} {
		if len(part.who) > 0 {
			parts = append(parts, part.what+" "+strings.Join(part.who, ", "))
		}
	}
	return strings.Join(parts, "; ")
}

// wantedOn reads back the nodes of a step, and the hash that each shall have.
func wantedOn(s plan.Step) (names []string, want map[string]string) {
	want = map[string]string{}
	for pair := range strings.FieldsSeq(s.Args["want"]) {
		host, hash, _ := strings.Cut(pair, "=")
		names = append(names, host)
		want[host] = hash
	}
	return names, want
}

// delivered asks the nodes of a step for their file.
func (h *HA) delivered(ctx context.Context, s plan.Step) delivery {
	var d delivery
	names, want := wantedOn(s)
	for host, n := range h.AskNodes(ctx, names) {
		switch {
		case n.Failure != "":
			d.silent = append(d.silent, host)
		case n.SHA256 == want[host]:
			d.have = append(d.have, host)
		default:
			d.lack = append(d.lack, host)
		}
	}
	sortAll(d.have, d.lack, d.silent)
	return d
}

func sortAll(lists ...[]string) {
	for _, l := range lists {
		slices.Sort(l)
	}
}
