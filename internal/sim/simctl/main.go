// Command simctl runs schedules of the simulated region, on every core, and says what came of them: `make sim`.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/pgctl/pgctl/internal/sim"
)

func main() {
	n := flag.Uint64("n", 100_000, "how many schedules")
	from := flag.Uint64("from", 1, "the first one")
	mutant := flag.Int("mutant", 0, "with this mistake in the decisions")
	story := flag.Uint64("story", 0, "run this schedule alone and tell its story")
	flag.Parse()
	if *story != 0 {
		fmt.Fprintln(os.Stdout, sim.Run(*story, sim.Mutant(*mutant), true))
		return
	}
	if run(os.Stdout, *from, *n, sim.Mutant(*mutant)) > 0 {
		os.Exit(1)
	}
}

// run runs the schedules, prints the story of the first that fails, and at last the line that counts.
func run(out io.Writer, from, n uint64, m sim.Mutant) (violations int) {
	begun := time.Now()
	var total sim.Total
	var mu sync.Mutex
	var all sync.WaitGroup
	cores := uint64(runtime.GOMAXPROCS(0))
	for core := range cores {
		all.Go(func() {
			for s := from + core; s < from+n; s += cores {
				r := sim.Run(s, m, false)
				mu.Lock()
				total.Add(r)
				if r.Violation != "" {
					fmt.Fprintf(out, "schedule %d, %s: %s (go run ./internal/sim/simctl -story %d)\n", s, r.Topology, r.Violation, s)
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	took := time.Since(begun)
	fmt.Fprintf(out, "%s\n%.0f schedules a second on %d cores, %s in all\n", total, float64(n)/took.Seconds(), cores, took.Round(time.Second))
	fmt.Fprintf(out, "%d schedules, %d violations\n", n, total.Violations)
	return total.Violations
}
