//go:build lab

package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pgctl/pgctl/internal/lab"
	"github.com/pgctl/pgctl/internal/register"
	"github.com/pgctl/pgctl/pkg/cluster"
)

// TestSoak has random faults happen to a region for as long as SOAK says (docs/soak.md). SOAK_SEED repeats a schedule, SOAK_SPEC is the region, SOAK_ONLY
// the kinds of faults.
func TestSoak(t *testing.T) {
	length, err := time.ParseDuration(cmp.Or(os.Getenv("SOAK"), "30m"))
	must(t, err)
	var only []string
	if text := os.Getenv("SOAK_ONLY"); text != "" {
		only = strings.Split(text, ",")
	}
	soaks(t, &soak{spec: soakSpec(t), length: length, least: 20 * time.Second, most: 60 * time.Second, turn: 90 * time.Second, patience: 4 * time.Minute, only: only})
}

// TestLabSoak is a short one, of what does not take long.
func TestLabSoak(t *testing.T) {
	short := []string{"postmaster killed", "a backend killed under a waiting commit", "all watchers killed", "one-way cut", "switchover by command", "arbiter killed"}
	soaks(t, &soak{length: 40 * time.Second, least: 4 * time.Second, most: 10 * time.Second, turn: 15 * time.Second, patience: 90 * time.Second, only: short, longest: 12 * time.Second})
}

// soakSpec is the region that SOAK_SPEC names: 15,2+2 has two servers with PostgreSQL 15, and two arbiters.
func soakSpec(t *testing.T) (spec lab.Spec) {
	t.Helper()
	arbiters := 0
	text := cmp.Or(os.Getenv("SOAK_SPEC"), "15,2+2")
	version, rest, _ := strings.Cut(text, ",")
	if _, err := fmt.Sscanf(rest, "%d+%d", &spec.Servers, &arbiters); err != nil {
		t.Fatalf("SOAK_SPEC %q: %v, want one like 15,2+2 or 10,3+0", text, err)
	}
	spec.Postgres, spec.Arbiters = version, cmp.Or(arbiters, lab.NoArbiters)
	return spec
}

// soak is one run.
type soak struct {
	spec        lab.Spec
	length      time.Duration
	least, most time.Duration // between two faults
	turn        time.Duration // of a handful of registers
	patience    time.Duration // for all to be well at the end
	only        []string      // kinds of faults; all when empty
	longest     time.Duration // that a fault lasts; 0 whatever its kind says

	r      *lab.Region
	seed   uint64
	faults map[string]soakFault
	regs   *lab.Registers
	done   []soakDone
}

// soakDone is what came of an event.
type soakDone struct {
	soakEvent
	began time.Duration // on the clock of the history
	said  string
	err   error
	heal  func(context.Context) error
}

func soaks(t *testing.T, s *soak) {
	s.spec.Watcher = map[string]string{"down_after": benchDownAfter.String(), "standby_down_after": "3s"}
	s.seed = uint64(time.Now().UnixNano()) % 1_000_000
	if text := os.Getenv("SOAK_SEED"); text != "" {
		var err error
		s.seed, err = strconv.ParseUint(text, 10, 64)
		must(t, err)
	}
	t.Logf("SOAK_SEED=%d", s.seed)
	s.r = keptRegion(t, s.spec)
	before := whole(t, s.r, 90*time.Second)
	apps := applications(t, s.r)
	var err error
	s.regs, err = s.r.StartRegisters(t.Context(), s.r.Host(before.Master), lab.RegisterSpec{
		Direct: 6, PerPool: 2, Interval: 50 * time.Millisecond, Timeout: 3 * time.Second, Handful: 6, Turn: s.turn, Seed: s.seed,
	})
	must(t, err)
	loaded := load()
	s.suffers(t)
	after := s.recovers(t)
	must(t, s.regs.Stop())
	history, failed := s.regs.History()
	if after.Master != "" {
		history = append(history, s.alike(t, s.r.Host(after.Master))...)
	}
	apps.end(t, s.r, "soak")
	began := time.Now()
	verdict := register.Check(history, time.Minute)
	took := time.Since(began)
	if !verdict.Good() {
		t.Errorf("the history is %s", verdict)
	}
	t.Logf("records: %s", strings.Join(made(&before, &after), "; "))
	t.Logf("\n%s\n%s; the history is %s (%.1f s to find out)", s.table(), s.sums(history, failed), verdict, took.Seconds())
	t.Logf("load average %s at the start, %s at the end", loaded, load())
	if t.Failed() {
		s.evidence(t, history, verdict)
	}
}

func load() string {
	text, _ := os.ReadFile("/proc/loadavg")
	return strings.Join(strings.Fields(string(text))[:1], " ")
}

// suffers has the schedule happen, and everything healed at its end.
func (s *soak) suffers(t *testing.T) {
	kinds, faults := soakFaults(s.r)
	s.faults = faults
	if len(s.only) > 0 {
		kinds = slices.DeleteFunc(kinds, func(k soakKind) bool { return !slices.Contains(s.only, k.name) })
	}
	for i := range kinds {
		if s.longest != 0 {
			kinds[i].most = min(kinds[i].most, s.longest)
			kinds[i].least = min(kinds[i].least, kinds[i].most)
		}
	}
	if len(kinds) == 0 {
		t.Fatalf("no kind of fault is called so: %q", s.only)
	}
	schedule := soakSchedule(s.seed, s.length, s.least, s.most, kinds)
	began := time.Now()
	var late time.Duration // a fault that is alone waits until all is well, and all after it with it
	for i := range schedule {
		e := schedule[i]
		s.healUntil(t, began, e.at, &late)
		if e.kind.alone && !s.well(t, time.Minute, &late) {
			s.done = append(s.done, soakDone{soakEvent: e, began: time.Since(s.regs.Began()), err: fmt.Errorf("left out: all was not well before")})
			continue
		}
		s.begin(t, e)
	}
	s.healUntil(t, began, s.length, &late)
	s.healUntil(t, began, s.length+time.Hour, &late)
}

// well waits until all is well.
func (s *soak) well(t *testing.T, limit time.Duration, late *time.Duration) bool {
	began := time.Now()
	defer func() { *late += time.Since(began) }()
	for time.Since(began) < limit {
		if _, missing := wholeNow(t, s.r); missing == "" {
			return true
		}
		time.Sleep(time.Second)
	}
	return false
}

// begin has a fault happen.
func (s *soak) begin(t *testing.T, e soakEvent) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	m := s.r.Host(latest(ctx, s.r).Master)
	d := soakDone{soakEvent: e, began: time.Since(s.regs.Began())}
	if m == nil {
		d.err = fmt.Errorf("left out: nobody knows a master")
	} else {
		v := victims{r: s.r, m: m, standby: standbysOf(s.r, m), rng: rand.New(rand.NewPCG(e.pick, 0))}
		d.heal, d.said, d.err = s.faults[e.kind.name](t.Context(), v)
	}
	s.done = append(s.done, d)
	t.Logf("%s %7.2f s: %s for %.0f s: %s%s", time.Now().Format("15:04:05.000"), d.began.Seconds(), e.kind.name, e.lasts.Seconds(), d.said, because(d.err))
}

func because(err error) string {
	if err == nil {
		return ""
	}
	return " (" + err.Error() + ")"
}

// healUntil heals what ends until then, each when it ends, and waits until then if there is something to wait for.
func (s *soak) healUntil(t *testing.T, began time.Time, until time.Duration, late *time.Duration) {
	for {
		next := -1
		for i, d := range s.done {
			if d.heal != nil && d.at+d.lasts <= until && (next < 0 || d.at+d.lasts < s.done[next].at+s.done[next].lasts) {
				next = i
			}
		}
		if next < 0 {
			break
		}
		d := &s.done[next]
		time.Sleep(time.Until(began.Add(d.at + d.lasts + *late)))
		err := d.heal(t.Context())
		d.heal, d.err = nil, cmp.Or(d.err, err)
		*late = max(*late, time.Since(began)-d.at-d.lasts) // it took its time
		t.Logf("%s %7.2f s: %s is over%s", time.Now().Format("15:04:05.000"), time.Since(s.regs.Began()).Seconds(), d.kind.name, because(err))
	}
	if until <= s.length {
		time.Sleep(time.Until(began.Add(until + *late)))
	}
}

// recovers waits until all is well after the last fault.
func (s *soak) recovers(t *testing.T) cluster.State {
	began := time.Now()
	for {
		state, missing := wholeNow(t, s.r)
		if missing == "" {
			t.Logf("all is well %.1f s after the last fault was over", time.Since(began).Seconds())
			return state
		}
		if time.Since(began) > s.patience {
			lastWords(t, s.r)
			t.Errorf("not well within %s of the end of the last fault: %s", s.patience, missing)
			return state
		}
		time.Sleep(time.Second)
	}
}

// alike reads all registers on the master, which is the last word of the history, and sees that all other servers have the same.
func (s *soak) alike(t *testing.T, m *lab.Host) (last []register.Op) {
	for _, h := range standbysOf(s.r, m) {
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(200 * time.Millisecond) {
			theirs, err := s.regs.ReadAll(t.Context(), h)
			if err == nil {
				last, err = s.regs.ReadAll(t.Context(), m)
			}
			if err == nil && maps.Equal(values(theirs), values(last)) {
				break
			}
			if time.Now().After(end) {
				t.Errorf("%s has other values than %s: %v", h.Name(), m.Name(), err)
				break
			}
		}
	}
	return last
}

func values(reads []register.Op) map[int]int64 {
	all := map[int]int64{}
	for _, o := range reads {
		all[o.Register] = o.Value
	}
	return all
}

// table is how often each kind of fault was there, and the longest time without an acknowledged write of a direct client that began after it, and
// before the next one.
func (s *soak) table() string {
	type row struct {
		times, other int
		longest      time.Duration
	}
	rows := map[string]*row{}
	var began []time.Duration
	for _, d := range s.done {
		x := cmp.Or(rows[d.kind.name], &row{})
		x.times++
		if d.err != nil {
			x.other++
		}
		rows[d.kind.name] = x
		began = append(began, d.began)
	}
	acked := s.regs.Acknowledged()
	for i := 1; i < len(acked); i++ {
		after, exact := slices.BinarySearch(began, acked[i-1]+200*time.Millisecond) // what was under way when it happened may be acknowledged
		if exact {
			after++
		}
		if after > 0 {
			x := rows[s.done[after-1].kind.name]
			x.longest = max(x.longest, acked[i]-acked[i-1])
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "| fault | times | not as meant | longest time without an acknowledged write |\n| --- | --- | --- | --- |\n")
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		fmt.Fprintf(&b, "| %s | %d | %d | %.2f s |\n", name, rows[name].times, rows[name].other, rows[name].longest.Seconds())
	}
	return b.String()
}

func (s *soak) sums(history []register.Op, failed int) string {
	var done [3]int
	unknown := 0
	for _, o := range history {
		if o.Return == register.Never {
			unknown++
		} else {
			done[o.Kind]++
		}
	}
	var last time.Duration
	if n := len(history); n > 0 {
		last = history[n-1].Call
	}
	return fmt.Sprintf("seed %d, %.0f s, %d faults; %d reads, %d writes, %d writes of unknown outcome, %d failed",
		s.seed, last.Seconds(), len(s.done), done[register.Read], done[register.Swap], unknown, failed)
}
