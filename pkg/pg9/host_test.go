package pg9_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/pg9"
	"github.com/pgctl/pgctl/pkg/remote"
)

func here() remote.Host {
	return remote.NewPool(remote.Options{LocalName: "here"}).Host("here")
}

// TestAsk runs the real script over a data directory made for it.
func TestAsk(t *testing.T) {
	dir := t.TempDir()
	trigger := filepath.Join(t.TempDir(), "trigger")
	for name, text := range map[string]string{
		filepath.Join(dir, "PG_VERSION"): "9.3\n", filepath.Join(dir, "backup_label"): "", trigger: "",
		filepath.Join(dir, "recovery.conf"): "standby_mode = 'on'\n#trigger_file = '/none'\ntrigger_file = '" + trigger + "'\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h := pg9.Ask(t.Context(), here(), dir, []string{"localhost", "nobody.invalid"})
	if h.Failure != nil || !h.Triggered || !slices.Contains(h.Triggers, trigger) || h.NoData || !h.Label || h.Tablespaces || h.Mounted || h.Busy != "" {
		t.Errorf("got %+v, %+v", h, h.Failure)
	}
	if !slices.Contains(h.Names["localhost"], "127.0.0.1") || len(h.Names["nobody.invalid"]) != 0 {
		t.Errorf("names %v", h.Names)
	}
	if h := pg9.Ask(t.Context(), here(), filepath.Join(dir, "none"), nil); h.Failure != nil || !h.NoData {
		t.Errorf("no data directory: %+v, %+v", h, h.Failure)
	}
}

// TestRobotIsToldApart: a robot is a process that runs the script, not one that has its name as an argument, as an editor and pgctl's own
// questions have.
func TestRobotIsToldApart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "post_failover.sh")
	if err := os.WriteFile(path, []byte("#!/bin/sh\nsleep 60; true\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	robots := func() []string { return pg9.Ask(t.Context(), here(), t.TempDir(), nil).Robot }
	if found := robots(); len(found) != 0 {
		t.Skipf("a post_failover.sh runs on this machine: %v", found)
	}
	for name, run := range map[string]struct {
		argv  []string
		robot bool
	}{
		"by its name":     {[]string{path}, true},
		"by a shell":      {[]string{"sh", path, "db1", "db2"}, true},
		"by bash -x":      {[]string{"bash", "-x", path}, true},
		"a pager of it":   {[]string{"tail", "-f", path}, false},
		"another command": {[]string{"sh", "-c", "sleep 60; true", "sh", path}, false},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), run.argv[0], run.argv[1:]...)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
			var found []string
			for range 20 { // the process becomes the program a moment after its start
				if found = robots(); slices.Contains(found, strconv.Itoa(cmd.Process.Pid)) == run.robot {
					break
				}
				time.Sleep(50 * time.Millisecond)
			}
			if slices.Contains(found, strconv.Itoa(cmd.Process.Pid)) != run.robot {
				t.Errorf("%q: robots %v", run.argv, found)
			}
		})
	}
}

func TestAddress(t *testing.T) {
	ks0 := &cluster.Server{Common: cluster.Common{Host: "ks0", Addresses: []string{"172.31.30.2", "10.0.0.2", "fe80::1"}}}
	for name, tt := range map[string]struct {
		here, there []string
		want, says  string
	}{
		"as it is":                 {[]string{"172.31.30.2"}, nil, "172.31.30.2", ""},
		"the one that it has":      {[]string{"172.31.30.99", "10.0.0.2"}, nil, "10.0.0.2", ""},
		"its own name is loopback": {[]string{"127.0.1.1"}, []string{"172.31.30.2"}, "172.31.30.2", ""},
		"wrong":                    {[]string{"172.31.30.99"}, []string{"172.31.30.2"}, "", "takes the name ks0 for 172.31.30.99, expected an address that ks0 has"},
		"unknown":                  {nil, []string{"172.31.30.2"}, "", "takes the name ks0 for nothing"},
		"loopback on both":         {[]string{"127.0.1.1"}, []string{"127.0.0.1"}, "", "takes the name ks0 for 127.0.1.1"},
	} {
		h, other := pg9.Host{Names: map[string][]string{"ks0": tt.here}}, pg9.Host{Names: map[string][]string{"ks0": tt.there}}
		got, err := h.Address(ks0, &other)
		if got != tt.want || (err != nil) != (tt.says != "") || err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
}

func TestServers(t *testing.T) {
	for text, want := range map[string]string{"ks0\nks1\n": "ks0 ks1", "ks1 ks0": "ks1 ks0", "# both\nks0 # a\nks1\n": "ks0 ks1", "ks0\n": "", "ks0 ks1 ks2": "", "ks0 $(reboot)": "", "ks0 -x": ""} {
		h := pg9.Host{Files: map[string][]byte{pg9.HostsFile: []byte(text)}}
		got, err := h.Servers()
		if strings.Join(got, " ") != want || (err == nil) != (want != "") {
			t.Errorf("%q gave %v, %v", text, got, err)
		}
	}
}
