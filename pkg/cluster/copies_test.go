package cluster_test

import (
	"slices"
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
		{"promoted by hand just before the fork, to a timeline of the same number, and stopped where the fork is", 2, 100, []cluster.Epoch{one}, "timeline 2 at 0/64, where the master's history was on 1"},
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

// TestNewRow: a row says from where on data without it is not, or not provably, the master's; and it tells itself from one that was written in
// another history.
func TestNewRow(t *testing.T) {
	first := cluster.Epoch{Epoch: 1, Master: "a", Nonce: "x", Timeline: 1, Fork: 10}
	old := cluster.Epoch{Epoch: 1, Master: "a", Nonce: "x", Timeline: 1} // as of a deployment of before, at the beginning of everything
	brought := cluster.Epoch{Epoch: 8, Master: "z", Nonce: "y", Timeline: 7, Fork: 3}
	history := cluster.History{{Parent: 1, At: 100}, {Parent: 2, At: 105}}
	for _, tt := range []struct {
		name     string
		rows     []cluster.Epoch
		timeline cluster.Timeline
		history  cluster.History
		fork     cluster.LSN
	}{
		{"the first one, however late", nil, 1, nil, 110},
		{"the first one, on a timeline of later", nil, 3, history, 105},
		{"after a promotion", []cluster.Epoch{first}, 2, history[:1], 100},
		{"after two promotions, the first of which nobody signed", []cluster.Epoch{first}, 3, history, 100},
		{"on the timeline of the last one: formed, or adopted", []cluster.Epoch{first}, 1, nil, 110},
		{"after a row from the beginning of everything", []cluster.Epoch{old}, 2, history[:1], 100},
		{"after a row that an upgrade has brought along", []cluster.Epoch{brought}, 3, history, 105},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := cluster.NewRow(9, "b", "n", tt.timeline, tt.history, tt.rows, 110)
			if want := (cluster.Epoch{Epoch: 9, Master: "b", Nonce: "n", Timeline: tt.timeline, Fork: tt.fork}); r != want {
				t.Errorf("got %+v, want %+v", r, want)
			}
			rows := append(slices.Clone(tt.rows), r)
			later := append(slices.Clone(tt.history), cluster.Fork{Parent: tt.timeline, At: 120})
			if n := len(tt.rows); !tt.history.Wrote(tt.timeline, rows, n) || !later.Wrote(tt.timeline+1, rows, n) {
				t.Error("it is not taken for a row of its own history")
			}
			if got, ok := tt.history.RowOf(tt.timeline, rows); !ok || got != r {
				t.Errorf("the row of timeline %d is %+v, %v", tt.timeline, got, ok)
			}
			if len(tt.rows) > 0 && tt.rows[0] == brought && tt.history.Wrote(tt.timeline, rows, 0) {
				t.Error("the row of another history is taken for one of this one")
			}
		})
	}
	for name, other := range map[string]cluster.History{"left elsewhere": {{Parent: 1, At: 90}}, "never on that timeline": {{Parent: 1, At: 100}, {Parent: 3, At: 102}}} {
		rows := []cluster.Epoch{first, {Epoch: 2, Master: "b", Nonce: "n", Timeline: 2, Fork: 100}}
		if other.Wrote(4, rows, 1) {
			t.Errorf("%s: taken for its own", name)
		}
	}
	if (cluster.Epoch{Nonce: cluster.HandNonce("x")}).ByHand() == (cluster.Epoch{Nonce: "x"}).ByHand() {
		t.Error("whose a row is cannot be told")
	}
}

// TestReconcilePool: a pool follows the master, from the moment on in which that is elected, and nothing else.
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
	closed, elected, halted, watching := s, s, s, p
	closed.Opened, elected.Phase, halted.Halted, watching.Inactive = false, cluster.Elected, "signed above", true
	for _, s := range []cluster.State{closed, elected} {
		if acts := cluster.ReconcilePool(&s, f, &p); len(acts) != 1 || acts[0].Host != "a" {
			t.Errorf("%s: it opens while the pool begins anew: %+v", s.Phase, acts)
		}
	}
	none("halted", halted, f, p)
	none("only watching", s, f, watching)
	voting := script2(t, s, cluster.Command{Kind: cluster.OpenVote, Host: "a"})
	if acts := cluster.ReconcilePool(&voting, f, &p); len(acts) != 1 || acts[0].Do != cluster.DoHoldPool || acts[0].Epoch != voting.Epoch {
		t.Errorf("its sessions are with a master that is over: %+v", acts)
	}
	none("it was stopped for this election", voting, &cluster.PoolFacts{Host: "p1", Backend: "b", Held: voting.Epoch}, p)
}

// TestHalfARecord: a standby of a master that died has the beginning of a record whose end nobody has. It ends before that, where a promotion
// would begin a timeline, and is not ahead of a master that began there.
func TestHalfARecord(t *testing.T) {
	c := &cluster.Facts{Host: "c", Name: "c_1", Running: true, Recovery: true, AtEnd: true, Received: 130, Replayed: 121}
	if at, ok := cluster.Sound().Final(c); !ok || at != 121 {
		t.Errorf("it ends at %s, %v", at, ok)
	}
	b := &cluster.Facts{Host: "b", Running: true, Current: 125}
	if ahead := cluster.AheadOf(b, &cluster.Sight{Heard: []cluster.Heard{{Report: &cluster.Report{Host: "c", Facts: c}}}}); len(ahead) != 0 {
		t.Errorf("%v is taken to be ahead", ahead)
	}
	c.Replayed = 126
	if ahead := cluster.AheadOf(b, &cluster.Sight{Heard: []cluster.Heard{{Report: &cluster.Report{Host: "c", Facts: c}}}}); !slices.Equal(ahead, []string{"c_1"}) {
		t.Errorf("a whole record more is not noticed: %v", ahead)
	}
}
