package sim_test

import (
	"flag"
	"testing"
	"time"

	"github.com/pgctl/pgctl/internal/sim"
)

var (
	seed      = flag.Uint64("seed", 0, "run this schedule alone and print its story")
	schedules = flag.Int("schedules", 2000, "how many schedules TestSchedules runs")
	mutant    = flag.Int("mutant", 0, "with -seed: the mutant")
)

// TestSchedules runs the schedules from 1 on. A seed that fails is run again with its story.
func TestSchedules(t *testing.T) {
	if *seed != 0 {
		r := sim.Run(*seed, sim.Mutant(*mutant), true)
		t.Logf("%s", r)
		return
	}
	failed := 0
	var promised time.Duration
	for s := uint64(1); s <= uint64(*schedules); s++ {
		r := sim.Run(s, sim.None, false)
		if r.Promise {
			promised = max(promised, r.Whole)
		}
		if r.Violation != "" {
			t.Errorf("schedule %d, %s: %s", s, r.Topology, r.Violation)
			if failed++; failed > 30 {
				t.FailNow()
			}
		}
	}
	t.Logf("after a lasting fault of the master another one served within %s", promised)
}
