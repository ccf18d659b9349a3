package failover

import (
	"testing"
	"time"

	"github.com/pgctl/pgctl/pkg/postgres"
)

// TestProgressText: the first moment of a renewal says nothing of how long it will take.
func TestProgressText(t *testing.T) {
	for _, tt := range []struct {
		p     postgres.Progress
		since time.Duration
		want  string
	}{
		{postgres.Progress{Note: "cloned instead"}, time.Minute, "cloned instead"},
		{postgres.Progress{Done: 8 << 20}, time.Minute, "8.0 MiB"},
		{postgres.Progress{Done: 8 << 10, Total: 100 << 20}, 90 * time.Second, "8.0 KiB of 100.0 MiB, 0%"},
		{postgres.Progress{Done: 50 << 20, Total: 100 << 20}, time.Second, "50.0 MiB of 100.0 MiB, 50%"},
		{postgres.Progress{Done: 50 << 20, Total: 100 << 20}, 10 * time.Second, "50.0 MiB of 100.0 MiB, 50%, 5.0 MiB/s, 10s left"},
	} {
		if got := progressText(tt.p, tt.since); got != tt.want {
			t.Errorf("%q, expected %q", got, tt.want)
		}
	}
}
