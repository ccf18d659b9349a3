package watch

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/nodes"
)

// device is a watchdog of the machine: from when it is opened on it resets the machine when it is not fed for its timeout. Linux, "The Linux
// Watchdog driver API".
type device interface {
	// SetTimeout asks for a timeout, and says which it is now.
	SetTimeout(seconds int) (int, error)
	Feed() error
	// Disarm ends it, Leave does not: the machine is reset, unless somebody opens it in time.
	Disarm() error
	Leave() error
}

// guard keeps the watchdog armed while this host's server may be serving as master, so that a watcher that hangs, or cannot stop its PostgreSQL, does
// not leave an old master beside a new one: the machine is reset before the hand-over to the new one is over.
//
// It is fed while there is a sign of the quorum (cluster.Rules.MayServe) that is not older than the reserve, so it fires at the latest
// reserve + timeout = lease + stop time after the last sign. The new master's clients wait for that, and for the drift of the clocks (M9). Where lease and
// stop time are shorter than two late signs and the least timeout (down_after below 8 s), it fires up to 3 s too late, and says so.
type guard struct {
	path  string
	check func(path string) error // what can be told without arming it
	open  func(path string) (device, error)
	log   *slog.Logger

	device  device // nil: not armed
	timeout time.Duration
	late    string // why it fires too late; ""
	problem string // why it is not armed though it shall be, or cannot be, or is of little use; ""
}

func newGuard(path string, log *slog.Logger) *guard {
	check := func(path string) error { return checkWatchdog(path, watchdogClass) }
	return &guard{path: path, check: check, open: openWatchdog, log: log}
}

// The bounds of a timeout: rounds come every lookLimit + 2 rounds at the least, and more than a minute serves nothing.
const (
	guardLeast = lookLimit + 3*round
	guardMost  = time.Minute
)

// guardTimes are those that a section gives: the lease of its master, and both together how long one may run after the last sign of the quorum.
type guardTimes struct{ lease, runs time.Duration }

func guardTimesOf(w *nodes.Watcher) guardTimes {
	return guardTimes{w.Lease, w.Lease + nodes.StopTimeOf(w.DownAfter)}
}

// due is the timeout that is in time. Signs of the quorum come every second, so two of them may be late.
func (t guardTimes) due() time.Duration {
	return min(guardMost, (t.runs - max(2*round, t.lease/2)).Truncate(time.Second))
}

// timeout is the one that is asked for.
func (t guardTimes) timeout() time.Duration { return max(guardLeast, t.due()) }

// reserve is how old a sign of the quorum may be for the watchdog to be fed.
func (t guardTimes) reserve(timeout time.Duration) time.Duration {
	return max(2*round, t.runs-timeout)
}

// guardDo is what is done about the watchdog in a round.
type guardDo int

const (
	guardHold   guardDo = iota // neither armed nor fed nor disarmed
	guardFeed                  // armed, and fed
	guardDisarm                // it shall not be armed
)

// guardWants is what is to be done. stops: the rules want this server stopped. orphans: processes of a server are left whose postmaster is gone.
func guardWants(s *cluster.State, f *cluster.Facts, p *cluster.Policy, timeout time.Duration, stops, orphans bool) guardDo {
	switch {
	case p.Inactive || s.Phase == cluster.Unformed || s.Halted != "": // nobody is made master beside it
		return guardDisarm
	case !f.Running && orphans:
		return guardHold
	case !f.Running || f.Recovery:
		return guardDisarm
	case stops: // it is up to the stop now, until it is seen to have stopped
		return guardHold
	case s.Master != f.Host || s.Phase != cluster.Serving: // closed; or made master by a hand outside the quorum, and left alone
		return guardDisarm
	}
	within := *p
	within.Lease = guardTimes{p.Lease, p.Lease + p.StopTime}.reserve(timeout)
	if cluster.Sound().MayServe(s, f, &within) {
		return guardFeed
	}
	return guardHold
}

// watch does what is due about the watchdog in a round.
func (w *watcher) watch() {
	g, section := w.guard, w.config.watcher
	if g == nil || section == nil {
		return
	}
	do, times := guardHold, guardTimesOf(section)
	switch {
	case section.InactiveFailover:
		do = guardDisarm
	case w.quorum != nil && w.facts != nil:
		stops := slices.ContainsFunc(w.wanted, func(a cluster.Action) bool { return urgent[a.Do] })
		timeout := g.timeout
		if g.device == nil {
			timeout = times.timeout()
		}
		do = guardWants(w.state(), w.facts, w.policy(), timeout, stops, w.server.last.Orphans > 0)
	}
	switch {
	case do == guardFeed && g.device != nil:
		g.feed()
	case do == guardFeed && w.due("watchdog"):
		g.arm(times)
	case do == guardDisarm && g.device == nil && w.memory.Armed && w.due("watchdog"): // by an earlier life of this watcher
		g.arm(times)
		g.disarm()
	case do == guardDisarm && g.device != nil:
		g.disarm()
	case do == guardDisarm && w.due("watchdog"):
		g.look()
	}
	w.memory.Armed = g.device != nil || do != guardDisarm && w.memory.Armed
	w.tell("watchdog", g.problem)
}

// look says on a standby what would keep it from being armed.
func (g *guard) look() {
	g.problem = ""
	if err := g.check(g.path); err != nil {
		g.problem = "it cannot be armed: " + problem(err)
	}
}

// arm opens the watchdog, and gives it its timeout.
func (g *guard) arm(times guardTimes) {
	g.problem, g.late = "", ""
	err := g.check(g.path)
	var d device
	if err == nil {
		d, err = g.open(g.path)
	}
	if err != nil {
		g.problem = "it is not armed: " + problem(err)
		return
	}
	want := times.timeout()
	seconds, err := d.SetTimeout(int(want / time.Second))
	got := time.Duration(seconds) * time.Second
	switch {
	case err != nil:
		g.problem = fmt.Sprintf("it is not armed: %s takes no timeout of %s: %s", g.path, want, problem(err))
	case got < guardLeast:
		g.problem = fmt.Sprintf("it is not armed: the timeout of %s is %s, and a round may take %s", g.path, got, guardLeast)
	case got > times.runs-2*round:
		g.late = fmt.Sprintf("it comes too late: %s has a timeout of %s, longer than %s, so another master may have clients before it fires", g.path, got, times.due())
	}
	if err != nil || got < guardLeast {
		if err := d.Disarm(); err != nil {
			g.problem += "; and it could not be disarmed: " + problem(err)
		}
		return
	}
	g.device, g.timeout = d, got
	g.log.Info("watchdog", "is", "armed", "path", g.path, "timeout", got)
	g.feed()
}

func (g *guard) feed() {
	g.problem = g.late
	if err := g.device.Feed(); err != nil {
		g.problem = "it could not be fed: " + problem(err)
	}
}

// disarm ends it. What cannot be disarmed is let go of all the same: there is nothing else to be done about it.
func (g *guard) disarm() {
	if g.device == nil {
		return
	}
	g.problem = ""
	if err := g.device.Disarm(); err != nil {
		g.problem = "it could not be disarmed: " + problem(err)
	}
	g.device = nil
	g.log.Info("watchdog", "is", "disarmed", "path", g.path, "error", g.problem)
}

// endWatch lets go of the watchdog as the watcher ends.
func (w *watcher) endWatch(orderly bool) {
	if w.guard != nil {
		w.guard.end(orderly)
		w.memory.Armed = w.memory.Armed && !orderly
		w.keepMemory()
	}
}

// end lets go of it. A watcher that was told to end disarms it; one that fails does not: its next life takes it over, in time or never.
func (g *guard) end(orderly bool) {
	switch {
	case g.device == nil:
	case orderly:
		g.disarm()
	default:
		g.log.Warn("watchdog", "is", "armed still", "path", g.path, "timeout", g.timeout, "error", problem(g.device.Leave()))
		g.device = nil
	}
}

// fault says what is wrong with it; "" nothing, or none is wanted.
func (g *guard) fault() string {
	if g == nil {
		return ""
	}
	return g.problem
}

// watchdogClass is where the kernel says what it knows of its watchdogs.
const watchdogClass = "/sys/class/watchdog"

// kernelDevice is a watchdog of the kernel.
type kernelDevice struct{ file *os.File }

// checkWatchdog says why it is none that can be disarmed again.
func checkWatchdog(path, class string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case info.Mode()&os.ModeCharDevice == 0:
		return fmt.Errorf("%s is no watchdog: it is no character device", path)
	}
	name := filepath.Base(path)
	if name == "watchdog" { // the old name of the first one
		name = "watchdog0"
	}
	if text, err := os.ReadFile(filepath.Join(class, name, "nowayout")); err == nil && strings.TrimSpace(string(text)) == "1" {
		return fmt.Errorf("%s can never be disarmed (nowayout): every stop of the watcher would reset this machine", path)
	}
	return nil
}

// openWatchdog arms it.
func openWatchdog(path string) (device, error) {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	return kernelDevice{file}, nil
}

// SetTimeout asks what it has become: drivers round, and some know one timeout only.
func (d kernelDevice) SetTimeout(seconds int) (int, error) {
	fd := int(d.file.Fd())
	failed := unix.IoctlSetPointerInt(fd, unix.WDIOC_SETTIMEOUT, seconds)
	got, err := unix.IoctlGetInt(fd, unix.WDIOC_GETTIMEOUT)
	if err != nil {
		return 0, errors.Join(failed, err)
	}
	return got, nil
}

// Feed keeps it from firing.
func (d kernelDevice) Feed() error { return unix.IoctlWatchdogKeepalive(int(d.file.Fd())) }

// Disarm says the letter after which a close disarms it.
func (d kernelDevice) Disarm() error {
	_, err := d.file.WriteString("V")
	return errors.Join(err, d.file.Close())
}

// Leave closes it armed.
func (d kernelDevice) Leave() error { return d.file.Close() }
