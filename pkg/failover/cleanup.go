package failover

import (
	"context"
	"fmt"
	"path"
	"slices"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/plan"
	"github.com/pgctl/pgctl/pkg/postgres"
)

const verbAsideRemove = "aside.remove"

// Cleanup plans the removal of what renewals set aside on the given hosts (none: on all servers) before a moment. Old data is the
// only other copy of what a server had: it stays until the server is the master, or streams from its upstream. Servers of which that is
// not so, or not known, are left out with the reason. now is for the age that a step tells.
func Cleanup(snap cluster.Snapshot, d cluster.Diagnosis, hosts []string, before, now time.Time, accept []string) (p plan.Plan, left map[string]string, err error) {
	master, err := CertainMaster(snap, d, accept)
	if err != nil {
		return plan.Plan{}, nil, err
	}
	p = plan.Plan{Name: "cleanup", Facts: facts(master)}
	left = map[string]string{}
	for i, s := range snap.Servers {
		if len(hosts) > 0 && !slices.Contains(hosts, s.Host) {
			continue
		}
		var steps []plan.Step
		for _, aside := range s.Asides {
			if s.Data != nil && aside.Made.Before(before) {
				steps = append(steps, asideStep(s, aside, now))
			}
		}
		switch why := keepsAsides(s, d.Standings[i], d.Master); {
		case !s.Reached():
			left[s.Host] = s.Unreachable.Message
		case len(steps) == 0:
		case why != "":
			left[s.Host] = why
		default:
			p.Steps = append(p.Steps, steps...)
		}
	}
	return p, left, nil
}

// keepsAsides is why a server still needs what was set aside; "" when it does not.
func keepsAsides(s cluster.Server, st cluster.Standing, master string) string {
	switch {
	case s.Host == master:
		return ""
	case s.Data == nil || s.Data.Missing:
		return "its data directory is not there: its old data stays aside"
	case st.Diverged != "":
		return "it has diverged from the master: its old data stays aside"
	case !st.Streaming:
		return "it does not stream from the master: its old data stays aside until it does"
	}
	return ""
}

func asideStep(s cluster.Server, aside cluster.Aside, now time.Time) plan.Step {
	size := "size not counted"
	if aside.Bytes > 0 {
		size = cluster.Size(aside.Bytes).String()
	}
	what := "the old data"
	if aside.What == "wal" {
		what = "the WAL of before a rewind"
	}
	return plan.Step{
		ID: s.Host + "/" + verbAsideRemove + "/" + path.Base(aside.Path), Verb: verbAsideRemove, Host: s.Host,
		Args: map[string]string{"path": aside.Path, "data_dir": s.Data.Path},
		Text: fmt.Sprintf("remove %s (%s, %s, %s old)", aside.Path, what, size, age(now.Sub(aside.Made))),
	}
}

// age is a duration as an operator says it.
func age(d time.Duration) string {
	if d >= 48*time.Hour {
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	}
	return d.Round(time.Minute).String()
}

// Cleaner does the steps of a cleanup.
type Cleaner struct {
	Server  func(name string) *postgres.Server
	Timeout time.Duration // for one question
}

// removal is how long removing one directory may take.
const removal = 10 * time.Minute

// Handlers are the handlers by verb.
func (c *Cleaner) Handlers() map[string]plan.Handler {
	return map[string]plan.Handler{verbAsideRemove: asideRemove{c}}
}

// Measure counts the sizes of what is aside on the given hosts (none: on all servers), in the snapshot. What cannot be counted in time stays
// uncounted.
func (c *Cleaner) Measure(ctx context.Context, snap *cluster.Snapshot, hosts []string, within time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for i := range snap.Servers {
		s := &snap.Servers[i]
		if len(s.Asides) == 0 || s.Data == nil || len(hosts) > 0 && !slices.Contains(hosts, s.Host) {
			continue
		}
		if counted, err := c.Server(s.Host).Asides(ctx, s.Data.Path); err == nil {
			s.Asides = counted
		}
	}
}

// asideRemove removes one directory that a renewal set aside.
type asideRemove struct{ *Cleaner }

// Done: it is not there.
func (h asideRemove) Done(ctx context.Context, s plan.Step) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	there, err := h.Server(s.Host).HasAside(ctx, s.Args["data_dir"], s.Args["path"])
	return err == nil && !there, err
}

// Do removes it, when the server still works without it.
func (h asideRemove) Do(ctx context.Context, s plan.Step) error {
	server := h.Server(s.Host)
	asking, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	in, err := server.Probe(asking)
	if err != nil {
		return fmt.Errorf("%s: nothing was removed, as PostgreSQL does not answer: %w", s.Host, err)
	}
	if in.InRecovery && (in.Receiver == nil || in.Receiver.Status != "streaming") {
		return fmt.Errorf("%s: nothing was removed, as it does not stream any more", s.Host)
	}
	removing, cancelRemoving := context.WithTimeout(ctx, removal)
	defer cancelRemoving()
	return server.RemoveAside(removing, s.Args["data_dir"], s.Args["path"])
}
