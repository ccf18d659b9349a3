package watch

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// lived is a region in which these commands were carried out, each a second after the one before.
func lived(records ...cluster.Record) *cluster.State {
	return &cluster.State{
		Epoch: 4, Phase: cluster.Serving, Master: "db2", Opened: true, History: records,
		Members: []cluster.Member{{Host: "db1", Name: "db1.aaaaaa"}, {Host: "db2", Name: "db2.bbbbbb"}, {Host: "db3", Name: "db3.cccccc"}},
		Configs: []cluster.SyncConfig{{Gen: 7, K: 1, Members: []string{"db3.cccccc"}}},
	}
}

func record(kind cluster.CommandKind, host string) cluster.Record {
	return cluster.Record{Epoch: 4, Command: kind, Host: host, Rule: "a rule", Evidence: []string{"seen"}, At: "2026-01-02T03:04:05.000Z"}
}

func TestRegionEvents(t *testing.T) {
	old := record(cluster.Form, "db1")
	tests := []struct {
		kind    cluster.CommandKind
		event   EventKind
		message string
	}{
		{cluster.OpenVote, EventElection, "the epoch before is over, an election for epoch 4 has begun"},
		{cluster.VoteAgain, EventElection, "the epoch before is over, an election for epoch 4 has begun"},
		{cluster.Elect, EventElected, "db2 is elected for epoch 4"},
		{cluster.Serve, EventServes, "db2 is promoted for epoch 4"},
		{cluster.Open, EventOpened, "db2 lets clients in"},
		{cluster.Settle, EventSync, "a commit waits for db3"},
		{cluster.Register, EventMember, "db2 counts under the name db2.bbbbbb"},
		{cluster.Isolate, EventQuarantined, "db2 is no copy of the master: it needs pgctl upmaster"},
		{cluster.PauseHA, EventPaused, "no failover begins: a rule"},
		{cluster.ResumeHA, EventResumed, "failovers begin again: a rule"},
		{cluster.Halt, EventHalted, "nothing is done by itself any more: a rule"},
		{cluster.Adopt, EventAdopted, "db2 is taken for the master"},
		{cluster.PoolMoved, EventPoolMoved, "the pool of db2 writes to db2"},
	}
	for _, tt := range tests {
		all := regionEvents(lived(old), lived(old, record(tt.kind, "db2")), "arb1")
		if len(all) != 1 || all[0].Kind != tt.event || all[0].Message != tt.message {
			t.Errorf("%s: got %+v, expected %s: %s", tt.kind, all, tt.event, tt.message)
			continue
		}
		e := all[0]
		if e.Time != "2026-01-02T03:04:05.000Z" || e.From != "arb1" || *e.Host != "db2" || *e.Master != "db2" || e.Epoch != 4 || e.Needed != 1 ||
			!reflect.DeepEqual(e.InSync, []string{"db3"}) || !reflect.DeepEqual(e.Why, []string{"a rule", "seen"}) {
			t.Errorf("%s: got %+v", tt.kind, e)
		}
	}
}

func TestRegionEventsOfManyStates(t *testing.T) {
	vote, elect, change := record(cluster.OpenVote, "db1"), record(cluster.Elect, "db2"), record(cluster.Change, "")
	before := lived(vote)
	before.Dropped = 10
	cut := lived(elect, change, record(cluster.Settle, ""))
	cut.Dropped = 11 // the record that before ends with is not kept any more
	tests := []struct {
		name          string
		before, after *cluster.State
		want          []EventKind
	}{
		{"states that were passed over", lived(vote), lived(vote, elect, change, record(cluster.Serve, "db2")), []EventKind{EventElected, EventServes}},
		{"records that are not kept any more", before, cut, []EventKind{EventElected, EventSync}},
		{"nothing new", lived(vote, elect), lived(vote, elect), nil},
		{"a region is formed", &cluster.State{}, lived(record(cluster.Form, "db2")), []EventKind{EventFormed}},
		{"a host that was not there", &cluster.State{}, lived(vote, elect), nil},
		{"a state that went back", lived(vote, elect), lived(vote), nil},
	}
	for _, tt := range tests {
		var kinds []EventKind
		for _, e := range regionEvents(tt.before, tt.after, "arb1") {
			kinds = append(kinds, e.Kind)
		}
		if !reflect.DeepEqual(kinds, tt.want) {
			t.Errorf("%s: got %v, expected %v", tt.name, kinds, tt.want)
		}
	}
}

func TestNewsAreToldOnce(t *testing.T) {
	vote, elect, serve := record(cluster.OpenVote, "db1"), record(cluster.Elect, "db2"), record(cluster.Serve, "db2")
	var n news
	n.learn(known{Index: 5, State: *lived(vote)}, "arb1")
	if all := n.say(); len(all) != 0 {
		t.Fatalf("what was before this watcher began is no news: %v", all)
	}
	n.learn(known{Index: 6, State: *lived(vote, elect)}, "arb1")
	n.learn(known{Index: 7, State: *lived(vote, elect, serve)}, "arb1")
	n.learn(known{Index: 7, State: *lived(vote, elect, serve)}, "arb1")
	n.heard(6) // another executor has told the first, and is gone
	if all := n.say(); len(all) != 1 || all[0].Kind != EventServes || n.announced != 7 {
		t.Fatalf("got %+v up to %d, expected the one that nobody has told", all, n.announced)
	}
	if all := n.say(); len(all) != 0 {
		t.Fatalf("told twice: %v", all)
	}
}

func TestPower(t *testing.T) {
	up, down, hangs := &cluster.Facts{Running: true}, &cluster.Facts{}, &cluster.Facts{Running: true, Silent: patience + 1}
	tests := []struct {
		name   string
		before power
		facts  *cluster.Facts
		age    time.Duration
		after  power
		event  bool
	}{
		{"found up", power{}, up, 0, power{true, true}, false},
		{"not up yet", power{}, down, startGrace - 1, power{}, false},
		{"found down", power{}, down, startGrace, power{true, false}, true},
		{"goes down", power{true, true}, down, 0, power{true, false}, true},
		{"hangs", power{true, true}, hangs, 0, power{true, false}, true},
		{"stays down", power{true, false}, hangs, 0, power{true, false}, false},
		{"comes up", power{true, false}, up, 0, power{true, true}, true},
	}
	for _, tt := range tests {
		if after, event := tt.before.next(tt.facts, tt.age); after != tt.after || event != tt.event {
			t.Errorf("%s: got %v, %v; expected %v, %v", tt.name, after, event, tt.after, tt.event)
		}
	}
}

// tellScript is a shell script for watch.notify.
func tellScript(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tell")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTellerHandsOverJSON(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	tell := newTeller(tellScript(t, "cat >>"+out), time.Minute, slog.New(slog.DiscardHandler))
	for _, kind := range []EventKind{EventStarted, EventStopped} {
		e := eventOf(kind, &cluster.State{}, "db1")
		tell.tell(e)
	}
	tell.close(time.Minute)
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"event":"watcher-started","time":"","from":"db1","host":null,"message":"","why":[],"epoch":0,"master":null,"needed":0,"in_sync":[],"dropped":0}` + "\n"
	if got := string(text); got != want+strings.ReplaceAll(want, "started", "stopped") {
		t.Errorf("got %s", got)
	}
}

func TestTellerKillsTheGroup(t *testing.T) {
	child := filepath.Join(t.TempDir(), "child")
	tell := newTeller(tellScript(t, "sleep 600 & echo $! >"+child+"; wait"), 500*time.Millisecond, slog.New(slog.DiscardHandler))
	tell.tell(Event{})
	tell.close(time.Minute)
	if fault := tell.fault(); !strings.HasSuffix(fault, "it did not end within 500ms and was killed") || tell.failed.Load() != 1 {
		t.Errorf("got %q", fault)
	}
	text, err := os.ReadFile(child)
	if err != nil {
		t.Fatal(err)
	}
	pid := strings.TrimSpace(string(text))
	for range 500 { // a killed process is there until somebody has waited for it
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("process %s, which the program began, still runs", pid)
}

func TestTellerNeverWaits(t *testing.T) {
	dir := t.TempDir()
	gate, out := filepath.Join(dir, "gate"), filepath.Join(dir, "out")
	tell := newTeller(tellScript(t, "until test -e "+gate+"; do sleep 0.05; done; cat >>"+out), time.Minute, slog.New(slog.DiscardHandler))
	for range tellQueue + 20 {
		tell.tell(Event{})
	}
	dropped := tell.dropped.Load()
	if dropped != 19 && dropped != 20 { // the first may have left the queue
		t.Fatalf("%d were dropped of %d", dropped, tellQueue+20)
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tell.close(time.Minute)
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var told, missing int64
	for line := range strings.Lines(string(text)) {
		var e Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		told, missing = told+1, missing+e.Dropped
	}
	if told+missing != tellQueue+20 || missing != dropped {
		t.Errorf("%d were told, which say that %d are missing, of %d", told, missing, tellQueue+20)
	}
}

func TestTellerFails(t *testing.T) {
	var log strings.Builder
	tell := newTeller(tellScript(t, "head -c 100000 /dev/zero | tr '\\0' x; exit 3"), time.Minute, slog.New(slog.NewTextHandler(&log, nil)))
	tell.tell(Event{Kind: EventUp})
	tell.close(time.Minute)
	if fault := tell.fault(); !strings.HasSuffix(fault, "/tell: exit status 3") {
		t.Errorf("got %q", fault)
	}
	if n := strings.Count(log.String(), "x"); n < tellOutput || n > tellOutput+10 || !strings.Contains(log.String(), "postgres-up") {
		t.Errorf("%d bytes of the output are in the log: %s", n, strconv.Quote(log.String()[:100]))
	}
	none := newTeller("/nonexistent/tell", time.Minute, slog.New(slog.DiscardHandler))
	none.tell(Event{})
	none.close(time.Minute)
	if fault := none.fault(); fault != "/nonexistent/tell: fork/exec /nonexistent/tell: no such file or directory" {
		t.Errorf("got %q", fault)
	}
}

// TestVerdict: what is the matter is told once it has lasted, not each time that it changes, and at the latest after a while.
func TestVerdict(t *testing.T) {
	type step struct {
		at    time.Duration
		names string
		told  bool
	}
	ms := time.Millisecond
	for name, steps := range map[string][]step{
		"it lasts":       {{0, "a", false}, {1000 * ms, "a", false}, {2000 * ms, "a", true}, {3000 * ms, "a", false}, {4000 * ms, "", false}, {6000 * ms, "", true}},
		"an election":    {{0, "a", false}, {150 * ms, "b", false}, {300 * ms, "c", false}, {450 * ms, "", false}, {5000 * ms, "", false}},
		"it never lasts": {{0, "a", false}, {1500 * ms, "b", false}, {3000 * ms, "a", false}, {9900 * ms, "b", false}, {10000 * ms, "c", true}, {10100 * ms, "", false}},
	} {
		t.Run(name, func(t *testing.T) {
			var v verdict
			for _, s := range steps {
				if got := v.judge(s.names, time.Hour+s.at); got != s.told {
					t.Errorf("at %v, %q: %v", s.at, s.names, got)
				}
			}
		})
	}
	var v verdict
	told := 0
	for i := range 200 { // every 0.1 s something else
		if v.judge(strings.Repeat("x", 1+i%3), time.Hour+time.Duration(i)*100*ms) {
			told++
		}
	}
	if told != 1 {
		t.Errorf("in 20 s of changes it was told %d times", told)
	}
}

// TestToldJudgement: an election has events of its own, and a pool that stays behind is no region where all is well.
func TestToldJudgement(t *testing.T) {
	w := newWatcher(Options{Host: "db1", Log: slog.New(slog.DiscardHandler), Now: time.Now, MemoryPath: t.TempDir() + "/memory"})
	for _, tt := range []struct {
		judged []cluster.Judgement
		pools  []string
		want   string
	}{
		{[]cluster.Judgement{{Code: cluster.JudgedOK, Host: "db1"}}, nil, ""},
		{[]cluster.Judgement{{Code: cluster.JudgedElection, Host: "db1"}, {Code: cluster.JudgedAlone, Host: "db1"}}, nil, "no-failover-target db1"},
		{[]cluster.Judgement{{Code: cluster.JudgedOK, Host: "db1"}}, []string{"db2"}, "pool-behind db2"},
	} {
		w.decision.Judgements = tt.judged
		w.tellDecision(&cluster.State{Opened: true, Pools: tt.pools})
		if got := w.news.verdict.now; got != tt.want {
			t.Errorf("%+v, %q: %q, expected %q", tt.judged, tt.pools, got, tt.want)
		}
	}
}
