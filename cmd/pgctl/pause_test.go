package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/nodes"
	"github.com/pgctl/pgctl/pkg/observe"
	"github.com/pgctl/pgctl/pkg/remote"
	"github.com/pgctl/pgctl/pkg/watch"
)

// node is a host on which nothing but pgctl ask can be run.
type node struct {
	remote.Host
	name  string
	told  *watch.Told
	grant func(watch.Wish) watch.Answer
	err   error
}

func (n *node) Name() string { return n.name }

func (n *node) Run(_ context.Context, c remote.Command) (remote.Result, error) {
	if n.err != nil {
		return remote.Result{}, n.err
	}
	var answer any
	switch strings.Join(c.Args, " ") {
	case "/usr/local/bin/pgctl ask state":
		answer = n.told
	case "/usr/local/bin/pgctl ask wish":
		var q watch.Wish
		text, err := io.ReadAll(c.Stdin)
		if err == nil {
			err = json.Unmarshal(text, &q)
		}
		if err != nil {
			return remote.Result{}, err
		}
		answer = n.grant(q)
	default:
		return remote.Result{}, fmt.Errorf("unexpected: %q", c.Args)
	}
	text, err := json.Marshal(answer)
	return remote.Result{Stdout: text}, err
}

func exited(code int, said string) error {
	return &remote.ExitError{Host: "db1", Args: []string{"pgctl"}, Code: code, Stderr: []byte(said)}
}

// siteOf is a site of these servers.
func siteOf(all ...*node) *observe.Site {
	inv := &nodes.Inventory{Kind: nodes.KindPG10}
	for _, n := range all {
		inv.Servers = append(inv.Servers, nodes.Server{Host: n.name})
	}
	return &observe.Site{Inventory: inv, Timeout: time.Second, Hosts: func(name string) remote.Host {
		for _, n := range all {
			if n.name == name {
				return n
			}
		}
		return nil
	}}
}

func knows(index uint64, leads bool) *watch.Told {
	return &watch.Told{Index: index, Leads: leads, Quorum: &cluster.Quorum{}}
}

func TestAskWatchers(t *testing.T) {
	site := siteOf(
		&node{name: "db1", err: exited(1, "pgctl: error: no pgctl watch listens on this host (x)\npgctl: hint: y\n")},
		&node{name: "db2", told: knows(7, false)}, &node{name: "db3", told: knows(6, true)},
		&node{name: "db4", told: &watch.Told{Index: 9, Problem: "no certificate"}}, &node{name: "db5", told: knows(8, false)},
	)
	var got []string
	all := askWatchers(t.Context(), site)
	for _, x := range all {
		got = append(got, x.host)
	}
	if order := strings.Join(got, " "); order != "db3 db5 db2 db4 db1" {
		t.Errorf("%s", order)
	}
	for i, want := range []string{"db4: its watcher takes no part in a quorum: no certificate", "db1: no pgctl watch listens on this host (x)"} {
		if why := all[3+i].why(); why != want {
			t.Errorf("got %q, expected %q", why, want)
		}
	}
	site.Inventory.Servers = []nodes.Server{{Host: "db1"}, {Host: "db4"}}
	_, err := (&app{}).regime(t.Context(), site)
	if err == nil || !strings.Contains(err.Error(), "db4: its watcher takes no part in a quorum: no certificate; db1: no pgctl watch") {
		t.Errorf("nobody to ask: %v", err)
	}
	for want, exit := range map[string]error{
		"there is no pgctl on it: pgctl deploy":    exited(127, "sh: not found"),
		"its pgctl is an older one: pgctl deploy":  exited(2, "pgctl: error: unknown command"),
		"a word of something else that went wrong": exited(1, "a word of something else that went wrong\n"),
	} {
		var e *remote.ExitError
		if errors.As(exit, &e); whyNoAnswer(e) != want {
			t.Errorf("got %q, expected %q", whyNoAnswer(e), want)
		}
	}
}

func TestPause(t *testing.T) {
	complains := func(kind string) func(watch.Wish) watch.Answer {
		return func(watch.Wish) watch.Answer {
			return watch.Answer{Complaint: &watch.Complaint{Kind: kind, Message: "why", Hint: "do"}}
		}
	}
	grants := func(q watch.Wish) watch.Answer {
		return watch.Answer{Executor: "db2", Now: q.Pause, Before: &cluster.Pause{Owner: "bert", Host: "db1"}}
	}
	pause := watch.Wish{Kind: cluster.PauseHA, Pause: &cluster.Pause{Owner: "anna", Until: "2026-01-01T00:00:00Z"}}
	for _, tt := range []struct {
		name   string
		grants []func(watch.Wish) watch.Answer
		code   int
		says   string
	}{
		{"the first one asked", []func(watch.Wish) watch.Answer{grants, nil}, exitDone, ""},
		{"the next, where one has no executor", []func(watch.Wish) watch.Answer{complains(watch.NoExecutor), grants}, exitDone, ""},
		{"nobody has an executor", []func(watch.Wish) watch.Answer{complains(watch.NoExecutor), complains(watch.NoExecutor)}, exitFailed, "nothing was changed: db1: why; db2: why\npgctl: hint: do"},
		{"refused: the next one is not asked", []func(watch.Wish) watch.Answer{complains(watch.Refused), nil}, exitRefused, "pgctl: refused: why"},
		{"undecided: neither", []func(watch.Wish) watch.Answer{complains(watch.Undecided), nil}, exitFailed, "pgctl: error: why\npgctl: hint: do"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			site := siteOf(&node{name: "db1", told: knows(2, true), grant: tt.grants[0]}, &node{name: "db2", told: knows(1, false), grant: tt.grants[1]})
			var out, errOut bytes.Buffer
			a := &app{out: &out, err: &errOut, output: "json"}
			err := a.grant(t.Context(), site, pause, func(watch.Answer) string { return "" })
			code := report(t.Context(), &errOut, err)
			if code != tt.code || !strings.Contains(errOut.String(), tt.says) {
				t.Fatalf("%d %s", code, errOut.String())
			}
			const want = `{
  "paused": {
    "owner": "anna",
    "reason": null,
    "until": "2026-01-01T00:00:00Z",
    "host": null
  },
  "before": {
    "owner": "bert",
    "reason": null,
    "until": null,
    "host": "db1"
  },
  "executor": "db2"
}
`
			if code == exitDone && out.String() != want || code != exitDone && out.Len() > 0 {
				t.Errorf("%s", out.String())
			}
		})
	}
}

// TestPauseRefused: a smaller pause does not end the one under which somebody else works.
func TestPauseRefused(t *testing.T) {
	told := knows(1, true)
	told.State.Paused = &cluster.Pause{Owner: "anna@firstbox", Reason: "new switches", Until: "2026-01-02T05:00:00Z"}
	a := &app{now: func() time.Time { return time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC) }}
	site := siteOf(&node{name: "db1", told: told})
	if err := a.mayPause(t.Context(), site, cluster.Pause{Owner: "bert"}, 3*time.Hour); err != nil {
		t.Errorf("a longer one: %v", err)
	}
	for name, p := range map[string]cluster.Pause{"narrower": {Owner: "anna@firstbox", Host: "db1"}, "shorter": {Owner: "bert"}} {
		var out bytes.Buffer
		code := report(t.Context(), &out, a.mayPause(t.Context(), site, p, 10*time.Minute))
		if code != exitRefused || !strings.Contains(out.String(), "paused by anna@firstbox until 2026-01-02T05:00:00Z (new switches)") || !strings.Contains(out.String(), "hint: pgctl resume") {
			t.Errorf("%s: %d %s", name, code, out.String())
		}
	}
	if text := paused(watch.Answer{Now: &cluster.Pause{Owner: "anna"}}); text != "HA paused by anna, until pgctl resume" {
		t.Errorf("%s", text)
	}
}

func TestOperator(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("SUDO_USER", "anna")
	if who, err := operator(); err != nil || who != "anna@"+host {
		t.Errorf("%q %v", who, err)
	}
	t.Setenv("SUDO_USER", "")
	if who, err := operator(); err != nil || who == "@"+host || !strings.HasSuffix(who, "@"+host) {
		t.Errorf("%q %v", who, err)
	}
}
