package cluster_test

import (
	"errors"
	"strconv"
	"testing"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// TestPauseForOneHost: a pause for one server keeps that one's epoch alone from being ended.
func TestPauseForOneHost(t *testing.T) {
	for host, refused := range map[string]bool{"": true, "a": true, "b": false} {
		s := script2(t, serving(t), cluster.Command{Kind: cluster.PauseHA, Pause: &cluster.Pause{Owner: "anna", Host: host}})
		_, err := cluster.Apply(s, cluster.Command{Kind: cluster.OpenVote, Epoch: s.Epoch, Gen: s.Gen})
		if errors.Is(err, cluster.ErrRefused) != refused {
			t.Errorf("paused for %q: %v", host, err)
		}
	}
}

// TestHistoryNumbers: the newest records are kept, and each keeps its number.
func TestHistoryNumbers(t *testing.T) {
	s := serving(t)
	first := len(s.History)
	for i := range 100 {
		s = script2(t, s, cluster.Command{Kind: cluster.PauseHA, Pause: &cluster.Pause{Owner: "anna"}, Record: cluster.Record{Rule: strconv.Itoa(first + i + 1)}})
	}
	if len(s.History) != 64 {
		t.Fatalf("%d records are kept", len(s.History))
	}
	for i, r := range s.History {
		if n := strconv.FormatInt(s.Number(i), 10); n != r.Rule {
			t.Errorf("record %s has the number %s", r.Rule, n)
		}
	}
}

// TestRecordOfAConfiguration: the record of a change says what a commit waits for since.
func TestRecordOfAConfiguration(t *testing.T) {
	s := serving(t)
	for _, r := range s.History {
		if r.Command == cluster.Change && (len(r.Evidence) != 1 || r.Evidence[0] != "a commit waits for b_1, c_1") {
			t.Errorf("%+v", r)
		}
		if r.Command == cluster.Serve && (len(r.Evidence) != 1 || r.Evidence[0] != "a commit waits for nobody") {
			t.Errorf("%+v", r)
		}
	}
	if text := cluster.NewSyncConfig(1, []string{"b_1", "c_1"}, 1, nil).Sentence(); text != "a commit waits for any 1 of b_1, c_1" {
		t.Errorf("%q", text)
	}
}
