package watch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/failover"
	"github.com/pgctl/pgctl/pkg/postgres"
)

// lane is a row of actions of which one runs at a time. What may take long has a lane of its own, so that it holds up nothing that is urgent.
type lane string

const (
	laneServer     lane = "server"
	laneCheckpoint lane = "checkpoint"
	lanePool       lane = "pool"
)

// urgent are the actions that wait for no other: what is at work on the server is broken off for them.
var urgent = map[cluster.Do]bool{cluster.DoStop: true, cluster.DoKill: true}

func laneOf(do cluster.Do) lane {
	switch do {
	case cluster.DoCheckpoint:
		return laneCheckpoint
	case cluster.DoHoldPool, cluster.DoPointPool:
		return lanePool
	}
	return laneServer
}

// actLimit is how long an action may take before it is broken off, to be decided on anew.
func actLimit(do cluster.Do) time.Duration {
	switch do {
	case cluster.DoRenew:
		return 24 * time.Hour
	case cluster.DoCheckpoint:
		return time.Hour
	case cluster.DoStartMaster, cluster.DoStartReadOnly, cluster.DoPointPool:
		return 2 * time.Minute
	case cluster.DoMakeWay:
		return makeWayLimit
	}
	return 15 * time.Second
}

// work is what runs in a lane. What was broken off for it may still be between two steps: a stop does not wait for that, but nothing else is begun
// beside it.
type work struct {
	actions []cluster.Action
	end     context.CancelFunc
	before  *work         // broken off for this one; nil nothing was
	waits   atomic.Bool   // it does nothing but wait for what it has broken off, which is still at work
	ended   chan struct{} // closed when it has ended, and what it has broken off too
}

// followsOn returns when what was broken off for this one has ended.
func (now *work) followsOn() {
	if now.before == nil {
		return
	}
	now.waits.Store(true)
	<-now.before.ended
	now.before = nil
	now.waits.Store(false)
}

// result is what became of an action.
type result struct {
	lane   lane
	work   *work
	action cluster.Action
	took   time.Duration
	err    error
	last   bool // of its work
}

// begin has actions done where their lane is free. A stop or a kill breaks off what is at work on the server.
func (w *watcher) begin(ctx context.Context, actions []cluster.Action) {
	byLane := map[lane][]cluster.Action{}
	for _, a := range actions {
		byLane[laneOf(a.Do)] = append(byLane[laneOf(a.Do)], a)
	}
	for l, list := range byLane {
		running := w.working[l]
		if running != nil && !instead(list[0], running) {
			continue
		}
		if running != nil {
			running.end()
		}
		ctx, end := context.WithCancel(ctx)
		now := &work{actions: list, end: end, before: running, ended: make(chan struct{})}
		w.working[l] = now
		go w.perform(ctx, l, now)
	}
}

// instead tells whether an action is begun although another one is at work in its lane: a stop is, and a pool that was on its way to a master that is
// none any more.
func instead(a cluster.Action, running *work) bool {
	is := running.actions[0]
	return urgent[a.Do] && (!urgent[is.Do] || running.waits.Load()) || a.Do == cluster.DoPointPool && a.Host != is.Host
}

// perform does the actions of a lane one after the other. The first that fails ends it: what is next is decided anew.
func (w *watcher) perform(ctx context.Context, l lane, now *work) {
	defer close(now.ended)
	defer now.end()
	for i, a := range now.actions {
		if !urgent[a.Do] {
			now.followsOn()
		}
		began := sinceBoot()
		err := w.limited(ctx, a)
		last := i == len(now.actions)-1 || err != nil
		took := sinceBoot() - began
		if last {
			now.followsOn()
		}
		w.post(func() { w.finished(result{lane: l, work: now, action: a, took: took, err: err, last: last}) })
		if last {
			return
		}
	}
}

// limited does one action in its time, unless it was broken off before.
func (w *watcher) limited(ctx context.Context, a cluster.Action) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, actLimit(a.Do))
	defer cancel()
	return w.do(ctx, a)
}

// finished notes a result, and has the server looked at again.
func (w *watcher) finished(r result) {
	w.counters.acted(r.action.Do, r.err)
	log := w.Log.Info
	if r.err != nil {
		log = w.Log.Warn
	}
	if text := fmt.Sprint(r.action, r.err); r.err == nil || w.told["act "+string(r.action.Do)] != text {
		if r.err != nil {
			w.told["act "+string(r.action.Do)] = text
		}
		attributes := []any{"do", r.action.Do, "why", r.action.Why, "took", r.took.Round(time.Millisecond)}
		if r.action.Host != "" {
			attributes = append(attributes, "host", r.action.Host)
		}
		if r.err != nil {
			attributes = append(attributes, "error", problem(r.err))
		}
		if r.action.Do != cluster.DoRemember || r.err != nil {
			log("does", attributes...)
		}
	}
	if r.lane == laneServer {
		w.acted = sinceBoot()
	}
	if r.last && w.working[r.lane] == r.work {
		delete(w.working, r.lane)
	}
	w.again()
}

// act does one thing to this host's own server or pool.
func (w *watcher) act(ctx context.Context, a cluster.Action) error {
	switch a.Do { // where there may be no server
	case cluster.DoHoldPool:
		w.pool.hold(w.life, a.Epoch)
		return nil
	case cluster.DoPointPool:
		return w.pool.point(ctx, *w.target.Load())
	}
	own := w.server.own
	switch a.Do {
	case cluster.DoFreeze:
		return w.freeze(ctx, a.Base)
	case cluster.DoFollow:
		return w.follow(ctx, a)
	case cluster.DoSetNames:
		return own.SetNames(ctx, a.Text)
	case cluster.DoRemember:
		w.post(func() { w.server.remember(a.Proof) })
		return nil
	case cluster.DoEndSender:
		return own.EndSender(ctx, a.PID)
	case cluster.DoCloseClients:
		return own.CloseClients(ctx)
	case cluster.DoOpenClients:
		return own.OpenClients(ctx)
	case cluster.DoResumeReplay:
		return own.ResumeReplay(ctx)
	case cluster.DoMasterFile:
		return replaceFile(failover.MasterFile, []byte(a.Host+"\n"), 0o644, true)
	}
	return w.power(ctx, a)
}

// power does what starts, stops, promotes and signs.
func (w *watcher) power(ctx context.Context, a cluster.Action) error {
	own := w.server.own
	switch a.Do {
	case cluster.DoPromote, cluster.DoWriteRow:
		return w.ascend(ctx, a)
	case cluster.DoMakeWay:
		return w.makeWay(ctx)
	case cluster.DoStop:
		return w.stop(ctx, own.Stop)
	case cluster.DoKill:
		return w.stop(ctx, own.Kill)
	case cluster.DoStartReadOnly:
		return w.startReadOnly(ctx)
	case cluster.DoStartMaster:
		w.server.started(sinceBoot())
		return own.StartMaster(ctx)
	case cluster.DoPutGate:
		return own.PutGate(ctx)
	case cluster.DoCheckpoint:
		return own.Checkpoint(ctx)
	case cluster.DoRenew:
		return w.renew(ctx, a)
	}
	return fmt.Errorf("nobody knows how to %q", a.Do)
}

// ascend promotes, or signs, as long as this host is known to be the elected one: what is done before them may take its time, and an election that went on
// to another server meanwhile would find this one to be no copy any more.
func (w *watcher) ascend(ctx context.Context, a cluster.Action) error {
	if s := w.state(); s.Phase != cluster.Elected || s.Master != w.name || s.Epoch != a.Epoch {
		return fmt.Errorf("epoch %d of %s is over", a.Epoch, w.name)
	}
	if a.Do == cluster.DoPromote {
		return w.server.own.Promote(ctx)
	}
	return w.server.own.WriteRow(ctx, a.Epoch, a.Nonce)
}

// stop is noted before, as the watcher may end in the middle of it, and after, as it may have been seen to run meanwhile.
func (w *watcher) stop(ctx context.Context, how func(context.Context) error) error {
	w.server.stopping(sinceBoot())
	defer func() { w.server.stopping(sinceBoot()) }()
	return how(ctx)
}

// startReadOnly: a server that was a master has followed nobody for a while, and must not go after whomever its service file still names.
func (w *watcher) startReadOnly(ctx context.Context) error {
	w.server.started(sinceBoot())
	if w.server.seenNow().WasMaster {
		if err := w.server.own.FollowNobody(); err != nil {
			return err
		}
	}
	return w.server.own.StartReadOnly(ctx)
}

// makeWay stops it cleanly, its standbys get all that it has (manual, "Shutting Down the Server"). Most of what a stop takes is its checkpoint, so one is
// written before, while clients go on.
func (w *watcher) makeWay(ctx context.Context) error {
	own := w.server.own
	if err := own.Checkpoint(ctx); err != nil {
		return err
	}
	return w.stop(ctx, func(ctx context.Context) error { return own.Server().Stop(ctx, w.server.seenNow().DataDir) })
}

// marker is on the disk while this server is frozen for an election.
type marker struct {
	Base int64 `json:"base"` // the epoch that is over
}

func (w *watcher) markerPath() string { return filepath.Join(w.StateDir, "frozen.json") }

// frozenFor is the base of the marker; 0 there is none. One that cannot be read freezes for ever: no epoch is later.
func (w *watcher) frozenFor() (int64, error) {
	text, err := os.ReadFile(w.markerPath())
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	var m marker
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err != nil {
		return 1 << 62, fmt.Errorf("the marker of a freeze cannot be read, so nothing is followed: %w", err)
	}
	return m.Base, nil
}

// freeze: first the marker, so that no restart forgets it.
func (w *watcher) freeze(ctx context.Context, base int64) error {
	if base != 0 {
		if err := replaceFile(w.markerPath(), []byte(`{"base":`+strconv.FormatInt(base, 10)+"}\n"), 0o600, true); err != nil {
			return err
		}
	}
	return w.server.own.Freeze(ctx)
}

// follow: the marker goes first. One that was left behind would keep the server from ever being counted; a freeze that is wanted puts it back.
func (w *watcher) follow(ctx context.Context, a cluster.Action) error {
	upstream, err := w.upstream(a.Host)
	if err != nil {
		return err
	}
	if err := os.Remove(w.markerPath()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return w.server.own.Follow(ctx, upstream, a.Epoch)
}

// upstream is how this host's standby reaches a master.
func (w *watcher) upstream(master string) (postgres.ConnInfo, error) {
	login := w.directory.loginNow()
	if login["user"] == "" {
		return nil, errors.New("no server says how a standby logs in on its master (primary_conninfo); set replication.user in pgctl.yaml")
	}
	port := w.directory.portOf(master)
	if port == 0 {
		return nil, fmt.Errorf("where PostgreSQL listens on %s is not known", master)
	}
	login["host"], login["port"], login["application_name"] = master, strconv.Itoa(port), w.directory.memberNow()
	login["connect_timeout"], login["keepalives_idle"], login["keepalives_interval"], login["keepalives_count"] = "2", "2", "1", "3"
	return login, nil
}
