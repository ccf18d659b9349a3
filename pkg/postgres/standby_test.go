package postgres_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgctl/pgctl/pkg/postgres"
	"github.com/pgctl/pgctl/pkg/remote"
)

// standby is a server of the given version in a temporary directory of this machine.
func standby(t *testing.T, version, auto string) (*postgres.Server, string) {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "PG_VERSION", version+"\n")
	write(t, dir, "postgresql.auto.conf", auto)
	return postgres.On(remote.NewPool(remote.Options{LocalName: "here", NoSudo: true}).Host("here"), postgres.Settings{OSUser: "nobody"}), dir
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(data)
}

// TestFollow: what a clone brought of the master's is replaced, the rest stays, and a second time changes nothing.
func TestFollow(t *testing.T) {
	for _, tt := range []struct{ version, file string }{{"15", "postgresql.auto.conf"}, {"10", "recovery.conf"}} {
		t.Run(tt.version, func(t *testing.T) {
			server, dir := standby(t, tt.version, "work_mem = '4MB'\nsynchronous_standby_names = 'db2'\n")
			write(t, dir, "recovery.signal", "")
			following := postgres.Following{Slot: "db2", SyncNames: `FIRST 1 ("db1")`}
			if done, err := server.Follows(t.Context(), dir, following); done || err != nil {
				t.Errorf("before: %v, %v", done, err)
			}
			if err := server.Follow(t.Context(), dir, following); err != nil {
				t.Fatal(err)
			}
			if done, err := server.Follows(t.Context(), dir, following); !done || err != nil {
				t.Errorf("after: %v, %v", done, err)
			}
			if got := read(t, dir, tt.file); !strings.Contains(got, "primary_conninfo = 'service=pgctl_upstream'\nprimary_slot_name = 'db2'\nrecovery_target_timeline = 'latest'\n") {
				t.Errorf("%s: %q", tt.file, got)
			}
			if got := read(t, dir, "postgresql.auto.conf"); !strings.HasPrefix(got, "work_mem = '4MB'\n") || strings.Count(got, "synchronous_standby_names") != 1 {
				t.Errorf("postgresql.auto.conf: %q", got)
			}
			if _, err := os.Stat(filepath.Join(dir, "recovery.signal")); tt.version == "15" && err == nil {
				t.Error("recovery.signal is still there: the server would end its recovery and open a timeline of its own")
			}
			following.Slot = ""
			if err := server.Follow(t.Context(), dir, following); err != nil {
				t.Fatal(err)
			}
			if done, err := server.Follows(t.Context(), dir, following); !done || err != nil || strings.Contains(read(t, dir, tt.file), "'db2'") {
				t.Errorf("without a slot: %v, %v, %q", done, err, read(t, dir, tt.file))
			}
		})
	}
}

// TestGate: a gated server starts read-only and follows nobody; following takes its place; without the gate it is a master again.
func TestGate(t *testing.T) {
	for version, signal := range map[string]string{"15": "standby.signal", "10": "recovery.conf"} {
		t.Run(version, func(t *testing.T) {
			server, dir := standby(t, version, "primary_conninfo = 'host=db1'\n")
			if gated, err := server.Gated(t.Context(), dir); gated || err != nil {
				t.Fatalf("gated from the start: %v", err)
			}
			if err := server.Gate(t.Context(), dir); err != nil {
				t.Fatal(err)
			}
			gated, err := server.Gated(t.Context(), dir)
			if text := read(t, dir, signal); !gated || err != nil || !strings.Contains(text, "delete this file") || version == "10" && !strings.Contains(text, "standby_mode = 'on'\n") {
				t.Errorf("%v, %v, %q", gated, err, text)
			}
			if strings.Contains(read(t, dir, "postgresql.auto.conf"), "db1") != (version == "10") {
				t.Errorf("it would follow: %q", read(t, dir, "postgresql.auto.conf"))
			}
			if err := server.Follow(t.Context(), dir, postgres.Following{}); err != nil {
				t.Fatal(err)
			}
			if version == "10" && strings.Contains(read(t, dir, signal), "is no master") {
				t.Error("the gate's comment is still there")
			}
			if err := server.Ungate(t.Context(), dir); err != nil {
				t.Fatal(err)
			}
			if gated, err := server.Gated(t.Context(), dir); gated || err != nil {
				t.Errorf("still gated: %v", err)
			}
		})
	}
}
