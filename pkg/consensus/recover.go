package consensus

import (
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/hashicorp/raft"
)

// Recover makes the hosts of an inventory the only members of a quorum that has lost its majority, in the directory of one of
// them. Every survivor is to be stopped and to get the same hosts, then all are started. It takes all entries of this
// directory's log as committed, so it is for when nothing else is left: what the lost ones knew more is gone, and two
// halves that both recover are two quorums. The lost hosts' directories are to be emptied before they come back.
// machine is thrown away.
func Recover(dir, host string, hosts []Host, machine Machine, log *slog.Logger, now func() time.Time) (err error) {
	if err := isMember(host, hosts); err != nil {
		return err
	}
	st, err := openStore(dir, storeBudget)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.close()) }()
	bridged := bridge(log, now)
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(dir, snapshotsKept, bridged)
	if err != nil {
		return err
	}
	voters, _ := Electorate(hosts)
	var configuration raft.Configuration
	since := map[string]uint64{}
	for _, h := range replicating(hosts) {
		s := raft.Server{ID: raft.ServerID(h.Name), Address: raft.ServerAddress(h.Name), Suffrage: raft.Nonvoter}
		if slices.Contains(voters, h.Name) {
			s.Suffrage = raft.Voter
		}
		configuration.Servers = append(configuration.Servers, s)
		since[h.Name] = recoveredIndex
	}
	_, transport := raft.NewInmemTransport(raft.ServerAddress(host))
	keep := &recovering{replica: &replica{machine: machine, fail: func(error) {}}, members: membership{Index: recoveredIndex, Since: since}}
	err = raft.RecoverCluster(times(1).config(host, bridged), keep, st, st, snapshots, transport, configuration)
	return errors.Join(err, keep.stopped)
}

// recoveredIndex is where raft writes a configuration that was recovered (raft, RecoverCluster).
const recoveredIndex = 1

// recovering is a replica whose members are given. Survivors keep the index at which they joined: their stores are known by it.
type recovering struct {
	*replica
	members membership
}

// Snapshot takes the state with the given members (raft.FSM).
func (r *recovering) Snapshot() (raft.FSMSnapshot, error) {
	for name, joined := range r.replica.members.Since {
		if _, stays := r.members.Since[name]; stays {
			r.members.Since[name] = joined
		}
	}
	r.replica.members = r.members
	return r.replica.Snapshot()
}
