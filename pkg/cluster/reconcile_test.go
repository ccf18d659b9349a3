package cluster_test

import (
	"testing"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// TestFormedHasToBeConfirmed: a master that was formed or adopted has clients before its epoch serves, so it stops when the quorum is gone again.
// It has the time of a lease for the first word, from the moment on at which it knows of its epoch.
func TestFormedHasToBeConfirmed(t *testing.T) {
	s := script(t, cluster.Command{Kind: cluster.Form, Host: "a", Name: "a_1", System: 42, Nonce: "na"})
	_, reports, p := wellRegion(t)
	r := reports["a"]
	r.Epoch, r.Facts.Rows, r.Facts.Names.Shown = s.Epoch, nil, ""
	for _, tt := range []struct {
		lease, known time.Duration
		want         cluster.Do
	}{
		{cluster.Never, p.Lease, cluster.DoWriteRow},
		{cluster.Never, p.Lease + 1, cluster.DoStop},
		{p.Lease, time.Hour, cluster.DoWriteRow},
		{p.Lease + 1, time.Hour, cluster.DoStop},
	} {
		r.EpochAge, r.Facts.Lease = tt.known, tt.lease
		acts := cluster.Reconcile(&s, r.Facts, &cluster.Sight{Heard: []cluster.Heard{{Report: r}}}, &p)
		if len(acts) == 0 || acts[0].Do != tt.want {
			t.Errorf("lease %s old, epoch known for %s: %+v, want %s", tt.lease, tt.known, acts, tt.want)
		}
	}
}

// TestAdoptedFollowsNobody: a server that was made master by hand may still name the one that it followed. Started read-only it would receive from
// there, and never come to the end of its WAL.
func TestAdoptedFollowsNobody(t *testing.T) {
	s := script2(t, serving(t), cluster.Command{Kind: cluster.Adopt, Host: "b", Nonce: "n", Rows: []cluster.Epoch{rowOfA}, Record: seenDead})
	_, reports, p := wellRegion(t)
	f := reports["b"].Facts
	for _, recovery := range []bool{false, true} {
		f.Recovery = recovery
		acts := cluster.Reconcile(&s, f, &cluster.Sight{Heard: []cluster.Heard{{Report: reports["b"]}}}, &p)
		if len(acts) != 1 || acts[0].Do != cluster.DoFreeze || acts[0].Base != s.Epoch-1 {
			t.Errorf("in recovery %v: %+v", recovery, acts)
		}
	}
}

// TestGenuine: what a stranger may have released proves nothing.
func TestGenuine(t *testing.T) {
	s := serving(t)
	good := []cluster.Sender{{Name: "b_1", Host: "b"}, {Name: "c_1", Host: "c"}, {Name: "pgctl.clone.x", Host: ""}}
	if !cluster.Genuine(&s, good) {
		t.Error("members and a copy are taken for strangers")
	}
	for _, host := range []string{"", "c"} {
		if cluster.Genuine(&s, append(good[1:], cluster.Sender{Name: "b_1", Host: host})) {
			t.Errorf("b_1 from %q is taken for the member", host)
		}
	}
	if cluster.Genuine(&s, append(good, cluster.Sender{Name: "B_1", Host: "c"})) {
		t.Error("PostgreSQL takes B_1 for the member")
	}
	if cluster.Genuine(&s, append(good, cluster.Sender{Name: "b_1", Host: "b"})) {
		t.Error("a member that counts twice is one")
	}
}

// TestEndOld: a walsender that has not read the names for longer than a standby may hold things up is ended, or the change would never be settled.
func TestEndOld(t *testing.T) {
	s, reports, p := wellRegion(t)
	f := reports["a"].Facts
	f.Names.Proof, f.Senders[1].Priority = nil, 7
	for _, tt := range []struct {
		shown         time.Duration
		older, stream bool
		ended         bool
	}{{p.StandbyDownAfter - 1, true, true, false}, {p.StandbyDownAfter, true, false, true}, {time.Hour, false, false, false}, {time.Hour, false, true, true}} {
		f.Names.ShownFor, f.Senders[1].Older, f.Senders[1].Stream = tt.shown, tt.older, tt.stream
		ended := false
		for _, a := range cluster.Reconcile(&s, f, &cluster.Sight{Heard: []cluster.Heard{{Report: reports["a"]}}}, &p) {
			ended = ended || a.Do == cluster.DoEndSender && a.PID == f.Senders[1].PID
		}
		if ended != tt.ended {
			t.Errorf("names shown for %s, older %v, streams %v: ended %v", tt.shown, tt.older, tt.stream, ended)
		}
	}
}

// TestHaltedStandbyIsClosed: while the region is halted too, what is read-only acknowledges nothing, whoever promotes it; a master that has crashed and
// was started by something else had the names of its reign.
func TestHaltedStandbyIsClosed(t *testing.T) {
	s := script2(t, serving(t), cluster.Command{Kind: cluster.Halt, Host: "c", Record: cluster.Record{Rule: "c is signed with epoch 7"}})
	_, reports, p := wellRegion(t)
	for _, host := range []string{"a", "b"} {
		f := reports[host].Facts
		f.Recovery, f.Names.Shown = true, ""
		acts := cluster.Reconcile(&s, f, &cluster.Sight{}, &p)
		if len(acts) != 1 || acts[0].Do != cluster.DoSetNames || acts[0].Text != cluster.ClosedNames {
			t.Errorf("%s: %+v", host, acts)
		}
	}
}
