package watch

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

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

// putStore puts the parts of a store into a state directory.
func putStore(t *testing.T, dir string, parts ...string) {
	t.Helper()
	for _, path := range parts {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, path), []byte(path), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSetStoreAside: nothing is lost, the latest state stays, a second time changes nothing, and goes on where an earlier one was broken off.
func TestSetStoreAside(t *testing.T) {
	const db, snapshot = "raft/raft.db", "raft/snapshots/1/state.bin"
	for name, parts := range map[string][]string{
		"a whole one":                  {db, snapshot},
		"broken off":                   {db, "raft.x1/snapshots/1/state.bin"},
		"broken off, and looked at":    {db, "raft.x1/snapshots/1/state.bin", "raft/snapshots/"},
		"of which the file went first": {snapshot, "raft.x1/raft.db"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if parts[len(parts)-1] == "raft/snapshots/" {
				parts = parts[:len(parts)-1]
				if err := os.MkdirAll(filepath.Join(dir, "raft/snapshots"), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			putStore(t, dir, append(parts, "raft/state.json")...)
			for range 2 {
				if err := setStoreAside(dir, "x1"); err != nil {
					t.Fatal(err)
				}
				for path, want := range map[string]bool{db: false, "raft/snapshots": false, "raft/state.json": true, "raft.x1/raft.db": true, "raft.x1/snapshots/1/state.bin": true} {
					if exists(filepath.Join(dir, path)) != want {
						t.Errorf("%s is there: %t", path, !want)
					}
				}
			}
		})
	}
}

// TestSetStoreAsideTwice: what is kept is not written over by the next one of that name, which stays whole in its place.
func TestSetStoreAsideTwice(t *testing.T) {
	dir := t.TempDir()
	parts := []string{"raft/raft.db", "raft/snapshots/1/state.bin"}
	putStore(t, dir, parts...)
	if err := setStoreAside(dir, "x1"); err != nil {
		t.Fatal(err)
	}
	putStore(t, dir, parts...)
	if err := setStoreAside(dir, "x1"); err == nil || !strings.Contains(err.Error(), "another name") {
		t.Errorf("got %v", err)
	}
	for _, path := range append(parts, "raft.x1/raft.db", "raft.x1/snapshots/1/state.bin") {
		if !exists(filepath.Join(dir, path)) {
			t.Errorf("%s is gone", path)
		}
	}
	if err := setStoreAside(dir, "x2"); err != nil || exists(filepath.Join(dir, "raft/raft.db")) {
		t.Errorf("under another name: %v", err)
	}
}

// TestLookStore: that a watcher does not run is told, whatever is wrong with its store; what was set aside by half does not count.
func TestLookStore(t *testing.T) {
	dir := t.TempDir()
	putStore(t, dir, "raft/raft.db", "raft.x1/raft.db", "raft.x2/snapshots/1/state.bin", "raft.x3.partial/raft.db")
	s, err := LookStore(t.Context(), dir, filepath.Join(dir, "control"))
	if err != nil || s.Running || s.Store != nil || s.Problem == "" || !slices.Equal(s.Aside, []string{"x1"}) {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestSetStoreAsideOfTheNewQuorum: the workaround of a run that was broken off does not empty a vote of what came of it.
func TestSetStoreAsideOfTheNewQuorum(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "raft"), 0o700); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(filepath.Join(dir, "raft/raft.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		first := make([]byte, 22) // version, type, term, time, length of the extensions
		first[0] = 1
		for bucket, entry := range map[string][2][]byte{
			"log": {{0, 0, 0, 0, 0, 0, 0, 1}, first},
			"own": {[]byte("own"), []byte(`{"version":1,"store":"s","since":1,"writes":1,"resets":["r1"]}`)},
		} {
			b, err := tx.CreateBucket([]byte(bucket))
			if err == nil {
				err = b.Put(entry[0], entry[1])
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	o := Options{RunDir: t.TempDir(), StateDir: dir}
	if err := SetStoreAside(o, "r1"); err == nil || !strings.Contains(err.Error(), "it stays") || !exists(filepath.Join(dir, "raft/raft.db")) {
		t.Errorf("as the reset that it is of: %v", err)
	}
	if err := SetStoreAside(o, "broken-disk"); err != nil || exists(filepath.Join(dir, "raft/raft.db")) {
		t.Errorf("under another name: %v", err)
	}
}
