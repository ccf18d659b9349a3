package consensus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

const three = "db1@a db2@b arb1@g"

// TestColdStart: a quorum is founded by all, survives the end of all, and comes back with its state and its members.
func TestColdStart(t *testing.T) {
	s := newSite(t, three)
	s.startAll()
	s.propose("one")
	s.agree("one")
	s.stopAll()
	s.startAll()
	s.propose("two")
	s.agree("one", "two")
	for name, m := range s.up {
		if got := m.Members(); len(got) != 3 || !got[0].Votes || !got[1].Votes || !got[2].Votes {
			t.Errorf("%s: members %v", name, got)
		}
	}
}

// TestFoundingNeedsAll: as long as one of the inventory has not been seen, nobody can know that it is not the one who
// remembers, so nothing is founded. An emptied host therefore never founds a second quorum.
func TestFoundingNeedsAll(t *testing.T) {
	t.Parallel()
	s := newSite(t, three)
	s.start("db1")
	s.start("db2")
	time.Sleep(2 * time.Second)
	if m := s.up["db1"].Members(); len(m) != 0 {
		t.Fatalf("two of three have founded %v", m)
	}
	s.start("arb1")
	s.propose("one")
	s.agree("one")
}

func TestFoundingNeedsOneInventory(t *testing.T) {
	t.Parallel()
	s := newSite(t, three+" arb2@g")
	s.tune = func(o *Options) {
		if o.Host == "db1" {
			o.Hosts = s.hosts[:3]
		}
	}
	s.startAll()
	time.Sleep(2 * time.Second)
	for name, m := range s.up {
		if got := m.Members(); len(got) != 0 {
			t.Errorf("%s has founded %v with two inventories", name, got)
		}
	}
}

func TestProposals(t *testing.T) {
	s := newSite(t, three)
	s.startAll()
	leader := s.propose("one")
	ctx := t.Context()
	result, first, err := leader.Propose(ctx, []byte("two"))
	if err != nil || result != 1 || first == 0 {
		t.Fatalf("got %v, %d, %v", result, first, err)
	}
	if _, second, err := leader.Propose(ctx, []byte("two")); err != nil || second <= first {
		t.Errorf("a later command has index %d after %d, %v", second, first, err)
	}
	if _, _, err := s.follower().Propose(ctx, []byte("three")); !errors.Is(err, ErrNotLeader) {
		t.Errorf("a follower says %v", err)
	}
	if _, _, err := leader.Propose(ctx, make([]byte, maxCommand+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v", err)
	}
	var seen []string
	if err := leader.Read(ctx, func() { seen = leader.machine.all() }); err != nil || strings.Join(seen, " ") != "one two" {
		t.Errorf("read %v, %v", seen, err)
	}
	if err := s.follower().Read(ctx, func() { t.Error("a follower reads") }); !errors.Is(err, ErrNotLeader) {
		t.Errorf("got %v", err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, _, err := leader.Propose(ended, []byte("four")); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v", err)
	}
	s.agree("one", "two")
}

// TestLeaderLost: the others have a new leader, the stream says so, and what it had acknowledged is there.
func TestLeaderLost(t *testing.T) {
	s := newSite(t, three)
	s.startAll()
	old := s.propose("one")
	if lead, open := <-old.Leadership(); !lead || !open {
		t.Fatalf("the stream of the leader begins with %v, %v", lead, open)
	}
	s.stop(old.name)
	if lead, open := <-old.Leadership(); lead || open {
		t.Errorf("the stream of a closed leader gives %v, %v", lead, open)
	}
	gone := time.Now()
	next := s.leader()
	t.Logf("the next leader after %s (heartbeat %s)", time.Since(gone).Round(time.Millisecond), times(pace).of(heartbeat))
	if lead := <-next.Leadership(); !lead || next.Leader() != next.name {
		t.Errorf("the stream of the next leader begins with %v, it knows %q", lead, next.Leader())
	}
	s.propose("two")
	s.start(old.name)
	s.agree("one", "two")
}

// TestWithoutAQuorum: one of three does not commit, and says that it does not know.
func TestWithoutAQuorum(t *testing.T) {
	s := newSite(t, three)
	s.startAll()
	leader := s.propose("one")
	for _, h := range s.hosts {
		if h.Name != leader.name {
			s.stop(h.Name)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, _, err := leader.Propose(ctx, []byte("two"))
	if !errors.Is(err, ErrUnknown) && !errors.Is(err, ErrNotLeader) {
		t.Errorf("got %v", err)
	}
	s.wait("loss of the lead", func() bool { return !leader.Leads() })
	if got := leader.commands(); len(got) != 1 {
		t.Errorf("it has %v", got)
	}
}

// TestFourVoters: an even number survives the loss of one, as three would. (What the inventory gives is three and a spare.)
func TestFourVoters(t *testing.T) {
	s := newSite(t, "db1@a db2@b arb1@g arb2@g")
	s.startAll()
	leader := s.propose("one")
	if err := leader.Change(t.Context(), Change{Verb: Promote, Host: "arb2"}); err != nil {
		t.Fatal(err)
	}
	leader = s.propose("two")
	var others []string
	for name := range s.up {
		if name != leader.name {
			others = append(others, name)
		}
	}
	s.stop(others[0])
	s.propose("three")
	s.stop(others[1])
	s.wait("loss of the lead", func() bool {
		for _, m := range s.up {
			if m.Leads() {
				return false
			}
		}
		return true
	})
	for _, m := range s.up {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		if _, _, err := m.Propose(ctx, []byte("four")); err == nil {
			t.Error("two of four have committed")
		}
		cancel()
	}
}

func TestWithoutOneself(t *testing.T) {
	s := newSite(t, three)
	s.tune = func(o *Options) { o.Hosts = s.hosts[1:] }
	if _, err := s.tryStart("db1"); !errors.Is(err, ErrNotMember) || !strings.Contains(err.Error(), "db1 is not one of db2, arb1") {
		t.Errorf("got %v", err)
	}
	s.tune = nil
	m := s.start("db1")
	if err := m.SetHosts(s.hosts[1:]); !errors.Is(err, ErrNotMember) {
		t.Errorf("got %v", err)
	}
	if got := len(m.others()); got != 2 {
		t.Errorf("the refused inventory is in force: %d others", got)
	}
	s.hosts[0].Role = Pool
	s.tune = func(o *Options) { o.Hosts = s.hosts; o.Dir = t.TempDir() }
	s.stop("db1")
	if _, err := s.tryStart("db1"); !errors.Is(err, ErrNotMember) {
		t.Errorf("a pool: %v", err)
	}
}

// TestMachineStops: a replica whose machine does not know a command stops for good; it does not skip it after a restart either.
func TestMachineStops(t *testing.T) {
	t.Parallel()
	s := newSite(t, three)
	s.startAll()
	leader := s.propose("one")
	_, _, err := leader.Propose(t.Context(), []byte("unknown"))
	if !errors.Is(err, ErrUnknown) || !errors.Is(err, errUnknownCommand) {
		t.Errorf("got %v", err)
	}
	stopped := s.stopped(2) // the third hears of the commit from nobody
	for name, m := range stopped {
		<-m.Failed()
		if !errors.Is(m.Err(), errUnknownCommand) || m.Leads() {
			t.Errorf("%s: %v, leads %v", name, m.Err(), m.Leads())
		}
		if _, _, err := m.Propose(t.Context(), []byte("two")); !errors.Is(err, ErrStopped) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := m.replica.Snapshot(); err == nil {
			t.Errorf("%s gives a snapshot without the command", name)
		}
	}
	for _, h := range s.hosts {
		s.stop(h.Name)
		s.start(h.Name)
	}
	s.stopped(2)
}

// stopped waits until so many have failed.
func (s *site) stopped(n int) map[string]*member {
	s.t.Helper()
	out := map[string]*member{}
	s.wait("stop", func() bool {
		for name, m := range s.up {
			if m.Err() != nil {
				out[name] = m
			}
		}
		return len(out) >= n
	})
	return out
}

// TestSnapshots: the log stays short, and a host that was away for longer than it reaches is caught up.
func TestSnapshots(t *testing.T) {
	s := newSite(t, three)
	s.startAll()
	away := s.follower().name
	s.stop(away)
	leader := s.leader()
	var all sync.WaitGroup
	for i := range 300 {
		all.Go(func() {
			if _, _, err := leader.Propose(t.Context(), fmt.Append(nil, i)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, m := range s.up {
		if err := m.raft.Snapshot().Error(); err != nil {
			t.Fatal(err)
		}
		if low, _ := m.store.FirstIndex(); low < 40 {
			t.Errorf("%s: the log begins at %d after a snapshot at %d", m.name, low, m.Stats().SnapshotIndex)
		}
	}
	m := s.start(away)
	s.wait("snapshot on "+away, func() bool { return len(m.commands()) == 300 })
	if got := m.replica.membership(); len(got.Since) != 3 || got.Since[away] != 1 {
		t.Errorf("members after a snapshot: %+v", got)
	}
	s.stop(away)
	m = s.start(away)
	if got := len(m.commands()); got != 300 {
		t.Errorf("after a restart it has %d commands in its snapshot", got)
	}
}

// TestSpreadWhileHandingOver: the target is to catch up, so no entry is added for what was just committed.
func TestSpreadWhileHandingOver(t *testing.T) {
	t.Parallel()
	s := newSite(t, three)
	s.startAll()
	leader := s.propose("one")
	s.agree("one")
	last := func() (index uint64) {
		for before := uint64(0); ; before = index { // what was spread before comes to its end
			index = leader.raft.LastIndex()
			if index == before {
				return index
			}
			time.Sleep(200 * time.Millisecond)
		}
	}
	before := last()
	leader.handover.set(true)
	leader.spread()
	time.Sleep(200 * time.Millisecond)
	if got := last(); got != before {
		t.Errorf("handing over, it went from entry %d to %d", before, got)
	}
	leader.handover.set(false)
	leader.spread()
	time.Sleep(200 * time.Millisecond)
	if got := last(); got != before+1 && leader.Leads() {
		t.Errorf("it went from entry %d to %d", before, got)
	}
}
