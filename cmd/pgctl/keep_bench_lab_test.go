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
	taken := map[string][]float64{}
	t.Cleanup(func() { t.Logf("\n%s", benchTable(taken)) }) // the regions have their turns after this function: -parallel 1
	for _, spec := range []lab.Spec{{NoPools: true}, {}} {
		t.Run(fmt.Sprintf("pools %v", !spec.NoPools), func(t *testing.T) {
			spec.Watcher = map[string]string{"down_after": benchDownAfter.String(), "standby_down_after": "3s"}
			r := keptRegion(t, spec)
			for range runs {
				for _, b := range benchTroubles(spec.NoPools) {
					b.unheard = true
					out := suffers(t, r, &b.trouble)
					if spec.NoPools {
						taken[b.name] = append(taken[b.name], out.direct.Seconds())
					} else {
						taken[b.pool] = append(taken[b.pool], (out.pool - b.less).Seconds())
					}
				}
			}
		})
	}
}

// benchDownAfter is the least that server.yaml allows: the shortest lease and stop time, and the drift of two clocks.
const benchDownAfter = 5 * time.Second

// What is measured.
const (
	benchPostmaster = "postmaster killed"
	benchSwitchover = "switchover"
	benchMaster     = "master cut off"
	benchStandby    = "standby cut off"
	benchSwitchPool = "switchover, through pgpool"
	benchPool       = "master cut off, through pgpool, after down_after"
)

// bench is a trouble, and under which name it counts for a pool's application, less a time; "" it is not measured there.
type bench struct {
	trouble
	pool string
	less time.Duration
}

// benchTroubles are those of a region without pools, as others were measured in one, and those of one with them.
func benchTroubles(direct bool) []bench {
	heal := func(t *testing.T, r *lab.Region, _ *lab.Host) {
		for _, h := range r.Servers() {
			must(t, h.Heal(t.Context()))
		}
	}
	all := []bench{
		{trouble: trouble{name: benchPostmaster, inject: func(t *testing.T, _ *lab.Region, m *lab.Host) { killPostmaster(t, m) }, lasts: 5 * time.Second}},
		{pool: benchSwitchPool, trouble: trouble{name: benchSwitchover, inject: func(t *testing.T, r *lab.Region, _ *lab.Host) { pgctl(t, r, "switchover", "--yes") }, moves: true, lasts: 3 * time.Second}},
		{pool: benchPool, less: benchDownAfter, trouble: trouble{name: benchMaster, inject: func(t *testing.T, _ *lab.Region, m *lab.Host) { must(t, m.Cut(t.Context())) }, heal: heal, moves: true, lasts: 5 * time.Second}},
		{trouble: trouble{name: benchStandby, inject: func(t *testing.T, r *lab.Region, m *lab.Host) { must(t, standbysOf(r, m)[0].Cut(t.Context())) }, heal: heal, lasts: 10 * time.Second}},
	}
	return slices.DeleteFunc(all, func(b bench) bool { return !direct && b.pool == "" })
}

// others' medians in seconds, with timers as short as each allows; measured on one machine in the same way (docs/bench.md).
var benchOthers = map[string][4]float64{
	benchPostmaster: {1.94, 3.02, 1.05, 1.68},
	benchSwitchover: {1.41, 1.54, 1.25, 0.93},
	benchMaster:     {22.46, 21.56, 9.78, 9.76},
	benchStandby:    {5.79, 5.39, 3.70, 0.07},
}

func benchTable(taken map[string][]float64) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| seconds without an acknowledged write | pgctl: median (least-most) | runs | Patroni 3.0.2 | Patroni 4.1.4 | pg_auto_failover 2.0 | repmgr 5.3.3 |\n| --- | --- | --- | --- | --- | --- | --- |\n")
	for _, name := range []string{benchPostmaster, benchSwitchover, benchMaster, benchStandby, benchSwitchPool, benchPool} {
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
