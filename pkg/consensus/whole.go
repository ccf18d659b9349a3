package consensus

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// snapshotsDir is where raft keeps its snapshots (raft, file_snapshot.go).
const snapshotsDir = "snapshots"

// ErrHalf is returned for a directory that has a part of a store only: its log and its snapshots are not of one, as one of them was removed, set aside
// or put back without the other. raft would go by what is left, and may lead a quorum that is none. The rest is to be set aside, and the host begins anew.
var ErrHalf = errors.New("the directory has a part of a store only")

// whole tells whether the store and the snapshots beside it are of one. A store that was never written to has none, and one whose log does not begin
// with the first entry, or that is a member's without any, has one.
func (s *store) whole(snapshots []*raft.SnapshotMeta) error {
	first, err := s.FirstIndex()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.own.Unfinished: // it has what it had, and a snapshot of the new quorum or not
		return nil
	case len(snapshots) > 0 && s.own.Writes == 0 && s.own.Since == 0:
		return fmt.Errorf("%w: %s is new, and there are snapshots of another one beside it", ErrHalf, storeFile)
	case len(snapshots) == 0 && (first > 1 || first == 0 && s.own.Since > 0):
		return fmt.Errorf("%w: the snapshots that %s goes on from are missing", ErrHalf, storeFile)
	}
	return nil
}

// snapshotsIn are those in a directory, which is not changed.
func snapshotsIn(dir string) ([]*raft.SnapshotMeta, error) {
	if _, err := os.Stat(filepath.Join(dir, snapshotsDir)); errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(dir, snapshotsKept, hclog.NewNullLogger())
	if err != nil {
		return nil, err
	}
	return snapshots.List()
}
