package consensus

import (
	"errors"
	"os"
	"os/exec"
	"testing"
	"time"
)

// copyData takes a copy of a host's directory, as a backup or a snapshot of a virtual machine would.
func (s *site) copyData(from, to string) {
	s.t.Helper()
	if err := errors.Join(os.RemoveAll(to), exec.Command("cp", "-a", from, to).Run()); err != nil {
		s.t.Fatal(err)
	}
}

// greets waits until every host that is up has greeted every other since now.
func (s *site) greets() {
	s.t.Helper()
	for _, m := range s.up {
		for peer := range s.up {
			if peer != m.name {
				s.wait("greeting", func() bool { return m.rounds.meet(s.t.Context(), peer) == nil })
			}
		}
	}
}

// TestEmptiedVoter: it is not heard until the members have taken it in anew, without a vote at first.
func TestEmptiedVoter(t *testing.T) {
	t.Parallel()
	s := newSite(t, three)
	s.startAll()
	s.propose("one")
	s.greets()
	leader := s.leader()
	lost := s.follower().name
	s.stop(lost)
	if err := os.RemoveAll(s.data(lost)); err != nil {
		t.Fatal(err)
	}
	m := s.start(lost)
	s.wait("refusal", func() bool { return leader.Contacts()[lost].Refused != "" })
	time.Sleep(2 * times(pace).of(heartbeat))
	if m.Err() != nil || len(m.Members()) != 0 || len(m.commands()) != 0 {
		t.Fatalf("refused, it has members %v, commands %v, %v", m.Members(), m.commands(), m.Err())
	}
	changes := s.advance("vote of "+lost, func() bool { return m.votes(lost) })
	if len(changes) != 3 || changes[0] != "remove "+lost || changes[1] != "join "+lost || changes[2] != "promote "+lost {
		t.Errorf("it was taken in by %v", changes)
	}
	s.propose("two")
	s.agree("one", "two")
}

// TestEmptiedVoterDoesNotVoteTwice: with the leader gone, an emptied voter and one that knew it are no majority, though
// they are two of three: what the emptied one had promised is with the one that is gone.
func TestEmptiedVoterDoesNotVoteTwice(t *testing.T) {
	t.Parallel()
	s := newSite(t, three)
	s.startAll()
	s.propose("one")
	s.greets()
	leader, lost := s.leader().name, s.follower().name
	s.stop(leader)
	s.stop(lost)
	if err := os.RemoveAll(s.data(lost)); err != nil {
		t.Fatal(err)
	}
	for name := range s.up { // what it knows of the other is on its disk
		s.stop(name)
		s.start(name)
	}
	s.start(lost)
	s.nobodyLeads(2 * time.Second)
	s.start(leader)
	s.propose("two") // the two that remember
}

// nobodyLeads holds for as long as it is looked.
func (s *site) nobodyLeads(d time.Duration) {
	s.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		for _, m := range s.up {
			if m.Leads() {
				s.t.Fatalf("%s leads, in term %d", m.name, m.Stats().Term)
			}
		}
	}
}

// TestOldCopy: a directory that is put back to an older state is found out by whoever has seen it since, stops for good, and
// gives nobody a majority. Emptied, its host is taken in again.
func TestOldCopy(t *testing.T) {
	t.Parallel()
	for _, when := range []string{"of an earlier run", "of the same run"} {
		t.Run(when, func(t *testing.T) {
			s := newSite(t, three)
			s.startAll()
			s.propose("one")
			s.greets()
			old := s.follower().name
			s.stop(old)
			s.copyData(s.data(old), s.data("copy"))
			s.start(old)
			if when == "of the same run" {
				s.propose("two")
				s.up[old].raft.Barrier(0)
				m := s.up[old]
				s.wait("two", func() bool { return len(m.commands()) == 2 })
				s.copyData(s.data(old), s.data("copy")) // bbolt writes its pages before it points to them, so this one may be torn, never newer
			}
			s.propose("three")
			m := s.up[old]
			s.wait("three", func() bool { c := m.commands(); return len(c) > 0 && c[len(c)-1] == "three" })
			s.greets()
			leader := s.leader().name
			s.stop(old)
			s.stop(leader)
			s.copyData(s.data("copy"), s.data(old))
			if _, err := s.tryStart(old); !errors.Is(err, ErrWentBack) { // it asks around before it takes part
				t.Fatalf("the old copy started: %v", err)
			}
			s.nobodyLeads(2 * time.Second)
			s.start(leader)
			s.propose("four")
			if err := os.RemoveAll(s.data(old)); err != nil {
				t.Fatal(err)
			}
			m = s.start(old)
			s.advance("vote of "+old, func() bool { return m.votes(old) && m.commands() != nil })
			s.propose("five")
			s.wait("five", func() bool { c := m.commands(); return len(c) > 0 && c[len(c)-1] == "five" })
		})
	}
}

// TestOldDisk: the disk of before is no way back for a host that was taken in with a new one.
func TestOldDisk(t *testing.T) {
	t.Parallel()
	s := newSite(t, three)
	s.startAll()
	s.propose("one")
	s.greets()
	lost := s.follower().name
	s.stop(lost)
	s.copyData(s.data(lost), s.data("before"))
	if err := os.RemoveAll(s.data(lost)); err != nil {
		t.Fatal(err)
	}
	m := s.start(lost)
	s.advance("vote of "+lost, func() bool { return m.votes(lost) })
	s.propose("two")
	s.greets()
	leader := s.leader().name
	s.stop(lost)
	s.stop(leader)
	s.copyData(s.data("before"), s.data(lost))
	s.start(lost)
	s.nobodyLeads(2 * time.Second)
	s.start(leader)
	s.propose("three")
}
