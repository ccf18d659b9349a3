//go:build lab

package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/pgctl/pgctl/internal/lab"
)

func TestLabStatus(t *testing.T) { statusStory(t, lab.Spec{}) }

func TestMatrixStatus(t *testing.T) {
	t.Run("PostgreSQL 10", func(t *testing.T) { statusStory(t, lab.Spec{Postgres: "10"}) })
	t.Run("without systemd", func(t *testing.T) {
		statusStory(t, lab.Spec{NoSystemd: []string{"db2"}})
	})
}

func statusStory(t *testing.T, spec lab.Spec) {
	r := region(t, spec)
	db2 := r.Host("db2")
	doc, code := statusOf(t, r)
	if code != exitDone || len(doc.Hosts) != 4 {
		t.Errorf("healthy: exit code %d, %+v", code, doc)
	}
	for _, h := range doc.Hosts {
		for _, s := range h.Services {
			if want := map[bool]string{true: "active", false: "absent"}[s.Name != "pg_watcher"]; string(s.State) != want || s.Wanted != (s.Name != "pg_watcher") {
				t.Errorf("healthy: %s: %+v", h.Host, s)
			}
		}
	}

	must(t, db2.Stop(t.Context(), "postgresql"))
	doc, code = statusOf(t, r)
	if s := serviceOf(doc, "db2", "postgresql"); s.State != "inactive" || code != exitUnhealthy {
		t.Errorf("PostgreSQL stopped: exit code %d, %+v", code, s)
	}
	if spec.Postgres == "" && db2.Systemd() { // what status must not believe
		if unit := shell(t, db2, "systemctl is-active postgresql.service"); unit != "active" {
			t.Errorf("postgresql.service is %s: the trap that this story is about has gone", unit)
		}
	}
	if out := pgctl(t, r, "status", "db1", "arb1"); out.Exit != exitDone || strings.Contains(out.Stdout, "db2") {
		t.Errorf("other hosts alone: %+v", out)
	}
	must(t, db2.Start(t.Context(), "postgresql"))

	must(t, r.Host("arb2").Kill(t.Context()))
	out := pgctl(t, r, "status", "--timeout", "2s")
	if out.Exit != exitUnhealthy || !strings.Contains(out.Stdout, "arb2: no answer from 198.51.100.32:22 within 2s") || !strings.Contains(out.Stdout, "pgpool2") {
		t.Errorf("a host powered off: %+v", out)
	}
	if out := pgctl(t, r, "status", "nobody"); out.Exit != exitUsage || !strings.Contains(out.Stderr, `the inventory has no host nobody: expected one of `) {
		t.Errorf("unknown host: %+v", out)
	}
}

func statusOf(t *testing.T, r *lab.Region) (statusDoc, int) {
	t.Helper()
	result := pgctl(t, r, "status", "-o", "json")
	var doc statusDoc
	if err := json.Unmarshal([]byte(result.Stdout), &doc); err != nil {
		t.Fatalf("status: %v\n%s%s", err, result.Stdout, result.Stderr)
	}
	return doc, result.Exit
}

func serviceOf(doc statusDoc, host, name string) serviceStatus {
	for _, h := range doc.Hosts {
		for _, s := range h.Services {
			if h.Host == host && s.Name == name {
				return s
			}
		}
	}
	return serviceStatus{}
}
