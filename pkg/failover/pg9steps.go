package failover

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/pg9"
	"github.com/pgctl/pgctl/pkg/plan"
	"github.com/pgctl/pgctl/pkg/postgres"
	"github.com/pgctl/pgctl/pkg/remote"
)

//go:embed pg9.sh
var pg9Script string

// PG9 does the steps of the servers of a 9.x site.
type PG9 struct {
	*Servers
	Here remote.Host // has the node files
}

// Handlers are the handlers by verb.
func (h *PG9) Handlers() map[string]plan.Handler {
	return map[string]plan.Handler{
		verb9Fence:   handler{h.isFenced9, h.fence9},
		verb9Hold:    handler{h.isHeld, h.onHost("hold")},
		verb9Unhold:  handler{h.isUnheld, h.onHost("unhold")},
		verb9Trigger: handler{h.hasNoTrigger, h.removeTrigger},
		verb9Master:  handler{h.isMaster9, h.onHost("master")},
		verb9Aside:   handler{h.isAside, h.setAside},
		verb9Backup:  handler{h.isCopied, h.copy},
		verb9Slave:   handler{h.isSlave9, h.onHost("slave")},
		verb9Start:   handler{h.isRunningSlave, h.start9},
		verb9Stream:  handler{h.streams9, h.awaitStream},
		verb9Nodes:   handler{h.hasNodes, h.setNodes},
	}
}

// facts9 asks what the step's host has.
func (h *PG9) facts9(ctx context.Context, host, dir string) (pg9.Host, error) {
	ctx, cancel := h.ask(ctx)
	defer cancel()
	facts := pg9.AskState(ctx, h.Hosts(host), dir)
	if facts.Failure != nil {
		return facts, fmt.Errorf("%s: %s", host, facts.Failure.Message)
	}
	return facts, nil
}

// stepLimit is how long a step on a host may take, but for a copy of all data: a stop of PostgreSQL writes a checkpoint.
const stepLimit = 15 * time.Minute

// step9 runs one step of pg9.sh on its host.
func (h *PG9) step9(ctx context.Context, what string, s plan.Step, limit time.Duration, more ...string) error {
	for _, ip := range strings.Fields(s.Args["ips"]) {
		if _, err := netip.ParseAddr(ip); err != nil {
			return fmt.Errorf("step %s: %q is no IP address", s.ID, ip)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	args := append([]string{what, s.Args["key"], s.Args["data_dir"], h.Settings.Service, osUser(h.Settings)}, more...)
	_, err := h.Hosts(s.Host).Run(ctx, remote.Script(postgres.ActScript()+pg9Script+"\npg9_step \"$@\"", args...))
	return err
}

func osUser(s postgres.Settings) string {
	if s.OSUser != "" {
		return s.OSUser
	}
	return "postgres"
}

// onHost does a step of one of the site's scripts.
func (h *PG9) onHost(what string) func(context.Context, plan.Step) error {
	return func(ctx context.Context, s plan.Step) error {
		return h.step9(ctx, what, s, stepLimit, strings.Fields(s.Args["ips"])...)
	}
}

// isFenced9: no process is left and it would start read-only; or its data is aside, or it is a slave already.
func (h *PG9) isFenced9(ctx context.Context, s plan.Step) (bool, error) {
	facts, err := h.facts9(ctx, s.Host, s.Args["data_dir"])
	if err != nil || facts.Marks[pg9.MarkAside] == s.Args["key"] {
		return err == nil, err
	}
	return h.isFenced(ctx, s)
}

// cleanStop is how long the old master has to stop in good order before it is fenced.
const cleanStop = time.Minute

func (h *PG9) fence9(ctx context.Context, s plan.Step) error {
	asking, cancel := h.ask(ctx)
	err := h.server(s).Gate(asking, s.Args["data_dir"]) // first: a reboot now must not bring it back as a master
	cancel()
	if err != nil {
		return err
	}
	stopping, cancelStop := context.WithTimeout(ctx, cleanStop)
	defer cancelStop()
	if h.server(s).Stop(stopping, s.Args["data_dir"]) == nil {
		return nil
	}
	return h.fence(ctx, s)
}

func (h *PG9) isHeld(ctx context.Context, s plan.Step) (bool, error) {
	facts, err := h.facts9(ctx, s.Host, s.Args["data_dir"])
	return err == nil && facts.Marks[pg9.MarkHold] == s.Args["key"], err
}

func (h *PG9) isUnheld(ctx context.Context, s plan.Step) (bool, error) {
	held, err := h.isHeld(ctx, s)
	return err == nil && !held, err
}

func (h *PG9) hasNoTrigger(ctx context.Context, s plan.Step) (bool, error) {
	facts, err := h.facts9(ctx, s.Host, s.Args["data_dir"])
	return err == nil && len(facts.Triggers) == 0, err
}

func (h *PG9) removeTrigger(ctx context.Context, s plan.Step) error {
	facts, err := h.facts9(ctx, s.Host, s.Args["data_dir"])
	if err != nil {
		return err
	}
	ctx, cancel := h.ask(ctx)
	defer cancel()
	_, err = h.Hosts(s.Host).Run(ctx, remote.Script(`for file; do rm -f -- "$file" || exit 1; done`, facts.Triggers...))
	return err
}

// isMaster9: configure_master.sh has run for this change of roles, and the server answers as the master.
func (h *PG9) isMaster9(ctx context.Context, s plan.Step) (bool, error) {
	facts, err := h.facts9(ctx, s.Host, s.Args["data_dir"])
	if err != nil || facts.Marks[pg9.MarkMaster] != s.Args["key"] {
		return false, err
	}
	ctx, cancel := h.ask(ctx)
	defer cancel()
	in, err := h.server(s).Probe(ctx)
	if err != nil {
		return no(fmt.Errorf("PostgreSQL does not answer: %w", err))
	}
	if in.InRecovery {
		return false, fmt.Errorf("%s came up in recovery: look at its recovery.conf, it is the master", s.Host)
	}
	return true, nil
}

func (h *PG9) isAside(ctx context.Context, s plan.Step) (bool, error) {
	facts, err := h.facts9(ctx, s.Host, s.Args["data_dir"])
	return err == nil && facts.Marks[pg9.MarkAside] == s.Args["key"], err
}

func (h *PG9) setAside(ctx context.Context, s plan.Step) error {
	return h.step9(ctx, "aside", s, stepLimit, s.Args["stamp"])
}

// isSlave9: configure_slave.sh has run for this change of roles, and what it left follows the master.
func (h *PG9) isSlave9(ctx context.Context, s plan.Step) (bool, error) {
	facts, err := h.facts9(ctx, s.Host, s.Args["data_dir"])
	if err != nil || facts.Marks[pg9.MarkSlave] != s.Args["key"] {
		return false, err
	}
	err = h.followsMaster(ctx, s)
	return err == nil, err
}

// followsMaster: its recovery.conf names the master, and not itself, as it would if the scripts got the addresses in the wrong order.
func (h *PG9) followsMaster(ctx context.Context, s plan.Step) error {
	ctx, cancel := h.ask(ctx)
	defer cancel()
	found, err := h.server(s).Facts(ctx)
	if err != nil {
		return err
	}
	if found.Data == nil || !found.Data.Signal {
		return fmt.Errorf("%s: there is no recovery.conf in %s", s.Host, s.Args["data_dir"])
	}
	if up := found.Data.Upstream; up != s.Args["master"] && !slices.Contains(strings.Fields(s.Args["addresses"]), up) {
		return fmt.Errorf("%s: recovery.conf follows %q, which is not %s; see what configure_slave.sh does with its arguments", s.Host, up, s.Args["master"])
	}
	return nil
}

// isRunningSlave: it runs in recovery.
func (h *PG9) isRunningSlave(ctx context.Context, s plan.Step) (bool, error) {
	if err := h.followsMaster(ctx, s); err != nil {
		return no(err) // not configured yet
	}
	ctx, cancel := h.ask(ctx)
	defer cancel()
	in, err := h.server(s).Probe(ctx)
	if err != nil {
		return no(fmt.Errorf("PostgreSQL does not answer: %w", err))
	}
	if !in.InRecovery {
		return false, fmt.Errorf("%s came up as a second master: stop PostgreSQL there, and see why", s.Host)
	}
	return true, nil
}

// start9 starts it, once: while it recovers from the copy it does not answer.
func (h *PG9) start9(ctx context.Context, s plan.Step) error {
	if err := h.followsMaster(ctx, s); err != nil {
		return err
	}
	if facts, err := h.facts9(ctx, s.Host, s.Args["data_dir"]); err != nil || len(facts.Triggers) > 0 {
		return errors.Join(fmt.Errorf("%s: there is a trigger file, which would promote it: %s", s.Host, strings.Join(facts.Triggers, " ")), err)
	}
	if stopped, err := h.stoppedNow(ctx, h.server(s), s.Args["data_dir"]); err != nil || !stopped {
		return err
	}
	return h.startOnce(ctx, h.server(s), s.Args["data_dir"])
}

// streams9: the master feeds it, and it is not far behind.
func (h *PG9) streams9(ctx context.Context, s plan.Step) (bool, error) {
	behind, err := h.behind9(ctx, s)
	if err != nil {
		return no(err)
	}
	if behind >= cluster.LagLimit/16 {
		return no(fmt.Errorf("it is %s behind", cluster.Size(behind)))
	}
	return true, nil
}

// behind9 is how much of the master's WAL of this moment the slave has not replayed; an error where it is not fed.
func (h *PG9) behind9(ctx context.Context, s plan.Step) (int64, error) {
	ctx, cancel := h.ask(ctx)
	defer cancel()
	master, err := h.on(s.Args["master"], "").Probe(ctx)
	if err != nil {
		return 0, err
	}
	slave := &cluster.Server{Common: cluster.Common{Addresses: strings.Fields(s.Args["slave_addresses"])}}
	if !pg9.Feeds(master, slave) {
		return 0, fmt.Errorf("%s does not stream to it", s.Args["master"])
	}
	in, err := h.server(s).Probe(ctx)
	if err != nil {
		return 0, err
	}
	return in.Position.Behind(master.Position), nil
}

// awaitStream waits as long as the slave comes nearer, or replays and does not answer yet.
func (h *PG9) awaitStream(ctx context.Context, s plan.Step) error {
	var best int64 = -1
	last, lastWord := h.Now(), h.Now()
	for {
		done, reason := h.streams9(ctx, s)
		if done {
			return nil
		}
		if err := plan.Interrupted(ctx); err != nil {
			return err
		}
		if behind, err := h.behind9(ctx, s); err == nil && (best < 0 || behind < best) {
			best, last = behind, h.Now()
		}
		now := h.Now()
		if now.Sub(last) > h.patience(ctx, s) {
			return fmt.Errorf("%w; the last words of PostgreSQL there:\n%s", reason, h.server(s).LastWords(ctx, s.Args["data_dir"]))
		}
		if now.Sub(lastWord) > 5*time.Second {
			h.progress(s.Host, "%v", reason)
			lastWord = now
		}
		pause(ctx, 200*time.Millisecond)
	}
}

// size reads back the size of the master's data.
func size(s plan.Step) int64 {
	n, err := strconv.ParseInt(s.Args["size"], 10, 64)
	if err != nil {
		return 0
	}
	return n
}
