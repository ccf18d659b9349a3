package watch

import (
	"context"
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// release lets go of what the watchers hold on this server, when all of them are told to watch only: the gate beside a running master, the block in
// pg_hba.conf, names with placeholders, restart_after_crash. Nobody would keep them right any more. A server that follows nobody stays so: whom
// it may follow, nobody here knows. nil: there is nothing to let go of.
func (w *watcher) release(s *cluster.State) func(context.Context) error {
	f, seen, own := w.facts, w.server.last, w.server.own
	if !w.allInactive() || !f.Running || f.Silent > 0 || seen.SQL == nil {
		return nil
	}
	switch names := plainNames(s, w.name, seen.SQL.Names); {
	case !f.Recovery && seen.Gate:
		return func(ctx context.Context) error { return own.Server().Ungate(ctx, seen.DataDir) }
	case names != seen.SQL.Names:
		return func(ctx context.Context) error { return own.SetNames(ctx, names) }
	case seen.HBAClosed:
		return own.OpenClients
	case seen.SQL.Settings["restart_after_crash"] == "off":
		return func(ctx context.Context) error {
			return own.EnsureSettings(ctx, map[string]string{"restart_after_crash": "on"})
		}
	}
	return nil
}

// allInactive tells whether every host is heard to watch only. One that is not heard may still act for the region.
func (w *watcher) allInactive() bool {
	now := sinceBoot()
	for _, h := range w.hosts {
		if d := w.letters[h.Name]; d == nil || !d.Inactive || now-w.heard[h.Name].At > 3*round {
			return false
		}
	}
	return len(w.hosts) > 0
}

// ours begins every name in synchronous_standby_names that nobody bears.
const ours = "pgctl."

// plainNames are the names without the watchers' placeholders; of a server that was to acknowledge nothing, all other members.
func plainNames(s *cluster.State, host, shown string) string {
	n, err := cluster.ParseSyncNames(shown)
	if err != nil || !strings.Contains(shown, `"`+ours) {
		return shown
	}
	plain := cluster.SyncNames{Needed: n.Needed, Any: n.Any}
	for _, m := range n.Members {
		if !strings.HasPrefix(m, ours) {
			plain.Members = append(plain.Members, m)
		}
	}
	if shown == cluster.ClosedNames {
		for _, m := range s.Members {
			if m.Host != host {
				plain.Members = append(plain.Members, m.Name)
			}
		}
		plain.Needed = len(plain.Members)
	}
	return plain.String()
}

// The lock that an operator's pgctl holds on a server while it changes something there, and who it is.
const (
	lockPath  = "/run/pgctl.lock"
	ownerPath = "/run/pgctl.owner"
)

// handsOff tells whether an operator is at work on this server, which nobody counts on: upmaster stops it, makes it a copy, and starts it.
func (w *watcher) handsOff(s *cluster.State) bool {
	if s.Master == w.name || s.Listed(s.MemberOf(w.name)) {
		return false
	}
	owner, err := os.ReadFile(ownerPath)
	return err == nil && strings.Contains(string(owner), " upmaster") && locked(lockPath)
}

// locked tells whether somebody holds the lock.
func locked(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	return errors.Is(unix.Flock(int(file.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}
