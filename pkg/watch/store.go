package watch

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/consensus"
	"github.com/pgctl/pgctl/pkg/failover"
)

func storeOf(r *consensus.Remains) *failover.Store {
	if r == nil || r.Index == 0 {
		return nil
	}
	return &failover.Store{Term: r.Term, Index: r.Index, Voters: append([]string{}, r.Voters...), Resets: append([]string{}, r.Resets...)}
}

// storeNow is that of a replica that runs.
func (q *quorum) storeNow() *failover.Store {
	if q == nil || q.node == nil {
		return nil
	}
	r := q.node.Remains()
	return storeOf(&r)
}

// raftDir is where a host keeps its part of the quorum.
func raftDir(stateDir string) string { return filepath.Join(stateDir, "raft") }

// aside begins the name of what was set aside, and partial ends that of a copy that is not whole. A store is two things: its file, and its snapshots.
const (
	aside        = "raft."
	partial      = ".partial"
	storeFile    = "raft.db"
	snapshotsDir = "snapshots"
)

// LookStore looks at what this host has of the quorum, whether its watcher runs or not.
func LookStore(ctx context.Context, stateDir, controlPath string) (failover.Shelf, error) {
	s := failover.Shelf{Aside: []string{}}
	found, err := filepath.Glob(filepath.Join(raftDir(stateDir)+".*", storeFile))
	if err != nil {
		return s, err
	}
	for _, path := range found {
		if name := strings.TrimPrefix(filepath.Base(filepath.Dir(path)), aside); !strings.HasSuffix(name, partial) {
			s.Aside = append(s.Aside, name)
		}
	}
	text, err := Ask(ctx, controlPath, AskState, strings.NewReader("null"))
	if err == nil {
		var told Told
		if err := json.Unmarshal(text, &told); err != nil {
			return s, err
		}
		s.Running, s.Store, s.State, s.Problem = true, told.Store, told.State, told.Problem
		switch {
		case told.Quorum == nil:
			s.Problem = cmp.Or(told.Problem, "it has only begun")
		case told.Quorum.Executor != nil:
			s.Executor = *told.Quorum.Executor
		}
		return s, nil
	}
	if !errors.Is(err, ErrNoWatcher) {
		s.Running, s.Problem = true, err.Error()
		return s, ctx.Err()
	}
	remains, err := consensus.Examine(raftDir(stateDir))
	if err != nil { // that no watcher runs is known all the same
		s.Problem = fmt.Sprintf("%s: %s", raftDir(stateDir), err)
	}
	s.Store = storeOf(remains)
	text, err = os.ReadFile(filepath.Join(raftDir(stateDir), "state.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		var k known
		k, err = readKnown(text)
		s.State = k.State
	}
	return s, err
}

// ResetStore makes the quorum anew out of what this host knows of it: consensus.Recover, on a copy that takes the place of what was there, which is kept
// as id. Host is this one's name in the inventory. What the quorum has decided last may be unknown here, so the region begins halted: whoever runs as master goes on, and an operator says
// who is it (Adopt). Run again, it changes nothing.
func ResetStore(o Options, id, by string, lost []string) error {
	lock, err := lockDir(o.RunDir)
	if err != nil {
		return err
	}
	defer lock.Close()
	dir, kept := raftDir(o.StateDir), raftDir(o.StateDir)+"."+id
	remains, err := consensus.Examine(dir)
	switch {
	case err != nil:
		return err
	case remains == nil:
		return fmt.Errorf("%s has no store to make a quorum of", o.Host)
	}
	if err := keepCopy(dir, kept); err != nil {
		return err
	}
	record := cluster.Record{
		Rule: fmt.Sprintf("the quorum was made anew out of what %s knew, as %s wished; pgctl resume --adopt says who is master", o.Host, by),
		At:   o.Now().UTC().Format(recordLayout),
	}
	for _, host := range lost {
		record.Evidence = append(record.Evidence, by+" says that "+host+" is lost")
	}
	m := &resetting{machine: machine{changed: func(known) {}}, record: record}
	return errors.Join(consensus.Recover(dir, o.Host, id, m, o.Log, o.Now), m.err)
}

// keepCopy keeps a copy of a directory, whole or not at all.
func keepCopy(dir, kept string) error {
	if _, err := os.Stat(kept); err == nil {
		return nil
	}
	copied := kept + partial
	if err := os.RemoveAll(copied); err != nil {
		return err
	}
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		return err
	}
	if err := os.Chmod(copied, 0o700); err != nil {
		return err
	}
	err := filepath.WalkDir(copied, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return syncFile(path)
	})
	if err != nil {
		return err
	}
	if err := os.Rename(copied, kept); err != nil {
		return err
	}
	return syncFile(filepath.Dir(kept))
}

// SetStoreAside sets what this host has of the quorum aside, as id: its watcher begins as one that was never there. The latest state stays: a
// watcher never goes by an older one than before.
func SetStoreAside(o Options, id string) error {
	lock, err := lockDir(o.RunDir)
	if err != nil {
		return err
	}
	defer lock.Close()
	if remains, err := consensus.Examine(raftDir(o.StateDir)); err == nil && remains != nil && slices.Contains(remains.Resets, id) {
		return fmt.Errorf("what %s has is of the quorum that was made anew as %s, not of the old one: it stays", raftDir(o.StateDir), id)
	} // what cannot be read is set aside as well
	return setStoreAside(o.StateDir, id)
}

// setStoreAside moves the snapshots first: wherever it is broken off, what is left is no store that anybody begins with (consensus.ErrHalf), and the next
// time goes on from there. What is kept under the name already is never written over.
func setStoreAside(stateDir, id string) error {
	dir, kept := raftDir(stateDir), raftDir(stateDir)+"."+id
	if err := os.Remove(filepath.Join(dir, snapshotsDir)); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrExist) {
		return err // an empty one is no part of a store
	}
	var move []string
	for _, name := range []string{snapshotsDir, storeFile} {
		if !exists(filepath.Join(dir, name)) {
			continue
		}
		if exists(filepath.Join(kept, name)) {
			return fmt.Errorf("%s has %s of another store already: set this one aside under another name, with pgctl store aside --id NAME", kept, name)
		}
		move = append(move, name)
	}
	if len(move) == 0 {
		return nil
	}
	if err := os.MkdirAll(kept, 0o700); err != nil {
		return err
	}
	for _, name := range move {
		if err := os.Rename(filepath.Join(dir, name), filepath.Join(kept, name)); err != nil {
			return err
		}
		if err := errors.Join(syncFile(kept), syncFile(dir)); err != nil {
			return err
		}
	}
	return syncFile(stateDir)
}

// exists takes a path that cannot be looked at for one that is there.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// syncFile has a file, or the names in a directory, on the disk.
func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// resetting is a machine whose snapshot is the state of a quorum that is made anew.
type resetting struct {
	machine

	record cluster.Record
	err    error
}

// Snapshot is the state, halted, and later than all that any host may know.
func (m *resetting) Snapshot() []byte {
	k := m.known
	k.Base += resetStep
	k.Index += resetStep
	next, err := cluster.Apply(k.State, cluster.Command{Kind: cluster.Halt, Epoch: k.State.Epoch, Gen: k.State.Gen, Record: m.record})
	switch {
	case err == nil:
		k.State = next
	case k.State.Halted == "":
		m.err = err
	}
	m.known = k
	return m.machine.Snapshot()
}

// StoreOptions are those of the functions that work on a host's store while no watcher runs.
func StoreOptions(host string, now func() time.Time) Options {
	return Options{Host: host, RunDir: RunDir, StateDir: StateDir, Now: now, Log: slog.New(slog.DiscardHandler)}
}
