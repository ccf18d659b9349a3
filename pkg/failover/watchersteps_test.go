package failover

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgctl/pgctl/pkg/plan"
	"github.com/pgctl/pgctl/pkg/remote"
)

// shelved is a host that only has a shelf; nil: it does not answer.
type shelved struct {
	remote.Host

	shelf *Shelf
	did   *[]string
}

func (h shelved) Run(_ context.Context, cmd remote.Command) (remote.Result, error) {
	if h.shelf == nil {
		return remote.Result{}, errors.New("no answer")
	}
	if !slices.Contains(cmd.Args, "look") {
		*h.did = append(*h.did, strings.Join(cmd.Args, " "))
		return remote.Result{}, nil
	}
	if h.shelf.Problem == "garbled" {
		return remote.Result{Stdout: []byte("hello")}, nil
	}
	text, err := json.Marshal(h.shelf)
	return remote.Result{Stdout: text}, err
}

// TestQuorumReset: just before it is made, the lost are still lost, nobody's watcher runs, and nobody knows more.
func TestQuorumReset(t *testing.T) {
	old := func(index uint64) *Store { return &Store{Term: 4, Index: index} }
	for _, tt := range []struct {
		name   string
		change func(shelves map[string]*Shelf)
		want   string
	}{
		{"as planned", func(map[string]*Shelf) {}, ""},
		{"a lost one came back", func(s map[string]*Shelf) { s["db2"] = &Shelf{Running: true, Store: old(95)} }, "db2 answers by now"},
		{"it came back emptied", func(s map[string]*Shelf) { s["db2"] = &Shelf{} }, ""},
		{"it came back emptied, and runs", func(s map[string]*Shelf) { s["db2"] = &Shelf{Running: true} }, "db2 answers by now"},
		{"it answers something", func(s map[string]*Shelf) { s["db2"] = &Shelf{Problem: "garbled"} }, "db2 answers by now"},
		{"one is gone", func(s map[string]*Shelf) { s["arb1"] = nil }, "arb1: no answer"},
		{"a watcher runs", func(s map[string]*Shelf) { s["arb1"].Running = true }, "the watcher of arb1 runs"},
		{"one knows more", func(s map[string]*Shelf) { s["arb1"].Store = old(91) }, "arb1 knows more than db1"},
		{"one cannot be read", func(s map[string]*Shelf) { s["arb1"] = &Shelf{Problem: "half"} }, "arb1 has of the quorum cannot be read: half"},
		{"it has nothing any more", func(s map[string]*Shelf) { s["db1"].Store = nil }, "db1 has nothing"},
	} {
		shelves, did := map[string]*Shelf{"db1": {Store: old(90)}, "arb1": {Store: old(80)}}, []string(nil)
		tt.change(shelves)
		w := &Watchers{Hosts: func(name string) remote.Host { return shelved{shelf: shelves[name], did: &did} }, Timeout: time.Second, Binary: "pgctl"}
		err := w.reset(t.Context(), plan.Step{Host: "db1", Args: map[string]string{"reset": "r1", "hosts": "arb1 db1", "by": "root", "lost": "db2"}})
		switch {
		case tt.want == "" && (err != nil || !slices.Equal(did, []string{"pgctl store reset --id r1 --host db1 --by root --lost db2"})):
			t.Errorf("%s: %v, did %q", tt.name, err, did)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || did != nil):
			t.Errorf("%s: %v, did %q", tt.name, err, did)
		}
	}
}

// TestWhatIsDone: what a step of a reset has come to, by what is on the host.
func TestWhatIsDone(t *testing.T) {
	s := plan.Step{Args: map[string]string{"reset": "r1"}}
	old, anew := &Store{Index: 9}, &Store{Index: 9, Resets: []string{"r1"}}
	for _, tt := range []struct {
		name       string
		shelf      Shelf
		out, aside bool
	}{
		{"it runs in the old one", Shelf{Running: true, Store: old}, false, false},
		{"stopped", Shelf{Store: old}, true, false},
		{"set aside", Shelf{Aside: []string{"r1"}}, true, true},
		{"set aside, and begins", Shelf{Running: true, Aside: []string{"r1"}}, true, true},
		{"set aside, and has only begun", Shelf{Running: true, Problem: "it has only begun", Aside: []string{"r1"}}, false, false},
		{"taken in", Shelf{Running: true, Store: anew, Aside: []string{"r1"}}, true, true},
		{"it came back, set its store aside by itself, and was taken in", Shelf{Running: true, Store: anew, Aside: []string{"superseded-20260101T000000Z"}}, true, true},
		{"a copy was kept, and the reset did not come about", Shelf{Running: true, Store: old, Aside: []string{"r1"}}, false, false},
		{"it cannot be read", Shelf{Problem: "half", Aside: []string{"r1"}}, true, false},
		{"never there", Shelf{}, true, true},
	} {
		if err := isOut(s, &tt.shelf); (err == nil) != tt.out {
			t.Errorf("%s: out: %v", tt.name, err)
		}
		if err := isAside(s, &tt.shelf); (err == nil) != tt.aside {
			t.Errorf("%s: aside: %v", tt.name, err)
		}
	}
}
