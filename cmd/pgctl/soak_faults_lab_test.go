//go:build lab

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pgctl/pgctl/internal/lab"
	"github.com/pgctl/pgctl/pkg/watch"
)

// soakFault has a fault happen to a region in whatever state that is, and says to whom. A part that could not be done is an error, and what was done is
// healed all the same.
type soakFault func(ctx context.Context, v victims) (heal func(context.Context) error, said string, err error)

// victims are those whom a fault may choose from.
type victims struct {
	r       *lab.Region
	rng     *rand.Rand
	m       *lab.Host   // the master, by the quorum's latest word
	standby []*lab.Host // the other servers
}

// Two faults of one of these are not there at one time.
const (
	ofProcess = "process"
	ofHost    = "host"
	ofNetwork = "network"
	ofDisk    = "disk"
	ofWatcher = "watcher"
	ofCommand = "command"
)

// soakFaults are all faults of the soak.
func soakFaults(r *lab.Region) (kinds []soakKind, faults map[string]soakFault) {
	faults = map[string]soakFault{}
	add := func(name, organ string, least, most time.Duration, f soakFault) {
		// A master that nobody can stop may be read beside another one (docs/safety.md, "What is not covered"). So nothing else happens to a region in
		// which a watcher is stopped, and what could have another one elected has passed.
		kinds = append(kinds, soakKind{name: name, organ: organ, alone: name == soakWatcherStopped, least: least * time.Second, most: most * time.Second})
		faults[name] = f
	}
	add("postmaster killed", ofProcess, 1, 5, soakPostmaster)
	add("postmaster stopped", ofProcess, 5, 40, soakPostmasterStopped)
	add("a backend killed under a waiting commit", ofProcess, 1, 4, soakWaiting)
	add("disk full on the master", ofDisk, 5, 30, soakDisk)
	add("host killed", ofHost, 5, 45, func(ctx context.Context, v victims) (func(context.Context) error, string, error) {
		return soakKill(ctx, v.m)
	})
	add("executor killed together with the master", ofHost, 5, 45, soakExecutor)
	add("standby killed", ofHost, 5, 45, func(ctx context.Context, v victims) (func(context.Context) error, string, error) {
		return soakKill(ctx, pickOf(v.rng, v.standby))
	})
	if len(r.Arbiters()) > 0 {
		add("arbiter killed", ofHost, 5, 45, func(ctx context.Context, v victims) (func(context.Context) error, string, error) {
			return soakKill(ctx, pickOf(v.rng, v.r.Arbiters()))
		})
	}
	add("host cut off", ofNetwork, 5, 45, func(ctx context.Context, v victims) (func(context.Context) error, string, error) {
		return healNetwork(v.r), v.m.Name(), v.m.Cut(ctx)
	})
	add("standby cut off", ofNetwork, 5, 45, func(ctx context.Context, v victims) (func(context.Context) error, string, error) {
		h := pickOf(v.rng, v.standby)
		return healNetwork(v.r), h.Name(), h.Cut(ctx)
	})
	add("one-way cut", ofNetwork, 5, 45, soakOneWay)
	add("network split into two halves", ofNetwork, 5, 45, soakSplit)
	add("all watchers killed", ofProcess, 1, 5, soakWatchersKilled)
	add(soakWatcherStopped, ofWatcher, 5, 60, soakStopWatcher)
	add("switchover by command", ofCommand, 20, 40, soakSwitchover)
	return kinds, faults
}

const soakWatcherStopped = "a watcher stopped"

func nothing(context.Context) error { return nil }

func pickOf[T any](rng *rand.Rand, all []T) T { return all[rng.IntN(len(all))] }

func soakPostmaster(ctx context.Context, v victims) (func(context.Context) error, string, error) {
	_, err := v.m.Shell(ctx, "kill -9 $(head -n 1 "+v.m.DataDir()+"/postmaster.pid)")
	return nothing, v.m.Name(), err
}

func soakPostmasterStopped(_ context.Context, v victims) (func(context.Context) error, string, error) {
	heal := func(context.Context) error { _ = v.m.Thaw(lab.Postmaster); return nil } // it was killed, perhaps
	return heal, v.m.Name(), v.m.Freeze(lab.Postmaster)
}

// soakWaiting has the standbys take nothing, until a client's commit waits for them, and kills that one's backend.
func soakWaiting(ctx context.Context, v victims) (func(context.Context) error, string, error) {
	const receiver = "wal ?receiver"
	heal := func(context.Context) error {
		for _, h := range v.standby {
			_ = h.Thaw(receiver) // its watcher may have ended it
		}
		return nil
	}
	for _, h := range v.standby {
		_ = h.Freeze(receiver) // one that does not stream takes nothing either
	}
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		pid, err := v.m.PSQL(ctx, "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name LIKE 'pgctl-%' ORDER BY xact_start LIMIT 1")
		if err != nil {
			return heal, v.m.Name(), err
		}
		if pid != "" {
			_, err = v.m.Shell(ctx, "kill -9 "+pid)
			return heal, v.m.Name() + " pid " + pid, err
		}
	}
	return heal, v.m.Name(), errors.New("no commit waited")
}

func soakDisk(_ context.Context, v victims) (func(context.Context) error, string, error) {
	return func(context.Context) error { return v.m.FreeDisk() }, v.m.Name(), v.m.FillDisk()
}

func soakKill(ctx context.Context, hosts ...*lab.Host) (func(context.Context) error, string, error) {
	heal := func(ctx context.Context) error {
		return together(hosts, func(h *lab.Host) error {
			if h.Running() {
				return nil
			}
			return h.Boot(ctx)
		})
	}
	return heal, names(hosts), together(hosts, func(h *lab.Host) error { return h.Kill(ctx) })
}

// soakExecutor kills the executor's host at one time with the master's, which may be the same.
func soakExecutor(ctx context.Context, v victims) (func(context.Context) error, string, error) {
	executor := ""
	for _, h := range watchedHosts(v.r) {
		if text, err := h.ReadFile(ctx, "/var/run/pg_watcher.PGMonitor"); err == nil {
			var m watch.Monitor
			if json.Unmarshal([]byte(text), &m) == nil && m.Status == "active" {
				executor = h.Name()
			}
		}
	}
	if executor == "" {
		return nothing, "nobody", errors.New("no watcher is the executor")
	}
	hosts := []*lab.Host{v.m}
	if executor != v.m.Name() {
		hosts = append(hosts, v.r.Host(executor))
	}
	return soakKill(ctx, hosts...)
}

// healNetwork mends every cable. A host that is down has none, and gets one when it boots.
func healNetwork(r *lab.Region) func(context.Context) error {
	return func(ctx context.Context) error {
		return together(r.Hosts()[1:], func(h *lab.Host) error {
			if err := h.Heal(ctx); h.Running() {
				return err
			}
			return nil
		})
	}
}

func soakOneWay(ctx context.Context, v victims) (func(context.Context) error, string, error) {
	from, to, said := []*lab.Host{v.m}, others(v.r, v.m), "what "+v.m.Name()+" sends"
	if v.rng.IntN(2) == 0 {
		from, to, said = to, from, "what is sent to "+v.m.Name()
	}
	return healNetwork(v.r), said, cutEach(ctx, from, to)
}

// soakSplit has the network fall into two halves, any two. Clients are on both sides.
func soakSplit(ctx context.Context, v victims) (func(context.Context) error, string, error) {
	hosts := v.r.Hosts()[1:]
	set := 1 + v.rng.IntN(1<<(len(hosts)-1)-1)
	var here, there []*lab.Host
	for i, h := range hosts {
		if set>>i&1 == 1 {
			here = append(here, h)
		} else {
			there = append(there, h)
		}
	}
	err := errors.Join(cutEach(ctx, here, there), cutEach(ctx, there, here))
	return healNetwork(v.r), names(here) + " from " + names(there), err
}

func cutEach(ctx context.Context, from, to []*lab.Host) error {
	var errs []error
	for _, a := range from {
		for _, b := range to {
			errs = append(errs, a.CutFrom(ctx, b))
		}
	}
	return errors.Join(errs...)
}

func soakWatchersKilled(ctx context.Context, v victims) (func(context.Context) error, string, error) {
	hosts := slices.DeleteFunc(watchedHosts(v.r), func(h *lab.Host) bool { return !h.Running() })
	return nothing, names(hosts), together(hosts, func(h *lab.Host) error { return h.KillService(ctx, "pg_watcher") })
}

// soakStopWatcher stops the master's watcher, or any.
func soakStopWatcher(_ context.Context, v victims) (func(context.Context) error, string, error) {
	h := v.m
	if v.rng.IntN(2) == 0 {
		h = pickOf(v.rng, watchedHosts(v.r))
	}
	heal := func(context.Context) error { return h.Thaw("pgctl watch") }
	return heal, h.Name(), h.Freeze("pgctl watch")
}

// soakSwitchover has the operator ask for it, and reads at the end what came of it. The region may be in a state in which it is refused.
func soakSwitchover(ctx context.Context, v victims) (func(context.Context) error, string, error) {
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	var out lab.Result
	var err error
	done.Go(func() { out, err = v.r.Firstbox().Exec(ctx, "pgctl", "switchover", "--yes") })
	heal := func(context.Context) error { // one that still runs is ended: the quorum goes on with it, or does not
		cancel()
		done.Wait()
		if err == nil && out.Exit == exitDone {
			return nil
		}
		lines := strings.Split(strings.TrimSpace(out.Stderr), "\n")
		return errors.Join(err, fmt.Errorf("exit %d: %s", out.Exit, strings.Join(lines[max(0, len(lines)-2):], "; ")))
	}
	return heal, "from " + v.m.Name(), nil
}

// together does something on hosts at one time.
func together(hosts []*lab.Host, do func(*lab.Host) error) error {
	errs := make([]error, len(hosts))
	var done sync.WaitGroup
	for i, h := range hosts {
		done.Go(func() { errs[i] = do(h) })
	}
	done.Wait()
	return errors.Join(errs...)
}
