package watch

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/postgres"
)

func TestServerStatus(t *testing.T) {
	streaming := cluster.Upstream{Receiver: "db1", Streaming: true}
	standby := &postgres.OwnSQL{Version: "15.18", Timeline: 3, Recovery: true}
	tests := []struct {
		name         string
		sql          *postgres.OwnSQL
		err          error
		facts        cluster.Facts
		status, role string
	}{
		{"a master", &postgres.OwnSQL{}, nil, cluster.Facts{Running: true}, "active", "master"},
		{"a standby", standby, nil, cluster.Facts{Running: true, Recovery: true, Upstream: streaming}, "available", "standby"},
		{"not asked yet", nil, nil, cluster.Facts{Silent: cluster.Never}, "PostgreSQL has not answered yet", "unknown"},
		{"an answer that is on its way", &postgres.OwnSQL{}, nil, cluster.Facts{Running: true, Silent: patience}, "active", "master"},
		{"no answer for long", standby, nil, cluster.Facts{Running: true, Recovery: true, Silent: patience + 1}, "PostgreSQL gives no answer", "unknown"},
		{"it says no", standby, errors.New("db2: no"), cluster.Facts{Running: true, Recovery: true, Upstream: streaming}, "PostgreSQL cannot be asked: db2: no", "standby"},
		{"no receiver", standby, nil, cluster.Facts{Running: true, Recovery: true}, "the standby receives nothing: it has no WAL receiver", "standby"},
		{"a receiver that tries", standby, nil, cluster.Facts{Running: true, Recovery: true, Upstream: cluster.Upstream{Receiver: "?"}}, "the standby does not stream: its receiver has not connected", "standby"},
		{"paused", standby, nil, cluster.Facts{Running: true, Recovery: true, Paused: true, Upstream: streaming}, "replay is paused", "standby"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := &watcher{Options: Options{Host: "db2"}, server: &server{sql: tt.sql, last: postgres.OwnSight{SQLErr: tt.err}}, facts: &tt.facts}
			n := w.node(time.Now(), partServer)
			if n.Status != tt.status || n.Role != tt.role {
				t.Errorf("got %q, %q; expected %q, %q", n.Status, n.Role, tt.status, tt.role)
			}
		})
	}
	w := &watcher{Options: Options{Host: "db2"}}
	for what, want := range map[part]string{partArbiter: "available", partNone: "available", partUnknown: "no configuration says whether this host has a server"} {
		if n := w.node(time.Now(), what); n.Status != want || n.Role != string(what) || n.Age != nil {
			t.Errorf("%s: %+v", what, n)
		}
	}
}

func TestMonitorStatus(t *testing.T) {
	c := &config{path: "server.yaml", problem: "cannot read it"}
	w := &watcher{config: c}
	expect := func(want string) {
		t.Helper()
		if got := monitorStatus(w); got != want {
			t.Errorf("got %q, expected %q", got, want)
		}
	}
	expect("no configuration: cannot read it")
	c.take([]byte("other: {}\n"), "a")
	expect("server.yaml has no section pg_watcher")
	w.problem = "no certificate"
	c.take([]byte(good), "b")
	expect("available")
	c.take([]byte(strings.Replace(good, "failover: 1", "failover: 0", 1)), "c")
	expect("it takes no part in the quorum: no certificate")
	c.take([]byte("pg_watcher: 7\n"), "d")
	if got := monitorStatus(w); !strings.HasPrefix(got, "a newer configuration is not in force: server.yaml:1:") {
		t.Errorf("got %q", got)
	}
}

func TestOneWatcherAHost(t *testing.T) {
	dir := t.TempDir()
	lock, err := lockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := Run(t.Context(), Options{RunDir: dir}); !errors.Is(err, ErrAnother) {
		t.Errorf("a second one: %v", err)
	}
	lock.Close()
	again, err := lockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}
