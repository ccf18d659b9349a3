package failover

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/pgpool"
	"github.com/pgctl/pgctl/pkg/plan"
	"github.com/pgctl/pgctl/pkg/remote"
)

// pool9Edit makes the flags and the hosts of a pool's backends right.
type pool9Edit struct{ *Pools }

// Done: the edit would change no byte.
func (h pool9Edit) Done(ctx context.Context, s plan.Step) (bool, error) {
	before, after, err := h.edit(ctx, s)
	return err == nil && bytes.Equal(before, after), err
}

// Do replaces the file atomically, a backup beside it.
func (h pool9Edit) Do(ctx context.Context, s plan.Step) error {
	_, after, err := h.edit(ctx, s)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	if s.Args["backends"] != "" { // hosts that the file did not name so far, or not in this place
		if err := poolEdit(h).resolves(ctx, s); err != nil {
			return err
		}
	}
	_, err = remote.WriteFile(ctx, h.Hosts(s.Host), h.Settings.ConfPath(), after, remote.WriteOptions{BackupSuffix: ".pgctl-" + h.Stamp})
	return err
}

func (h pool9Edit) edit(ctx context.Context, s plan.Step) (before, after []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	if before, _, err = h.read(ctx, h.Hosts(s.Host)); err != nil {
		return nil, nil, err
	}
	after = before
	if hosts := strings.Fields(s.Args["backends"]); len(hosts) > 0 {
		if after, err = pgpool.WithHosts(h.Settings.ConfPath(), after, hosts); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", s.Host, err)
		}
	}
	if word := s.Args["failover"]; word != "" {
		if after, err = pgpool.WithFailover(h.Settings.ConfPath(), after, word == string(cluster.FailoverOn)); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", s.Host, err)
		}
	}
	return before, after, nil
}

// pool9Restart makes the running pgpool have what the file says.
type pool9Restart struct{ *Pools }

// Done: the running pgpool has the backends of its file, with the flags that are wanted, and none of them is out of use where all are to
// be up. Where it cannot be asked: its file is right, and it started after that was put there.
func (h pool9Restart) Done(ctx context.Context, s plan.Step) (bool, error) {
	running, conf, err := poolRestart(h).running(ctx, s.Host)
	switch {
	case conf == nil:
		return false, err
	case err != nil && !cannotAsk(err):
		return false, nil
	}
	wanted, errConf := conf.Backends()
	if errConf != nil {
		return false, errConf
	}
	if edited, err := pool9Edit(h).Done(ctx, s); err != nil || !edited {
		return false, err
	}
	if err != nil {
		return h.startedSince(ctx, s.Host)
	}
	return sameNodes(wanted, running, s) == nil, nil
}

// startedSince tells whether pgpool started after its file was put in place.
func (h pool9Restart) startedSince(ctx context.Context, name string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	out, err := h.Hosts(name).Run(ctx, remote.Script(poolStartedScript, h.Settings.ConfPath()))
	return strings.TrimSpace(string(out.Stdout)) == "yes", err
}

// Do stops pgpool and starts it, as poolRestart does.
func (h pool9Restart) Do(ctx context.Context, s plan.Step) error {
	return poolRestart(h).restart(ctx, s.Host, s.Args["status"] == "keep")
}

// sameNodes says in what a running pgpool is not what its file and the step want; nil in nothing.
func sameNodes(wanted, running []cluster.Backend, s plan.Step) error {
	if len(wanted) != len(running) {
		return fmt.Errorf("it has %d backends, its file %d", len(running), len(wanted))
	}
	for i, w := range wanted {
		r := running[i]
		switch {
		case r.Host != w.Host || r.Port != w.Port:
			return fmt.Errorf("backend %d is %s:%d, in its file %s:%d", i, r.Host, r.Port, w.Host, w.Port)
		case r.Flag != "" && s.Args["failover"] != "" && r.FailsOver() != (s.Args["failover"] == string(cluster.FailoverOn)):
			return fmt.Errorf("backend %d has the flag %s", i, r.Flag)
		case r.Down && s.Args["up"] == "all":
			return fmt.Errorf("%s is down in show pool_nodes", r.Host)
		}
	}
	return nil
}

// pool9Nodes is a proof and nothing else.
type pool9Nodes struct{ *Pools }

// Done: SHOW POOL_NODES and SHOW POOL_STATUS have the backends of the file, as the step wants them, and the master as the primary. Where
// nobody can log in, that is a warning.
func (h pool9Nodes) Done(ctx context.Context, s plan.Step) (bool, error) {
	running, conf, err := poolRestart(h).running(ctx, s.Host)
	var dial *remote.DialError
	switch {
	case conf == nil:
		return false, err
	case errors.Is(err, pgpool.ErrNoLogin) || errors.As(err, &dial):
		h.warn(s.Host, "what show pool_nodes says is unproven: %v", err)
		return true, nil
	case err != nil:
		return false, &plan.NotYet{Reason: errors.New(pgpool.Explain(err))}
	}
	wanted, err := conf.Backends()
	if err != nil {
		return false, err
	}
	if err := sameNodes(wanted, running, s); err != nil {
		return false, &plan.NotYet{Reason: err}
	}
	if s.Args["master"] != "" && (running[0].Down || running[0].Role != "primary" && running[0].Role != "") {
		return false, &plan.NotYet{Reason: fmt.Errorf("show pool_nodes has %s as %s, not as the primary", running[0].Host, running[0].Role)}
	}
	return true, nil
}

// Do has nothing to do: pgpool needs a moment to find the primary, and the proof is looked for until it comes.
func (h pool9Nodes) Do(context.Context, plan.Step) error { return nil }
