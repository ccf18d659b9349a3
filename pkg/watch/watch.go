package watch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pgctl/pgctl/pkg/postgres"
	"github.com/pgctl/pgctl/pkg/remote"
)

// ServerYAML is where the site's roll-out puts a node's configuration, RunDir where the status files are.
const (
	ServerYAML = "/pitrix/conf/global/server.yaml"
	RunDir     = "/var/run"
)

// round is how often the watcher looks.
const round = time.Second

// Options are what a watcher stands on.
type Options struct {
	Host       string      // this host's name, as in pg_node_info and globals
	Local      remote.Host // this machine
	ServerYAML string
	RunDir     string
	Postgres   postgres.Settings
	Version    string
	Binary     string // SHA-256 of the program that runs, hex
	Settings   string // SHA-256 of pgctl.yaml, hex; "" there is none
	Now        func() time.Time
	Log        *slog.Logger
}

// ErrAnother is returned when a watcher runs on this host already.
var ErrAnother = errors.New("another pgctl watch runs on this host")

// watcher is a running one.
type watcher struct {
	Options
	pid    int
	config *config
	probe  *prober
	told   map[string]string // what the log was told last, by subject
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
	ticker := time.NewTicker(round)
	defer ticker.Stop()
	for {
		w.round(ctx)
		select {
		case <-ctx.Done():
			w.Log.Info("ends")
			return nil
		case <-ticker.C:
		}
	}
}

func newWatcher(o Options) *watcher {
	return &watcher{
		Options: o, pid: os.Getpid(), config: &config{path: o.ServerYAML}, told: map[string]string{},
		probe: &prober{ask: newLogin(o).ask, now: o.Now},
	}
}

// round looks once, and waits for nothing but this host's files.
func (w *watcher) round(ctx context.Context) {
	w.config.look()
	what := w.config.partOf(w.Host)
	if what == partServer {
		w.probe.start(ctx)
	}
	now := w.Now()
	m, n := w.monitor(now), w.node(now, what, w.probe.sight())
	w.tell("configuration", w.config.sum)
	w.tell("monitor", m.Status)
	w.tell("node", n.Status)
	w.tell("role", n.Role)
	w.tell("asked", n.asked())
	w.tell("files", problem(errors.Join(w.write("PGMonitor", m), w.write("PGNode", n))))
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
	path := filepath.Join(w.RunDir, "pg_watcher."+name)
	temp := filepath.Join(w.RunDir, ".pg_watcher."+name+".new")
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.WriteFile(temp, append(text, '\n'), 0o644); err != nil {
		return err
	}
	if err := os.Chmod(temp, 0o644); err != nil { // whatever the umask
		return err
	}
	return os.Rename(temp, path)
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
