package watch

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/postgres"
)

// TestReceiver: by what a receiver connected, when PostgreSQL says no more than the name of the service.
func TestReceiver(t *testing.T) {
	db1, db2 := postgres.Upstream{Host: "db1", Name: "db3", Epoch: 1}, postgres.Upstream{Host: "db2", Name: "db3", Epoch: 2}
	whole := func(pid int, host string) *postgres.OwnReceiver {
		return &postgres.OwnReceiver{PID: pid, Status: "streaming", SenderHost: host, Name: "db3"}
	}
	bare := func(pid int) *postgres.OwnReceiver { return &postgres.OwnReceiver{PID: pid, Status: "streaming"} }
	type look struct {
		file postgres.Upstream
		r    *postgres.OwnReceiver
		want string
	}
	for name, looks := range map[string][]look{
		"seen whole before":             {{db1, whole(7, "db1"), "db1"}, {db1, bare(7), "db1"}},
		"the file has changed since":    {{db1, whole(7, "db1"), "db1"}, {db2, bare(7), "db1"}},
		"new under one file":            {{db2, nil, ""}, {db2, bare(8), "db2"}, {db2, bare(8), "db2"}},
		"new, and the file is new":      {{db1, nil, ""}, {db2, bare(8), ""}, {db2, bare(8), ""}},
		"there at the first look":       {{db2, bare(8), ""}, {db2, bare(8), ""}},
		"another one after it":          {{db2, nil, ""}, {db2, bare(8), "db2"}, {db2, bare(9), "db2"}},
		"it has not connected":          {{db2, nil, ""}, {db2, &postgres.OwnReceiver{PID: 8}, ""}},
		"the file names nobody by then": {{postgres.Upstream{}, nil, ""}, {postgres.Upstream{}, bare(8), ""}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(nil, "db3", &memory{}, time.Hour)
			for i, l := range looks {
				s.last.Service = l.file
				got := ""
				if r := s.receives(l.r); r != nil {
					got = r.SenderHost
				}
				if got != l.want {
					t.Errorf("look %d: %q, expected %q", i, got, l.want)
				}
			}
		})
	}
}

// TestUnknownUpstream: a receiver that streams and does not say from whom is ended once, and the next one says it: a standby that nobody knows to follow
// the master counts for nothing, and the master would keep its clients out for ever.
func TestUnknownUpstream(t *testing.T) {
	w := newWatcher(Options{Host: "db3", Log: slog.New(slog.DiscardHandler), Now: time.Now, MemoryPath: t.TempDir() + "/memory"})
	w.server = newServer(postgres.OwnServer(nil, postgres.Settings{}), "db3", &w.memory, time.Hour)
	w.server.ending = false
	w.directory.setLogin(postgres.ConnInfo{"user": "replicator"})
	seen := &postgres.OwnSight{Member: "db3_1", SystemID: 1, SQL: &postgres.OwnSQL{Recovery: true, Settings: settings}}
	for i, tt := range []struct {
		up   cluster.Upstream
		want bool
	}{
		{cluster.Upstream{Receiver: unknownUpstream}, false}, // it connects
		{cluster.Upstream{Receiver: "db1", Streaming: true}, false},
		{cluster.Upstream{Receiver: unknownUpstream, Streaming: true}, true},
		{cluster.Upstream{Receiver: unknownUpstream, Streaming: true}, false}, // not again at once
	} {
		w.facts = &cluster.Facts{Running: true, Recovery: true, Upstream: tt.up}
		if what, do := w.lacking(&cluster.State{}, seen); (do != nil) != tt.want {
			t.Errorf("%d: %q, expected something: %v", i, what, tt.want)
		}
	}
}

// TestOlder: who was there when a session first showed the names is told by who it is. A clock that was set back makes what is older look younger.
func TestOlder(t *testing.T) {
	s := newServer(nil, "a", &memory{}, time.Hour)
	old, young := postgres.OwnSender{PID: 7, Started: 100}, postgres.OwnSender{PID: 7, Started: 200}
	entering, late := postgres.OwnSender{PID: 8, Started: 101}, postgres.OwnSender{PID: 8, Started: 102}
	for i, tt := range []struct {
		after      time.Duration
		clock      int64
		names      string
		senders    []postgres.OwnSender
		statements []string
		older      []bool
		statement  bool
	}{
		{0, 150, "one", []postgres.OwnSender{old}, []string{"9@1"}, []bool{true}, true},
		{time.Second, 250, "one", []postgres.OwnSender{young, old}, []string{"9@1", "9@2"}, []bool{false, true}, true},
		{time.Second, 250, "one", []postgres.OwnSender{entering}, []string{"9@2"}, []bool{true}, false}, // it was let in by the postmaster of before
		{lettingIn + 1, 250, "one", []postgres.OwnSender{entering, late}, nil, []bool{true, false}, false},
		{lettingIn + 2, 50, "two", []postgres.OwnSender{young}, nil, []bool{true}, false}, // the clock was set back
	} {
		f := &cluster.Facts{}
		q := &postgres.OwnSQL{Clock: tt.clock, Names: tt.names, Senders: tt.senders, Statements: tt.statements}
		s.answered(f, q, view{now: time.Hour + tt.after, state: &cluster.State{}, sight: &cluster.Sight{}, hostOf: func(string) string { return "" }})
		for k := range f.Senders {
			if f.Senders[k].Older != tt.older[k] {
				t.Errorf("look %d: walsender %d is older: %v", i, k, f.Senders[k].Older)
			}
		}
		if len(f.Senders) != len(tt.older) || f.Names.Statement != tt.statement {
			t.Errorf("look %d: %d walsenders, an older statement: %v", i, len(f.Senders), f.Names.Statement)
		}
	}
}

// TestCanaryAndLease: a canary counts when nobody was there under a false name after it had come back; a lease, while this watcher knows as much as who granted it.
func TestCanaryAndLease(t *testing.T) {
	state := &cluster.State{Epoch: 3, Gen: 5, Members: []cluster.Member{{Host: "b", Name: "b_1"}}, Configs: []cluster.SyncConfig{{Gen: 5, K: 1, Members: []string{"b_1"}}}}
	s := newServer(nil, "a", &memory{Canary: longAgo}, time.Hour)
	look := func(asked time.Duration, from string) *cluster.Facts {
		f := &cluster.Facts{Senders: []cluster.Sender{{Name: "b_1", Host: from}}}
		v := view{now: asked + time.Second, asked: asked, state: state}
		s.judgeCanary(f, v)
		s.ages(f, postgres.OwnSight{}, v)
		return f
	}
	s.back = returned{begun: 100 * time.Second, at: 101 * time.Second, names: "n"}
	if f := look(100*time.Second, "b"); f.Canary.Age < cluster.Never/8 {
		t.Errorf("a look that began before it came back says nothing: %v", f.Canary)
	}
	if f := look(102*time.Second, "b"); f.Canary.Age != 3*time.Second || f.Canary.Names != "n" {
		t.Errorf("%v", f.Canary)
	}
	s.back = returned{begun: 200 * time.Second, at: 201 * time.Second, names: "n"}
	if f := look(202*time.Second, "stranger"); f.Canary.Age != 103*time.Second {
		t.Errorf("a stranger was there: %v", f.Canary)
	}
	s.leased(3, 5, 300*time.Second)
	if f := look(301*time.Second, "b"); f.Lease != 2*time.Second {
		t.Errorf("%v", f.Lease)
	}
	s.leased(3, 6, 302*time.Second)
	if f := look(303*time.Second, "b"); f.Lease != cluster.Never {
		t.Errorf("who granted it knew more: %v", f.Lease)
	}
}

// TestIdle: a watcher that makes no commits, as HA is off, does not take that for a server whose commits do not come back.
func TestIdle(t *testing.T) {
	s := newServer(nil, "b", &memory{}, time.Hour)
	age := func(at time.Duration, idle bool) time.Duration {
		seen := postgres.OwnSight{Running: true, SQL: &postgres.OwnSQL{}}
		return s.facts(seen, view{now: at, asked: at, idle: idle, state: &cluster.State{}, sight: &cluster.Sight{}, hostOf: func(string) string { return "" }}).WriteAge
	}
	if got := age(2*time.Hour, true); got != 0 {
		t.Errorf("HA is off, and its last write is %s old", got)
	}
	if got := age(2*time.Hour+3*time.Second, false); got != 3*time.Second {
		t.Errorf("HA is on for 3 s, and its last write is %s old", got)
	}
}

// TestGone: no receiver can come back only when one look has seen it all, with no action of the watcher's beside it.
func TestGone(t *testing.T) {
	s := newServer(nil, "b", &memory{}, time.Hour)
	at := time.Hour
	look := func(seen postgres.OwnSight, between bool) bool {
		at += time.Second
		seen.Running, seen.SQL = true, &postgres.OwnSQL{Recovery: true}
		f := s.facts(seen, view{now: at, asked: at - 20*time.Millisecond, between: between, state: &cluster.State{}, sight: &cluster.Sight{}, frozen: 3, hostOf: func(string) string { return "" }})
		return cluster.Sound().Frozen(f, 3, &cluster.Policy{RetryInterval: freezeFor})
	}
	followed, nobody := postgres.OwnSight{Service: postgres.Upstream{Host: "a"}}, postgres.OwnSight{}
	for i, tt := range []struct {
		seen    postgres.OwnSight
		between bool
		want    bool
	}{
		{followed, false, false},
		{nobody, true, false}, // the freeze is at work
		{nobody, false, true},
		{nobody, true, false}, // something else is
		{postgres.OwnSight{Unread: true}, false, false},
		{nobody, false, true},
		{postgres.OwnSight{Direct: "a"}, false, false},
	} {
		if got := look(tt.seen, tt.between); got != tt.want {
			t.Errorf("look %d: frozen %v", i, got)
		}
	}
}

// TestStalls: since when a member holds up commits is known to the commit that waits for longest, and is never before the look that saw it go on.
func TestStalls(t *testing.T) {
	const s = time.Second
	type look struct {
		flush   cluster.LSN
		current cluster.LSN
		waits   time.Duration // the oldest commit, since
		want    time.Duration
	}
	for name, looks := range map[string][]look{
		"it has all": {{10, 10, 0, 0}, {10, 10, 0, 0}, {20, 20, 0, 0}},
		"it goes on": {{10, 12, 0, 0}, {20, 22, 0, 0}, {30, 32, 0, 0}},
		"it stopped after a look, and commits say": {{10, 10, 0, 0}, {15, 20, 700 * time.Millisecond, 700 * time.Millisecond}, {15, 20, 1700 * time.Millisecond, 1700 * time.Millisecond}},
		"a statement that is old waits since now":  {{10, 10, 0, 0}, {15, 20, 30 * s, s}, {15, 20, 31 * s, 2 * s}, {18, 20, 32 * s, s}},
		"nobody waits for it":                      {{10, 10, 0, 0}, {15, 20, 0, 0}, {15, 20, 0, s}},
		"as it was at the look before":             {{10, 10, 0, 0}, {10, 20, s / 2, s}},
		"looks between gave no answer":             {{10, 12, 0, 0}, {30, 32, 30 * s, s}},
		"nobody looked before":                     {{10, 20, 30 * s, 0}, {10, 20, 31 * s, s}},
	} {
		t.Run(name, func(t *testing.T) {
			srv := newServer(nil, "db1", &memory{}, time.Hour)
			state := &cluster.State{Members: []cluster.Member{{Host: "db1", Name: "db1_1"}, {Host: "db2", Name: "db2_1"}}}
			for i, l := range looks {
				f := &cluster.Facts{Current: l.current, Senders: []cluster.Sender{{Host: "db2", Stream: true, Flush: l.flush}}}
				srv.stalls(f, &postgres.OwnSQL{SyncWaits: l.waits}, view{now: time.Hour + time.Duration(i)*s, state: state})
				if len(f.Stalls) != 1 || f.Stalls[0].For != l.want {
					t.Errorf("look %d: %+v, expected %v", i, f.Stalls, l.want)
				}
			}
		})
	}
}

// TestNoWatcherNoWrite: the time in which no watcher ran is not one in which its writes did not come back; what they had been waited for is not forgotten.
func TestNoWatcherNoWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "memory.json")
	m := freshMemory(100*time.Second, time.Now())
	m.Write, m.Kept = 100*time.Second, 107*time.Second
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := readMemory(path, 500*time.Second, time.Now()); 500*time.Second-got.Write != 7*time.Second {
		t.Errorf("the last write is %s old, expected 7s", 500*time.Second-got.Write)
	}
}
