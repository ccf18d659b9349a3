package watch

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const good = `
pg_watcher:
  globals: 'arb1'
  inactive_failover: 1
  using_master_by_ts: 0
  pg_node_info:
    db1:
      zone_id: 'zone1a'
`

func TestConfig(t *testing.T) {
	path := filepath.Join(t.TempDir(), "server.yaml")
	c := &config{path: path}
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	on := strings.Replace(good, "inactive_failover: 1", "inactive_failover: 0", 1)
	broken := strings.Replace(good, "inactive_failover: 1", "inactive_failover: yes", 1)
	steps := []struct {
		name    string
		change  func()
		taken   bool
		on      bool
		problem string
	}{
		{name: "no file yet", change: func() {}, problem: "cannot read it"},
		{name: "the first is taken as it is found", change: func() { put(good) }, taken: true},
		{name: "nothing has changed", change: func() {}, taken: true},
		{name: "a change is looked at twice", change: func() { put(on) }, taken: true},
		{name: "and then taken", change: func() {}, taken: true, on: true},
		{name: "half a file", change: func() { put(good[:40]) }, taken: true, on: true},
		{name: "is never in force when it is whole in time", change: func() { put(on) }, taken: true, on: true},
		{name: "a broken one", change: func() { put(broken) }, taken: true, on: true},
		{name: "is refused", change: func() {}, taken: true, on: true, problem: path + ":4: gives inactive_failover"},
		{name: "and stays so", change: func() {}, taken: true, on: true, problem: path + ":4: gives inactive_failover"},
		{name: "gone", change: func() { _ = os.Remove(path) }, taken: true, on: true, problem: "cannot read it"},
		{name: "back as it was", change: func() { put(on) }, taken: true, on: true},
	}
	for _, s := range steps {
		s.change()
		c.look()
		if c.taken != s.taken || s.problem == "" != (c.problem == "") || !strings.Contains(c.problem, s.problem) || c.taken && c.watcher.InactiveFailover == s.on {
			t.Fatalf("%s: %+v", s.name, c)
		}
	}
}

func TestPartOf(t *testing.T) {
	c := &config{path: "server.yaml"}
	if got := c.partOf("db1"); got != partUnknown {
		t.Errorf("without a configuration: %s", got)
	}
	c.take([]byte(good), "sum")
	for host, want := range map[string]part{"db1": partServer, "db1.example.com": partServer, "DB1": partServer, "arb1": partArbiter, "pool1": partNone, "db11": partNone} {
		if got := c.partOf(host); got != want {
			t.Errorf("%s: %s, expected %s", host, got, want)
		}
	}
}
