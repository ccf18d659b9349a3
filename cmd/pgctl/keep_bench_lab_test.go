//go:build lab

package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pgctl/pgctl/internal/lab"
)

// TestBenchKeep measures how long an application sees no write acknowledged, BENCH_RUNS times each (10), and prints the medians beside those of
// others (docs/bench.md).
func TestBenchKeep(t *testing.T) {
	runs, err := strconv.Atoi(os.Getenv("BENCH_RUNS"))
	if err != nil {
		runs = 10
	}
	r := keptRegion(t, lab.Spec{Watcher: map[string]string{"down_after": benchDownAfter.String(), "standby_down_after": "3s"}})
	taken := map[string][]float64{}
	for range runs {
		for _, tr := range benchTroubles() {
			tr.unheard = true
			out := suffers(t, r, &tr)
			taken[tr.name] = append(taken[tr.name], out.direct.Seconds())
			if tr.moves {
				taken[benchPool] = append(taken[benchPool], (out.pool - benchDownAfter).Seconds())
			}
		}
	}
	t.Logf("\n%s", benchTable(taken))
}

// benchDownAfter is the least that server.yaml allows: the shortest lease, the time of a stop, and the drift of two clocks.
const benchDownAfter = 8 * time.Second

// What is measured. The last one is counted from the end of down_after.
const (
	benchPostmaster = "postmaster killed"
	benchMaster     = "master cut off"
	benchStandby    = "standby cut off"
	benchPool       = "first write through pgpool after down_after"
)

func benchTroubles() []trouble {
	heal := func(t *testing.T, r *lab.Region, _ *lab.Host) {
		for _, h := range r.Servers() {
			must(t, h.Heal(t.Context()))
		}
	}
	return []trouble{
		{name: benchPostmaster, inject: func(t *testing.T, _ *lab.Region, m *lab.Host) { killPostmaster(t, m) }, lasts: 5 * time.Second},
		{name: benchMaster, inject: func(t *testing.T, _ *lab.Region, m *lab.Host) { must(t, m.Cut(t.Context())) }, heal: heal, moves: true, lasts: 5 * time.Second},
		{name: benchStandby, inject: func(t *testing.T, r *lab.Region, m *lab.Host) { must(t, standbysOf(r, m)[0].Cut(t.Context())) }, heal: heal, lasts: 10 * time.Second},
	}
}

// others' medians in seconds, with timers as short as each allows; measured on one machine in the same way (docs/bench.md).
var benchOthers = map[string][4]float64{
	benchPostmaster: {1.94, 3.02, 1.05, 1.68},
	benchMaster:     {22.46, 21.56, 9.78, 9.76},
	benchStandby:    {5.79, 5.39, 3.70, 0.07},
}

func benchTable(taken map[string][]float64) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| seconds without an acknowledged write | pgctl: median (least-most) | runs | Patroni 3.0.2 | Patroni 4.1.4 | pg_auto_failover 2.0 | repmgr 5.3.3 |\n| --- | --- | --- | --- | --- | --- | --- |\n")
	for _, name := range []string{benchPostmaster, benchMaster, benchPool, benchStandby} {
		all := slices.Sorted(slices.Values(taken[name]))
		if len(all) == 0 {
			continue
		}
		fmt.Fprintf(&b, "| %s | %.2f (%.2f-%.2f) | %d |", name, (all[(len(all)-1)/2]+all[len(all)/2])/2, all[0], all[len(all)-1], len(all))
		if o, ok := benchOthers[name]; ok {
			fmt.Fprintf(&b, " %.2f | %.2f | %.2f | %.2f |\n", o[0], o[1], o[2], o[3])
		} else {
			fmt.Fprintln(&b, " - | - | - | - |")
		}
	}
	return b.String()
}
