package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/plan"
)

// TestReportRefusal: a refusal says that nothing was changed, so it must not be what a plan that stopped half-way ends with.
func TestReportRefusal(t *testing.T) {
	refusal := &cluster.Refusal{Risks: []cluster.Risk{{Evidence: "two masters"}}}
	stopped := &plan.Stopped{Changed: true, Err: fmt.Errorf("%w: %w", plan.ErrGuard, refusal)}
	for _, tt := range []struct {
		err  error
		code int
		says string
	}{
		{fmt.Errorf("db1: %w", refusal), exitRefused, "pgctl: refused: two masters\npgctl: nothing was changed\n"},
		{&exitError{code: exitPartway, err: stopped, hint: "run it again"}, exitPartway, "two masters\npgctl: hint: run it again\n"},
	} {
		var out bytes.Buffer
		if code := report(t.Context(), &out, tt.err); code != tt.code || !strings.HasSuffix(out.String(), tt.says) {
			t.Errorf("exit code %d: %s", code, out.String())
		}
	}
}

// TestPrintRefusal: a script that asked for a document gets the reasons in one; one of a plan that stopped half-way is no refusal.
func TestPrintRefusal(t *testing.T) {
	refusal := &cluster.Refusal{Risks: []cluster.Risk{{Name: "data-loss", Evidence: "2 transactions", Hint: "look"}, {Evidence: "two masters"}}}
	const want = `{
  "refused": [
    {
      "risk": "data-loss",
      "evidence": "2 transactions",
      "hint": "look"
    },
    {
      "risk": null,
      "evidence": "two masters",
      "hint": ""
    }
  ]
}
`
	for _, tt := range []struct {
		output, want string
		err          error
	}{
		{"json", want, fmt.Errorf("db1: %w", refusal)},
		{"table", "", refusal},
		{"json", "", &exitError{code: exitPartway, err: refusal}},
		{"json", "", nil},
	} {
		var out bytes.Buffer
		if err := (&app{out: &out, output: tt.output}).printRefusal(tt.err); err != nil || out.String() != tt.want {
			t.Errorf("%s, %v: %v, %s", tt.output, tt.err, err, out.String())
		}
	}
}

func TestWrapper(t *testing.T) {
	var out bytes.Buffer
	w := &wrapper{&out, 30}
	fmt.Fprintf(w, "pgctl: error: %s\n", "db2 is out of reach and may be a master too")
	fmt.Fprintln(w, "short: stays   as it is")
	if want := "pgctl: error: db2 is out\n    of reach and may be a\n    master too\nshort: stays   as it is\n"; out.String() != want {
		t.Errorf("got %q", out.String())
	}
}
