package watch

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// haste is how often everything is looked at while something is under way, and for how long at the most.
const (
	haste      = 150 * time.Millisecond
	hasteLimit = time.Minute
)

// hurry has the next look come soon while something is under way that waits for what this host sees.
func (w *watcher) hurry(s *cluster.State) {
	if w.quorum == nil || w.settled() && !w.masterClosed(s) {
		w.hurried = 0
		return
	}
	now := sinceBoot()
	if w.hurried == 0 {
		w.hurried = now
	}
	if now-w.hurried < hasteLimit {
		time.AfterFunc(haste, w.again)
	}
}

// heed does what the quorum has decided since the last look by what that showed, where nothing was done to the server since it began: had it taken until now, it
// would have shown no more. It tells whether something is being done now, after which the server is looked at anyway.
func (w *watcher) heed(ctx context.Context) bool {
	now, known := sinceBoot(), w.latest()
	if w.server == nil || w.facts == nil || known.Index == w.heeded || w.working[laneServer] != nil || w.saw.late || w.saw.began <= w.acted || now-w.saw.began > lookLimit {
		return false
	}
	w.heeded = known.Index
	w.memory.learn(&known.State, now)
	w.facts = w.server.aged(*w.facts, view{now: now, idle: w.config.watcher.InactiveFailover, state: &known.State})
	w.lease(ctx, &known.State)
	if cluster.AwaitsSign(&known.State, w.facts, w.policy()) { // a look and a report first
		return false
	}
	w.reconcile(ctx, &known.State, true, now)
	w.awaitLapse(&known.State, true, now)
	w.keepMemory()
	return w.working[laneServer] != nil
}

// expect has the loop look when something will have lasted for as long as it may, in left, and not up to a round later.
func (w *watcher) expect(left time.Duration) {
	if 0 < left && left < round {
		time.AfterFunc(left+time.Millisecond, w.again)
	}
}

// stall is for how long one of the newest configuration has held up commits, as a report of the master says; 0 of any other report.
func stall(s *cluster.State, r *cluster.Report) time.Duration {
	n, ok := s.Newest()
	if !ok || r.Facts == nil || r.Host != s.Master {
		return 0
	}
	var longest time.Duration
	for _, x := range r.Facts.Stalls {
		if n.Has(x.Member) {
			longest = max(longest, x.For)
		}
	}
	return longest
}

// masterClosed: the master runs, and waits for its standbys before it lets clients in; or it does not run, and is about to.
func (w *watcher) masterClosed(s *cluster.State) bool {
	h, heard := w.heard[s.Master]
	return heard && sinceBoot()-h.At < 3*round && h.Facts != nil && (!h.Facts.Clients || !h.Facts.Running || h.Facts.Recovery)
}

// nudge has a standby that receives nothing ask its master again, when that one is heard to run: by itself it would wait for a retry interval.
func (w *watcher) nudge(s *cluster.State) {
	f, h := w.facts, w.heard[s.Master]
	if f == nil || !f.Running || !f.Recovery || f.Silent > 0 || f.Upstream.File != s.Master || f.Upstream.FileEpoch != s.Epoch || f.Upstream.Receiver != "" {
		return
	}
	if h.Report == nil || h.Facts == nil || !h.Facts.Running || h.Facts.Recovery || sinceBoot()-h.At > round || w.server.nudged {
		return
	}
	w.server.nudged = true
	if err := w.server.own.Wake(); err != nil {
		w.Log.Debug("asks the master again", "error", err)
	}
	time.AfterFunc(haste, func() { w.post(func() { w.server.nudged = false }) })
}

// attend has the loop look at once when the postmaster ends.
func (w *watcher) attend(pid int) {
	if pid == 0 || pid == w.attended {
		return
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil { // an older kernel, or it has ended: the next round sees it
		return
	}
	w.attended = pid
	go func() {
		defer unix.Close(fd)
		for {
			_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
			if !errors.Is(err, unix.EINTR) {
				break
			}
		}
		w.post(func() {
			if w.attended == pid {
				w.attended = 0
			}
			w.again()
		})
	}()
}
