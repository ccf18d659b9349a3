package consensus

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"sync"

	"github.com/hashicorp/raft"
)

// snapshotVersion is that of the envelope around a Machine's snapshot.
const snapshotVersion = 1

// snapshotLimit bounds a snapshot that is read, so that a broken one cannot take the memory.
const snapshotLimit = 64 << 20

// membership is the engine's own part of the replicated state.
type membership struct {
	Index uint64            `json:"index"` // of the configuration in force
	Since map[string]uint64 `json:"since"` // member: index at which it joined, of its present membership
	// Resets are the times that the quorum was made anew. They come with a snapshot: after each there is no log from before.
	Resets []string `json:"resets,omitempty"`
}

// envelope is a snapshot as it lies on the disk.
type envelope struct {
	Version int        `json:"version"`
	Members membership `json:"members"`
	Machine []byte     `json:"machine"`
}

// replica is raft's view of a Machine (raft.FSM, raft.ConfigurationStore).
type replica struct {
	fail func(error)

	mu      sync.RWMutex
	machine Machine
	applied uint64 // index of the last command
	members membership
	stopped error // why the machine takes no more commands
}

// appliedResult is what Apply gives to raft's future.
type appliedResult struct {
	value any
	err   error
}

// Apply does one command (raft.FSM).
func (r *replica) Apply(entry *raft.Log) any {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped != nil {
		return appliedResult{err: r.stopped}
	}
	value, err := r.machine.Apply(entry.Index, entry.Data)
	if err != nil {
		return appliedResult{err: r.stop(fmt.Errorf("command %d cannot be applied: %w", entry.Index, err))}
	}
	r.applied = entry.Index
	return appliedResult{value: value}
}

// stop ends the replica; it is called with the lock held.
func (r *replica) stop(err error) error {
	r.stopped = err
	r.fail(err)
	return err
}

// StoreConfiguration follows the members (raft.ConfigurationStore). It is called for every committed configuration, in order.
func (r *replica) StoreConfiguration(index uint64, configuration raft.Configuration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	since := map[string]uint64{}
	for _, s := range configuration.Servers {
		joined, member := r.members.Since[string(s.ID)]
		if !member {
			joined = index
		}
		since[string(s.ID)] = joined
	}
	r.members = membership{Index: index, Since: since, Resets: r.members.Resets}
}

// Snapshot takes the state (raft.FSM). A stopped replica has none to give: it skipped a command.
func (r *replica) Snapshot() (raft.FSMSnapshot, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.stopped != nil {
		return nil, r.stopped
	}
	data, err := json.Marshal(envelope{Version: snapshotVersion, Members: r.members, Machine: r.machine.Snapshot()})
	return picture(data), err
}

// Restore replaces the state (raft.FSM).
func (r *replica) Restore(in io.ReadCloser) error {
	var e envelope
	data, err := io.ReadAll(io.LimitReader(in, snapshotLimit))
	err = errors.Join(err, in.Close())
	if err == nil {
		err = json.Unmarshal(data, &e)
	}
	if err == nil && e.Version > snapshotVersion {
		err = fmt.Errorf("it is of version %d, this program knows up to %d", e.Version, snapshotVersion)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		err = r.machine.Restore(e.Machine)
	}
	if err != nil {
		return r.stop(fmt.Errorf("the snapshot cannot be restored: %w", err))
	}
	r.members = e.Members
	return nil
}

// since is the index at which a host became a member, as far as is known here. For a host that is no member it is the
// index of the configuration that says so: if it becomes one again, then after that.
func (r *replica) since(host string) uint64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if joined, member := r.members.Since[host]; member {
		return joined
	}
	return r.members.Index
}

// joined is the index at which a host became a member; 0: it is none, as far as is known here.
func (r *replica) joined(host string) uint64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.members.Since[host]
}

func (r *replica) membership() membership {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return membership{Index: r.members.Index, Since: maps.Clone(r.members.Since), Resets: r.members.Resets}
}

// view runs f between two commands.
func (r *replica) view(f func()) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	f()
}

// picture is a snapshot that is taken and not yet written.
type picture []byte

// Persist writes it (raft.FSMSnapshot).
func (p picture) Persist(sink raft.SnapshotSink) error {
	if _, err := sink.Write(p); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

// Release has nothing to release.
func (p picture) Release() {}
