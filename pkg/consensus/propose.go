package consensus

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
)

// The errors of Propose, Barrier, Read, Change and Transfer.
var (
	// ErrNotLeader is returned when another host leads, or nobody, or the lead is being handed over. Nothing was proposed.
	ErrNotLeader = errors.New("this host does not lead")
	// ErrBusy is returned when raft does not take a proposal within a heartbeat: it is at its disk. Nothing was proposed.
	ErrBusy = errors.New("the leader does not take a proposal")
	// ErrTooLarge is returned for a command of more than 64 KiB. Nothing was proposed.
	ErrTooLarge = errors.New("the command is too large")
	// ErrUnknown is returned when a command was proposed and nobody knows what became of it. It may have been applied, or
	// still be. Commands are to be such that to propose one again does no harm.
	ErrUnknown = errors.New("the outcome is unknown")
	// ErrStopped is returned when this replica has failed or was closed. Nothing was proposed.
	ErrStopped = errors.New("this replica has stopped")
)

// Propose has a command committed by a majority and applied here, and gives what Machine.Apply returned. index is the
// command's place in the log: of two commands the later one has the higher index, on every host and for all time.
func (n *Node) Propose(ctx context.Context, command []byte) (result any, index uint64, err error) {
	if len(command) > maxCommand {
		return nil, 0, fmt.Errorf("%w: %d bytes", ErrTooLarge, len(command))
	}
	if n.handover.inProgress() {
		return nil, 0, ErrNotLeader
	}
	future, err := await(ctx, n, func() raft.ApplyFuture { return n.raft.Apply(command, n.times.of(heartbeat)) })
	if err != nil {
		return nil, 0, err
	}
	out, ok := future.Response().(appliedResult)
	switch {
	case !ok:
		return nil, 0, fmt.Errorf("raft gave %T for a command", future.Response())
	case out.err != nil:
		return nil, 0, fmt.Errorf("%w: %w", ErrUnknown, out.err) // committed: the others may have applied it
	}
	n.spread()
	return out.value, future.Index(), nil
}

// spread has the others hear at once of what was just committed: raft says how far that is only with the next entry, or after commitTimeout
// (replication.go, replicate). What comes of the entry is of no interest. While the lead is handed over there is none: the target could not catch up with it.
func (n *Node) spread() {
	if n.handover.inProgress() {
		return
	}
	go n.raft.Barrier(n.times.of(heartbeat))
}

// Barrier returns when everything that was committed before the call is applied here, and a majority has confirmed since
// the call that this host leads. A new leader does it before it acts.
func (n *Node) Barrier(ctx context.Context) error {
	_, err := await(ctx, n, func() raft.Future { return n.raft.Barrier(n.times.of(heartbeat)) })
	return err
}

// Read does a Barrier and then calls f, with the Machine at rest: f sees all that was committed before the call. It may not
// keep what the Machine lends it, nor take long: no command is applied meanwhile.
func (n *Node) Read(ctx context.Context, f func()) error {
	if err := n.Barrier(ctx); err != nil {
		return err
	}
	n.replica.view(f)
	return nil
}

// View calls f with the Machine at rest, as far as this replica has come: it may be behind the others. For f see Read.
func (n *Node) View(f func()) { n.replica.view(f) }

// Applied is the index of the last command that was applied here.
func (n *Node) Applied() (index uint64) {
	n.View(func() { index = n.replica.applied })
	return index
}

// await asks raft for something and waits for the answer. The end of ctx leaves the question standing.
func await[F raft.Future](ctx context.Context, n *Node, ask func() F) (answer F, err error) {
	if n.Err() != nil {
		return answer, fmt.Errorf("%w: %w", ErrStopped, n.Err())
	}
	if ctx.Err() != nil {
		return answer, fmt.Errorf("%w: %w", ErrBusy, ctx.Err())
	}
	type reply struct {
		future F
		err    error
	}
	done := make(chan reply, 1)
	go func() {
		f := ask()
		done <- reply{f, f.Error()}
	}()
	select {
	case r := <-done:
		n.handover.note(n, r.err)
		return r.future, meaning(r.err)
	case <-ctx.Done():
		return answer, fmt.Errorf("%w: %w", ErrUnknown, ctx.Err())
	case <-n.failed:
		return answer, fmt.Errorf("%w: %w", ErrUnknown, n.Err())
	case <-n.ended:
		return answer, fmt.Errorf("%w: %w", ErrUnknown, ErrStopped)
	}
}

// meaning is what an error of raft's says of a proposal.
func meaning(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return ErrNotLeader // raft says so before it appends
	case errors.Is(err, raft.ErrEnqueueTimeout):
		return ErrBusy
	}
	return fmt.Errorf("%w: %w", ErrUnknown, err)
}
