package consensus

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/hashicorp/raft"
	bolt "go.etcd.io/bbolt"
)

// Recover makes a quorum that has lost its majority anew, of one survivor: in the directory of that host, which is to be stopped. It is the only member
// from then on, and takes the others in as new ones: the directories of the other survivors are to be set aside. reset is a name for this, that no
// other reset has. All entries of this directory's log are taken as committed, so it is for when nothing else is left: what the lost ones
// knew more is gone. A lost host that comes back with its old directory is refused by whoever is of the new quorum, and stops for good
// when it hears of it (ErrSuperseded). Machine is thrown away; what its Snapshot gives is the state of the new quorum.
func Recover(dir, host, reset string, machine Machine, log *slog.Logger, now func() time.Time) (err error) {
	st, err := openStore(dir, storeBudget)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.close()) }()
	if slices.Contains(st.own.done(), reset) {
		return nil
	}
	resets := append(slices.Clone(st.own.done()), reset)
	if err := st.begin(resets); err != nil {
		return err
	}
	bridged := bridge(log, now)
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(dir, snapshotsKept, bridged)
	if err != nil {
		return err
	}
	configuration := raft.Configuration{Servers: []raft.Server{{ID: raft.ServerID(host), Address: raft.ServerAddress(host), Suffrage: raft.Voter}}}
	_, transport := raft.NewInmemTransport(raft.ServerAddress(host))
	keep := &recovering{
		replica: &replica{machine: machine, fail: func(error) {}},
		members: membership{Index: recoveredIndex, Since: map[string]uint64{host: recoveredIndex}, Resets: resets},
	}
	err = raft.RecoverCluster(times(1).config(host, bridged), keep, st, st, snapshots, transport, configuration)
	if err := errors.Join(err, keep.stopped); err != nil {
		return err
	}
	if err := st.raiseTerm(); err != nil {
		return err
	}
	return st.finish()
}

// ErrUnfinished is returned when Recover was broken off in a directory: it is to be run again.
var ErrUnfinished = errors.New("a quorum was being made anew out of this store when that was broken off: the reset is to be run again")

// termStep is how far the terms of a quorum that was made anew are above those of the one that it was made of. That one may go on, for as long as it hears
// nothing of this: an entry is known by its index and its term, and no two of both are to be taken for one.
const termStep = 1 << 32

// keyTerm is raft's (raft.go, keyCurrentTerm).
var keyTerm = []byte("CurrentTerm")

func (s *store) raiseTerm() error {
	term, err := s.GetUint64(keyTerm)
	if err != nil && !errors.Is(err, errNotFound) {
		return err
	}
	return s.SetUint64(keyTerm, term+termStep)
}

// recoveredIndex is where raft writes a configuration that was recovered (raft, RecoverCluster).
const recoveredIndex = 1

// recovering is a replica whose members are given.
type recovering struct {
	*replica
	members membership
}

// Snapshot takes the state with the given members (raft.FSM). The survivor keeps the index at which it joined.
func (r *recovering) Snapshot() (raft.FSMSnapshot, error) {
	for name := range r.members.Since {
		r.members.Since[name] = max(r.members.Since[name], r.replica.members.Since[name])
	}
	r.replica.members = r.members
	return r.replica.Snapshot()
}

// begin makes the store one of a quorum that is being made anew. What was seen of others is forgotten: their stores are not of it, and are known by that.
// It comes first, and nobody opens the store until finish: broken off anywhere, it is not a quorum of one by its members and the old one by its word.
func (s *store) begin(resets []string) error {
	return s.change(func(tx *bolt.Tx, next *own) error {
		next.Resets, next.Unfinished, next.Since = resets, true, max(next.Since, recoveredIndex)
		if err := tx.DeleteBucket(bucketSeen); err != nil {
			return err
		}
		_, err := tx.CreateBucket(bucketSeen)
		return err
	})
}

// finish is the end of what begin began.
func (s *store) finish() error {
	return s.change(func(_ *bolt.Tx, next *own) error {
		next.Unfinished = false
		return nil
	})
}

// Remains is what a directory holds whose host is stopped. Of two survivors the one with the later term, or else the higher index, has every entry that
// the other knows to be committed.
type Remains struct {
	Term   uint64   // of the last entry, in the log or in the last snapshot
	Index  uint64   // of that entry
	Voters []string // by the latest configuration there, sorted
	Resets []string // of its quorum
}

// Examine reads a directory without changing it; nil: there is no store, or one that was never written to. An error after a second says that a
// process has it.
func Examine(dir string) (_ *Remains, err error) {
	snapshots, err := snapshotsIn(dir)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, storeFile)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		if len(snapshots) > 0 {
			return nil, fmt.Errorf("%w: %s is missing beside its snapshots", ErrHalf, storeFile)
		}
		return nil, nil
	}
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second, ReadOnly: true})
	if err != nil {
		return nil, err
	}
	st := &store{db: db}
	defer func() { err = errors.Join(err, st.close()) }()
	err = db.View(st.read)
	switch {
	case errors.Is(err, errNotFound) && len(snapshots) == 0:
		return nil, nil
	case errors.Is(err, errNotFound):
		return nil, fmt.Errorf("%w: %s is empty beside its snapshots", ErrHalf, storeFile)
	case err != nil:
		return nil, err
	}
	if err := st.whole(snapshots); err != nil {
		return nil, err
	}
	return st.remains(snapshots)
}

// remains are those of a store and the snapshots beside it. Of a log that begins before its snapshot, raft goes by what comes after: a follower that was
// given a snapshot may keep entries from long before, with a gap between.
func (s *store) remains(snapshots []*raft.SnapshotMeta) (*Remains, error) {
	out := &Remains{Resets: s.own.done()}
	var configuration raft.Configuration
	if len(snapshots) > 0 {
		out.Term, out.Index, configuration = snapshots[0].Term, snapshots[0].Index, snapshots[0].Configuration
	}
	first, err := s.FirstIndex()
	if err != nil {
		return nil, err
	}
	for i := max(first, out.Index+1); first > 0 && i <= s.index; i++ {
		var entry raft.Log
		if err := s.GetLog(i, &entry); err != nil {
			return nil, fmt.Errorf("entry %d of the log: %w", i, err)
		}
		out.Term, out.Index = entry.Term, entry.Index
		if entry.Type == raft.LogConfiguration {
			configuration = raft.DecodeConfiguration(entry.Data)
		}
	}
	for _, server := range configuration.Servers {
		if server.Suffrage == raft.Voter {
			out.Voters = append(out.Voters, string(server.ID))
		}
	}
	slices.Sort(out.Voters)
	if out.Index == 0 {
		return nil, nil
	}
	return out, nil
}
