package failover

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/plan"
	"github.com/pgctl/pgctl/pkg/postgres"
)

// fresh is how old a checkpoint may be to spare another one.
const fresh = "30 seconds"

// isCheckpointed: its last checkpoint is fresh, or there is nothing to write any more.
func (h *Servers) isCheckpointed(ctx context.Context, s plan.Step) (bool, error) {
	ctx, cancel := h.ask(ctx)
	defer cancel()
	if stopped, err := h.server(s).Stopped(ctx, s.Args["data_dir"]); stopped || err != nil {
		return stopped, err
	}
	if s.Args["promoted"] == "" { // as a standby it writes none of its own any more
		if standby, err := h.server(s).InRecovery(ctx); err != nil || standby {
			return seen(standby, err)
		}
	}
	return seen(h.server(s).Checkpointed(ctx, fresh))
}

func (h *Servers) checkpoint(ctx context.Context, s plan.Step) error {
	ctx, cancel := context.WithTimeout(ctx, stopLimit)
	defer cancel()
	return h.server(s).Checkpoint(ctx)
}

// isMaster: it has left recovery.
func (h *Servers) isMaster(ctx context.Context, s plan.Step) (bool, error) {
	ctx, cancel := h.ask(ctx)
	defer cancel()
	standby, err := h.server(s).InRecovery(ctx)
	return seen(!standby, err)
}

// NotPromoted is returned when a promotion was not even asked for: the server is the standby that it was.
type NotPromoted struct{ Err error }

// Error is the reason.
func (e *NotPromoted) Error() string { return e.Err.Error() }

// Unwrap gives the reason.
func (e *NotPromoted) Unwrap() error { return e.Err }

func isNotPromoted(err error) bool {
	var not *NotPromoted
	return errors.As(err, &not)
}

// promote is the point of no return.
func (h *Servers) promote(ctx context.Context, s plan.Step) error {
	if err := h.mayPromote(ctx, s); err != nil {
		return &NotPromoted{err}
	}
	ask, cancel := h.ask(ctx)
	defer cancel()
	if err := h.server(s).Promote(ask, s.Args["data_dir"]); err != nil {
		return err
	}
	for began := h.Now(); h.Now().Sub(began) < stopLimit; pause(ctx, 50*time.Millisecond) {
		if ok, err := h.isMaster(ctx, s); ok && err == nil {
			return nil
		}
	}
	return fmt.Errorf("it was asked to become master and has not left recovery")
}

// mayPromote looks once more at all that makes a promotion safe:
//
//   - who was master accepts no write: of each server that the plan stopped ("old") no process is left, or it runs as a standby;
//   - the candidate has replayed all WAL that these have of its timeline, to the last record; or, where the plan says so ("known"), it lacks no
//     more transactions than were counted before, or the operator gave them up;
//   - no standby that is to follow has more than the candidate. That it streams proves nothing: a stream begins at the start of a segment;
//   - a commit will wait for the standbys of the plan: the candidate's names are in its running configuration already.
func (h *Servers) mayPromote(ctx context.Context, s plan.Step) error {
	checks := []func(context.Context) error{
		func(ctx context.Context) error { return h.namesAreSet(ctx, s) },
		func(ctx context.Context) error { return h.isComplete(ctx, s) },
	}
	for _, old := range hosts(s.Args["old"]) {
		checks = append(checks, func(ctx context.Context) error { return h.isFencedOff(ctx, old) })
	}
	errs := make([]error, len(checks))
	var wait sync.WaitGroup
	for i, check := range checks {
		wait.Go(func() { errs[i] = check(ctx) })
	}
	wait.Wait()
	return errors.Join(errs...)
}

func (h *Servers) namesAreSet(ctx context.Context, s plan.Step) error {
	names, err := h.namesOf(ctx, s)
	if err == nil && !sameNames(names, s.Args["names"]) {
		err = fmt.Errorf("its synchronous_standby_names is %q, expected %q", names, s.Args["names"])
	}
	return err
}

// isFencedOff: no process of it is left, or what runs there is a standby.
func (h *Servers) isFencedOff(ctx context.Context, old hostDir) error {
	stopped, err := h.stoppedNow(ctx, h.on(old.host, old.dir), old.dir)
	if err != nil || stopped {
		return err
	}
	if standby, err := h.inRecovery(ctx, old.host, old.dir); err != nil || !standby {
		return errors.Join(fmt.Errorf("%s runs: there would be two masters", old.host), err)
	}
	return nil
}

// hostDir is a server and its data directory.
type hostDir struct{ host, dir string }

// hosts reads "HOST=DIR ..." back.
func hosts(text string) []hostDir {
	var all []hostDir
	for field := range strings.FieldsSeq(text) {
		host, dir, _ := strings.Cut(field, "=")
		all = append(all, hostDir{host, dir})
	}
	return all
}

func (h *Servers) namesOf(ctx context.Context, s plan.Step) (string, error) {
	ctx, cancel := h.ask(ctx)
	defer cancel()
	return h.server(s).SyncNames(ctx)
}

// isComplete waits a moment until the candidate lacks nothing that it must have.
func (h *Servers) isComplete(ctx context.Context, s plan.Step) error {
	for began := h.Now(); ; pause(ctx, 50*time.Millisecond) {
		lacks, err := h.lacks(ctx, s)
		if err != nil || lacks == "" {
			return err
		}
		if h.Now().Sub(began) > h.Timeout {
			return errors.New(lacks)
		}
	}
}

// lacks says what the candidate has not replayed and must, "" when that is nothing.
func (h *Servers) lacks(ctx context.Context, s plan.Step) (string, error) {
	in, err := h.probe(ctx, s)
	if err != nil {
		return "", err
	}
	for _, follower := range hosts(s.Args["followers"]) {
		ask, cancel := h.ask(ctx)
		f, err := h.on(follower.host, follower.dir).Probe(ask)
		cancel()
		if err != nil {
			return "", fmt.Errorf("%s: %w", follower.host, err)
		}
		if f.Position > max(in.Position, in.Received) {
			return fmt.Sprintf("%s has replayed up to %s, it itself up to %s only", follower.host, f.Position, in.Position), nil
		}
	}
	return h.lacksOfOld(ctx, s, in)
}

// lacksOfOld compares with the WAL on the disks of the servers that the plan stopped.
func (h *Servers) lacksOfOld(ctx context.Context, s plan.Step, in *cluster.Instance) (string, error) {
	known, err := strconv.Atoi(s.Args["known"])
	if s.Args["known"] != "" && err != nil {
		return "", nil // the operator gave up whatever there is
	}
	for _, old := range hosts(s.Args["old"]) {
		tail, err := h.pastOf(ctx, old, hostDir{s.Host, s.Args["data_dir"]}, in.Position)
		switch {
		case err != nil:
			return "", err
		case s.Args["known"] == "" && tail.Bytes() > 0:
			return fmt.Sprintf("it has replayed up to %s, %s wrote up to %s", in.Position, old.host, tail.End), nil
		case tail.Transactions > known:
			return fmt.Sprintf("%s made %d transactions that are not here, %d were known: run it again, it will say what would be lost", old.host, tail.Transactions, known), nil
		}
	}
	return "", nil
}

// pastOf is what a server that was master has past the position up to which a candidate has replayed. Such a position begins a record
// only on the timeline on which the candidate is, so both must be on one. What a standby itself says of its timeline is too little
// without a receiver; the segments that it has tell more.
func (h *Servers) pastOf(ctx context.Context, old, candidate hostDir, position cluster.LSN) (cluster.Tail, error) {
	ctx, cancel := context.WithTimeout(ctx, 4*h.Timeout)
	defer cancel()
	theirs, err := h.on(old.host, old.dir).Facts(ctx)
	if err != nil {
		return cluster.Tail{}, err
	}
	ours, err := h.on(candidate.host, candidate.dir).Facts(ctx)
	if err != nil {
		return cluster.Tail{}, err
	}
	if theirs.Data == nil || ours.Data == nil || theirs.Data.Newest() != ours.Data.Newest() {
		return cluster.Tail{}, fmt.Errorf("%s and %s are not known to be on one timeline", candidate.host, old.host)
	}
	timeline, server := theirs.Data.Newest(), h.on(old.host, old.dir)
	tail, err := server.Tail(ctx, old.dir, timeline, position)
	gone := errors.Is(err, postgres.ErrWALGone) // it may be behind
	if err != nil && !gone || tail.Bytes() > 0 || theirs.Data.Timeline != timeline {
		return tail, err
	}
	// nothing is a strong word: the last checkpoint, which is a record for certain, must end where the candidate is, or before
	last, errLast := server.Tail(ctx, old.dir, timeline, theirs.Data.Checkpoint)
	switch {
	case errLast != nil || last.More:
		return tail, errors.Join(err, errLast)
	case last.Bytes() == 0 || last.End > position:
		return tail, fmt.Errorf("the WAL of %s ends at %s, %s is at %s", old.host, last.End, candidate.host, position)
	}
	return tail, nil
}

func (h *Servers) probe(ctx context.Context, s plan.Step) (*cluster.Instance, error) {
	ctx, cancel := h.ask(ctx)
	defer cancel()
	return h.server(s).Probe(ctx)
}

// isSigned: its data has a row of its present timeline, and its files keep it.
func (h *Servers) isSigned(ctx context.Context, s plan.Step) (bool, error) {
	ctx, cancel := h.ask(ctx)
	defer cancel()
	in, err := h.server(s).Probe(ctx)
	if err != nil || in.InRecovery {
		return seen(false, err)
	}
	reason, err := h.server(s).Signed(ctx, in.Timeline)
	if reason != nil {
		return no(reason)
	}
	return seen(err == nil, err)
}

func (h *Servers) sign(ctx context.Context, s plan.Step) error {
	ctx, cancel := h.ask(ctx)
	defer cancel()
	in, err := h.server(s).Probe(ctx)
	if err != nil {
		return err
	}
	return h.server(s).SignEpoch(ctx, s.Args["data_dir"], s.Args["nonce"], in.Timeline)
}

// isRestored: it is master, and will be after its next start.
func (h *Servers) isRestored(ctx context.Context, s plan.Step) (bool, error) {
	if is, err := h.isMaster(ctx, s); err != nil || !is {
		return is, err
	}
	ctx, cancel := h.ask(ctx)
	defer cancel()
	gated, err := h.server(s).Gated(ctx, s.Args["data_dir"])
	return seen(!gated, err)
}

// restore starts an old master as the master that it was. The candidate must say itself that it is a standby still: a master that starts
// beside a promoted one is what all of this is there to prevent. Whatever runs there as a standby meanwhile is stopped first: its gate
// may only go when nothing is left of it.
func (h *Servers) restore(ctx context.Context, s plan.Step) error {
	standby, err := h.inRecovery(ctx, s.Args["to"], s.Args["to_data_dir"])
	if err != nil {
		return fmt.Errorf("whether %s is a standby still cannot be asked: %w", s.Args["to"], err)
	}
	if !standby {
		return fmt.Errorf("%s is master", s.Args["to"])
	}
	if is, err := h.isMaster(ctx, s); err != nil || !is { // one that runs as master keeps running
		if err := h.stop(ctx, s); err != nil {
			return err
		}
	}
	if err := h.ungate(ctx, s); err != nil {
		return err
	}
	if stopped, err := h.stoppedNow(ctx, h.server(s), s.Args["data_dir"]); err != nil || !stopped {
		return err
	}
	return h.startOnce(ctx, h.server(s), s.Args["data_dir"])
}

func (h *Servers) ungate(ctx context.Context, s plan.Step) error {
	ctx, cancel := h.ask(ctx)
	defer cancel()
	return h.server(s).Ungate(ctx, s.Args["data_dir"])
}

func (h *Servers) inRecovery(ctx context.Context, host, dataDir string) (bool, error) {
	ctx, cancel := h.ask(ctx)
	defer cancel()
	return h.on(host, dataDir).InRecovery(ctx)
}
