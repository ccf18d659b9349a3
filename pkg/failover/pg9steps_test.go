package failover

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/pgctl/pgctl/pkg/plan"
	"github.com/pgctl/pgctl/pkg/remote"
	"github.com/pgctl/pgctl/pkg/remote/remotetest"
)

// TestPG9StartsOnlyASlave: F4. PostgreSQL is not started on the old master unless its recovery.conf follows the new one, and not while there is
// a trigger file.
func TestPG9StartsOnlyASlave(t *testing.T) {
	tests := []struct{ name, facts, more, says string }{
		{"by address", "signal\nupstream 198.51.100.12\n", "", ""},
		{"by name", "signal\nupstream db2\n", "", ""},
		{"no recovery.conf", "", "", "there is no recovery.conf"},
		{"one that follows itself, as with the addresses in the wrong order", "signal\nupstream 198.51.100.11\n", "", `follows "198.51.100.11", which is not db2`},
		{"one that follows nobody, the gate", "signal\n", "", `follows "", which is not db2`},
		{"a trigger file", "signal\nupstream db2\n", "trigger /tmp/postgres-failover.trigger\n", "there is a trigger file, which would promote it: /tmp/postgres-failover.trigger"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			started := false
			host := remotetest.NewFake(t, "db1")
			host.RunFunc = func(_ context.Context, cmd remote.Command) (remote.Result, error) {
				line := strings.Join(cmd.Args, " ")
				switch {
				case strings.Contains(line, "is_robot"):
					return remote.Result{Stdout: []byte(tt.more + "end\n")}, nil
				case strings.Contains(line, "pg_act left"):
				case strings.Contains(line, "sh start /d"):
					started = true
				default:
					return remote.Result{Stdout: []byte("data_dir /d\npostmaster 0 gone\n" + tt.facts)}, nil
				}
				return remote.Result{}, nil
			}
			h := &PG9{Servers: &Servers{Hosts: func(string) remote.Host { return host }, Timeout: time.Second, Now: time.Now}}
			step := plan.Step{Host: "db1", Args: map[string]string{"data_dir": "/d", "master": "db2", "addresses": "198.51.100.12"}}
			err := h.start9(t.Context(), step)
			if started != (tt.says == "") || (err == nil) != started || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("started %v, %v; expected %q", started, err, tt.says)
			}
		})
	}
}

// TestPG9TakesOnlyAddresses: what goes into a command line of a site's script is an IP address, or nothing is run.
func TestPG9TakesOnlyAddresses(t *testing.T) {
	h := &PG9{Servers: &Servers{Hosts: func(name string) remote.Host { return remotetest.NewFake(t, name) }, Timeout: time.Second}}
	for _, ips := range []string{"db1", "198.51.100.11 $(reboot)", "198.51.100.11 -x"} {
		if err := h.onHost("master")(t.Context(), plan.Step{ID: "s", Host: "db2", Args: map[string]string{"ips": ips}}); err == nil || !strings.Contains(err.Error(), "is no IP address") {
			t.Errorf("%q: %v", ips, err)
		}
	}
}
