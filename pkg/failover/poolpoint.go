package failover

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/pgpool"
	"github.com/pgctl/pgctl/pkg/plan"
	"github.com/pgctl/pgctl/pkg/remote"
)

// PoolTarget is the master that a pool is pointed at.
type PoolTarget struct {
	Master    string
	Addresses []string // of the master's host
	Port      int
	SystemID  uint64
}

// proveLimit is how long a pool that was restarted may take until a write through it reaches the master.
const proveLimit = 20 * time.Second

// Halt is a pool that was stopped, to be started again soon: by Start, by the end of this program, or when its time is over. A pool that did not run is left alone.
type Halt struct {
	begin *io.PipeWriter
	ended chan struct{}
	late  bool // it did not wait for Start
	err   error
}

// Halt stops a pool for so long at the most.
func (p *Pools) Halt(ctx context.Context, pool string, limit time.Duration) *Halt {
	input, begin := io.Pipe()
	h := &Halt{begin: begin, ended: make(chan struct{})}
	go func() {
		defer close(h.ended)
		defer input.Close()
		_, conf, err := p.read(ctx, p.Hosts(pool))
		var out remote.Result
		if err == nil {
			out, err = poolRestart{p}.run(ctx, pool, conf, false, input, limit)
		}
		h.late, h.err = strings.TrimSpace(string(out.Stdout)) != "", err
	}()
	return h
}

// Ended is closed when the pool was started, or could not be.
func (h *Halt) Ended() <-chan struct{} { return h.ended }

// Start has the pool start, and waits until that is done. false: it was not waiting for this, or it failed.
func (h *Halt) Start() (bool, error) {
	h.begin.Close()
	<-h.ended
	return !h.late && h.err == nil, h.err
}

// Point makes one pool write to the master and proves it: the steps of `pgpool sync`, one after the other, each skipped where it is done. Each process that it
// starts is time in which clients wait, so the file is read once. serves returns when the master has been promoted: until then only the file is made right. halt is
// nil where the pool was not stopped before.
func (p *Pools) Point(ctx context.Context, pool string, to PoolTarget, halt *Halt, serves func(context.Context) error) error {
	s := plan.Step{Host: pool, Args: poolArgs(to)}
	if err := p.pointed(ctx, s, halt, serves); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, proveLimit)
	defer cancel()
	for {
		done, err := poolProve{p}.Done(ctx, s)
		if done {
			return nil
		}
		if ctx.Err() != nil {
			return errors.Join(errors.New("no write through the pool has reached the master"), err)
		}
		pause(ctx, 100*time.Millisecond)
	}
}

// pointed edits and restarts. A pgpool whose file was another one until now is not asked: with a dead backend that takes as long as it may.
func (p *Pools) pointed(ctx context.Context, s plan.Step, halt *Halt, serves func(context.Context) error) error {
	before, after, err := poolEdit{p}.edit(ctx, s)
	if err == nil && !bytes.Equal(before, after) {
		err = poolEdit{p}.put(ctx, s, after)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", verbPoolEdit, err)
	}
	if err := serves(ctx); err != nil {
		return err
	}
	if halt != nil {
		if started, err := halt.Start(); started {
			return nil
		} else if err != nil {
			p.warn(s.Host, "it was stopped for the election: %v", err)
		}
	}
	if bytes.Equal(before, after) {
		if done, err := (poolRestart{p}).Done(ctx, s); err == nil && done {
			return nil
		}
	}
	conf, err := pgpool.ParseConf(p.Settings.ConfPath(), after)
	if err == nil {
		err = poolRestart{p}.restartBy(ctx, s.Host, conf, false)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", verbPoolRestart, err)
	}
	return nil
}

// Backend is the server that the pool writes to: what the running pgpool says; where pgctl cannot log in, what its file says, if it started after
// that was put there; where none runs, what its next start would take. NoBackend when that is not exactly one server in use; "" it is not known.
func (p *Pools) Backend(ctx context.Context, pool string) string {
	running, conf, err := poolRestart{p}.running(ctx, pool)
	switch {
	case err == nil:
		return only(running)
	case conf == nil:
		return ""
	case cannotAsk(err):
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.Timeout)
		defer cancel()
		out, err := p.Hosts(pool).Run(ctx, remote.Script(poolStartedScript, p.Settings.ConfPath()))
		if err != nil || strings.TrimSpace(string(out.Stdout)) != "yes" {
			return ""
		}
	}
	backends, err := conf.Backends()
	if err != nil {
		return ""
	}
	return only(backends)
}

// NoBackend is what a pool has that does not write to exactly one server.
const NoBackend = "?"

func only(backends []cluster.Backend) string {
	if len(backends) != 1 || backends[0].Down {
		return NoBackend
	}
	return backends[0].Host
}

func poolArgs(to PoolTarget) map[string]string {
	return map[string]string{
		"master": to.Master, "port": strconv.Itoa(to.Port), "system_id": strconv.FormatUint(to.SystemID, 10), "addresses": strings.Join(to.Addresses, " "),
	}
}
