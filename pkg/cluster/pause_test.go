package cluster_test

import (
	"testing"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// TestPauseMayReplace: nobody's pause is ended by a smaller one of somebody else, or for something else.
func TestPauseMayReplace(t *testing.T) {
	const early, late = "2026-01-02T05:00:00Z", "2026-01-02T15:00:00Z"
	region := &cluster.Pause{Owner: "anna", Until: early}
	host := &cluster.Pause{Owner: "anna", Until: early, Host: "db1"}
	for _, tt := range []struct {
		name string
		old  *cluster.Pause
		next cluster.Pause
		want bool
	}{
		{"there is none", nil, cluster.Pause{Owner: "bert", Until: early, Host: "db1"}, true},
		{"longer, of the same owner", region, cluster.Pause{Owner: "anna", Until: late}, true},
		{"shorter, of the same owner", &cluster.Pause{Owner: "anna"}, cluster.Pause{Owner: "anna", Until: early}, true},
		{"of one host, of the same owner", region, cluster.Pause{Owner: "anna", Until: late, Host: "db1"}, false},
		{"of one host, of another owner", region, cluster.Pause{Owner: "bert", Host: "db1"}, false},
		{"of another host", host, cluster.Pause{Owner: "anna", Until: late, Host: "db2"}, false},
		{"wider, and longer", host, cluster.Pause{Owner: "bert", Until: late}, true},
		{"wider, and shorter", &cluster.Pause{Owner: "anna", Until: late, Host: "db1"}, cluster.Pause{Owner: "bert", Until: early}, false},
		{"as long, of another owner", region, cluster.Pause{Owner: "bert", Until: early}, true},
		{"without an end, of another owner", region, cluster.Pause{Owner: "bert"}, true},
		{"with an end in place of none", &cluster.Pause{Owner: "anna"}, cluster.Pause{Owner: "bert", Until: late}, false},
	} {
		if got := tt.next.MayReplace(tt.old); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}
