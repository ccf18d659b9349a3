package service_test

import (
	"strings"
	"testing"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/service"
)

func TestParse(t *testing.T) {
	tests := []struct {
		line   string
		state  cluster.ServiceState
		detail string
	}{
		{"x systemd postgresql@15-main.service LoadState=loaded ActiveState=active SubState=running ", cluster.ServiceActive, "running"},
		{"x systemd postgresql.service LoadState=loaded ActiveState=active SubState=exited ", cluster.ServiceUnknown, "active (exited): the unit runs no process of its own"},
		{"x systemd pgpool2 LoadState=loaded ActiveState=inactive SubState=dead ", cluster.ServiceInactive, "dead"},
		{"x systemd pgpool2 LoadState=loaded ActiveState=failed SubState=failed ", cluster.ServiceFailed, "failed"},
		{"x systemd pgpool2 LoadState=loaded ActiveState=activating SubState=auto-restart ", cluster.ServiceInactive, "auto-restart"},
		{"x systemd pgpool2 LoadState=not-found ActiveState=inactive SubState=dead ", cluster.ServiceAbsent, "no such unit"},
		{"x systemd pgpool2 LoadState=masked ActiveState=inactive SubState=dead ", cluster.ServiceInactive, "masked"},
		{"x systemd pgpool2 Failed to connect to bus", cluster.ServiceUnknown, "Failed to connect to bus"},
		{"x service postgresql exit=0", cluster.ServiceActive, "running"},
		{"x service postgresql exit=1", cluster.ServiceFailed, "dead, but its pid or lock file is left"},
		{"x service postgresql exit=3", cluster.ServiceInactive, "stopped"},
		{"x service postgresql exit=4", cluster.ServiceUnknown, "exit=4"},
		{"x service postgresql exit=absent", cluster.ServiceAbsent, "no such init script"},
		{"x supervisor pg_watcher pg_watcher                       RUNNING   pid 812, uptime 0:01:02", cluster.ServiceActive, "RUNNING pid 812, uptime 0:01:02"},
		{"x supervisor pg_watcher pg_watcher   STOPPED   Not started", cluster.ServiceInactive, "STOPPED Not started"},
		{"x supervisor pg_watcher pg_watcher   FATAL   Exited too quickly (process log may have details)", cluster.ServiceFailed, "FATAL Exited too quickly (process log may have details)"},
		{"x supervisor pg_watcher unix:///var/run/supervisor.sock no such file", cluster.ServiceUnknown, "unix:///var/run/supervisor.sock no such file"},
		{"x supervisor pg_watcher absent", cluster.ServiceAbsent, "not installed"},
	}
	for _, tt := range tests {
		found, err := service.Parse(tt.line + "\n")
		if err != nil {
			t.Errorf("%q: %v", tt.line, err)
			continue
		}
		if s := found["x"]; s.State != tt.state || s.Detail != tt.detail {
			t.Errorf("%q gave %q, %q; expected %q, %q", tt.line, s.State, s.Detail, tt.state, tt.detail)
		}
	}
}

func TestParseRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, line := range []string{"x\n", "x systemd\n", "x upstart unit answer\n"} {
		if _, err := service.Parse(line); err == nil || !strings.Contains(err.Error(), "cannot read the service line") {
			t.Errorf("%q: %v", line, err)
		}
	}
}
