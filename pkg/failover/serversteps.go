package failover

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/plan"
	"github.com/pgctl/pgctl/pkg/postgres"
	"github.com/pgctl/pgctl/pkg/remote"
)

// The verbs of a server's steps.
const (
	verbSlot       = "server.slot"        // the master keeps a slot for a standby
	verbDropSlots  = "server.drop-slots"  // a standby keeps no WAL for others any more
	verbStop       = "server.stop"        // it accepts no write: stopped cleanly
	verbFence      = "server.fence"       // it accepts no write, however it has to be stopped, and starts read-only
	verbRenew      = "server.renew"       // its data is a copy of the master's history
	verbFollow     = "server.follow"      // its files make it a standby of the master
	verbMember     = "server.member"      // the name under which the quorum counts its data
	verbStart      = "server.start"       // it runs as a standby
	verbStream     = "server.stream"      // it streams and has caught up
	verbRepoint    = "server.repoint"     // a running standby streams from the new master
	verbNames      = "server.names"       // whom a commit waits for
	verbMasterFile = "server.master-file" // /pitrix/run/pg_master
	verbCheckpoint = "server.checkpoint"  // the next stop or rewind is quick
	verbPromote    = "server.promote"     // it is the master
	verbSign       = "server.sign"        // its data has the row of this promotion
	verbRestore    = "server.restore"     // it runs as the master that it was
)

// MasterFile is where a site keeps the name of the master on every server.
const MasterFile = "/pitrix/run/pg_master"

// Handlers are the handlers by verb.
func (h *Servers) Handlers() map[string]plan.Handler {
	return map[string]plan.Handler{
		verbSlot:       handler{h.hasSlot, h.makeSlot},
		verbDropSlots:  handler{h.hasNoSlots, h.dropSlots},
		verbStop:       handler{h.isStopped, h.stop},
		verbFence:      handler{h.isFenced, h.fence},
		verbRenew:      handler{h.isRenewed, h.renew},
		verbFollow:     handler{h.isFollower, h.follow},
		verbMember:     handler{h.isMember, h.setMember},
		verbStart:      handler{h.isStandby, h.start},
		verbStream:     handler{h.hasCaughtUp, h.catchUp},
		verbRepoint:    handler{h.isRepointed, h.repoint},
		verbNames:      handler{h.hasNames, h.setNames},
		verbMasterFile: handler{h.hasMasterFile, h.setMasterFile},
		verbCheckpoint: handler{h.isCheckpointed, h.checkpoint},
		verbPromote:    handler{h.isMaster, h.promote},
		verbSign:       handler{h.isSigned, h.sign},
		verbRestore:    handler{h.isRestored, h.restore},
	}
}

func (h *Servers) hasSlot(ctx context.Context, s plan.Step) (bool, error) {
	ctx, cancel := h.ask(ctx)
	defer cancel()
	has, err := h.server(s).HasSlot(ctx, s.Args["slot"])
	return seen(has, err)
}

func (h *Servers) makeSlot(ctx context.Context, s plan.Step) error {
	ctx, cancel := h.ask(ctx)
	defer cancel()
	return h.server(s).MakeSlot(ctx, s.Args["slot"])
}

func (h *Servers) hasNoSlots(ctx context.Context, s plan.Step) (bool, error) {
	ctx, cancel := h.ask(ctx)
	defer cancel()
	for slot := range strings.FieldsSeq(s.Args["slots"]) {
		if has, err := h.server(s).HasSlot(ctx, slot); has || err != nil {
			return seen(false, err)
		}
	}
	return true, nil
}

func (h *Servers) dropSlots(ctx context.Context, s plan.Step) error {
	ctx, cancel := h.ask(ctx)
	defer cancel()
	for slot := range strings.FieldsSeq(s.Args["slots"]) {
		if err := h.server(s).DropSlot(ctx, slot); err != nil {
			return err
		}
	}
	return nil
}

// isStopped: it accepts no write. Later steps start it as a standby of the master, and that is no write either.
func (h *Servers) isStopped(ctx context.Context, s plan.Step) (bool, error) {
	if h.streams(ctx, s) == nil {
		return true, nil
	}
	ctx, cancel := h.ask(ctx)
	defer cancel()
	stopped, err := h.server(s).Stopped(ctx, s.Args["data_dir"])
	if err != nil || stopped || s.Args["or"] != "standby" {
		return stopped, err
	}
	return seen(h.server(s).InRecovery(ctx))
}

// stopLimit is how long a clean stop may take: a last checkpoint on a slow disk.
const stopLimit = 10 * time.Minute

func (h *Servers) stop(ctx context.Context, s plan.Step) error {
	ctx, cancel := context.WithTimeout(ctx, stopLimit)
	defer cancel()
	return h.server(s).Stop(ctx, s.Args["data_dir"])
}

// isFenced: no process is left and it would start read-only, or it is a standby already.
func (h *Servers) isFenced(ctx context.Context, s plan.Step) (bool, error) {
	ctx, cancel := h.ask(ctx)
	defer cancel()
	gated, err := h.server(s).Gated(ctx, s.Args["data_dir"])
	if err != nil || !gated {
		return false, err
	}
	if stopped, err := h.server(s).Stopped(ctx, s.Args["data_dir"]); stopped || err != nil {
		return stopped, err
	}
	return seen(h.server(s).InRecovery(ctx))
}

func (h *Servers) fence(ctx context.Context, s plan.Step) error {
	ctx, cancel := context.WithTimeout(ctx, h.Timeout+time.Minute)
	defer cancel()
	server := h.server(s)
	// a server that is killed and comes back at once, by a service manager or a reboot, must come back read-only
	if err := server.Gate(ctx, s.Args["data_dir"]); err != nil {
		return err
	}
	return server.Fence(ctx, s.Args["data_dir"])
}

// isFollower: its files say so, or it streams from there, and so they must.
func (h *Servers) isFollower(ctx context.Context, s plan.Step) (bool, error) {
	ctx, cancel := h.ask(ctx)
	defer cancel()
	upstream, err := h.upstream(ctx, s)
	if err != nil {
		return false, err
	}
	points, err := h.server(s).PointsAt(ctx, upstream)
	if err == nil && points {
		points, err = h.server(s).Follows(ctx, s.Args["data_dir"], following(s))
	}
	if err == nil && !points && h.streams(ctx, s) == nil {
		points, err = h.server(s).Gated(ctx, s.Args["data_dir"]) // and will be a standby after its next start too
	}
	return seen(points, err)
}

func (h *Servers) follow(ctx context.Context, s plan.Step) error {
	ctx, cancel := h.ask(ctx)
	defer cancel()
	upstream, err := h.upstream(ctx, s)
	if err != nil {
		return err
	}
	if err := h.server(s).PointAt(ctx, upstream); err != nil {
		return err
	}
	return h.server(s).Follow(ctx, s.Args["data_dir"], following(s))
}

func (h *Servers) isMember(ctx context.Context, s plan.Step) (bool, error) {
	ctx, cancel := h.ask(ctx)
	defer cancel()
	return seen(h.server(s).HasMember(ctx, s.Args["data_dir"], s.Args["name"]))
}

func (h *Servers) setMember(ctx context.Context, s plan.Step) error {
	ctx, cancel := h.ask(ctx)
	defer cancel()
	return h.server(s).SetMember(ctx, s.Args["data_dir"], s.Args["name"])
}

// isStandby: it runs, or starts, and its files make it a standby.
func (h *Servers) isStandby(ctx context.Context, s plan.Step) (bool, error) {
	ctx, cancel := h.ask(ctx)
	defer cancel()
	stopped, err := h.server(s).Stopped(ctx, s.Args["data_dir"])
	if err != nil || stopped {
		return false, err
	}
	return seen(h.server(s).Gated(ctx, s.Args["data_dir"]))
}

// start waits until there is a process, not until it answers: it may have much to replay before.
func (h *Servers) start(ctx context.Context, s plan.Step) error {
	if follows, err := h.isFollower(ctx, s); err != nil || !follows {
		return errors.Join(errors.New("its files do not make it a standby of the master"), err)
	}
	if err := h.forgetRenewal(ctx, s); err != nil { // it is no bare copy from here on
		return err
	}
	return h.startOnce(ctx, h.server(s), s.Args["data_dir"])
}

func (h *Servers) startOnce(ctx context.Context, server *postgres.Server, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, h.Timeout+time.Minute)
	defer cancel()
	return server.Start(ctx, dir)
}

func (h *Servers) stoppedNow(ctx context.Context, server *postgres.Server, dir string) (bool, error) {
	ctx, cancel := h.ask(ctx)
	defer cancel()
	return server.Stopped(ctx, dir)
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (h *Servers) hasNames(ctx context.Context, s plan.Step) (bool, error) {
	ctx, cancel := h.ask(ctx)
	defer cancel()
	names, err := h.server(s).SyncNames(ctx)
	return seen(sameNames(names, s.Args["names"]), err)
}

func sameNames(a, b string) bool {
	x, err1 := cluster.ParseSyncNames(a)
	y, err2 := cluster.ParseSyncNames(b)
	return err1 == nil && err2 == nil && x.Same(y)
}

func (h *Servers) setNames(ctx context.Context, s plan.Step) error {
	ctx, cancel := h.ask(ctx)
	defer cancel()
	return h.server(s).SetSyncNames(ctx, s.Args["names"])
}

func (h *Servers) hasMasterFile(ctx context.Context, s plan.Step) (bool, error) {
	ctx, cancel := h.ask(ctx)
	defer cancel()
	out, err := h.Hosts(s.Host).Run(ctx, remote.Script(`cat "$1" 2>/dev/null; exit 0`, MasterFile))
	return strings.TrimSpace(string(out.Stdout)) == s.Args["master"], err
}

func (h *Servers) setMasterFile(ctx context.Context, s plan.Step) error {
	ctx, cancel := h.ask(ctx)
	defer cancel()
	host := h.Hosts(s.Host)
	if _, err := host.Run(ctx, remote.Script(`mkdir -p "${1%/*}"`, MasterFile)); err != nil { // a file system in memory is empty after a reboot
		return err
	}
	_, err := remote.WriteFile(ctx, host, MasterFile, []byte(s.Args["master"]+"\n"), remote.WriteOptions{})
	return err
}
