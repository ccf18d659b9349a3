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

// The model of the exhaustive check: a master and up to three standbys, positions up to two, at most three configurations in force.
const (
	modelStandbys = 3
	modelLSN      = 2
	modelConfigs  = 3
)

var modelNames = [modelStandbys]string{"b", "c", "d"}

// world is one state of the model. A configuration is the bit set of its members, and above it which of the model's sync_modes says how many of them are needed.
type world struct {
	master  cluster.LSN
	flushed [modelStandbys]cluster.LSN
	acked   cluster.LSN // the last commit that returned
	list    [modelConfigs]int8
	n       int8
	proof   int8 // position read after the newest was proven to be in force; -1: older ones may be in use
}

type model struct {
	modes   []int // sync_mode, and what an operator may change it to
	blocked func([]cluster.SyncConfig, func(string) bool) bool
	configs []cluster.SyncConfig
}

func newModel(modes []int, blocked func([]cluster.SyncConfig, func(string) bool) bool) *model {
	m := &model{modes: modes, blocked: blocked}
	for _, needed := range modes {
		for set := range 1 << modelStandbys {
			m.configs = append(m.configs, cluster.NewSyncConfig(1, membersOf(set), needed, nil))
		}
	}
	return m
}

func membersOf(set int) (members []string) {
	for i, name := range modelNames {
		if set&(1<<i) != 0 {
			members = append(members, name)
		}
	}
	return members
}

func (w *world) at(member string) (cluster.LSN, bool) {
	return w.flushed[strings.Index("bcd", member)], true
}

// inUse are the configurations that some process may go by.
func (m *model) inUse(w *world) []cluster.SyncConfig {
	var all []cluster.SyncConfig
	for i := range w.n {
		if w.proof < 0 || i == w.n-1 {
			all = append(all, cluster.NewSyncConfig(int64(i), membersOf(int(w.list[i])%(1<<modelStandbys)), m.modes[w.list[i]>>modelStandbys], all))
		}
	}
	return all
}

// walsender is one in shared memory: what the others see of it. 0 is a priority that makes nobody count.
type walsender struct {
	priority int
	flushed  cluster.LSN
}

// returned is the last commit that may return: where nobody is waited for, at once, and else when some walsender releases it
// (SyncRepReleaseWaiters), whichever of the configurations in use it and each of the others goes by, and whoever of the others is there.
func (m *model) returned(w *world) cluster.LSN {
	all := m.inUse(w)
	furthest := cluster.LSN(0)
	var others func(c cluster.SyncConfig, self int, senders []walsender, next int)
	others = func(c cluster.SyncConfig, self int, senders []walsender, next int) {
		switch next {
		case modelStandbys:
			furthest = max(furthest, released(c, senders))
			return
		case self:
			others(c, self, senders, next+1)
			return
		}
		priorities := map[int]bool{0: true}
		for _, o := range all {
			priorities[o.Priority(modelNames[next])] = true
		}
		for priority := range priorities {
			others(c, self, append(slices.Clip(senders), walsender{priority, w.flushed[next]}), next+1)
		}
	}
	for _, c := range all {
		if c.K == 0 {
			return w.master
		}
		for i, name := range modelNames {
			if c.Has(name) {
				others(c, i, []walsender{{c.Priority(name), w.flushed[i]}}, 0)
			}
		}
	}
	return furthest
}

// released is how far the first of the walsenders releases, which goes by c: PostgreSQL takes the K of the lowest priorities, of whom it has to be one, and what all
// of them have flushed; under ANY what K of all have. It takes either of two of one priority; here that one which makes it release more.
func released(c cluster.SyncConfig, senders []walsender) cluster.LSN {
	self := senders[0]
	var counted []walsender
	for _, s := range senders[1:] {
		if s.priority > 0 {
			counted = append(counted, s)
		}
	}
	if len(counted)+1 < c.K {
		return 0
	}
	further := func(a, b walsender) int { return cmp.Compare(b.flushed, a.flushed) }
	if c.Any {
		counted = append(counted, self)
		slices.SortFunc(counted, further)
		return counted[c.K-1].flushed
	}
	slices.SortFunc(counted, func(a, b walsender) int { return cmp.Or(cmp.Compare(a.priority, b.priority), further(a, b)) })
	if len(counted) >= c.K && counted[c.K-1].priority < self.priority {
		return 0
	}
	at := self.flushed
	for _, s := range counted[:c.K-1] {
		at = min(at, s.flushed)
	}
	return at
}

// next calls f with every world that one step leads to.
func (m *model) next(w world, f func(world)) {
	if to := w; w.master < modelLSN {
		to.master++
		f(to)
	}
	for i := range modelStandbys {
		if to := w; w.flushed[i] < w.master {
			to.flushed[i]++
			f(to)
		}
	}
	to := w
	to.acked = max(w.acked, m.returned(&w))
	f(to)
	if w.n < modelConfigs {
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
	for set := 1; set < 1<<modelStandbys; set++ {
		frozen := func(member string) bool { return set&(1<<strings.Index("bcd", member)) != 0 }
		if !m.blocked(list, frozen) {
			continue
		}
		furthest := cluster.LSN(0)
		for i := range modelStandbys {
			if set&(1<<i) != 0 {
				furthest = max(furthest, w.flushed[i])
			}
		}
		if furthest < w.acked {
			return fmt.Sprintf("%d returned, the furthest of the frozen %b is at %d: %+v", w.acked, set, furthest, *w)
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
	for _, modes := range [][]int{{0}, {1}, {2}, {0, 1}} {
		visited, loss := newModel(modes, cluster.AllBlocked).explore()
		if loss != "" {
			t.Errorf("sync_mode %d: %s", modes, loss)
		}
		t.Logf("sync_mode %d (0: all): %d states", modes, visited)
	}
}

// TestSyncConfigsNeedEachRule: the check would notice if a rule were weaker.
func TestSyncConfigsNeedEachRule(t *testing.T) {
	each := func(c cluster.SyncConfig, _ []string) cluster.SyncConfig { return c }
	oneShort := func(c cluster.SyncConfig, all []string) cluster.SyncConfig {
		c.K, c.Members = c.K+1, all
		return c
	}
	notUnderAny := func(c cluster.SyncConfig, all []string) cluster.SyncConfig {
		if c.K > 1 {
			c.Members = all
		}
		return c
	}
	newest := func(configs []cluster.SyncConfig, frozen func(string) bool) bool {
		return configs[len(configs)-1].Blocked(frozen)
	}
	weakened := func(weaker func(c cluster.SyncConfig, all []string) cluster.SyncConfig) func([]cluster.SyncConfig, func(string) bool) bool {
		return func(configs []cluster.SyncConfig, frozen func(string) bool) bool {
			var all []string
			for _, c := range configs {
				all = append(all, c.Members...)
			}
			slices.Sort(all)
			all = slices.Compact(all)
			return !slices.ContainsFunc(configs, func(c cluster.SyncConfig) bool { return !weaker(c, all).Blocked(frozen) })
		}
	}
	for _, tt := range []struct {
		name  string
		rule  func([]cluster.SyncConfig, func(string) bool) bool
		modes []int
	}{
		{"one freeze too few", weakened(oneShort), []int{0}},
		{"one freeze too few", weakened(oneShort), []int{1}},
		{"one freeze too few", weakened(oneShort), []int{2}},
		{"only the newest", newest, []int{0}},
		{"only the newest", newest, []int{1}},
		{"only the newest", newest, []int{2}},
		{"each by its own members", weakened(each), []int{0}},
		{"each by its own members", weakened(each), []int{2}},
		{"any 1 by its own members", weakened(notUnderAny), []int{0, 1}},
	} {
		if _, loss := newModel(tt.modes, tt.rule).explore(); loss == "" {
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
		{"it has the old priority", cluster.Sender{Name: "b_1", Priority: 2, For: time.Hour}, false},
		{"it has read the new names", cluster.Sender{Name: "b_1", For: time.Hour}, true},
		{"it is younger", cluster.Sender{Name: "b_1", Priority: 2}, true},
	} {
		f.Senders = []cluster.Sender{tt.w}
		if missing := cluster.Sound().InForce(f, 1, empty, []cluster.SyncConfig{old, empty}); (missing == "") != tt.ok {
			t.Errorf("%s: %q", tt.name, missing)
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
