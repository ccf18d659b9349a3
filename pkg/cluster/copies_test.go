package cluster_test

import (
	"strings"
	"testing"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// TestForeign: the master's history is timeline 1 signed at 10, timeline 2 from 100, timeline 4 from 200 (3 was promoted there, and crashed
// before it had signed).
func TestForeign(t *testing.T) {
	one := cluster.Epoch{Epoch: 1, Master: "a", Nonce: "x", Timeline: 1, Fork: 10}
	two := cluster.Epoch{Epoch: 2, Master: "b", Nonce: "y", Timeline: 2, Fork: 100}
	four := cluster.Epoch{Epoch: 4, Master: "c", Nonce: "z", Timeline: 4, Fork: 200}
	twin := cluster.Epoch{Epoch: 2, Master: "b", Nonce: "other", Timeline: 2, Fork: 100}
	master := []cluster.Epoch{one, two, four}
	for _, tt := range []struct {
		name     string
		timeline cluster.Timeline
		position cluster.LSN
		rows     []cluster.Epoch
		want     string // part of the reason; "" it is a copy
	}{
		{"a copy to its last byte", 4, 300, master, ""},
		{"behind, on the timeline before", 2, 150, []cluster.Epoch{one, two}, ""},
		{"exactly at a fork, before it", 1, 100, []cluster.Epoch{one}, ""},
		{"exactly at a fork, after it", 2, 100, []cluster.Epoch{one}, ""},
		{"before anything was signed", 1, 5, nil, ""},
		{"beyond the fork without the row", 1, 101, []cluster.Epoch{one}, "lacks the row of epoch 2"},
		{"between a fork and its row", 2, 101, []cluster.Epoch{one}, "lacks the row of epoch 2"},
		{"another promotion to the same timeline at the same position", 2, 150, []cluster.Epoch{one, twin}, "lacks the row of epoch 2"},
		{"the row, and one that the master lacks", 2, 150, []cluster.Epoch{one, two, {Epoch: 3, Master: "d", Timeline: 3, Fork: 140}}, "which the master lacks"},
		{"promoted by hand, unsigned, before the next fork", 3, 150, []cluster.Epoch{one, two}, "timeline 3 at 0/96, where the master's history was on 2"},
		{"on the timeline that crashed before it signed", 3, 201, []cluster.Epoch{one, two}, "lacks the row of epoch 4"},
		{"a timeline before anything was signed", 2, 5, nil, "beyond the 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := cluster.Foreign(&cluster.Facts{Timeline: tt.timeline, Rows: tt.rows}, master, tt.position)
			if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestNewRow: a row begins where the history left the last signed timeline, however many nobody signed since.
func TestNewRow(t *testing.T) {
	rows := []cluster.Epoch{{Epoch: 1, Timeline: 1, Fork: 10}}
	history := cluster.History{{Parent: 1, At: 100}, {Parent: 2, At: 105}}
	if r := cluster.NewRow(2, "b", "n", 3, history, rows, 110); r.Fork != 100 || r.Timeline != 3 || r.Epoch != 2 || r.Master != "b" || r.Nonce != "n" {
		t.Errorf("after a promotion that crashed: %+v", r)
	}
	if r := cluster.NewRow(1, "a", "n", 1, nil, nil, 50); r.Fork != 50 {
		t.Errorf("a master that is signed where it is: %+v", r)
	}
	if r := cluster.NewRow(3, "a", "n", 1, nil, rows, 50); r.Fork != 50 {
		t.Errorf("adopted on the same timeline: %+v", r)
	}
}

// TestReconcilePool: a pool follows a master that clients may come to, and nothing else.
func TestReconcilePool(t *testing.T) {
	s, _, p := wellRegion(t)
	f := &cluster.PoolFacts{Host: "p1", Backend: "b"}
	if acts := cluster.ReconcilePool(&s, f, &p); len(acts) != 1 || acts[0].Do != cluster.DoPointPool || acts[0].Host != "a" {
		t.Errorf("a pool on another server: %+v", acts)
	}
	none := func(why string, s cluster.State, f *cluster.PoolFacts, p cluster.Policy) {
		t.Helper()
		if acts := cluster.ReconcilePool(&s, f, &p); len(acts) != 0 {
			t.Errorf("%s: %+v", why, acts)
		}
	}
	none("it is right already", s, &cluster.PoolFacts{Host: "p1", Backend: "a"}, p)
	closed, halted, watching := s, s, p
	closed.Opened, halted.Halted, watching.Inactive = false, "signed above", true
	none("clients may not come yet", closed, f, p)
	none("halted", halted, f, p)
	none("only watching", s, f, watching)
	none("nobody is master", script2(t, s, cluster.Command{Kind: cluster.OpenVote, Host: "a"}), f, p)
}

// TestHalfARecord: a standby of a master that died has the beginning of a record whose end nobody has. It ends before that, where a promotion
// would begin a timeline, and is not ahead of a master that began there.
func TestHalfARecord(t *testing.T) {
	c := &cluster.Facts{Host: "c", Running: true, Recovery: true, AtEnd: true, Received: 130, Replayed: 121}
	if at, ok := cluster.Sound().Final(c); !ok || at != 121 {
		t.Errorf("it ends at %s, %v", at, ok)
	}
	b := &cluster.Facts{Host: "b", Running: true, Current: 125}
	if ahead := cluster.AheadOf(b, &cluster.Sight{Heard: []cluster.Heard{{Report: &cluster.Report{Host: "c", Facts: c}}}}); len(ahead) != 0 {
		t.Errorf("%v is taken to be ahead", ahead)
	}
	c.Replayed = 126
	if ahead := cluster.AheadOf(b, &cluster.Sight{Heard: []cluster.Heard{{Report: &cluster.Report{Host: "c", Facts: c}}}}); len(ahead) != 1 {
		t.Errorf("a whole record more is not noticed: %v", ahead)
	}
}
