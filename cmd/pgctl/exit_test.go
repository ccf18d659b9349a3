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
