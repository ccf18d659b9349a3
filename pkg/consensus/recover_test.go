package consensus

import (
	"errors"
	"os"
	"slices"
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
	for _, h := range s.hosts {
		s.stop(h.Name)
	}
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

func TestDescent(t *testing.T) {
	tests := []struct {
		name        string
		own, theirs mark
		want        error
	}{
		{"never reset", mark{Since: 1}, mark{Since: 1}, nil},
		{"the same resets", mark{Since: 1, Resets: []string{"a"}}, mark{Since: 9, Resets: []string{"a"}}, nil},
		{"it begins", mark{Since: 1, Resets: []string{"a"}}, mark{Writes: 3}, nil},
		{"this one begins", mark{}, mark{Since: 1, Resets: []string{"a"}}, nil},
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
