package watch

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// TestResetting: what a quorum that is made anew begins with is halted, is later than whatever anybody knows, and goes on from there.
func TestResetting(t *testing.T) {
	old := machine{changed: func(known) {}}
	form, _ := json.Marshal(cluster.Command{Kind: cluster.Form, Host: "db1", Nonce: "n", System: 7, Name: "db1_1"})
	if _, err := old.Apply(12, form); err != nil {
		t.Fatal(err)
	}
	m := &resetting{machine: old, record: cluster.Record{Rule: "made anew"}}
	text := m.Snapshot()
	var learned []known
	anew := machine{changed: func(k known) { learned = append(learned, k) }}
	if err := anew.Restore(text); err != nil {
		t.Fatal(err)
	}
	halted := learned[0]
	if halted.Index != resetStep+12 || halted.State.Halted != "made anew" || halted.State.Epoch != 1 || halted.State.Master != "db1" {
		t.Errorf("%+v", halted)
	}
	if last := halted.State.History[len(halted.State.History)-1]; last.Command != cluster.Halt || last.Rule != "made anew" {
		t.Errorf("%+v", last)
	}
	adopt, _ := json.Marshal(cluster.Command{Kind: cluster.Adopt, Epoch: 1, Host: "db1", Nonce: "m", Rows: []cluster.Epoch{{Epoch: 1, Master: "db1"}}})
	if refused, err := anew.Apply(15, adopt); err != nil || refused != nil || learned[1].Index != resetStep+15 || learned[1].State.Epoch != 2 {
		t.Errorf("%v, %v, %+v", refused, err, learned)
	}
	again := &resetting{machine: anew, record: cluster.Record{Rule: "once more"}}
	var k known
	if err := json.Unmarshal(again.Snapshot(), &k); err != nil || k.Index != 2*resetStep+15 || k.Base != 2*resetStep {
		t.Errorf("%+v, %v", k, err)
	}
}

// TestSetStoreAside: nothing is lost, the latest state stays, and a second time changes nothing.
func TestSetStoreAside(t *testing.T) {
	dir := t.TempDir()
	for path, text := range map[string]string{"raft/raft.db": "db", "raft/snapshots/1/state.bin": "s", "raft/state.json": "{}"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, path), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := setStoreAside(dir, "x1"); err != nil {
			t.Fatal(err)
		}
		for path, want := range map[string]bool{"raft/raft.db": false, "raft/snapshots": false, "raft/state.json": true, "raft.x1/raft.db": true, "raft.x1/snapshots/1/state.bin": true} {
			if _, err := os.Stat(filepath.Join(dir, path)); (err == nil) != want {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
}
