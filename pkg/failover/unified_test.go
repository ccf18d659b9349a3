package failover_test

import (
	"testing"

	"github.com/pgctl/pgctl/pkg/failover"
)

func TestUnified(t *testing.T) {
	for _, tt := range []struct{ name, before, after, want string }{
		{"nothing", "a\nb\n", "a\nb\n", ""},
		{"in the middle", "1\n2\n3\n4\nx\n6\n7\n8\n9\n", "1\n2\n3\n4\ny\n6\n7\n8\n9\n", "--- f\n+++ f\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-x\n+y\n 6\n 7\n 8\n"},
		{"at the beginning, short", "x\n", "y\n", "--- f\n+++ f\n@@ -1,1 +1,1 @@\n-x\n+y\n"},
		{"two lines with one between", "x\n-\nx", "y\n-\ny", "--- f\n+++ f\n@@ -1,3 +1,3 @@\n-x\n+y\n -\n-x\n\\ No newline at end of file\n+y\n\\ No newline at end of file\n"},
	} {
		if got := failover.Unified("f", []byte(tt.before), []byte(tt.after)); got != tt.want {
			t.Errorf("%s: %q", tt.name, got)
		}
	}
}
