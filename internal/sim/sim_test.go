package sim_test

import (
	"encoding/json"
	"flag"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pgctl/pgctl/internal/sim"
)

var (
	schedules = flag.Int("schedules", 2000, "how many schedules TestSchedules runs; make sim runs more")
	update    = flag.Bool("update", false, "look anew for the first schedule that notices each mutant, and write testdata/sim/mutants.json")
	limit     = flag.Uint64("limit", 20000, "with -update: how many schedules a mutant may survive")
)

// TestSchedules runs the schedules from 1 on. One that fails tells its story.
func TestSchedules(t *testing.T) {
	var total sim.Total
	for s := uint64(1); s <= uint64(*schedules); s++ {
		r := sim.Run(s, sim.None, false)
		total.Add(r)
		if r.Violation != "" {
			t.Fatal(sim.Run(s, sim.None, true))
		}
	}
	if total.Acks == 0 || total.Masters < *schedules || total.Promises == 0 || total.Longest < 5*time.Second {
		t.Errorf("the schedules did not happen: %s", total)
	}
	t.Logf("%d schedules: %s", *schedules, total)
}

// TestSameSeedSameStory: a failing number is all that has to be kept.
func TestSameSeedSameStory(t *testing.T) {
	for s := uint64(1); s < 20; s++ {
		a, b := sim.Run(s, sim.None, true), sim.Run(s, sim.None, true)
		if len(a.Story) < 5 || !slices.Equal(a.Story, b.Story) {
			t.Errorf("schedule %d went two ways", s)
		}
	}
}

// TestKept runs the schedules that have once failed, or that show something by themselves: testdata/sim/kept.txt, a number and why a line.
func TestKept(t *testing.T) {
	text, err := os.ReadFile("../../testdata/sim/kept.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		number, why, _ := strings.Cut(strings.TrimSpace(line), " ")
		s, err := strconv.ParseUint(number, 10, 64)
		if err != nil || why == "" {
			t.Fatalf("%q is not a number and a reason", line)
		}
		if r := sim.Run(s, sim.None, true); r.Violation != "" {
			t.Errorf("%s: %s", why, r)
		}
	}
}

const mutantFile = "../../testdata/sim/mutants.json"

// TestMutants: each of the mistakes that docs/safety.md lists is noticed. The file says after how many schedules, counted from the first;
// the test runs that one, with the mistake and without.
func TestMutants(t *testing.T) {
	found := map[string]uint64{}
	if text, err := os.ReadFile(mutantFile); err != nil && !*update {
		t.Fatal(err)
	} else if err == nil {
		if err := json.Unmarshal(text, &found); err != nil {
			t.Fatal(err)
		}
	}
	for m := sim.None + 1; m < sim.Mutants; m++ {
		if *update {
			found[m.String()] = search(m)
		}
		s := found[m.String()]
		r := sim.Run(s, m, false)
		if s == 0 || r.Violation == "" {
			t.Errorf("mutant %d, %s, is not noticed by schedule %d (go test ./internal/sim -run TestMutants -update)", m, m, s)
			continue
		}
		t.Logf("mutant %d, %s, after %d schedules: %s", m, m, s, r.Violation)
		if r := sim.Run(s, sim.None, false); r.Violation != "" {
			t.Errorf("schedule %d fails without mutant %d too: %s", s, m, r.Violation)
		}
	}
	if *update {
		text, _ := json.MarshalIndent(found, "", "  ")
		if err := os.WriteFile(mutantFile, append(text, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// search gives the first schedule that notices the mutant; 0 none did.
func search(m sim.Mutant) uint64 {
	for s := uint64(1); s <= *limit; s++ {
		if sim.Run(s, m, false).Violation != "" {
			return s
		}
	}
	return 0
}
