package watch

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/nodes"
	"github.com/pgctl/pgctl/pkg/postgres"
)

// standIn is a watchdog that notes what is done to it.
type standIn struct {
	least, most int // timeouts that it takes, in seconds; what is asked for is brought between them
	err         error
	feedErr     error
	did         string // "t" timeout, "f" fed, "V" disarmed, "x" left armed
}

func (d *standIn) SetTimeout(seconds int) (int, error) {
	d.did += "t"
	return min(max(seconds, d.least), d.most), d.err
}
func (d *standIn) Feed() error   { d.did += "f"; return d.feedErr }
func (d *standIn) Disarm() error { d.did += "V"; return nil }
func (d *standIn) Leave() error  { d.did += "x"; return nil }

// TestGuardTimeout: it fires before another master may have clients, and not while the watcher only waits for a look that hangs.
func TestGuardTimeout(t *testing.T) {
	for lease := 2 * time.Second; lease <= time.Hour; lease += 100 * time.Millisecond {
		times := guardTimesOf(&nodes.Watcher{Lease: lease, DownAfter: lease + 6*time.Second})
		timeout := times.timeout()
		if times.reserve(timeout)+timeout > lease+nodes.MaxStopTime {
			t.Errorf("lease %s: %s + %s is longer than the lease and the stop time", lease, times.reserve(timeout), timeout)
		}
		if timeout < guardLeast || timeout > guardMost || timeout%time.Second != 0 {
			t.Errorf("lease %s: timeout %s", lease, timeout)
		}
	}
	if got := guardTimesOf(&nodes.Watcher{Lease: 10 * time.Second, DownAfter: 2 * time.Minute}).timeout(); got != 10*time.Second {
		t.Errorf("a lease of 10s: %s", got)
	}
	for downAfter := nodes.MinStopTime + 3*time.Second; downAfter < 8*time.Second; downAfter += 100 * time.Millisecond { // as near as a round lets it be
		times := guardTimesOf(&nodes.Watcher{Lease: 2 * time.Second, DownAfter: downAfter})
		if late := times.reserve(guardLeast) + guardLeast - times.runs; times.timeout() != guardLeast || late <= 0 || late > 3*time.Second {
			t.Errorf("down_after %s: timeout %s, %s too late", downAfter, times.timeout(), late)
		}
	}
}

// reigning is a state with db1 as its serving master, and what db1 sees of itself.
func reigning() (*cluster.State, *cluster.Facts) {
	s := &cluster.State{Epoch: 4, Phase: cluster.Serving, Master: "db1", Opened: true, Configs: []cluster.SyncConfig{{Gen: 1, K: 1, Members: []string{"db2.bbbbbb"}, Pad: 1}}}
	return s, &cluster.Facts{Host: "db1", Running: true, Lease: time.Second, Canary: cluster.Canary{Age: cluster.Never}}
}

func TestGuardWants(t *testing.T) {
	const timeout = 10 * time.Second // of a lease of 10 s: a sign may be 5 s old
	tests := []struct {
		name           string
		change         func(s *cluster.State, f *cluster.Facts, p *cluster.Policy)
		stops, orphans bool
		want           guardDo
	}{
		{"serves", nil, false, false, guardFeed},
		{"a sign that is as old as it may be", func(_ *cluster.State, f *cluster.Facts, _ *cluster.Policy) { f.Lease = 5 * time.Second }, false, false, guardFeed},
		{"a sign that is too old for the timeout", func(_ *cluster.State, f *cluster.Facts, _ *cluster.Policy) { f.Lease = 5*time.Second + 1 }, false, false, guardHold},
		{"cut off, but commits return", func(s *cluster.State, f *cluster.Facts, _ *cluster.Policy) {
			f.Lease, f.Canary = cluster.Never, cluster.Canary{Age: time.Second, Names: s.Configs[0].Names(4)}
		}, false, false, guardFeed},
		{"cut off, and commits return under other names", func(_ *cluster.State, f *cluster.Facts, _ *cluster.Policy) {
			f.Lease, f.Canary = cluster.Never, cluster.Canary{Age: time.Second, Names: "x"}
		}, false, false, guardHold},
		{"the rules want it stopped", nil, true, false, guardHold},
		{"an election, and it is to stop", func(s *cluster.State, _ *cluster.Facts, _ *cluster.Policy) { s.Phase, s.Master = cluster.Electing, "" }, true, false, guardHold},
		{"has stopped", func(s *cluster.State, f *cluster.Facts, _ *cluster.Policy) { f.Running = false }, true, false, guardDisarm},
		{"the postmaster is gone, its backends are not", func(_ *cluster.State, f *cluster.Facts, _ *cluster.Policy) { f.Running = false }, false, true, guardHold},
		{"read-only", func(_ *cluster.State, f *cluster.Facts, _ *cluster.Policy) { f.Recovery = true }, false, false, guardDisarm},
		{"elected, closed", func(s *cluster.State, _ *cluster.Facts, _ *cluster.Policy) { s.Phase = cluster.Elected }, false, false, guardDisarm},
		{"master by another hand, left alone", func(s *cluster.State, _ *cluster.Facts, _ *cluster.Policy) { s.Master = "db2" }, false, false, guardDisarm},
		{"HA is off", func(_ *cluster.State, f *cluster.Facts, p *cluster.Policy) { p.Inactive, f.Lease = true, cluster.Never }, false, false, guardDisarm},
		{"halted", func(s *cluster.State, f *cluster.Facts, _ *cluster.Policy) { s.Halted, f.Lease = "x", cluster.Never }, false, false, guardDisarm},
		{"not formed", func(s *cluster.State, _ *cluster.Facts, _ *cluster.Policy) { *s = cluster.State{} }, false, false, guardDisarm},
	}
	for _, tt := range tests {
		s, f := reigning()
		p := &cluster.Policy{Lease: 10 * time.Second, StopTime: nodes.MaxStopTime}
		if tt.change != nil {
			tt.change(s, f, p)
		}
		if got := guardWants(s, f, p, timeout, tt.stops, tt.orphans); got != tt.want {
			t.Errorf("%s: got %d, expected %d", tt.name, got, tt.want)
		}
	}
}

// guarded is the watcher of a serving master with a stand-in for its watchdog.
func guarded(t *testing.T, d *standIn) *watcher {
	t.Helper()
	w := newWatcher(Options{
		Host: "db1", ServerYAML: "testdata/none", Watchdog: "/dev/watchdog", MemoryPath: filepath.Join(t.TempDir(), "watch.json"),
		Log: slog.New(slog.DiscardHandler), Now: time.Now,
	})
	w.guard.check = func(string) error { return nil }
	w.guard.open = func(string) (device, error) { d.did += "o"; return d, nil }
	w.config.taken, w.config.watcher = true, &nodes.Watcher{Lease: 10 * time.Second, DownAfter: 2 * time.Minute}
	state, facts := reigning()
	w.quorum = &quorum{}
	w.quorum.state.Store(&known{Index: 1, State: *state})
	w.server = newServer(postgres.OwnServer(nil, postgres.Settings{}), "db1", &w.memory, 0)
	w.facts = facts
	return w
}

// later has the next try be due.
func (w *watcher) later() { delete(w.tried, "watchdog") }

func TestGuardLife(t *testing.T) {
	d := &standIn{most: 1000}
	w := guarded(t, d)
	expect := func(did string, armed bool) {
		t.Helper()
		if d.did != did || w.memory.Armed != armed || (w.guard.device != nil) != armed || w.guard.fault() != "" {
			t.Fatalf("got %q, armed %v and kept as %v, %q; expected %q, %v", d.did, w.guard.device != nil, w.memory.Armed, w.guard.fault(), did, armed)
		}
	}
	w.facts.Recovery = true
	w.watch()
	expect("", false)
	w.facts.Recovery = false
	w.later()
	w.watch()
	expect("otf", true)
	w.watch()
	expect("otff", true)
	w.facts.Lease = 6 * time.Second
	w.watch()
	expect("otff", true)
	w.facts.Lease = 0
	w.wanted = []cluster.Action{{Do: cluster.DoStop}}
	w.watch()
	expect("otff", true)
	w.facts.Running, w.wanted = false, nil
	w.watch()
	expect("otffV", false)
	w.watch()
	expect("otffV", false)
}

func TestGuardEnds(t *testing.T) {
	for orderly, did := range map[bool]string{true: "otfV", false: "otfx"} {
		d := &standIn{most: 1000}
		w := guarded(t, d)
		w.watch()
		w.endWatch(orderly)
		if d.did != did {
			t.Errorf("orderly %v: got %q, expected %q", orderly, d.did, did)
		}
		next := guarded(t, &standIn{most: 1000})
		next.memory = readMemory(w.MemoryPath, sinceBoot(), time.Now())
		if next.memory.Armed == orderly {
			t.Errorf("orderly %v: the next life knows that it is armed: %v", orderly, next.memory.Armed)
		}
		next.facts.Running = false // it has been stopped meanwhile: what the last life left armed is ended
		next.watch()
		taken, _ := next.guard.open("")
		if got := strings.Contains(taken.(*standIn).did, "V"); got == orderly || next.memory.Armed {
			t.Errorf("orderly %v: the next life disarms: %v, and knows it armed: %v", orderly, got, next.memory.Armed)
		}
	}
}

func TestGuardFaults(t *testing.T) {
	const status = "the watchdog (watch.watchdog): "
	tests := []struct {
		name    string
		device  *standIn
		open    error
		problem string
		armed   bool
	}{
		{"cannot be opened", &standIn{}, errors.New("open /dev/watchdog: device or resource busy"), "it is not armed: open /dev/watchdog: device or resource busy", false},
		{"takes no timeout", &standIn{err: errors.New("inappropriate ioctl")}, nil, "it is not armed: /dev/watchdog takes no timeout of 10s: inappropriate ioctl", false},
		{"too short", &standIn{most: 4}, nil, "it is not armed: the timeout of /dev/watchdog is 4s, and a round may take 5s", false},
		{"shorter", &standIn{most: 5}, nil, "", true},
		{"a little longer", &standIn{least: 13, most: 60}, nil, "", true},
		{"too long", &standIn{least: 14, most: 60}, nil, "it comes too late: /dev/watchdog has a timeout of 14s, longer than 10s, so another master may have clients before it fires", true},
		{"is not fed", &standIn{most: 60, feedErr: io.EOF}, nil, "it could not be fed: EOF", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := guarded(t, tt.device)
			if tt.open != nil {
				w.guard.open = func(string) (device, error) { return nil, tt.open }
			}
			w.watch()
			w.watch()
			if got := w.guard.fault(); got != tt.problem || (w.guard.device != nil) != tt.armed {
				t.Errorf("got %q, armed %v; expected %q, %v", got, w.guard.device != nil, tt.problem, tt.armed)
			}
			if got := monitorStatus(w); tt.problem != "" && got != status+tt.problem || tt.problem == "" && got != statusAvailable {
				t.Errorf("status %q", got)
			}
			if tt.open == nil && !tt.armed && tt.device.did != "otV" {
				t.Errorf("what was opened is disarmed: %q", tt.device.did)
			}
		})
	}
}

// TestGuardOfAShortLease: with a down_after below 8 s none can be in time, as a round may take longer. It is armed all the same, and says so.
func TestGuardOfAShortLease(t *testing.T) {
	d := &standIn{most: 60}
	w := guarded(t, d)
	w.config.watcher = &nodes.Watcher{Lease: 2 * time.Second, DownAfter: 5 * time.Second}
	w.watch()
	const want = "it comes too late: /dev/watchdog has a timeout of 5s, longer than 2s, so another master may have clients before it fires"
	if w.guard.fault() != want || d.did != "otf" || w.guard.timeout != guardLeast {
		t.Errorf("got %q, did %q, timeout %s", w.guard.fault(), d.did, w.guard.timeout)
	}
}

func TestGuardTellsAStandby(t *testing.T) {
	w := guarded(t, &standIn{})
	w.facts.Recovery = true
	w.guard.check = func(path string) error { return checkWatchdog(path, t.TempDir()) }
	w.guard.path = "/dev/no-such-watchdog"
	w.watch()
	if got := w.guard.fault(); got != "it cannot be armed: stat /dev/no-such-watchdog: no such file or directory" {
		t.Errorf("got %q", got)
	}
}

func TestCheckWatchdog(t *testing.T) {
	file := filepath.Join(t.TempDir(), "watchdog7")
	class := t.TempDir()
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := checkWatchdog(file, class); err == nil || !strings.HasSuffix(err.Error(), "is no watchdog: it is no character device") {
		t.Errorf("a file: %v", err)
	}
	if err := checkWatchdog("/dev/null", class); err != nil {
		t.Errorf("a character device: %v", err)
	}
	for text, want := range map[string]bool{"0\n": true, "1\n": false} {
		if err := os.MkdirAll(filepath.Join(class, "null"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(class, "null", "nowayout"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := checkWatchdog("/dev/null", class); (err == nil) != want {
			t.Errorf("nowayout %q: %v", text, err)
		}
	}
}

// TestKernelDevice: on what is no watchdog each question is an error, and nothing but the letter is written.
func TestKernelDevice(t *testing.T) {
	for _, orderly := range []bool{true, false} {
		reader, writer, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		d := kernelDevice{writer}
		if _, err := d.SetTimeout(10); err == nil {
			t.Error("a pipe takes a timeout")
		}
		if err := d.Feed(); err == nil {
			t.Error("a pipe is fed")
		}
		end := map[bool]func() error{true: d.Disarm, false: d.Leave}[orderly]
		if err := end(); err != nil {
			t.Error(err)
		}
		text, err := io.ReadAll(reader)
		if want := map[bool]string{true: "V"}[orderly]; err != nil || string(text) != want {
			t.Errorf("orderly %v: got %q, %v", orderly, text, err)
		}
		reader.Close()
	}
}

// TestSoftdog arms and disarms the kernel's software watchdog, where it is there and can be disarmed.
func TestSoftdog(t *testing.T) {
	identity, err := os.ReadFile(watchdogClass + "/watchdog0/identity")
	if err != nil || strings.TrimSpace(string(identity)) != "Software Watchdog" || checkWatchdog("/dev/watchdog0", watchdogClass) != nil {
		t.Skip("no softdog here: modprobe softdog")
	}
	d, err := openWatchdog("/dev/watchdog0")
	if err != nil {
		t.Fatal(err)
	}
	got, err := d.SetTimeout(30)
	if err := errors.Join(err, d.Feed(), d.Disarm()); err != nil || got != 30 {
		t.Errorf("timeout %d, %v", got, err)
	}
	if state, err := os.ReadFile(watchdogClass + "/watchdog0/state"); err == nil && strings.TrimSpace(string(state)) != "inactive" {
		t.Errorf("it is %s after it was disarmed", state)
	}
}
