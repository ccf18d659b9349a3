package nodes

import (
	"errors"
	"strings"
	"testing"
)

func TestEditNodeList(t *testing.T) {
	tests := []struct{ name, before, after, says string }{
		{name: "one host", before: "nodes=\"ks0\"\n", after: "nodes=\"ks1\"\n"},
		{name: "bare, with a comment that names it", before: "# ks0 is the master\r\nnodes=ks0 # ks0\r\n", after: "# ks0 is the master\r\nnodes=ks1 # ks0\r\n"},
		{name: "beside others", before: "nodes=(ks00 'ks0' ks0-a)\n", after: "nodes=(ks00 'ks1' ks0-a)\n"},
		{name: "a plain list", before: "ks0\n", after: "ks1\n"},
		{name: "an earlier value that is overwritten", before: "nodes=ks0\nnodes='ks0'\n", after: "nodes=ks0\nnodes='ks1'\n"},
		{name: "not there", before: "nodes=ks5\n", says: `x: does not list the host "ks0", expected it; correct the file`},
		{name: "in pieces", before: "a=ks\nnodes=${a}0\n", says: "does not name the host"},
		{name: "the other one is there too", before: "nodes='ks0 ks1'\n", says: "does not name the host"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := EditNodeList(File{"x", []byte(tt.before)}, "ks0", "ks1")
			var problems Problems
			if tt.says != "" {
				if !errors.As(err, &problems) || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("got %q, %v; expected the problem %s", got, err, tt.says)
				}
				return
			}
			if err != nil || string(got) != tt.after {
				t.Errorf("got %q, %v; expected %q", got, err, tt.after)
			}
		})
	}
}
