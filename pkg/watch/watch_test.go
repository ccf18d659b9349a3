package watch

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
)

func TestServerStatus(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	streaming := &cluster.Instance{Version: "15.18", Timeline: 3, InRecovery: true, Receiver: &cluster.Receiver{Status: "streaming", SenderHost: "db1"}}
	tests := []struct {
		name         string
		seen         sight
		status, role string
	}{
		{"a master", sight{since: now, answer: answer{instance: &cluster.Instance{}}}, "active", "master"},
		{"a standby", sight{since: now, answer: answer{instance: streaming}}, "available", "standby"},
		{"not asked yet", sight{since: now}, "PostgreSQL has not answered yet", "unknown"},
		{"an answer that is on its way", sight{since: now.Add(-patience), answer: answer{instance: &cluster.Instance{}}}, "active", "master"},
		{"no answer for long", sight{since: now.Add(-patience - 1), answer: answer{instance: &cluster.Instance{}}}, "PostgreSQL gives no answer", "unknown"},
		{"the question timed out", sight{since: now, answer: answer{instance: streaming}, err: context.DeadlineExceeded}, "PostgreSQL gives no answer", "unknown"},
		{"it says no", sight{since: now, answer: answer{instance: streaming}, err: errors.New("db2: no")}, "PostgreSQL cannot be asked: db2: no", "unknown"},
		{"no receiver", sight{since: now, answer: answer{instance: &cluster.Instance{InRecovery: true}}}, "the standby receives nothing: it has no WAL receiver", "standby"},
		{"a receiver that waits", sight{since: now, answer: answer{instance: &cluster.Instance{InRecovery: true, Receiver: &cluster.Receiver{Status: "waiting"}}}}, "the standby does not stream: its receiver is waiting", "standby"},
		{"paused", sight{since: now, answer: answer{instance: &cluster.Instance{InRecovery: true, Paused: true, Receiver: streaming.Receiver}}}, "replay is paused", "standby"},
	}
	w := &watcher{Options: Options{Host: "db2"}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := w.node(now, partServer, tt.seen)
			if n.Status != tt.status || n.Role != tt.role {
				t.Errorf("got %q, %q; expected %q, %q", n.Status, n.Role, tt.status, tt.role)
			}
		})
	}
	n := w.node(now, partServer, sight{since: now.Add(-time.Second), answer: answer{instance: streaming, role: "pgctl"}})
	if *n.Timeline != 3 || *n.Upstream != "db1" || *n.Age != 1 || n.Error != nil || n.asked() != "as pgctl" || n.Time != "2026-01-02T03:04:05.000000Z" {
		t.Errorf("%+v", n)
	}
	n = w.node(now, partServer, sight{since: now, answer: answer{instance: streaming, role: "postgres", instead: "refused"}})
	if *n.AskedAs != "postgres" || *n.Fallback != "refused" || n.asked() != "as postgres: refused" {
		t.Errorf("%+v", n)
	}
	for what, want := range map[part]string{partArbiter: "available", partNone: "available", partUnknown: "no configuration says whether this host has a server"} {
		if n := w.node(now, what, sight{}); n.Status != want || n.Role != string(what) || n.Age != nil {
			t.Errorf("%s: %+v", what, n)
		}
	}
}

func TestMonitorStatus(t *testing.T) {
	c := &config{path: "server.yaml", problem: "cannot read it"}
	expect := func(want string) {
		t.Helper()
		if got := monitorStatus(c); got != want {
			t.Errorf("got %q, expected %q", got, want)
		}
	}
	expect("no configuration: cannot read it")
	c.take([]byte("other: {}\n"), "a")
	expect("server.yaml has no section pg_watcher")
	c.take([]byte(good), "b")
	expect("available")
	c.take([]byte(strings.Replace(good, "failover: 1", "failover: 0", 1)), "c")
	expect(WatchesOnly)
	c.take([]byte("pg_watcher: 7\n"), "d")
	if got := monitorStatus(c); !strings.HasPrefix(got, "a newer configuration is not in force: server.yaml:1:") {
		t.Errorf("got %q", got)
	}
}

// TestProberAsksOnce: a question that hangs takes nobody along, and there is one at a time.
func TestProberAsksOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, release := 0, make(chan error)
		p := &prober{now: time.Now, ask: func(context.Context) (answer, error) { // one that does not even heed its context
			asked++
			return answer{instance: &cluster.Instance{}}, <-release
		}}
		for range 30 {
			p.start(t.Context())
			time.Sleep(time.Second)
		}
		if asked != 1 || time.Since(p.sight().since) != 30*time.Second {
			t.Errorf("asked %d times, last answer %s ago", asked, time.Since(p.sight().since))
		}
		release <- nil
		synctest.Wait()
		if s := p.sight(); s.instance == nil || time.Since(s.since) != 0 {
			t.Errorf("the answer is not there: %+v", s)
		}
		p.start(t.Context())
		release <- errors.New("no")
		synctest.Wait()
		if s := p.sight(); asked != 2 || s.err == nil || s.instance == nil {
			t.Errorf("asked %d times, %+v", asked, s)
		}
	})
}

// TestRound writes both files while PostgreSQL hangs, and logs changes only.
func TestRound(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "server.yaml")
	if err := os.WriteFile(path, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	w := newWatcher(Options{
		Host: "db1", ServerYAML: path, RunDir: dir, Version: "1", Binary: "b", Settings: "s",
		Now: func() time.Time { return now }, Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	hang := make(chan struct{})
	defer close(hang)
	w.probe.ask = func(context.Context) (answer, error) { <-hang; return answer{}, nil }
	for range 10 {
		w.round(t.Context())
		now = now.Add(time.Second)
	}
	var m Monitor
	var n Node
	for name, into := range map[string]any{"PGMonitor": &m, "PGNode": &n} {
		file := filepath.Join(dir, "pg_watcher."+name)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o644 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
		if err := json.Unmarshal(text, into); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if m.Status != "available" || !*m.Config.InactiveFailover || *m.Config.UsingMasterByTS || m.Config.Error != nil || m.PID != os.Getpid() || m.Time != "2026-01-02T03:04:14.000000Z" {
		t.Errorf("%+v", m)
	}
	if n.Status != "PostgreSQL gives no answer" || n.Role != "unknown" || n.Time != m.Time {
		t.Errorf("%+v", n)
	}
	if lines := strings.Count(log.String(), "\n"); lines != 5 { // configuration, monitor, node, role; then node again
		t.Errorf("%d lines:\n%s", lines, log.String())
	}
}

func TestOneWatcherAHost(t *testing.T) {
	dir := t.TempDir()
	lock, err := lockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := Run(t.Context(), Options{RunDir: dir}); !errors.Is(err, ErrAnother) {
		t.Errorf("a second one: %v", err)
	}
	lock.Close()
	again, err := lockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}
