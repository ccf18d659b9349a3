package consensus

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// advance lets the leader change members until something holds, and gives the changes.
func (s *site) advance(what string, until func() bool) (done []string) {
	s.t.Helper()
	s.wait(what, func() bool {
		if until() {
			return true
		}
		ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Second)
		defer cancel()
		c, _ := s.leader().Advance(ctx) // one whose outcome is unknown is due again, or done
		if c == nil {
			return until()
		}
		if text := string(c.Verb) + " " + c.Host; len(done) == 0 || done[len(done)-1] != text {
			done = append(done, text)
		}
		return until()
	})
	return done
}

func (s *site) members() string {
	return Situation{Members: s.leader().Members()}.String()
}

// TestSpare: it takes the vote of one who has been silent for SpareAfter (a second here), the next loss is survived then, and
// who returns becomes the spare.
func TestSpare(t *testing.T) {
	t.Parallel()
	s := newSite(t, "db1@a db2@b arb1@g arb2@g")
	s.startAll()
	s.propose("one")
	if got := s.members(); got != "arb1* arb2 db1* db2*" {
		t.Fatalf("founded as %s", got)
	}
	s.stop("arb1")
	got := s.advance("another electorate", func() bool { return s.members() == "arb1 arb2* db1* db2*" })
	if strings.Join(got, ", ") != "promote arb2, demote arb1" {
		t.Errorf("by %v", got)
	}
	s.stop(s.follower().name)
	s.propose("two") // two of three, one of them the former spare
	s.start("arb1")
	s.advance("the return of arb1", func() bool {
		return s.leader().Contacts()["arb1"].CaughtUp && !strings.Contains(s.members(), "arb1*")
	})
}

// TestInventory: a new inventory is followed one change at a time, here to replace a host that led and is gone.
func TestInventory(t *testing.T) {
	t.Parallel()
	s := newSite(t, "db1@a db2@b arb1@g arb9@g")
	all := s.hosts
	s.hosts = all[:3]
	s.startAll()
	leader := s.propose("one")
	var next []Host
	for _, h := range all {
		if h.Name != leader.name {
			next = append(next, h)
		}
	}
	s.hosts = next
	for _, m := range s.up {
		if m != leader {
			if err := m.SetHosts(next); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := leader.SetHosts(next); !errors.Is(err, ErrNotMember) {
		t.Fatalf("got %v", err)
	}
	s.start("arb9")
	s.stop(leader.name)
	got := s.advance("the new members", func() bool {
		m := s.members()
		return !strings.Contains(m, leader.name) && strings.Count(m, "*") == 3
	})
	if want := "join arb9, promote arb9, demote " + leader.name + ", remove " + leader.name; strings.Join(got, ", ") != want {
		t.Errorf("by %v, expected %s", got, want)
	}
	s.propose("two")
	s.agree("one", "two")
}

// TestLeaderLosesItsVote: it hands over first.
func TestLeaderLosesItsVote(t *testing.T) {
	s := newSite(t, "db1@a db2@b arb1@g arb2@g")
	s.startAll()
	leader := s.propose("one")
	if err := leader.Change(t.Context(), Change{Verb: "crown", Host: "db1"}); err == nil {
		t.Error("an unknown change was made")
	}
	for _, c := range []Change{{Verb: Promote, Host: "arb2"}, {Verb: HandOver, Host: "arb2"}, {Verb: Demote, Host: "db2"}} {
		s.wait("caught up arb2", func() bool { return s.leader().name == "arb2" || s.leader().Contacts()["arb2"].CaughtUp })
		if s.leader().name == "arb2" && c.Verb == HandOver {
			continue
		}
		if err := s.leader().Change(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	s.wait("lead of arb2", func() bool { return s.leader().name == "arb2" })
	got := s.advance("votes of the servers", func() bool { return s.members() == "arb1* arb2 db1* db2*" })
	if len(got) != 3 || got[0] != "promote db2" || !strings.HasPrefix(got[1], "hand over ") || got[2] != "demote arb2" {
		t.Errorf("by %v", got)
	}
}

// TestTransfer: milliseconds instead of an election; never to one that cannot take it.
func TestTransfer(t *testing.T) {
	t.Parallel()
	s := newSite(t, three+" arb2@g")
	s.tune = func(o *Options) { o.Multiplier = 1 }
	s.startAll()
	old := s.propose("one")
	spare := ""
	for _, m := range old.Members() {
		if !m.Votes {
			spare = m.Name
		}
	}
	for _, to := range []string{spare, old.name, "db9"} {
		if err := old.Transfer(t.Context(), to); err == nil || !old.Leads() {
			t.Errorf("to %s: %v, leads %v", to, err, old.Leads())
		}
	}
	heir := ""
	for _, m := range old.Members() {
		if m.Votes && m.Name != old.name {
			heir = m.Name
		}
	}
	if err := s.up[heir].Transfer(t.Context(), old.name); !errors.Is(err, ErrNotLeader) {
		t.Errorf("a follower hands over: %v", err)
	}
	began := time.Now()
	if err := old.Transfer(t.Context(), heir); err != nil {
		t.Fatal(err)
	}
	s.wait("lead of "+heir, func() bool { return s.up[heir].Leads() })
	t.Logf("handed over in %s", time.Since(began).Round(time.Millisecond))
	s.propose("two")

	s.stop(old.name)
	leader := s.leader()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := leader.Transfer(ctx, old.name); err == nil || !strings.Contains(err.Error(), "does not catch up") || !leader.Leads() {
		t.Errorf("to one that is down: %v, leads %v", err, leader.Leads())
	}
	s.propose("three") // it proposes again
}

// TestStalledFollower: one whose disk is slow for a while, short of the limit, has everything soon after.
func TestStalledFollower(t *testing.T) {
	s := newSite(t, three)
	disks := map[string]*hanging{}
	s.tune = func(o *Options) {
		o.wrap = func(l raft.LogStore) raft.LogStore {
			disks[o.Host] = &hanging{LogStore: l, resume: make(chan struct{})}
			return disks[o.Host]
		}
	}
	s.startAll()
	s.propose("one")
	slow := s.follower()
	want := []string{"one"}
	for round := range 3 {
		disks[slow.name].delay.Store(int64(times(pace).of(diskLimit) / 3))
		for i := range 10 {
			command := string(rune('a'+round)) + string(rune('a'+i))
			s.propose(command)
			want = append(want, command)
		}
		disks[slow.name].delay.Store(0)
		s.agree(want...)
	}
	if slow.Err() != nil {
		t.Errorf("it stopped for %v", slow.Err())
	}
}

func TestStats(t *testing.T) {
	s := newSite(t, three)
	s.startAll()
	leader := s.propose("one")
	got := leader.Stats()
	if got.State != "Leader" || got.Leader != leader.name || got.Term == 0 || got.AppliedIndex == 0 || got.AppliedIndex > got.CommitIndex || got.LastIndex < got.CommitIndex || got.StoreBytes == 0 || got.LeaderContact != 0 {
		t.Errorf("the leader's %+v", got)
	}
	s.agree("one") // two of three commit it: the third may not have heard of the leader yet
	if got := s.follower().Stats(); got.State != "Follower" || got.Leader != leader.name || got.LeaderContact <= 0 || got.LeaderContact > time.Second {
		t.Errorf("a follower's %+v", got)
	}
}
