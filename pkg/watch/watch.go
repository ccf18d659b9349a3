package watch

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/consensus"
	"github.com/pgctl/pgctl/pkg/failover"
	"github.com/pgctl/pgctl/pkg/nodes"
	"github.com/pgctl/pgctl/pkg/pgpool"
	"github.com/pgctl/pgctl/pkg/postgres"
	"github.com/pgctl/pgctl/pkg/remote"
)

// Where a watcher's files are by default: the node's configuration that the site's roll-out puts there, its status files, what must outlive a
// boot, what must not, and what proves who it is.
const (
	ServerYAML = "/pitrix/conf/global/server.yaml"
	RunDir     = "/var/run"
	StateDir   = "/var/lib/pgctl"
	MemoryPath = "/run/pgctl/watch.json"
	TLSDir     = "/etc/pgctl/tls"

	ControlPath = "/run/pgctl/watch.sock"
)

// round is how often the watcher looks when nothing happens; gap is how soon it looks again when something does.
const (
	round = time.Second
	gap   = 50 * time.Millisecond
)

// Options are what a watcher stands on.
type Options struct {
	Host        string      // this host's name, as in pg_node_info and globals
	Local       remote.Host // this machine
	ServerYAML  string
	RunDir      string
	StateDir    string
	MemoryPath  string
	TLSDir      string
	ControlPath string // the socket for this host's operators
	Listen      string // HOST:PORT of the watchers' port; "" every address, and the port of server.yaml
	Metrics     string // where metrics and health checks are served: HOST:PORT, :PORT of this host alone; "" or "off" nowhere
	Watchdog    string // a device of the kernel's; "" or "off" none
	Notify      string // the program that is told of events; "" none
	Postgres    postgres.Settings
	Replication nodes.ReplicationConfig
	PGPool      pgpool.Settings
	Version     string
	Binary      string // SHA-256 of the program that runs, hex
	Settings    string // SHA-256 of pgctl.yaml, hex; "" there is none
	Now         func() time.Time
	Log         *slog.Logger
}

// ErrAnother is returned when a watcher runs on this host already.
var ErrAnother = errors.New("another pgctl watch runs on this host")

// watcher is a running one. What is not guarded otherwise is the loop's alone.
type watcher struct {
	Options
	name   string // this host, as server.yaml spells it
	pid    int
	config *config
	told   map[string]string // what the log was told last, by subject
	born   time.Duration
	mark   string // of this life of the watcher

	memory    memory
	directory *directory
	port      *consensus.Port
	peers     *peers
	quorum    *quorum
	asked     atomic.Pointer[quorum] // the same, for other hosts' questions; nil until it is open
	hosts     []consensus.Host
	control   *http.Server // nil: it does not listen
	server    *server      // nil: none here
	pool      *pool        // nil: none here
	problem   string       // why it takes no part in the quorum; "" it does

	heard       map[string]cluster.Heard
	letters     map[string]*dispatch // the last one of each host
	looking     time.Duration        // since when a look is under way; 0 none is
	fetching    bool                 // the state is asked for, on a pool's host
	askingUntil time.Duration        // until then it has had no time to ask for a lease
	rounded     time.Duration        // when the last round was; 0 none was
	acted       time.Duration        // when the last action on the server ended
	lookedAt    time.Duration        // when the last one began
	saw         look                 // the last one that came back
	heeded      uint64               // index of the state that was gone by last
	facts       *cluster.Facts
	decision    cluster.Decision
	deciding    bool
	joining     bool                                        // a change of the members is under way, or the lead is handed over
	decided     uint64                                      // index of the state that it decided from last, as the executor; 0 it is not
	rests       time.Duration                               // since when that is the same
	moved       time.Duration                               // when it last tried to hand the lead to a better seat; 0 never
	steady      map[string]time.Duration                    // since when each other host is heard without a gap
	asking      bool                                        // for the lease
	do          func(context.Context, cluster.Action) error // act
	working     map[lane]*work
	wishedAt    time.Duration            // since when this executor knows that another master is wanted; 0 none is
	hurried     time.Duration            // since when something is under way; 0 nothing is
	attended    int                      // the postmaster whose end is waited for; 0 none
	tried       map[string]time.Duration // when something was tried last, by what
	probes      *probes
	target      atomic.Pointer[failover.PoolTarget]
	news        news
	teller      *teller   // nil: nobody is told
	exporter    *exporter // nil: it does not listen
	unheard     string    // why it does not, though it shall
	counters    counters
	guard       *guard // nil: no watchdog is wanted
	lapse       lapse
	wanted      []cluster.Action // by the rules, in the last round

	soon    chan struct{} // of one: something has happened
	arrived chan *dispatch
	looked  chan look
	events  chan func() // done by the loop, in turn
	life    context.Context
}

// look is what was seen of the own server, and when the look began.
type look struct {
	sight postgres.OwnSight
	began time.Duration
	late  bool // it does not come back: what is acted on is what was seen before
}

// Run watches until ctx ends. The status files stay, with the time of the last round.
func Run(ctx context.Context, o Options) error {
	lock, err := lockDir(o.RunDir)
	if err != nil {
		return err
	}
	defer lock.Close()
	w := newWatcher(o)
	w.Log.Info("begins", "version", w.Version, "host", w.Host, "file", w.ServerYAML)
	w.notifyOwn(EventStarted, "the watcher begins, version "+w.Version)
	err = w.loop(ctx)
	w.endWatch(err == nil)
	w.notifyOwn(EventStopped, cmp.Or(problem(err), "the watcher was told to end"))
	err = errors.Join(err, w.close())
	w.teller.close(tellEnd)
	w.Log.Info("ends")
	return err
}

func newWatcher(o Options) *watcher {
	now := sinceBoot()
	w := &watcher{
		Options: o, name: o.Host, pid: os.Getpid(), config: &config{path: o.ServerYAML}, told: map[string]string{}, born: now, mark: rand.Text(),
		memory: readMemory(o.MemoryPath, now, o.Now()), directory: newDirectory(), heard: map[string]cluster.Heard{}, steady: map[string]time.Duration{}, letters: map[string]*dispatch{},
		working: map[lane]*work{}, tried: map[string]time.Duration{}, probes: newProbes(), counters: newCounters(), lapse: newLapse(), soon: make(chan struct{}, 1), arrived: make(chan *dispatch, 64), looked: make(chan look, 1),
		events: make(chan func(), 64), life: context.Background(),
	}
	w.do = w.act
	w.target.Store(&failover.PoolTarget{})
	if o.Notify != "" {
		w.teller = newTeller(o.Notify, tellLimit, o.Log)
	}
	if o.Watchdog != "" && o.Watchdog != "off" {
		w.guard = newGuard(o.Watchdog, o.Log)
	}
	return w
}

// again has the loop look at everything once more, soon.
func (w *watcher) again() {
	select {
	case w.soon <- struct{}{}:
	default:
	}
}

// post has the loop do something.
func (w *watcher) post(f func()) {
	select {
	case w.events <- f:
	case <-w.life.Done():
	}
}

func (w *watcher) loop(ctx context.Context) error {
	w.life = ctx
	ticker := time.NewTicker(round)
	defer ticker.Stop()
	w.tick(ctx)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			w.tick(ctx)
		case <-w.soon:
			if !w.heed(ctx) {
				w.look(ctx)
			}
		case <-w.lapse.timer.C:
			w.lapsed(ctx)
		case l := <-w.looked:
			w.looking = 0
			w.counters.looked(sinceBoot() - l.began)
			w.round(ctx, l)
		case d := <-w.arrived:
			w.hear(ctx, d)
		case f := <-w.events:
			f()
		}
		if w.quorum != nil && w.quorum.failed() != nil {
			return w.quorum.failed()
		}
	}
}

// tick is once a second, whatever hangs.
func (w *watcher) tick(ctx context.Context) {
	w.config.look()
	w.tell("control", problem(w.listen()))
	w.unheard = problem(w.export())
	w.tell("metrics", w.unheard)
	w.join()
	now := sinceBoot()
	if w.looking != 0 && now-w.looking > lookLimit+round && w.server != nil { // not even the files answer
		w.blind(ctx)
		return
	}
	w.look(ctx)
}

// look asks the own server, unless that is under way. A host without one has its round at once.
func (w *watcher) look(ctx context.Context) {
	now := sinceBoot()
	switch {
	case w.looking != 0:
		return
	case w.server == nil:
		w.round(ctx, look{began: now})
		return
	case now-w.lookedAt < gap:
		time.AfterFunc(w.lookedAt+gap-now, w.again)
		return
	}
	w.looking, w.lookedAt = now, now
	own := w.server.own
	go func() {
		ctx, cancel := context.WithTimeout(ctx, lookLimit)
		defer cancel()
		w.looked <- look{sight: own.Look(ctx), began: now}
	}()
}

// round reports, asks for the lease, and decides what to do about the own server; the executor decides about the region.
func (w *watcher) round(ctx context.Context, l look) {
	now := sinceBoot()
	known := w.latest()
	state := &known.State
	w.saw, w.heeded = l, known.Index
	w.memory.learn(state, now)
	if w.server != nil {
		w.facts = w.seen(l, state, now)
		w.attend(l.sight.PID)
	}
	w.announce(now)
	if w.quorum != nil {
		w.report(now)
		w.lease(ctx, state)
		current := !w.woken(now) && (l.late || l.began > w.acted)
		w.reconcile(ctx, state, current, now)
		w.awaitLapse(state, current, now)
		w.decide(ctx, state, now)
		w.hurry(state)
		if w.server != nil && l.began <= w.acted && w.working[laneServer] == nil { // what was done ended meanwhile
			w.again()
		}
	}
	w.watch()
	w.counters.rounds++
	w.publish()
	w.show(now)
	w.keepMemory()
}

// woken tells whether this process did not run for a while. Its lease and canary are over then, as it could not ask: it asks before it goes by that. Who would
// have stopped its server meanwhile could not do so either way.
func (w *watcher) woken(now time.Duration) bool {
	since := now - w.rounded
	first := w.rounded == 0
	w.rounded = now
	if first || since > 2*lookLimit+round {
		w.askingUntil = now + 2*leaseLimit
	}
	return !first && since > 2*lookLimit+round
}

// state is the latest that is known of the quorum.
func (w *watcher) state() *cluster.State {
	if w.quorum == nil {
		return &cluster.State{}
	}
	return &w.quorum.state.Load().State
}

func (w *watcher) latest() known {
	if w.quorum == nil {
		return known{}
	}
	return *w.quorum.state.Load()
}

// tell logs what has changed.
func (w *watcher) tell(subject, now string) {
	if before, told := w.told[subject]; told && before == now || !told && now == "" {
		return
	}
	w.Log.Info(subject, "is", now, "was", w.told[subject])
	w.told[subject] = now
}

func problem(err error) string {
	if err == nil {
		return ""
	}
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}

// write replaces one status file. It lies in memory (tmpfs): nothing is synced.
func (w *watcher) write(name string, doc any) error {
	text, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	return replaceFile(filepath.Join(w.RunDir, "pg_watcher."+name), append(text, '\n'), 0o644, false)
}

// close ends what is open. What is at work on the server is not waited for.
func (w *watcher) close() error {
	for _, work := range w.working {
		work.end()
	}
	err := w.quorum.close()
	if w.control != nil {
		err = errors.Join(err, w.control.Close())
	}
	if w.exporter != nil {
		err = errors.Join(err, w.exporter.server.Close())
	}
	if w.peers != nil {
		w.peers.close()
	}
	if w.port != nil {
		err = errors.Join(err, w.port.Close())
	}
	return err
}

// lockDir makes this the only watcher of the host: two would write one file in turn. The lock ends with the process.
func lockDir(dir string) (*os.File, error) {
	path := filepath.Join(dir, "pg_watcher.lock")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		file.Close()
		return nil, fmt.Errorf("%w (%s is locked)", ErrAnother, path)
	}
	return file, nil
}
