package cluster_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"testing"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// script runs commands one after the other from an unformed region; each must be accepted.
func script(t *testing.T, commands ...cluster.Command) cluster.State {
	t.Helper()
	var s cluster.State
	for _, c := range commands {
		c.Epoch, c.Gen = s.Epoch, s.Gen
		next, err := cluster.Apply(s, c)
		if err != nil {
			t.Fatalf("%s: %v", c.Kind, err)
		}
		s = next
	}
	return s
}

// rowOfA is what a signed the region with when it was formed.
var rowOfA = cluster.Epoch{Epoch: 1, Master: "a", Nonce: "na", Timeline: 1, Fork: 10}

func config(gen int64, inForce []cluster.SyncConfig, members ...string) *cluster.SyncConfig {
	c := cluster.NewSyncConfig(gen, members, 0, inForce)
	return &c
}

// serving is a region of three: a is master, b_1 and c_1 are in its one configuration.
func serving(t *testing.T) cluster.State {
	t.Helper()
	first := config(1, nil)
	return script(t,
		cluster.Command{Kind: cluster.Form, Host: "a", Name: "a_1", System: 42, Nonce: "na"},
		cluster.Command{Kind: cluster.Serve, Host: "a", Config: first, Rows: []cluster.Epoch{rowOfA}, Pools: []string{"p1", "p2"}},
		cluster.Command{Kind: cluster.Register, Host: "b", Name: "b_1"},
		cluster.Command{Kind: cluster.Register, Host: "c", Name: "c_1"},
		cluster.Command{Kind: cluster.Open, Host: "a"},
		cluster.Command{Kind: cluster.Change, Config: config(2, []cluster.SyncConfig{*first}, "b_1", "c_1")},
		cluster.Command{Kind: cluster.Settle, From: 100},
	)
}

// seenDead is what an operator says of the master of before who adopts another server.
var seenDead = cluster.Record{Rule: "an operator says so", Evidence: []string{"a: PostgreSQL does not run"}}

func frozenAt(host string, at cluster.LSN) cluster.Frozen {
	return cluster.Frozen{Host: host, Member: host + "_1", Timeline: 1, Position: at}
}

// toServing has another master follow.
func toServing(t *testing.T, s cluster.State, host string, frozen ...cluster.Frozen) cluster.State {
	s = script2(t, s, cluster.Command{Kind: cluster.OpenVote, Host: s.Master})
	s = script2(t, s, cluster.Command{Kind: cluster.Elect, Host: host, Nonce: "n" + host, Frozen: frozen})
	rows := append(slices.Clone(s.Rows), cluster.Epoch{Epoch: s.Epoch, Master: host, Nonce: "n" + host, Timeline: cluster.Timeline(s.Epoch), Fork: 120})
	return script2(t, s, cluster.Command{Kind: cluster.Serve, Host: host, Rows: rows, Config: config(s.Gen+1, nil)})
}

// TestFormerRejoins: an old master that has all of the history goes on under its name, and is none of the former ones once it is in sync.
func TestFormerRejoins(t *testing.T) {
	s := toServing(t, serving(t), "b", frozenAt("b", 120), frozenAt("c", 120))
	if !slices.Equal(s.Former, []string{"a"}) {
		t.Fatalf("former are %v", s.Former)
	}
	s = script2(t, s, cluster.Command{Kind: cluster.Change, Config: config(s.Gen+1, s.Configs, "a_1", "c_1")})
	if !slices.Equal(s.Former, []string{"a"}) {
		t.Errorf("before it is in sync, former are %v", s.Former)
	}
	if s = script2(t, s, cluster.Command{Kind: cluster.Settle, From: 130}); len(s.Former) > 0 {
		t.Errorf("in sync, former are %v", s.Former)
	}
}

// TestFormAboveEveryRow: a region that was signed before it had a quorum begins above that, or its first row would be one that is there.
func TestFormAboveEveryRow(t *testing.T) {
	rows := []cluster.Epoch{{Epoch: 1, Master: "b", Nonce: "d", Timeline: 1}, {Epoch: 2, Master: "a", Nonce: "e", Timeline: 2, Fork: 90}}
	for _, tt := range []struct {
		rows  []cluster.Epoch
		above int64
		want  int64
	}{{nil, 0, 1}, {rows, 2, 3}, {rows, 0, 3}, {rows, 5, 6}} {
		s := script(t, cluster.Command{Kind: cluster.Form, Host: "a", Name: "a_1", System: 42, Nonce: "na", Rows: tt.rows, Above: tt.above})
		if s.Epoch != tt.want || s.Phase != cluster.Elected {
			t.Errorf("rows %v, above %d: epoch %d, %s", tt.rows, tt.above, s.Epoch, s.Phase)
		}
	}
}

// TestAdoptMakesWhole: who is adopted is no longer quarantined, and a quorum that begins anew has the system and the format.
func TestAdoptMakesWhole(t *testing.T) {
	s := script2(t, serving(t), cluster.Command{Kind: cluster.Isolate, Host: "b", Name: "b_1", Record: cluster.Record{Rule: "ahead"}})
	s = script2(t, s, cluster.Command{Kind: cluster.Halt, Record: cluster.Record{Rule: "signed above"}})
	adopt := cluster.Command{Kind: cluster.Adopt, Host: "b", Nonce: "n", System: 42, Rows: []cluster.Epoch{rowOfA}, Record: seenDead}
	if s = script2(t, s, adopt); s.QuarantineOf("b") != "" || s.Halted != "" || s.Master != "b" {
		t.Errorf("got %+v", s)
	}
	if s = script2(t, cluster.State{}, adopt); s.System != 42 || s.Format != cluster.StateFormat || s.Epoch != rowOfA.Epoch+1 {
		t.Errorf("anew: %+v", s)
	}
}

// TestApplyRefuses: what would break an invariant is refused on every replica, whatever the executor believed.
func TestApplyRefuses(t *testing.T) {
	base := serving(t)
	electing := script2(t, base, cluster.Command{Kind: cluster.OpenVote, Host: "a"})
	elected := script2(t, electing, cluster.Command{Kind: cluster.Elect, Host: "b", Nonce: "nb", Frozen: []cluster.Frozen{frozenAt("b", 120), frozenAt("c", 110)}})
	electedByOld := script2(t, electing, cluster.Command{Kind: cluster.Elect, Host: "a", Nonce: "na", Frozen: []cluster.Frozen{frozenAt("a", 120)}})
	rowOfB := []cluster.Epoch{rowOfA, {Epoch: 2, Master: "b", Nonce: "nb", Timeline: 2, Fork: 120}}
	for _, tt := range []struct {
		name  string
		state cluster.State
		c     cluster.Command
	}{
		{"formed twice", base, cluster.Command{Kind: cluster.Form, Host: "b", Nonce: "x", System: 42}},
		{"elected without an election", base, cluster.Command{Kind: cluster.Elect, Host: "b", Nonce: "nb", Frozen: []cluster.Frozen{frozenAt("b", 120)}}},
		{"elected while nobody is frozen", electing, cluster.Command{Kind: cluster.Elect, Host: "b", Nonce: "nb"}},
		{"elected behind the furthest", electing, cluster.Command{Kind: cluster.Elect, Host: "c", Nonce: "nc", Frozen: []cluster.Frozen{frozenAt("b", 120), frozenAt("c", 110)}}},
		{"elected behind what its configuration has proven", electing, cluster.Command{Kind: cluster.Elect, Host: "b", Nonce: "nb", Frozen: []cluster.Frozen{frozenAt("b", 99)}}},
		{"frozen under another incarnation", electing, cluster.Command{Kind: cluster.Elect, Host: "b", Nonce: "nb", Frozen: []cluster.Frozen{{Host: "b", Member: "b_2", Timeline: 1, Position: 120}}}},
		{"serves without its row", elected, cluster.Command{Kind: cluster.Serve, Host: "b", Config: config(3, nil), Rows: []cluster.Epoch{rowOfA}}},
		{"serves with a member that was frozen behind it", elected, cluster.Command{Kind: cluster.Serve, Host: "b", Config: config(3, nil, "c_1"), Rows: rowOfB}},
		{"another than the elected serves", elected, cluster.Command{Kind: cluster.Serve, Host: "c", Config: config(3, nil), Rows: rowOfB}},
		{"a new incarnation of a member that is counted on", base, cluster.Command{Kind: cluster.Register, Host: "b", Name: "b_2"}},
		{"a new incarnation of a server that an election counts on", elected, cluster.Command{Kind: cluster.Register, Host: "b", Name: "b_2"}},
		{"a new incarnation of a server that is frozen, a member of nothing", electedByOld, cluster.Command{Kind: cluster.Register, Host: "a", Name: "a_2"}},
		{"a name of another host", base, cluster.Command{Kind: cluster.Register, Host: "b", Name: "d_2"}},
		{"the master is its own standby", base, cluster.Command{Kind: cluster.Change, Config: config(3, base.Configs, "a_1")}},
		{"a stranger joins", base, cluster.Command{Kind: cluster.Change, Config: config(3, base.Configs, "d_1")}},
		{"priorities that do not move", base, cluster.Command{Kind: cluster.Change, Config: config(3, nil, "b_1", "c_1")}},
		{"settled twice", base, cluster.Command{Kind: cluster.Settle}},
		{"opened twice", base, cluster.Command{Kind: cluster.Open}},
		{"quarantined under an incarnation that it no longer has", base, cluster.Command{Kind: cluster.Isolate, Host: "b", Name: "b_0"}},
		{"adopted anew without a system", cluster.State{}, cluster.Command{Kind: cluster.Adopt, Host: "b", Nonce: "n", Rows: []cluster.Epoch{rowOfA}}},
		{"adopted without a word of the master of before", base, cluster.Command{Kind: cluster.Adopt, Host: "b", Nonce: "n", Rows: []cluster.Epoch{rowOfA}}},
		{"adopted in an election without a word of the old master", electing, cluster.Command{Kind: cluster.Adopt, Host: "b", Nonce: "n", Rows: []cluster.Epoch{rowOfA}}},
		{"the master quarantined", base, cluster.Command{Kind: cluster.Isolate, Host: "a"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.c.Epoch, tt.c.Gen = tt.state.Epoch, tt.state.Gen
			got, err := cluster.Apply(tt.state, tt.c)
			if !errors.Is(err, cluster.ErrRefused) {
				t.Errorf("got %v, expected a refusal", err)
			}
			if !reflect.DeepEqual(got, tt.state) {
				t.Error("a refused command changed the state")
			}
		})
	}
}

func script2(t *testing.T, s cluster.State, c cluster.Command) cluster.State {
	t.Helper()
	c.Epoch, c.Gen = s.Epoch, s.Gen
	next, err := cluster.Apply(s, c)
	if err != nil {
		t.Fatalf("%s: %v", c.Kind, err)
	}
	return next
}

// TestApplyComparesAndSets: a command that was decided on another epoch or generation changes nothing, late or not.
func TestApplyComparesAndSets(t *testing.T) {
	s := serving(t)
	for _, c := range []cluster.Command{
		{Kind: cluster.OpenVote, Epoch: s.Epoch, Gen: s.Gen - 1},
		{Kind: cluster.OpenVote, Epoch: s.Epoch - 1, Gen: s.Gen},
		{Kind: cluster.OpenVote, Epoch: s.Epoch + 1, Gen: s.Gen},
	} {
		if got, err := cluster.Apply(s, c); !errors.Is(err, cluster.ErrStale) || !reflect.DeepEqual(got, s) {
			t.Errorf("epoch %d generation %d: %v", c.Epoch, c.Gen, err)
		}
	}
}

// TestApplyStopsAtTheUnknown: to pass over a command that others apply would make two truths of one log.
func TestApplyStopsAtTheUnknown(t *testing.T) {
	s := serving(t)
	if _, err := cluster.Apply(s, cluster.Command{Kind: "merge", Epoch: s.Epoch, Gen: s.Gen}); !errors.Is(err, cluster.ErrUnknown) {
		t.Errorf("an unknown command: %v", err)
	}
	s.Feature = cluster.Features + 1
	if _, err := cluster.Apply(s, cluster.Command{Kind: cluster.OpenVote, Epoch: s.Epoch, Gen: s.Gen}); !errors.Is(err, cluster.ErrUnknown) {
		t.Errorf("a state of a later level: %v", err)
	}
}

// TestApplyKeepsItsArguments: a replica's old state is still the old one, however often a log is applied to it.
func TestApplyKeepsItsArguments(t *testing.T) {
	s := serving(t)
	before, _ := json.Marshal(s)
	c := cluster.Command{Kind: cluster.Change, Epoch: s.Epoch, Gen: s.Gen, Config: config(3, s.Configs, "b_1"), Left: "c_1"}
	one, err := cluster.Apply(s, c)
	if err != nil {
		t.Fatal(err)
	}
	if two, _ := cluster.Apply(s, c); !reflect.DeepEqual(one, two) {
		t.Error("the same command on the same state gave two states")
	}
	if after, _ := json.Marshal(s); string(after) != string(before) {
		t.Errorf("the state that went in is now\n%s\nit was\n%s", after, before)
	}
	var back cluster.State
	text, _ := json.Marshal(one)
	if err := json.Unmarshal(text, &back); err != nil || !reflect.DeepEqual(back, one) {
		t.Errorf("JSON loses something: %v\n%+v\n%+v", err, back, one)
	}
}

// TestAdopt: while the region is halted nothing else goes; what is adopted is above every signature, whoever is taken for the master.
func TestAdopt(t *testing.T) {
	s := script2(t, serving(t), cluster.Command{Kind: cluster.Halt, Host: "c", Record: cluster.Record{Rule: "c is signed with epoch 7"}})
	if _, err := cluster.Apply(s, cluster.Command{Kind: cluster.OpenVote, Epoch: s.Epoch, Gen: s.Gen}); !errors.Is(err, cluster.ErrRefused) {
		t.Errorf("a vote while halted: %v", err)
	}
	for _, host := range []string{"a", "c"} {
		got := script2(t, s, cluster.Command{Kind: cluster.Adopt, Host: host, Nonce: "n", Above: 7, Rows: []cluster.Epoch{rowOfA}, Record: seenDead})
		if got.Epoch != 8 || got.Phase != cluster.Elected || got.Master != host || got.Halted != "" || len(got.Configs) != 0 {
			t.Errorf("%+v", got)
		}
	}
}

// TestElectionIsNeverAbandoned: from electing there is only a way on.
func TestElectionIsNeverAbandoned(t *testing.T) {
	s := script2(t, serving(t), cluster.Command{Kind: cluster.OpenVote, Host: "a"})
	if s.Master != "" || len(s.Configs) != 0 || s.Epoch != 2 {
		t.Fatalf("after the vote was opened: %+v", s)
	}
	s = script2(t, s, cluster.Command{Kind: cluster.Elect, Host: "b", Nonce: "nb", Frozen: []cluster.Frozen{frozenAt("b", 120), frozenAt("c", 120)}})
	s = script2(t, s, cluster.Command{Kind: cluster.VoteAgain, Host: "b"})
	if s.Epoch != 3 || s.Election.Attempt != 2 || s.Election.Failed != "b" || len(s.Election.Frozen) != 2 {
		t.Fatalf("after the second vote was opened: %+v", s.Election)
	}
	// c was frozen where b was: the record is enough, nobody has to freeze again
	s = script2(t, s, cluster.Command{Kind: cluster.Elect, Host: "c", Nonce: "nc"})
	if s.Master != "c" || s.Phase != cluster.Elected {
		t.Fatalf("%+v", s)
	}
}

// TestWhoHadClients: the hand-over asks everybody back to the last master that is known to have had clients; an epoch that was given up before it
// was open, or recorded to be, does not hide the one before it.
func TestWhoHadClients(t *testing.T) {
	formed := script(t, cluster.Command{Kind: cluster.Form, Host: "a", Name: "a_1", System: 42, Nonce: "na"},
		cluster.Command{Kind: cluster.Serve, Host: "a", Config: config(1, nil), Rows: []cluster.Epoch{rowOfA}})
	if s := script2(t, formed, cluster.Command{Kind: cluster.OpenVote, Host: "a"}); len(s.Election.Before) != 0 {
		t.Errorf("who was before a region that was never open is not known, got %v", s.Election.Before)
	}
	s := toServing(t, serving(t), "b", frozenAt("b", 120), frozenAt("c", 120))
	if !slices.Equal(s.Before, []string{"a"}) {
		t.Errorf("after a: %v", s.Before)
	}
	open := script2(t, s, cluster.Command{Kind: cluster.Open, Host: "b"})
	for _, tt := range []struct {
		s    cluster.State
		want []string
	}{{s, []string{"a", "b"}}, {open, []string{"b"}}} {
		if got := script2(t, tt.s, cluster.Command{Kind: cluster.OpenVote, Host: "b"}).Election.Before; !slices.Equal(got, tt.want) {
			t.Errorf("after b, open %v: %v", tt.s.Opened, got)
		}
	}
}

// TestManyLeaveOneByOne: the list of configurations has room for every member that leaves before any of it is settled.
func TestManyLeaveOneByOne(t *testing.T) {
	s := serving(t)
	var members []string
	for _, host := range []string{"b", "c", "d", "e", "f", "g", "h", "i"} {
		if host > "c" {
			s = script2(t, s, cluster.Command{Kind: cluster.Register, Host: host, Name: host + "_1"})
		}
		members = append(members, host+"_1")
	}
	for ; len(members) > 0; members = members[1:] {
		s = script2(t, s, cluster.Command{Kind: cluster.Change, Config: config(s.Gen+1, s.Configs, members...)})
	}
	if len(s.Configs) != 9 {
		t.Errorf("%d configurations are in force", len(s.Configs))
	}
}
