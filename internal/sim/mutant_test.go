package sim_test

import (
	"flag"
	"testing"

	"github.com/pgctl/pgctl/internal/sim"
)

var mutantLimit = flag.Int("mutants", 3000, "how many schedules a mutant may survive")

// TestMutants: each mistake is noticed. It says after how many schedules.
func TestMutants(t *testing.T) {
	for m := sim.None + 1; m < sim.Mutants; m++ {
		t.Run(m.String(), func(t *testing.T) {
			t.Parallel()
			for s := 1; s <= *mutantLimit; s++ {
				if r := sim.Run(uint64(s), m, false); r.Violation != "" {
					t.Logf("mutant %d noticed after %d schedules: %s", m, s, r.Violation)
					return
				}
			}
			t.Errorf("mutant %d: not noticed in %d schedules", m, *mutantLimit)
		})
	}
}
