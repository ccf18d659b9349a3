package nodes

import (
	"testing"
	"time"
)

func TestStopTimeOf(t *testing.T) {
	const s = time.Second
	for _, tt := range []struct{ downAfter, stop, lease time.Duration }{
		{5 * s, 2 * s, 2 * s},
		{5500 * time.Millisecond, 2500 * time.Millisecond, 2 * s},
		{6 * s, 3 * s, 2 * s},
		{7 * s, 4 * s, 2 * s},
		{8 * s, 5 * s, 2 * s},
		{9 * s, 5 * s, 3 * s},
		{14 * s, 5 * s, 7 * s},
		{120 * s, 5 * s, 10 * s},
	} {
		stop, lease := StopTimeOf(tt.downAfter), defaultLease(tt.downAfter)
		if stop != tt.stop || lease != tt.lease || lease+stop+ClockDrift > tt.downAfter {
			t.Errorf("down_after %s: %s to stop and a lease of %s, expected %s and %s", tt.downAfter, stop, lease, tt.stop, tt.lease)
		}
	}
}
