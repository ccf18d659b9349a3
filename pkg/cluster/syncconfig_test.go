package cluster_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// The model of the exhaustive check: a master and some standbys, positions up to two, at most three configurations in force.
const (
	modelStandbys = 4
	modelLSN      = 2
	modelConfigs  = 3
)

var modelNames = [modelStandbys]string{"b", "c", "d", "e"}

// world is one state of the model. A configuration is its index in the model.
type world struct {
	master  cluster.LSN
	flushed [modelStandbys]cluster.LSN
	acked   cluster.LSN // the last commit that returned
	list    [modelConfigs]int8
	n       int8
	proof   int8 // position read after the newest was proven to be in force; -1: older ones may be in use
}

type allBlocked func(configs []cluster.SyncConfig, frozen func(string) bool) bool

// model has so many standbys and so many configurations in force at the most.
type model struct {
	standbys, most int
	blocked        allBlocked
	configs        []cluster.SyncConfig // of every set of standbys, under each of the sync_modes that an operator may change to
}

// newModel is the model in which sync_mode may be one of these.
func newModel(standbys, most int, modes []int, blocked allBlocked) *model {
	m := &model{standbys: standbys, most: most, blocked: blocked}
	for _, needed := range modes {
		for set := range 1 << standbys {
			var members []string
			for i, name := range modelNames {
				if set>>i&1 == 1 {
					members = append(members, name)
				}
			}
			m.configs = append(m.configs, cluster.NewSyncConfig(1, members, needed, nil))
		}
	}
	return m
}

func (w *world) at(member string) (cluster.LSN, bool) {
	return w.flushed[strings.Index("bcde", member)], true
}

// returned is the last commit that may return: where nobody is waited for, at once, and else when a walsender releases it by the K that it has read. It counts whoever shows
// a priority, which the members of every configuration in use may do or not (SyncRepReleaseWaiters). So under FIRST it is itself and any K-1 others of all members,
// whatever their priorities are, and under ANY any K of them.
func (m *model) returned(w *world) (furthest cluster.LSN) {
	use := w.list[:w.n]
	if w.proof >= 0 {
		use = use[w.n-1:]
	}
	var all []cluster.LSN // flushed by the members of all, the furthest first
	for i, name := range modelNames {
		if slices.ContainsFunc(use, func(c int8) bool { return m.configs[c].Has(name) }) {
			all = append(all, w.flushed[i])
		}
	}
	slices.SortFunc(all, func(a, b cluster.LSN) int { return cmp.Compare(b, a) })
	for _, i := range use {
		c := m.configs[i]
		if c.K == 0 {
			return w.master
		}
		at := all[c.K-1]
		if !c.Any {
			own := cluster.LSN(0) // the furthest of its own members
			for _, member := range c.Members {
				flushed, _ := w.at(member)
				own = max(own, flushed)
			}
			at = min(at, own)
		}
		furthest = max(furthest, at)
	}
	return furthest
}

// next calls f with every world that one step leads to.
func (m *model) next(w world, f func(world)) {
	if to := w; w.master < modelLSN {
		to.master++
		f(to)
	}
	for i := range m.standbys {
		if to := w; w.flushed[i] < w.master {
			to.flushed[i]++
			f(to)
		}
	}
	to := w
	to.acked = max(w.acked, m.returned(&w))
	f(to)
	if int(w.n) < m.most {
		for i := range m.configs {
			to := w
			to.list[w.n], to.n, to.proof = int8(i), w.n+1, -1
			f(to)
		}
	}
	if to := w; w.proof < 0 {
		to.proof = int8(w.master)
		f(to)
	}
	if w.n > 1 && w.proof >= 0 && m.configs[w.list[w.n-1]].Holds(cluster.LSN(w.proof), w.at) {
		to := world{master: w.master, flushed: w.flushed, acked: w.acked, n: 1, proof: w.proof}
		to.list[0] = w.list[w.n-1]
		f(to)
	}
}

// check says how a set of frozen standbys would lead to a loss, or "".
func (m *model) check(w *world) string {
	list := make([]cluster.SyncConfig, w.n)
	for i := range w.n {
		list[i] = m.configs[w.list[i]]
	}
	for set := 1; set < 1<<m.standbys; set++ {
		furthest := cluster.LSN(0)
		for i := range m.standbys {
			if set>>i&1 == 1 {
				furthest = max(furthest, w.flushed[i])
			}
		}
		frozen := func(member string) bool { return set>>strings.Index("bcde", member)&1 == 1 }
		if furthest < w.acked && m.blocked(list, frozen) {
			return fmt.Sprintf("%d returned, the furthest of the frozen %b is at %d, in force are %v: %+v", w.acked, set, furthest, list, *w)
		}
	}
	return ""
}

// explore visits every reachable world, from every first configuration that an election may leave: its members are where the master is.
func (m *model) explore() (visited int, loss string) {
	seen := map[world]bool{}
	var todo []world
	push := func(w world) {
		if !seen[w] {
			seen[w] = true
			todo = append(todo, w)
		}
	}
	for i, c := range m.configs {
		w := world{master: 1, acked: 1, n: 1, proof: 1}
		w.list[0] = int8(i)
		for i, name := range modelNames {
			if c.Has(name) {
				w.flushed[i] = 1
			}
		}
		push(w)
	}
	for len(todo) > 0 {
		w := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if loss := m.check(&w); loss != "" {
			return len(seen), loss
		}
		m.next(w, push)
	}
	return len(seen), ""
}

// TestSyncConfigsExhaustively: whoever is frozen, if they block every configuration in force the furthest of them has every commit that
// returned, through every order of joins, leaves, changes of sync_mode, changes taken back, and processes that go by several of them at once.
func TestSyncConfigsExhaustively(t *testing.T) {
	for _, tt := range []struct {
		standbys, most int
		modes          []int
	}{{3, 3, []int{0}}, {3, 3, []int{1}}, {3, 3, []int{2}}, {3, 2, []int{0, 1, 2}}, {4, 2, []int{0}}, {4, 2, []int{2}}, {4, 2, []int{3}}} {
		t.Run(fmt.Sprintf("%d standbys, sync_mode %v", tt.standbys, tt.modes), func(t *testing.T) {
			t.Parallel()
			visited, loss := newModel(tt.standbys, tt.most, tt.modes, cluster.AllBlocked).explore()
			if loss != "" {
				t.Error(loss)
			}
			t.Logf("%d states", visited)
		})
	}
}

// TestSyncConfigsNeedEachRule: the check would notice if a rule were weaker.
func TestSyncConfigsNeedEachRule(t *testing.T) {
	newest := func(configs []cluster.SyncConfig, frozen func(string) bool) bool {
		return configs[len(configs)-1].Blocked(frozen)
	}
	weaker := func(weaken func(c cluster.SyncConfig, all []string) cluster.SyncConfig) allBlocked {
		return func(configs []cluster.SyncConfig, frozen func(string) bool) bool {
			var all []string
			for _, c := range configs {
				all = append(all, c.Members...)
			}
			slices.Sort(all)
			all = slices.Compact(all)
			return !slices.ContainsFunc(configs, func(c cluster.SyncConfig) bool { return !weaken(c, all).Blocked(frozen) })
		}
	}
	oneShort := weaker(func(c cluster.SyncConfig, all []string) cluster.SyncConfig {
		c.K, c.Members = c.K+1, all
		return c
	})
	ownMembers := weaker(func(c cluster.SyncConfig, _ []string) cluster.SyncConfig { return c })
	ownUnderAny1 := weaker(func(c cluster.SyncConfig, all []string) cluster.SyncConfig {
		if c.K > 1 {
			c.Members = all
		}
		return c
	})
	for _, tt := range []struct {
		name  string
		rule  allBlocked
		modes []int
	}{
		{"one freeze too few", oneShort, []int{0}},
		{"one freeze too few", oneShort, []int{1}},
		{"one freeze too few", oneShort, []int{2}},
		{"only the newest", newest, []int{0}},
		{"only the newest", newest, []int{1}},
		{"only the newest", newest, []int{2}},
		{"each by its own members", ownMembers, []int{0}},
		{"each by its own members", ownMembers, []int{2}},
		{"any 1 by its own members", ownUnderAny1, []int{0, 1}},
	} {
		if _, loss := newModel(3, 3, tt.modes, tt.rule).explore(); loss == "" {
			t.Errorf("%s, sync_mode %d: no loss was found", tt.name, tt.modes)
		} else {
			t.Logf("%s, sync_mode %d: %s", tt.name, tt.modes, loss)
		}
	}
}

func TestSyncConfigNames(t *testing.T) {
	one := cluster.NewSyncConfig(7, []string{"b_k3f9", "c_88ad"}, 0, nil)
	two := cluster.NewSyncConfig(8, []string{"c_88ad"}, 0, []cluster.SyncConfig{one})
	three := cluster.NewSyncConfig(9, []string{"b_k3f9", "c_88ad"}, 1, nil)
	none := cluster.NewSyncConfig(10, nil, 0, nil)
	for _, tt := range []struct {
		config cluster.SyncConfig
		want   string
		prio   int // of c_88ad
	}{
		{one, `FIRST 2 ("pgctl.e5.g7.0","b_k3f9","c_88ad")`, 3},
		{two, `FIRST 1 ("pgctl.e5.g8.0","c_88ad")`, 2},
		{three, `ANY 1 ("pgctl.e5.g9.0","b_k3f9","c_88ad")`, 1},
		{none, ``, 0},
	} {
		if got := tt.config.Names(5); got != tt.want || tt.config.Priority("c_88ad") != tt.prio {
			t.Errorf("got %s with priority %d, want %s and %d", got, tt.config.Priority("c_88ad"), tt.want, tt.prio)
		}
		if names, err := cluster.ParseSyncNames(tt.want); err != nil || names.Needed != tt.config.K {
			t.Errorf("%s: PostgreSQL would read %+v, %v", tt.want, names, err)
		}
	}
	again := cluster.NewSyncConfig(11, []string{"b_k3f9", "c_88ad"}, 0, []cluster.SyncConfig{one, two})
	for _, m := range again.Members {
		for _, o := range []cluster.SyncConfig{one, two} {
			if again.Priority(m) == o.Priority(m) {
				t.Errorf("%s has priority %d under both %s and %s", m, o.Priority(m), again.Names(5), o.Names(5))
			}
		}
	}
}

// TestEmptyIsProven: nobody is waited for any more when every walsender says so. Believed before, the empty configuration would be settled, and the next
// one could give a member the very priority that its walsender still has from the names before.
func TestEmptyIsProven(t *testing.T) {
	old := cluster.NewSyncConfig(1, []string{"b_1"}, 0, nil)
	empty := cluster.NewSyncConfig(2, nil, 0, []cluster.SyncConfig{old})
	next := cluster.NewSyncConfig(3, []string{"b_1", "c_1"}, 0, []cluster.SyncConfig{empty})
	if old.Priority("b_1") != next.Priority("b_1") {
		t.Fatal("there is nothing to confuse")
	}
	f := &cluster.Facts{Names: cluster.NamesFacts{ShownFor: time.Second}}
	for _, tt := range []struct {
		name string
		w    cluster.Sender
		ok   bool
	}{
		{"it has the old priority", cluster.Sender{Name: "b_1", Priority: 2, Older: true}, false},
		{"it has read the new names", cluster.Sender{Name: "b_1", Older: true}, true},
		{"it is younger", cluster.Sender{Name: "b_1", Priority: 2}, true},
	} {
		f.Senders = []cluster.Sender{tt.w}
		if missing := cluster.Sound().InForce(f, 1, empty, []cluster.SyncConfig{old, empty}); (missing == "") != tt.ok {
			t.Errorf("%s: %q", tt.name, missing)
		}
	}
}

// TestJoinAwaitsProof: a server that was adopted may have had any names before. A walsender that still goes by them could show the priority that a join gives it, so nobody
// joins before it is proven that all of them wait for nobody.
func TestJoinAwaitsProof(t *testing.T) {
	s, reports, p := wellRegion(t)
	s.Configs = []cluster.SyncConfig{cluster.NewSyncConfig(s.Gen, nil, 0, nil)}
	f, sight := reports["a"].Facts, &cluster.Sight{Now: time.Hour}
	f.Names.Shown = ""
	for i := range f.Senders {
		f.Senders[i].Priority = 0
	}
	for _, host := range p.Servers {
		sight.Heard = append(sight.Heard, cluster.Heard{Report: reports[host], At: sight.Now})
	}
	for _, tt := range []struct {
		proof *cluster.Proof
		joins bool
	}{{nil, false}, {&cluster.Proof{Epoch: s.Epoch - 1, Gen: s.Gen}, false}, {&cluster.Proof{Epoch: s.Epoch, Gen: s.Gen}, true}} {
		f.Names.Proof = tt.proof
		if c := cluster.Decide(&s, sight, &p, "n").Command; (c != nil && c.Kind == cluster.Change) != tt.joins {
			t.Errorf("with the proof %+v: %+v", tt.proof, c)
		}
	}
}

// TestSilenceProvesNothing: a look without an answer shows no walsender and no statement. The names that were seen before are not in force for that, and no
// position that is not known is that of the proof.
func TestSilenceProvesNothing(t *testing.T) {
	s, reports, p := wellRegion(t)
	f := reports["a"].Facts
	f.Names.Proof = nil
	for i := range f.Senders {
		f.Senders[i].Priority = 9
	}
	wants := func(name string) {
		t.Helper()
		for _, a := range cluster.Reconcile(&s, f, &cluster.Sight{Heard: []cluster.Heard{{Report: reports["a"]}}}, &p) {
			if a.Do == cluster.DoRemember {
				t.Errorf("%s: %+v", name, a.Proof)
			}
		}
	}
	wants("the walsenders go by older names")
	f.Silent, f.Senders, f.Current = time.Second, nil, 0
	wants("it gives no answer")
}
