package consensus

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// recovered is a site of three whose quorum was made anew out of db1, while the others are down with their old directories.
func recovered(t *testing.T) (*site, *member) {
	t.Helper()
	s := newSite(t, three)
	s.startAll()
	s.propose("one")
	s.agree("one")
	s.greets()
	time.Sleep(1500 * time.Millisecond) // a round: each knows since when it is a member
	s.stopAll()
	before, err := Examine(s.data("db1"))
	if err != nil || before == nil || before.Index == 0 || !slices.Equal(before.Voters, []string{"arb1", "db1", "db2"}) || before.Resets != nil {
		t.Fatalf("%+v, %v", before, err)
	}
	for range 2 { // a second time changes nothing
		if err := Recover(s.data("db1"), "db1", "r1", &journal{}, discard(), time.Now); err != nil {
			t.Fatal(err)
		}
	}
	after, err := Examine(s.data("db1"))
	if err != nil || after.Index != before.Index || after.Term != before.Term || !slices.Equal(after.Voters, []string{"db1"}) || !slices.Equal(after.Resets, []string{"r1"}) {
		t.Fatalf("%+v after %+v, %v", after, before, err)
	}
	db1 := s.start("db1")
	if now := db1.Remains(); now.Index < after.Index || now.Term < after.Term || !slices.Equal(now.Voters, after.Voters) || !slices.Equal(now.Resets, after.Resets) {
		t.Errorf("as it runs, %+v, expected %+v or later", now, after)
	}
	s.propose("two")
	if got := db1.Members(); len(got) != 1 || got[0].Name != "db1" {
		t.Errorf("members %v", got)
	}
	return s, db1
}

// TestRecover: a survivor alone goes on with its state; the others come back empty, and are taken in.
func TestRecover(t *testing.T) {
	t.Parallel()
	s, db1 := recovered(t)
	for _, name := range []string{"db2", "arb1"} {
		if err := os.RemoveAll(s.data(name)); err != nil {
			t.Fatal(err)
		}
		s.start(name)
	}
	s.advance("three voters", func() bool { return db1.votes("db2") && db1.votes("arb1") })
	s.propose("three")
	s.agree("one", "two", "three")
	s.wait("the others to know what they are of", func() bool {
		return slices.Equal(s.up["db2"].store.mark().Resets, []string{"r1"}) && slices.Equal(s.up["arb1"].store.mark().Resets, []string{"r1"})
	})
	for _, name := range []string{"db1", "db2", "arb1"} {
		s.stop(name)
	}
	s.start("db2")
	s.start("arb1")
	s.propose("four")
}

// TestLeftBehind: the lost ones come back together, with the directories that they had, and are a majority of the quorum that they know. They hear of the
// new one before they take part, and never do.
func TestLeftBehind(t *testing.T) {
	t.Parallel()
	s, db1 := recovered(t)
	for _, name := range []string{"db2", "arb1"} {
		if _, err := s.tryStart(name); !errors.Is(err, ErrSuperseded) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if !db1.Leads() {
		t.Error("the survivor does not lead any more")
	}
	s.propose("three")
}

// TestLeftBehindAndCutOff: they come back while the new quorum is down, and stop as soon as it is back.
func TestLeftBehindAndCutOff(t *testing.T) {
	t.Parallel()
	s, _ := recovered(t)
	s.stop("db1")
	old := []*member{s.start("db2"), s.start("arb1")}
	s.wait("the old quorum", func() bool { return old[0].Leads() || old[1].Leads() })
	s.start("db1")
	s.wait("both to stop", func() bool { return errors.Is(old[0].Err(), ErrSuperseded) && errors.Is(old[1].Err(), ErrSuperseded) })
	s.propose("three")
}

// TestRecoverBrokenOff: what was broken off is neither the old quorum nor the new one, and comes to its end when it is run again.
func TestRecoverBrokenOff(t *testing.T) {
	t.Parallel()
	for _, when := range []string{"before", "after"} {
		t.Run(when, func(t *testing.T) {
			s := newSite(t, three)
			s.startAll()
			s.propose("one")
			s.agree("one")
			s.stopAll()
			dir := s.data("db1")
			anew := func() error { return Recover(dir, "db1", "r1", &journal{}, discard(), time.Now) }
			if when == "after" {
				if err := anew(); err != nil {
					t.Fatal(err)
				}
			}
			st := must(openStore(dir, storeBudget))
			if err := errors.Join(st.begin([]string{"r1"}), st.close()); err != nil {
				t.Fatal(err)
			}
			if got, err := Examine(dir); err != nil || len(got.Resets) != 0 {
				t.Errorf("broken off: %+v, %v", got, err)
			}
			if _, err := s.tryStart("db1"); !errors.Is(err, ErrUnfinished) {
				t.Errorf("started: %v", err)
			}
			if err := anew(); err != nil {
				t.Fatal(err)
			}
			if got, err := Examine(dir); err != nil || !slices.Equal(got.Resets, []string{"r1"}) || !slices.Equal(got.Voters, []string{"db1"}) {
				t.Errorf("run again: %+v, %v", got, err)
			}
			s.start("db1")
			s.propose("two")
			s.agree("one", "two")
		})
	}
}

// TestTermsApart: what the two quorums write while neither hears of the other is not taken for one another's.
func TestTermsApart(t *testing.T) {
	t.Parallel()
	s, db1 := recovered(t)
	term := db1.Stats().Term
	s.stop("db1")
	old := []*member{s.start("db2"), s.start("arb1")}
	s.wait("the old quorum", func() bool { return old[0].Leads() || old[1].Leads() })
	if was := old[0].Stats().Term; term < termStep || was > 1000 {
		t.Errorf("the new one's term was %d, the old one's is %d", term, was)
	}
}

// TestBeginsBetweenTwo: one that begins anew hears of the quorum that there was, which goes on as it does not reach the new one, and of the new one. It never has
// commands of both.
func TestBeginsBetweenTwo(t *testing.T) {
	t.Parallel()
	for _, first := range []string{"the old quorum first", "the new one first", "both at once"} {
		t.Run(first, func(t *testing.T) {
			s := newSite(t, "db1@a db2@b arb1 arb2")
			s.startAll()
			s.propose("one")
			s.agree("one")
			time.Sleep(1500 * time.Millisecond) // a round
			s.stopAll()
			if err := errors.Join(Recover(s.data("db2"), "db2", "r1", &journal{}, discard(), time.Now), os.RemoveAll(s.data("arb2"))); err != nil {
				t.Fatal(err)
			}
			s.cut("db2", "db1", "arb1")
			var old []*member
			startOld := func() { old = []*member{s.start("db1"), s.start("arb1")} }
			switch first {
			case "the old quorum first":
				startOld()
				s.wait("the old quorum", func() bool { return old[0].Leads() || old[1].Leads() })
				arb2 := s.start("arb2")
				go s.work(t, old...)
				s.wait("arb2 with the old quorum", func() bool { return len(arb2.commands()) > 2 })
				s.start("db2")
				s.wait("arb2 to stop", func() bool { return errors.Is(arb2.Err(), ErrSuperseded) })
				s.stop("arb2")
				if _, err := s.tryStart("arb2"); !errors.Is(err, ErrSuperseded) {
					t.Errorf("started again: %v", err)
				}
				return
			case "the new one first":
				s.start("db2")
				arb2 := s.start("arb2")
				s.wait("arb2 to hear of the new one", func() bool { return len(arb2.store.mark().Resets) == 1 })
				for _, name := range []string{"db1", "arb1"} {
					if _, err := s.tryStart(name); !errors.Is(err, ErrSuperseded) {
						t.Errorf("%s started: %v", name, err)
					}
				}
			default:
				startOld()
				s.start("arb2")
				s.start("db2")
			}
			db2, arb2 := s.up["db2"], s.up["arb2"]
			go s.work(t, append(old, db2)...)
			s.wait("an end of the old quorum, or of what arb2 had begun", func() bool {
				return errors.Is(arb2.Err(), ErrSuperseded) || !slices.ContainsFunc(old, func(m *member) bool { return !errors.Is(m.Err(), ErrSuperseded) })
			})
			if arb2.Err() != nil {
				return
			}
			s.wait("arb2 in the new quorum", func() bool { return len(arb2.commands()) > 2 })
			for _, c := range arb2.commands()[1:] {
				if !strings.HasPrefix(c, "db2-") {
					t.Errorf("arb2 has %q", c)
				}
			}
		})
	}
}

// cut lets a host and others not reach each other, from their next start on.
func (s *site) cut(one string, others ...string) {
	s.tune = func(o *Options) {
		o.Hosts = slices.Clone(o.Hosts)
		for i, h := range o.Hosts {
			if o.Host == one && slices.Contains(others, h.Name) || h.Name == one && slices.Contains(others, o.Host) {
				o.Hosts[i].Address = "127.0.0.1:1"
			}
		}
	}
}

// work has those who lead take in whom they are to, and commit, until the test ends.
func (s *site) work(t *testing.T, members ...*member) {
	for i := 0; t.Context().Err() == nil; i++ {
		for _, m := range members {
			if !m.Leads() {
				continue
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, _ = m.Advance(ctx)
			_, _, _ = m.Propose(ctx, fmt.Appendf(nil, "%s-%d", m.name, i))
			cancel()
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestDescent(t *testing.T) {
	tests := []struct {
		name        string
		own, theirs mark
		want        error
	}{
		{"never reset", mark{Since: 1}, mark{Since: 1}, nil},
		{"the same resets", mark{Since: 1, Resets: []string{"a"}}, mark{Since: 9, Resets: []string{"a"}}, nil},
		{"it begins", mark{Since: 1, Resets: []string{"a"}}, mark{}, nil},
		{"it begins, and was told of the first", mark{Since: 1, Resets: []string{"a", "b"}}, mark{Resets: []string{"a"}}, nil},
		{"it began with those who are left behind", mark{Since: 1, Resets: []string{"a"}}, mark{Writes: 3}, ErrSuperseded},
		{"this one begins", mark{}, mark{Since: 1, Resets: []string{"a"}}, nil},
		{"this one began with those who are left behind", mark{Writes: 3}, mark{Since: 1, Resets: []string{"a"}}, errLeftBehind},
		{"this one begins, and was told", mark{Resets: []string{"a"}}, mark{Since: 1}, ErrSuperseded},
		{"left behind", mark{Since: 1, Resets: []string{"a"}}, mark{Since: 1}, ErrSuperseded},
		{"left behind by the second", mark{Since: 1, Resets: []string{"a", "b"}}, mark{Since: 1, Resets: []string{"a"}}, ErrSuperseded},
		{"this one is", mark{Since: 1, Resets: []string{"a"}}, mark{Since: 1, Resets: []string{"a", "b"}}, errLeftBehind},
		{"two of one", mark{Since: 1, Resets: []string{"a", "b"}}, mark{Since: 1, Resets: []string{"a", "c"}}, ErrOtherQuorum},
	}
	for _, tt := range tests {
		if got := descent(&tt.own, &tt.theirs); !errors.Is(got, tt.want) {
			t.Errorf("%s: got %v, expected %v", tt.name, got, tt.want)
		}
	}
}
