package service

import (
	"fmt"
	"strings"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// Script is shell that prints the state of services. It defines the functions
//
//	service_facts LABEL UNIT   prints one line for the unit: LABEL, manager, unit and the manager's answer
//	program_facts LABEL NAME   the same for a program under supervisor
//
// A host is run by systemd if and only if /run/systemd/system exists (sd_booted(3)). An init script answers by its exit
// code (LSB: 0 running, 1 and 2 dead but left something behind, 3 stopped). Supervisor is asked only where its
// configuration has the program, since its client is slow to start.
const Script = `
service_facts() {
  if [ -d /run/systemd/system ]; then
    printf '%s systemd %s ' "$1" "$2"
    systemctl show -p LoadState,ActiveState,SubState "$2" | tr '\n' ' '
    echo
  else
    if [ -e "/etc/init.d/${2%.service}" ]; then service "${2%.service}" status >/dev/null 2>&1; code=$?; else code=absent; fi
    printf '%s service %s exit=%s\n' "$1" "${2%.service}" "$code"
  fi
}
program_facts() {
  if cat /etc/supervisor/supervisord.conf /etc/supervisor/conf.d/*.conf 2>/dev/null | grep -q "^\[program:$2\]"; then
    printf '%s supervisor %s %s\n' "$1" "$2" "$(supervisorctl status "$2" 2>&1 | head -n 1)"
  else
    printf '%s supervisor %s absent\n' "$1" "$2"
  fi
}
`

// Parse reads what Script's functions printed, by label.
func Parse(output string) (map[string]cluster.Service, error) {
	found := map[string]cluster.Service{}
	for line := range strings.Lines(output) {
		label, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		manager, rest, _ := strings.Cut(rest, " ")
		unit, answer, ok := strings.Cut(rest, " ")
		if !ok {
			return nil, fmt.Errorf("cannot read the service line %q: expected a label, a manager, a unit and its state", strings.TrimSpace(line))
		}
		s := cluster.Service{Unit: unit, Manager: manager}
		switch manager {
		case "systemd":
			s.State, s.Detail = systemd(answer)
		case "service":
			s.State, s.Detail = initScript(answer)
		case "supervisor":
			s.State, s.Detail = supervisor(unit, answer)
		default:
			return nil, fmt.Errorf("cannot read the service line %q: unknown manager %q", strings.TrimSpace(line), manager)
		}
		found[label] = s
	}
	return found, nil
}

// systemd judges "LoadState=loaded ActiveState=active SubState=running". A unit that is active and exited is not a
// running service: Debian's postgresql.service is so whatever its instances do.
func systemd(answer string) (cluster.ServiceState, string) {
	properties := map[string]string{}
	for field := range strings.FieldsSeq(answer) {
		name, value, _ := strings.Cut(field, "=")
		properties[name] = value
	}
	sub := properties["SubState"]
	switch {
	case properties["LoadState"] == "not-found":
		return cluster.ServiceAbsent, "no such unit"
	case properties["LoadState"] == cluster.Masked && properties["ActiveState"] == "inactive":
		return cluster.ServiceInactive, cluster.Masked
	case properties["ActiveState"] == "active" && sub == "exited":
		return cluster.ServiceUnknown, "active (exited): the unit runs no process of its own"
	case properties["ActiveState"] == "active", properties["ActiveState"] == "reloading":
		return cluster.ServiceActive, sub
	case properties["ActiveState"] == "failed":
		return cluster.ServiceFailed, sub
	case properties["ActiveState"] == "inactive", properties["ActiveState"] == "activating", properties["ActiveState"] == "deactivating":
		return cluster.ServiceInactive, sub
	}
	return cluster.ServiceUnknown, answer
}

func initScript(answer string) (cluster.ServiceState, string) {
	switch answer {
	case "exit=0":
		return cluster.ServiceActive, "running"
	case "exit=1", "exit=2":
		return cluster.ServiceFailed, "dead, but its pid or lock file is left"
	case "exit=3":
		return cluster.ServiceInactive, "stopped"
	case "exit=absent":
		return cluster.ServiceAbsent, "no such init script"
	}
	return cluster.ServiceUnknown, answer
}

// supervisor judges "NAME STATE details" (supervisor manual, "Process States").
func supervisor(name, answer string) (cluster.ServiceState, string) {
	if answer == "absent" {
		return cluster.ServiceAbsent, "not installed"
	}
	fields := strings.Fields(answer)
	if len(fields) < 2 || fields[0] != name {
		return cluster.ServiceUnknown, answer
	}
	detail := strings.Join(fields[1:], " ")
	switch fields[1] {
	case "RUNNING":
		return cluster.ServiceActive, detail
	case "STOPPED", "STOPPING", "STARTING", "EXITED":
		return cluster.ServiceInactive, detail
	case "FATAL", "BACKOFF":
		return cluster.ServiceFailed, detail
	}
	return cluster.ServiceUnknown, detail
}
