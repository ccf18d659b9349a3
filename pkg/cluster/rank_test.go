package cluster_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// better is Compare once more, as somebody who distrusts it would write it down.
func better(a, b cluster.Candidate) bool {
	if a.Failed && !b.Failed {
		return false
	}
	if !a.Failed && b.Failed {
		return true
	}
	if a.Wanted && !b.Wanted {
		return true
	}
	if !a.Wanted && b.Wanted {
		return false
	}
	if a.Position > b.Position {
		return true
	}
	if a.Position < b.Position {
		return false
	}
	if a.Old && !b.Old {
		return false
	}
	if !a.Old && b.Old {
		return true
	}
	return a.Host < b.Host
}

// TestCompareAgainstItsTwin: the order is total, and the same as the twin's, for every pair and triple of a small world.
func TestCompareAgainstItsTwin(t *testing.T) {
	var all []cluster.Candidate
	for i := range 48 {
		all = append(all, cluster.Candidate{Host: fmt.Sprintf("h%02d", i), Position: cluster.LSN(i % 3), Failed: i/3%2 == 1, Old: i/6%2 == 1, Wanted: i/24 == 1})
	}
	for _, a := range all {
		for _, b := range all {
			got := cluster.Compare(a, b)
			if (got < 0) != (a != b && better(a, b)) || (got == 0) != (a == b) || got != -cluster.Compare(b, a) {
				t.Errorf("%+v and %+v: %d", a, b, got)
			}
			for _, c := range all {
				if got < 0 && cluster.Compare(b, c) < 0 && cluster.Compare(a, c) >= 0 {
					t.Errorf("%+v, %+v, %+v are no order", a, b, c)
				}
			}
		}
	}
	healthy := slices.DeleteFunc(slices.Clone(all), func(c cluster.Candidate) bool { return c.Failed || c.Wanted })
	if best := slices.MinFunc(healthy, cluster.Compare); best.Position != 2 {
		t.Errorf("the best is not the furthest: %+v", best)
	}
}
