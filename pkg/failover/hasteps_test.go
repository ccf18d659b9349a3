package failover

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/plan"
	"github.com/pgctl/pgctl/pkg/remote"
	"github.com/pgctl/pgctl/pkg/remote/remotetest"
)

func TestParseNode(t *testing.T) {
	const json = `{"program":"pgctl","config":{"sha256":"aa","error":null}}`
	for _, tt := range []struct{ name, text, hash, doubt, pending string }{
		{"no watcher", "aa\n", "aa", "no watcher has written", ""},
		{"no file", "\n", "", "no watcher has written", ""},
		{"took it", "aa\nstatus 1\n" + json, "aa", "", ""},
		{"a clock that was set back", "aa\nstatus -3\n" + json, "aa", "", ""},
		{"another file still", "bb\nstatus 1\n" + json, "bb", "", "goes by another file still"},
		{"dead for a while", "aa\nstatus 11\n" + json, "aa", "", "has written nothing for 11s"},
		{"it cannot read it", "aa\nstatus 0\n" + strings.Replace(json, "null", `"line 3"`, 1), "aa", "", "cannot use the file: line 3"},
		{"the bare word of old", "aa\nstatus 1\nactive\n", "aa", "is not pgctl's", ""},
		{"another program's JSON", "aa\nstatus 1\n" + `{"status":"active","config":{"sha256":"aa"}}`, "aa", "is not pgctl's", ""},
		{"JSON of another shape", "aa\nstatus 1\n" + `{"program":"pgctl","config":"x"}`, "aa", "is not pgctl's", ""},
	} {
		n := parseNode(tt.text)
		doubt, pending := n.took(n.SHA256)
		if n.Failure != "" || n.SHA256 != tt.hash || !strings.Contains(doubt, tt.doubt) || (tt.doubt == "") != (doubt == "") || !strings.Contains(pending, tt.pending) || (tt.pending == "") != (pending == "") {
			t.Errorf("%s: %+v, %q, %q", tt.name, n, doubt, pending)
		}
	}
	if n := parseNode("aa\nstatus now\n{}"); n.Failure == "" {
		t.Errorf("no age: %+v", n)
	}
}

// zoneOnDisk is an HA with one zone's file on this machine.
func zoneOnDisk(t *testing.T, now, after string) (*HA, plan.Step) {
	t.Helper()
	dir := t.TempDir()
	f := ZoneFile{Zone: "za", Path: filepath.Join(dir, "server.yaml.za"), Now: []byte(now), After: []byte(after), Old: []byte(now), Backup: filepath.Join(dir, "backup", "server.yaml.za.S")}
	write(t, f.Path, now)
	h := &HA{Here: remote.NewPool(remote.Options{LocalName: "here", NoSudo: true}).Host("here"), Timeout: 10 * time.Second, Files: []ZoneFile{f}, Now: time.Now}
	return h, plan.Step{ID: "za/ha.edit", Verb: verbHAEdit, Args: map[string]string{"file": f.Path, "before": sum(f.Now), "after": sum(f.After), "backup": f.Backup}}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestHAEdit(t *testing.T) {
	h, s := zoneOnDisk(t, "old", "new")
	edit := haEdit{h}
	if done, err := edit.Done(t.Context(), s); done || err != nil {
		t.Errorf("before: %v, %v", done, err)
	}
	if err := edit.Do(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if done, err := edit.Done(t.Context(), s); !done || err != nil || read(t, s.Args["file"]) != "new" || read(t, s.Args["backup"]) != "old" {
		t.Errorf("after: %v, %v", done, err)
	}
	write(t, s.Args["file"], "theirs")
	if done, err := edit.Done(t.Context(), s); done || err == nil || !strings.Contains(err.Error(), "was edited by somebody else") {
		t.Errorf("theirs: %v, %v", done, err)
	}
	if err := edit.Do(t.Context(), s); err == nil || read(t, s.Args["file"]) != "theirs" {
		t.Errorf("theirs was overwritten: %v", err)
	}
}

func TestRecall(t *testing.T) {
	h, s := zoneOnDisk(t, "old", "new")
	if err := (haEdit{h}).Do(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	again := &HA{Here: h.Here, Files: []ZoneFile{{Path: s.Args["file"], Now: []byte("new"), After: []byte("new"), Old: []byte("new")}}}
	if err := again.Recall(t.Context(), nil); err != nil || again.Files[0].edited() {
		t.Errorf("nothing to recall: %v", err)
	}
	unfinished := &plan.Plan{Steps: []plan.Step{s}}
	if err := again.Recall(t.Context(), unfinished); err != nil || string(again.Files[0].Old) != "old" {
		t.Errorf("%q, %v", again.Files[0].Old, err)
	}
	write(t, s.Args["backup"], "other")
	if err := again.Recall(t.Context(), unfinished); err == nil {
		t.Error("a backup that is not the one of the plan was taken")
	}
	again.Files[0].Now = []byte("edited since")
	if err := again.Recall(t.Context(), unfinished); err != nil {
		t.Errorf("a file that was edited since has nothing to do with it: %v", err)
	}
}

// nodeThat answers as a node that has a file with this hash.
func nodeThat(t *testing.T, hash, watcher string) *remotetest.Fake {
	f := remotetest.NewFake(t, "node")
	f.RunFunc = func(context.Context, remote.Command) (remote.Result, error) {
		return remote.Result{Stdout: []byte(hash + "\n" + watcher)}, nil
	}
	return f
}

func TestHAProve(t *testing.T) {
	const took, old = "status 1\n" + `{"program":"pgctl","config":{"sha256":"aa"}}`, "status 60\n" + `{"program":"pgctl","config":{"sha256":"bb"}}`
	for _, tt := range []struct {
		name, hash, watcher string
		on                  bool
		notYet, warns       string
	}{
		{name: "it took it", hash: "aa", watcher: took, on: true},
		{name: "another file", hash: "bb", watcher: took, on: true, notYet: "is not its zone's file"},
		{name: "not its watcher yet", hash: "aa", watcher: strings.Replace(old, "60", "1", 1), notYet: "another file still"},
		{name: "a dead watcher, switched on", hash: "aa", watcher: old, on: true, notYet: "has written nothing for 1m0s"},
		{name: "a dead watcher, switched off", hash: "aa", watcher: old, warns: "has written nothing for 1m0s"},
		{name: "no watcher", hash: "aa", warns: "no watcher has written"},
	} {
		warned := ""
		h := haProve{&HA{Hosts: func(string) remote.Host { return nodeThat(t, tt.hash, tt.watcher) }, Timeout: time.Second, Wish: HAWish{On: tt.on}, Warn: func(_, m string) { warned = m }}}
		done, err := h.Done(t.Context(), plan.Step{Host: "node", Args: map[string]string{"sha256": "aa"}})
		var no *plan.NotYet
		switch {
		case tt.notYet != "" && (done || !errors.As(err, &no) || !strings.Contains(err.Error(), tt.notYet)):
			t.Errorf("%s: %v, %v", tt.name, done, err)
		case tt.notYet == "" && (!done || err != nil):
			t.Errorf("%s: %v, %v", tt.name, done, err)
		case !strings.Contains(warned, tt.warns) || (tt.warns == "") != (warned == ""):
			t.Errorf("%s: warned %q", tt.name, warned)
		}
	}
}

// TestLook: after putting back, which nodes have what decides.
func TestLook(t *testing.T) {
	f := ZoneFile{Now: []byte("old"), After: []byte("new"), Old: []byte("old")}
	s := plan.Step{Args: map[string]string{"want": "db1=" + sum(f.After) + " db2=" + sum(f.After)}}
	old := map[string]string{sum(f.After): sum(f.Old)}
	for _, tt := range []struct {
		name, db1, db2 string // "" does not answer
		all            bool
		newOn, silent  string
	}{
		{"all have the old one", sum(f.Old), sum(f.Old), true, "", ""},
		{"one has the new one", sum(f.Old), sum(f.After), false, "db2", ""},
		{"one does not answer", "", sum(f.After), false, "db2", "db1"},
		{"one has something else", "other", sum(f.Old), false, "", ""},
	} {
		hosts := map[string]remote.Host{}
		for name, hash := range map[string]string{"db1": tt.db1, "db2": tt.db2} {
			node := nodeThat(t, hash, "")
			if hash == "" {
				node.Err = errors.New("gone")
			}
			hosts[name] = node
		}
		h := &HA{Hosts: func(name string) remote.Host { return hosts[name] }, Timeout: time.Second}
		back := &PutBack{}
		if all := h.look(t.Context(), s, old, back); all != tt.all || strings.Join(back.NewOn, " ") != tt.newOn || strings.Join(back.Silent, " ") != tt.silent {
			t.Errorf("%s: %v, %+v", tt.name, all, back)
		}
	}
}

// TestRun: the output comes line by line, standard error too, and a failure says what was said last.
func TestRun(t *testing.T) {
	h, _ := zoneOnDisk(t, "", "")
	var said []string
	h.Say = func(line string) { said = append(said, line) }
	script := filepath.Join(t.TempDir(), "build.sh")
	if err := os.WriteFile(script, []byte("#!/bin/sh\npwd\necho \"$1\" >&2\nread -r x || echo no input\nexit $1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := h.run(t.Context(), script, "0"); err != nil || strings.Join(said, " ") != filepath.Dir(script)+" 0 no input" {
		t.Errorf("%q, %v", said, err)
	}
	if err := h.run(t.Context(), script, "7"); err == nil || !strings.Contains(err.Error(), "build.sh: exit code 7: no input") {
		t.Errorf("%v", err)
	}
	if err := h.run(t.Context(), script+".missing"); err == nil {
		t.Error("a script that is not there has run")
	}
}

func TestHABack(t *testing.T) {
	h, s := zoneOnDisk(t, "old", "new")
	h.Wish.On = true
	if err := (haEdit{h}).Do(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	stopped := &plan.Stopped{Changed: true, Err: errors.New("no master")}
	p, ok := h.Back(stopped)
	if !ok || p.Check(h.Handlers()) != nil || h.Still(cluster.Snapshot{}, p, nil) != nil || h.Still(cluster.Snapshot{}, plan.Plan{Name: "enable-ha"}, nil) == nil {
		t.Fatalf("%+v, %v", p, ok)
	}
	h.sent = true
	if err := h.Still(cluster.Snapshot{}, plan.Plan{Name: "enable-ha"}, nil); err != nil {
		t.Errorf("after the roll-out the watchers act: %v", err)
	}
	h.sent = false
	if done, err := (haBack{h}).Done(t.Context(), p.Steps[0]); done || err != nil {
		t.Errorf("before: %v, %v", done, err)
	}
	if err := (haBack{h}).Do(t.Context(), p.Steps[0]); err != nil || read(t, s.Args["file"]) != "old" {
		t.Errorf("%v", err)
	}
	if done, err := (haBack{h}).Done(t.Context(), p.Steps[0]); !done || err != nil {
		t.Errorf("after: %v, %v", done, err)
	}
	write(t, s.Args["file"], "theirs")
	if err := (haBack{h}).Do(t.Context(), p.Steps[0]); err != nil || read(t, s.Args["file"]) != "theirs" {
		t.Errorf("theirs: %v", err)
	}
	for name, change := range map[string]func(){
		"sent": func() { h.sent = true }, "switched off": func() { h.Wish.On = false }, "put back already": func() { stopped.Err = &PutBack{Cause: errors.New("x")} },
	} {
		h.sent, h.Wish.On, stopped.Err = false, true, errors.New("no master")
		change()
		if p, ok := h.Back(stopped); ok {
			t.Errorf("%s: %+v", name, p)
		}
	}
}
