package failover_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/failover"
	"github.com/pgctl/pgctl/pkg/nodes"
	"github.com/pgctl/pgctl/pkg/plan"
)

// healthy is db1, master on timeline 1, and its synchronous standbys db2 and db3; the site uses slots; a pool on db1 and db2.
func healthy() failover.Takeover {
	snap := site()
	snap.Servers = append(snap.Servers, snap.Servers[1])
	snap.Servers[2].Host, snap.Servers[2].Addresses = "db3", []string{"198.51.100.13"}
	t := failover.Takeover{Slots: true, Names: map[string]string{"db2": "db2_aaaa"}, Settings: map[string]map[string]string{}, NoRoute: map[string]string{}, Rows: map[string][]cluster.Epoch{}}
	for i := range snap.Servers {
		s := &snap.Servers[i]
		s.MasterFile = new("db1")
		s.Data = &cluster.DataDir{Path: "/srv/" + s.Host, Port: 5432, SystemID: 7, Timeline: 1, Postmaster: &cluster.Process{PID: 1, Alive: true}}
		t.Settings[s.Host] = map[string]string{"max_connections": "100", "max_worker_processes": "8", "max_wal_senders": "10", "max_prepared_transactions": "0", "max_locks_per_transaction": "64", "fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}
		s.SQL = &cluster.Instance{Timeline: 1, Position: 0x5000, Received: 0x5000, InRecovery: i > 0, Receiver: &cluster.Receiver{Status: "streaming", SenderHost: "db1", ApplicationName: s.Host}}
	}
	snap.Servers[0].SQL = &cluster.Instance{Timeline: 1, Position: 0x5000, SyncNames: `FIRST 2 ("db2_aaaa","db3")`, Slots: []cluster.Slot{{Name: "db2", Physical: true}}}
	for _, s := range snap.Servers[1:] {
		snap.Servers[0].SQL.Standbys = append(snap.Servers[0].SQL.Standbys, cluster.Walsender{ApplicationName: s.Host, ClientAddress: s.Addresses[0], State: "streaming", SyncState: "sync", Flush: 0x5000, Replay: 0x5000})
	}
	t.Snap = snap
	return look(t, "db1")
}

// look makes a Takeover's diagnosis and servers those of its own snapshot; db2 is the candidate.
func look(t failover.Takeover, from string) failover.Takeover {
	t.Diagnosis = cluster.Diagnose(t.Snap)
	t.From, t.To = nil, nil
	for i := range t.Snap.Servers {
		switch s := &t.Snap.Servers[i]; s.Host {
		case from:
			t.From = s
		case "db2":
			t.To = s
		}
	}
	return t
}

func refusedWith(t *testing.T, err error, want string) bool {
	t.Helper()
	var refusal *cluster.Refusal
	if errors.As(err, &refusal) != (want != "") || err != nil && !strings.Contains(err.Error(), want) {
		t.Fatalf("got %v, expected %q", err, want)
	}
	return err != nil
}

func TestSwitchover(t *testing.T) {
	opts := failover.TakeoverOptions{Incarnation: "k3f9", Nonce: "n"}
	p, err := failover.Switchover(healthy(), opts)
	if err != nil {
		t.Fatal(err)
	}
	const want = "db1/checkpoint db2/slot db2/slot-2 db2/names db1/stop db1/follow db3/repoint db2/promote db1/start db2/sign " +
		"db1/pool.edit db1/pool.restart db1/pool.prove db2/pool.edit db2/pool.restart db2/pool.prove db1/master-file db2/master-file db3/master-file " +
		"db1/stream db1/drop-slots db2/checkpoint"
	if got := verbs(p); got != want {
		t.Errorf("steps\n%s\nexpected\n%s", got, want)
	}
	// a commit on the new master waits for as many as before, the old one under a name that nothing else bears
	if got := stepOf(p, "db2/server.names").Args["names"]; got != `FIRST 2 ("db3","db1_k3f9")` || got != stepOf(p, "db2/server.promote").Args["names"] {
		t.Errorf("names %s", got)
	}
	promote := stepOf(p, "db2/server.promote").Args
	if promote["old"] != "db1=/srv/db1" || promote["followers"] != "db3=/srv/db3" || promote["known"] != "" {
		t.Errorf("the promotion does not look at the old master: %v", promote)
	}
	if follow := stepOf(p, "db1/server.follow").Args; follow["master"] != "db2" || follow["name"] != "db1_k3f9" || follow["slot"] != "db1" || follow["data_dir"] != "/srv/db1" {
		t.Errorf("the old master follows %v", follow)
	}
	if stepOf(p, "db1/pool.edit").Args["master"] != "db2" {
		t.Error("the pools are not moved to the candidate")
	}
}

func TestSwitchoverRefused(t *testing.T) {
	gone := &cluster.Failure{Message: "no answer"}
	tests := []struct {
		name    string
		change  func(t *failover.Takeover, o *failover.TakeoverOptions)
		refused string
	}{
		{"no master", func(t *failover.Takeover, _ *failover.TakeoverOptions) { t.Snap.Servers[0].SQL.InRecovery = true }, "no server answers as master"},
		{"two masters", func(t *failover.Takeover, _ *failover.TakeoverOptions) { t.Snap.Servers[2].SQL.InRecovery = false }, "db3 answers as master too"},
		{"the candidate is gone", func(t *failover.Takeover, _ *failover.TakeoverOptions) {
			t.Snap.Servers[1].Unreachable, t.Snap.Servers[1].SQL = gone, nil
		}, "db2 is out of reach: no answer"},
		{"the candidate does not stream", func(t *failover.Takeover, _ *failover.TakeoverOptions) { t.Snap.Servers[1].SQL.Receiver = nil }, "db2 does not stream from db1"},
		{"replay is paused", func(t *failover.Takeover, _ *failover.TakeoverOptions) { t.Snap.Servers[1].SQL.Paused = true }, "replay is paused on db2"},
		{"behind", func(t *failover.Takeover, _ *failover.TakeoverOptions) {
			t.Snap.Servers[0].SQL.Position = 0x5000 + cluster.LSN(cluster.LagLimit)
		}, "db2 is 16.0 MiB behind"},
		{"not synchronous", func(t *failover.Takeover, _ *failover.TakeoverOptions) {
			t.Snap.Servers[0].SQL.Standbys[0].SyncState = "async"
		}, "a commit does not wait for db2: db1 sees it as async"},
		{"a standby has less than the candidate", func(t *failover.Takeover, _ *failover.TakeoverOptions) { t.Settings["db3"]["max_connections"] = "50" }, "db3 could not follow db2: max_connections is 100 there and 50 here"},
		{"the candidate takes fewer clients", func(t *failover.Takeover, _ *failover.TakeoverOptions) { t.Settings["db2"]["max_connections"] = "50" }, "db2 takes fewer clients than db1"},
		{"the candidate does not flush", func(t *failover.Takeover, _ *failover.TakeoverOptions) { t.Settings["db2"]["fsync"] = "off" }, "db2 has fsync = off"},
		{"the old master could not follow", func(t *failover.Takeover, _ *failover.TakeoverOptions) { t.NoRoute["db1"] = "no pg_hba.conf entry" }, "db1 could not follow db2: no pg_hba.conf entry"},
		{"no login", func(t *failover.Takeover, _ *failover.TakeoverOptions) { t.NoLogin = "no server says how" }, "no server says how"},
		{"a third server may be a master", func(t *failover.Takeover, _ *failover.TakeoverOptions) {
			t.Snap.Servers[2].Unreachable, t.Snap.Servers[2].SQL = gone, nil
		}, "db3 is out of reach and may be a master too"},
		{"accepted", func(t *failover.Takeover, o *failover.TakeoverOptions) {
			t.Snap.Servers[2].Unreachable, t.Snap.Servers[2].SQL = gone, nil
			o.Accept = []string{"unfenced-master"}
		}, ""},
		{"watchers act", func(t *failover.Takeover, _ *failover.TakeoverOptions) {
			t.Snap.HA = nodes.HAEnabled
			t.Snap.Servers[0].Watcher.Service.State = cluster.ServiceActive
		}, "the watcher of db1 runs"},
		{"a 9.x site", func(t *failover.Takeover, _ *failover.TakeoverOptions) { t.Snap.Kind = nodes.KindPG9 }, "this is a 9.x site"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o, take := failover.TakeoverOptions{Incarnation: "k3f9"}, healthy()
			tt.change(&take, &o)
			from := "db1"
			if cluster.Diagnose(take.Snap).Master == "" && tt.name == "no master" {
				from = ""
			}
			_, err := failover.Switchover(look(take, from), o)
			refusedWith(t, err, tt.refused)
		})
	}
}

// dead is healthy with db1's PostgreSQL dead, its host alive, its disk read to its end.
func dead() failover.Takeover {
	t := healthy()
	db1 := &t.Snap.Servers[0]
	db1.SQL, db1.Data.State, db1.Data.Postmaster = nil, "in production", &cluster.Process{}
	for _, s := range t.Snap.Servers[1:] {
		s.SQL.Receiver = nil
	}
	t.Tail = &cluster.Tail{From: 0x5000, End: 0x5000}
	return t
}

func TestFailover(t *testing.T) {
	gone := &cluster.Failure{Message: "no answer"}
	const all = "db1/fence db2/slot db2/names db3/repoint db2/promote db2/sign db1/pool.edit db1/pool.restart db1/pool.prove " +
		"db2/pool.edit db2/pool.restart db2/pool.prove db1/master-file db2/master-file db3/master-file db2/checkpoint"
	unreachable := func(t *failover.Takeover) {
		t.Snap.Servers[0].Unreachable, t.Snap.Servers[0].Data = gone, nil
		t.Snap.Pools[0].Unreachable = gone
		t.Tail = nil
	}
	tests := []struct {
		name    string
		change  func(t *failover.Takeover)
		accept  string
		steps   string
		names   string
		refused string
	}{
		{name: "nothing is missing: no risk", steps: all, names: `FIRST 1 ("db3")`},
		{name: "the old master has more on its disk", change: func(t *failover.Takeover) {
			t.Tail = &cluster.Tail{From: 0x5000, End: 0x6000, Transactions: 2}
		}, refused: "the old master has 2 transactions that db2 lacks"},
		{name: "given up", change: func(t *failover.Takeover) { t.Tail = &cluster.Tail{From: 0x5000, End: 0x6000, Transactions: 2} }, accept: "data-loss", steps: all, names: `FIRST 1 ("db3")`},
		{name: "its disk cannot be read", change: func(t *failover.Takeover) { t.Tail, t.TailWhy = nil, "a broken disk" }, refused: "cannot be read: a broken disk"},
		{name: "the old master is out of reach: every risk at once", change: unreachable, refused: "if it runs as master, there will be two; what db1 has after 0/5000, where db2 ends, is not known"},
		{name: "one of two is not enough", change: unreachable, accept: "unfenced-master", refused: "is not known"},
		{
			name: "out of reach, taken", change: unreachable, accept: "unfenced-master data-loss",
			steps: "db2/slot db2/names db3/repoint db2/promote db2/sign db2/pool.edit db2/pool.restart db2/pool.prove db2/master-file db3/master-file db2/checkpoint", names: `FIRST 1 ("db3")`,
		},
		{name: "the old master answers", change: func(t *failover.Takeover) { t.Snap.Servers[0].SQL = &cluster.Instance{Timeline: 1} }, accept: "unfenced-master data-loss", refused: "db1 answers as master"},
		{name: "another one is further", change: func(t *failover.Takeover) { t.Snap.Servers[2].SQL.Position = 0x6000 }, accept: "data-loss", refused: "db3 is further than db2"},
		{name: "what another one received counts", change: func(t *failover.Takeover) { t.Snap.Servers[2].SQL.Received = 0x6000 }, accept: "data-loss", refused: "db3 is further than db2"},
		{name: "another one is on a newer timeline", change: func(t *failover.Takeover) { t.Snap.Servers[2].SQL.Timeline = 2 }, accept: "data-loss", refused: "db3 is further than db2"},
		{name: "the candidate is behind what it could have seen", change: func(t *failover.Takeover) {
			t.Snap.Servers[0].Data.Histories = map[cluster.Timeline]cluster.History{2: {{Parent: 1, At: 0x5000}}}
		}, refused: "db1 knows timeline 2, db2 is on 1"},
		{name: "nobody follows", change: func(t *failover.Takeover) { t.Snap.Servers = t.Snap.Servers[:2] }, refused: "no standby will follow db2"},
		{
			name: "nobody follows, taken", change: func(t *failover.Takeover) { t.Snap.Servers = t.Snap.Servers[:2] }, accept: "no-sync-standby",
			steps: "db1/fence db2/names db2/promote db2/sign db1/pool.edit db1/pool.restart db1/pool.prove db2/pool.edit db2/pool.restart db2/pool.prove db1/master-file db2/master-file db2/checkpoint",
		},
		{name: "the candidate is no standby", change: func(t *failover.Takeover) { t.Snap.Servers[1].SQL = nil }, refused: "is no standby that answers"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			take := dead()
			if tt.change != nil {
				tt.change(&take)
			}
			take = look(take, "")
			p, err := failover.Failover(take, failover.TakeoverOptions{To: "db2", Accept: strings.Fields(tt.accept), Nonce: "n"})
			if refusedWith(t, err, tt.refused) {
				return
			}
			if got := verbs(p); got != tt.steps {
				t.Errorf("steps\n%s\nexpected\n%s", got, tt.steps)
			}
			if got := stepOf(p, "db2/server.names").Args["names"]; got != tt.names {
				t.Errorf("names %q, expected %q", got, tt.names)
			}
			at := func(verb string) int {
				return slices.IndexFunc(p.Steps, func(s plan.Step) bool { return strings.HasSuffix(s.ID, verb) })
			}
			if at("fence") > at("promote") || at("names") > at("promote") || at("repoint") > at("promote") || at("pool.edit") < at("promote") {
				t.Errorf("order: %s", verbs(p))
			}
		})
	}
}

// TestAbort: everybody streams from the old master again, the candidate too, and nothing that the switchover made is left.
func TestAbort(t *testing.T) {
	take := healthy()
	p, err := failover.Abort(take, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := verbs(p); got != "db1/restore db3/repoint db2/repoint db2/drop-slots" {
		t.Errorf("steps %s", got)
	}
	if args := stepOf(p, "db3/server.repoint").Args; args["master"] != "db1" || args["port"] != "5432" || args["addresses"] != "198.51.100.11" {
		t.Errorf("db3 follows %v", args)
	}
	take.Snap.Servers[0].SQL, take.Snap.Servers[0].Data.Port = nil, 0 // as an earlier run left it
	take.Resumed = true
	if p, err = failover.Abort(take, 5433); err != nil || stepOf(p, "db2/server.repoint").Args["port"] != "5433" {
		t.Errorf("%v, %v", p, err)
	}
	take.To.SQL = nil
	_, err = failover.Abort(take, 5433)
	refusedWith(t, err, "must both answer")
}

// TestAnybody: names that say everybody wait for no more than there are.
func TestAnybody(t *testing.T) {
	take := healthy()
	take.Snap.Servers[0].SQL.SyncNames = "FIRST 2 (*)"
	p, err := failover.Switchover(look(take, "db1"), failover.TakeoverOptions{Incarnation: "k3f9"})
	if err != nil || stepOf(p, "db2/server.names").Args["names"] != `FIRST 2 ("*")` {
		t.Errorf("%v, %v", stepOf(p, "db2/server.names").Args, err)
	}
	alone := dead()
	alone.Snap.Servers = alone.Snap.Servers[:2]
	alone.Snap.Servers[1].SQL.SyncNames = "*"
	p, err = failover.Failover(look(alone, ""), failover.TakeoverOptions{To: "db2", Accept: []string{"no-sync-standby"}})
	if err != nil || stepOf(p, "db2/server.names").Args["names"] != "" {
		t.Errorf("%v, %v", stepOf(p, "db2/server.names").Args, err)
	}
}

// TestMayGoBack: the old master is started again when it was stopped and nobody was promoted for certain, and never otherwise.
func TestMayGoBack(t *testing.T) {
	p, err := failover.Switchover(healthy(), failover.TakeoverOptions{})
	if err != nil {
		t.Fatal(err)
	}
	index := func(verb string) int {
		return slices.IndexFunc(p.Steps, func(s plan.Step) bool { return s.Verb == "server."+verb })
	}
	other := errors.New("connection lost")
	for _, tt := range []struct {
		name string
		done int
		err  error
		want bool
	}{
		{"nothing was stopped", index("names"), other, false},
		{"the stop failed", index("stop"), other, true},
		{"after the stop", index("stop") + 1, other, true},
		{"the promotion was not asked for", index("promote"), fmt.Errorf("wrapped: %w", &failover.NotPromoted{Err: other}), true},
		{"the promotion may have been asked for", index("promote"), other, false},
		{"interrupted before the promotion was begun", index("promote"), context.Canceled, true},
		{"after the promotion", index("promote") + 1, other, false},
	} {
		begun := !errors.Is(tt.err, context.Canceled)
		if got := failover.MayGoBack(&plan.Stopped{Plan: p, Done: tt.done, Begun: begun, Err: tt.err}); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func TestStillTakeover(t *testing.T) {
	take := healthy()
	p, err := failover.Switchover(take, failover.TakeoverOptions{})
	if err != nil {
		t.Fatal(err)
	}
	stop := func(s *cluster.Snapshot) {
		s.Servers[0].SQL, s.Servers[0].Data.Postmaster = nil, &cluster.Process{}
	}
	promoted := func(s *cluster.Snapshot) { s.Servers[1].SQL = &cluster.Instance{Timeline: 2} }
	for _, tt := range []struct {
		name   string
		change func(s *cluster.Snapshot)
		ok     bool
	}{
		{"at the beginning", func(*cluster.Snapshot) {}, true},
		{"the old master is stopped", stop, true},
		{"promoted", func(s *cluster.Snapshot) { stop(s); promoted(s) }, true},
		{"both", promoted, false},
		{"a third one is promoted", func(s *cluster.Snapshot) { stop(s); s.Servers[2].SQL.InRecovery = false }, false},
		{"the candidate follows a newer timeline", func(s *cluster.Snapshot) { s.Servers[1].SQL.Timeline = 2 }, false},
		{"the candidate is gone", func(s *cluster.Snapshot) { s.Servers[1].SQL = nil }, false},
	} {
		now := healthy()
		tt.change(&now.Snap)
		if err := failover.StillTakeover(now.Snap, p, nil); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestCandidates(t *testing.T) {
	take := dead()
	take.Snap.Servers[2].SQL.Received = 0x6000
	var got []string
	for _, c := range failover.Candidates(take.Snap) {
		got = append(got, fmt.Sprintf("%s %s %d %s", c.Host, c.Position, c.Behind, c.Note))
	}
	want := []string{"db3 0/6000 0 ", "db2 0/5000 4096 ", "db1 0/0 0 PostgreSQL does not answer"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

// TestUnproven: that a standby's timeline is the candidate's cannot be proven any more. In a switchover it stays the standby that it is;
// after the death of the master it is not counted.
func TestUnproven(t *testing.T) {
	old := func(take failover.Takeover) failover.Takeover {
		for i := range take.Snap.Servers {
			s := &take.Snap.Servers[i]
			s.Data.Timeline, s.Data.Histories = 2, map[cluster.Timeline]cluster.History{2: {{Parent: 1, At: 0x1000}}}
			if s.SQL != nil {
				s.SQL.Timeline = 2
			}
		}
		return take
	}
	p, err := failover.Switchover(look(old(healthy()), "db1"), failover.TakeoverOptions{Incarnation: "k3f9"})
	if err != nil {
		t.Fatal(err)
	}
	if stepOf(p, "db3/server.repoint").ID == "" {
		t.Errorf("a healthy standby is left out: %s", verbs(p))
	}
	_, err = failover.Failover(look(old(dead()), ""), failover.TakeoverOptions{To: "db2"})
	refusedWith(t, err, "no standby will follow db2")
	row := []cluster.Epoch{{Epoch: 1, Master: "db1", Nonce: "n", Timeline: 2, Fork: 0x1000}}
	take := old(dead())
	take.Rows = map[string][]cluster.Epoch{"db2": row, "db3": row}
	if _, err = failover.Failover(look(take, ""), failover.TakeoverOptions{To: "db2"}); err != nil {
		t.Errorf("the row of the promotion proves it: %v", err)
	}
	take.Rows["db3"] = []cluster.Epoch{{Epoch: 1, Master: "db9", Nonce: "m", Timeline: 2, Fork: 0x1000}}
	_, err = failover.Failover(look(take, ""), failover.TakeoverOptions{To: "db2"})
	refusedWith(t, err, "no standby will follow db2")
	// taken: the one that cannot follow is stopped, it might acknowledge for a master that nobody can reach
	p, err = failover.Failover(look(take, ""), failover.TakeoverOptions{To: "db2", Accept: []string{"no-sync-standby"}})
	at := func(id string) int { return slices.IndexFunc(p.Steps, func(s plan.Step) bool { return s.ID == id }) }
	if err != nil || at("db3/server.stop") < 0 || at("db3/server.stop") > at("db2/server.promote") {
		t.Errorf("%v: %s", err, verbs(p))
	}
}

// TestFenced: a master that is hung is what the plan is there for.
func TestFenced(t *testing.T) {
	take := dead()
	take.Snap.Servers[0].Data.Postmaster = &cluster.Process{PID: 1, Alive: true, Stopped: true}
	p, err := failover.Failover(look(take, ""), failover.TakeoverOptions{To: "db2"})
	if err != nil {
		t.Fatal(err)
	}
	if err := failover.StillTakeover(take.Snap, p, nil); err != nil {
		t.Errorf("the plan is stopped by the server that it fences: %v", err)
	}
	if promote := stepOf(p, "db2/server.promote").Args; promote["old"] != "db1=/srv/db1" || promote["known"] != "0" {
		t.Errorf("the promotion does not look at it: %v", promote)
	}
	rest := failover.AfterPromotion(p)
	if verbs(rest) == "" || strings.Contains(verbs(rest), "names") || strings.Contains(verbs(rest), "promote") {
		t.Errorf("the rest: %s", verbs(rest))
	}
}
