package consensus

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// TestHalfStore: what is left of a store that was removed by half is no quorum of its own beside the one that goes on.
func TestHalfStore(t *testing.T) {
	t.Parallel()
	for _, part := range []string{storeFile, snapshotsDir} {
		t.Run(part, func(t *testing.T) {
			s, db1 := recovered(t) // it has a snapshot, and is the only member by that
			for _, name := range []string{"db2", "arb1"} {
				if err := os.RemoveAll(s.data(name)); err != nil {
					t.Fatal(err)
				}
				s.start(name)
			}
			s.advance("three voters", func() bool { return db1.votes("db2") && db1.votes("arb1") })
			s.stop("db1")
			if err := os.RemoveAll(filepath.Join(s.data("db1"), part)); err != nil {
				t.Fatal(err)
			}
			if got, err := Examine(s.data("db1")); !errors.Is(err, ErrHalf) {
				t.Errorf("examined: %+v, %v", got, err)
			}
			for range 2 { // what the first one leaves is a part as well
				if _, err := s.tryStart("db1"); !errors.Is(err, ErrHalf) {
					t.Errorf("started: %v", err)
				}
			}
			if got, err := Examine(s.data("db1")); !errors.Is(err, ErrHalf) {
				t.Errorf("examined again: %+v, %v", got, err)
			}
			s.propose("three")
		})
	}
}

// TestExamineGap: a follower that was given a snapshot keeps what it had long before, and is a member by the snapshot.
func TestExamineGap(t *testing.T) {
	dir := t.TempDir()
	st, err := openStore(dir, storeBudget)
	if err != nil {
		t.Fatal(err)
	}
	voters := func(names ...string) (c raft.Configuration) {
		for _, name := range names {
			c.Servers = append(c.Servers, raft.Server{ID: raft.ServerID(name), Address: raft.ServerAddress(name)})
		}
		return c
	}
	entries := []*raft.Log{{Index: 1, Term: 1, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(voters("db1", "db2"))}}
	for i := uint64(2); i <= 100; i++ {
		entries = append(entries, &raft.Log{Index: i, Term: 1, AppendedAt: time.Now()})
	}
	want := func(term, index uint64) {
		t.Helper()
		if err := errors.Join(st.StoreLogs(entries), st.close()); err != nil {
			t.Fatal(err)
		}
		got, err := Examine(dir)
		if err != nil || got == nil || got.Term != term || got.Index != index || !slices.Equal(got.Voters, []string{"arb1", "db1", "db2"}) {
			t.Errorf("%+v, %v", got, err)
		}
	}
	snapshots := must(raft.NewFileSnapshotStoreWithLogger(dir, snapshotsKept, hclog.NewNullLogger()))
	_, transport := raft.NewInmemTransport("db1")
	sink := must(snapshots.Create(raft.SnapshotVersionMax, 5000, 3, voters("db1", "db2", "arb1"), 4000, transport))
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	want(3, 5000)
	st = must(openStore(dir, storeBudget))
	entries = []*raft.Log{{Index: 5001, Term: 3}, {Index: 5002, Term: 4}}
	want(4, 5002)
}
