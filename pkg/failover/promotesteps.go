package failover

import (
	"context"
	"errors"
	"fmt"
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
//   - who was master accepts no write: no process of it is left, where its host can be asked (else the operator took unfenced-master);
//   - with "complete", it was shut down cleanly, and the candidate has replayed its last record, the checkpoint of that shutdown;
//   - a commit will wait for the standbys of the plan: the candidate's names are in its running configuration already.
func (h *Servers) mayPromote(ctx context.Context, s plan.Step) error {
	checks := []func(context.Context, plan.Step) error{h.namesAreSet}
	if s.Args["old"] != "" {
		checks = append(checks, h.oldIsStopped)
	}
	if s.Args["complete"] != "" {
		checks = append(checks, h.isComplete)
	}
	errs := make([]error, len(checks))
	var wait sync.WaitGroup
	for i, check := range checks {
		wait.Go(func() { errs[i] = check(ctx, s) })
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

func (h *Servers) oldIsStopped(ctx context.Context, s plan.Step) error {
	old, dir := s.Args["old"], s.Args["old_data_dir"]
	stopped, err := h.stoppedNow(ctx, h.on(old, dir), dir)
	if err == nil && !stopped {
		err = fmt.Errorf("%s runs: there would be two masters", old)
	}
	return err
}

func (h *Servers) namesOf(ctx context.Context, s plan.Step) (string, error) {
	ctx, cancel := h.ask(ctx)
	defer cancel()
	return h.server(s).SyncNames(ctx)
}

// isComplete waits a moment until the candidate has replayed the record of the old master's clean shutdown.
func (h *Servers) isComplete(ctx context.Context, s plan.Step) error {
	old := s.Args["old"]
	facts, err := h.factsOf(ctx, old, s.Args["old_data_dir"])
	if err != nil {
		return err
	}
	if facts.Data == nil || facts.Data.State != "shut down" {
		return fmt.Errorf("%s was not shut down cleanly: what it wrote last is not known to be here", old)
	}
	for began := h.Now(); ; pause(ctx, 50*time.Millisecond) {
		in, err := h.probe(ctx, s)
		if err != nil {
			return err
		}
		if in.InRecovery && in.Timeline <= facts.Data.Timeline && in.Position > facts.Data.Checkpoint {
			return nil
		}
		if h.Now().Sub(began) > h.Timeout {
			return fmt.Errorf("it has replayed up to %s, the last record of %s begins at %s", in.Position, old, facts.Data.Checkpoint)
		}
	}
}

func (h *Servers) factsOf(ctx context.Context, host, dataDir string) (postgres.Facts, error) {
	ctx, cancel := h.ask(ctx)
	defer cancel()
	return h.on(host, dataDir).Facts(ctx)
}

func (h *Servers) probe(ctx context.Context, s plan.Step) (*cluster.Instance, error) {
	ctx, cancel := h.ask(ctx)
	defer cancel()
	return h.server(s).Probe(ctx)
}

// isSigned: its data has a row of its present timeline.
func (h *Servers) isSigned(ctx context.Context, s plan.Step) (bool, error) {
	ctx, cancel := h.ask(ctx)
	defer cancel()
	in, err := h.server(s).Probe(ctx)
	if err != nil || in.InRecovery {
		return seen(false, err)
	}
	rows, err := h.server(s).Epochs(ctx)
	for _, row := range rows {
		if row.Timeline == in.Timeline && row.Master == s.Host {
			return true, nil
		}
	}
	return seen(false, err)
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

// restore starts an old master as the master that it was. The candidate must say itself that it is a standby still: a master that starts
// beside a promoted one is what all of this is there to prevent.
func (h *Servers) restore(ctx context.Context, s plan.Step) error {
	ask, cancel := h.ask(ctx)
	defer cancel()
	standby, err := h.on(s.Args["to"], s.Args["to_data_dir"]).InRecovery(ask)
	if err != nil {
		return fmt.Errorf("whether %s is a standby still cannot be asked: %w", s.Args["to"], err)
	}
	if !standby {
		return fmt.Errorf("%s is master", s.Args["to"])
	}
	if err := h.server(s).Ungate(ask, s.Args["data_dir"]); err != nil {
		return err
	}
	return h.startOnce(ctx, h.server(s), s.Args["data_dir"])
}
