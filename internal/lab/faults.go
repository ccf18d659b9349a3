package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Postmaster as a Freeze pattern means the server's main process alone: sessions
// that are open go on, and nobody new gets in.
const Postmaster = "postmaster"

// Everything as a Freeze pattern means every process of the host.
const Everything = ""

// Stop stops a service ("postgresql", "pgpool2", "supervisor", "ssh", or a program
// of supervisor such as "pg_watcher") in good order, and returns when its processes
// are gone: an init script may return before, and a start would then be refused.
func (h *Host) Stop(ctx context.Context, service string) error {
	if err := h.service(ctx, "stop", service); err != nil {
		return err
	}
	match := serviceProcesses(service)
	return waitFor(ctx, h.Name()+": "+service+" to stop", 30*time.Second, func(context.Context) error {
		if left := h.processes(match); len(left) > 0 && service != "ssh" { // sessions outlive sshd
			return fmt.Errorf("%d processes are left", len(left))
		}
		return nil
	})
}

// Start starts a service.
func (h *Host) Start(ctx context.Context, service string) error {
	return h.service(ctx, "start", service)
}

func (h *Host) service(ctx context.Context, verb, service string) error {
	argv := []string{"service", service, verb}
	switch {
	case service == "pg_watcher":
		argv = []string{"supervisorctl", verb, service}
	case h.spec.systemd && service == "postgresql":
		// Debian's postgresql.service says active whatever the server does, so a
		// start of it would start nothing.
		argv = []string{"systemctl", verb, h.region.spec.flavour().unit}
	case h.spec.systemd:
		argv = []string{"systemctl", verb, service}
	}
	if verb == "start" && argv[0] == "systemctl" { // a story starts a service more often than systemd lets anybody: five times in ten seconds
		_, _ = h.Run(ctx, "systemctl", "reset-failed", argv[2])
	}
	_, err := h.Run(ctx, argv...)
	return err
}

// KillService kills all processes of a service with SIGKILL, at once, and returns
// when they are gone. What watches over the service may start it again.
func (h *Host) KillService(ctx context.Context, service string) error {
	match := serviceProcesses(service)
	victims := h.processes(match)
	if len(victims) == 0 {
		return fmt.Errorf("%s: kill %s: it has no process", h.Name(), service)
	}
	return waitFor(ctx, h.Name()+": "+service+" to die", 10*time.Second, func(context.Context) error {
		left := 0
		for _, pid := range victims {
			if match(pid) && syscall.Kill(pid, syscall.SIGKILL) == nil {
				left++
			}
		}
		if left > 0 {
			return fmt.Errorf("%d processes are left", left)
		}
		return nil
	})
}

// serviceProcesses tells the processes of a service from all others.
func serviceProcesses(service string) func(pid int) bool {
	names := map[string]string{"postgresql": "postgres", "pgpool2": "pgpool", "ssh": "sshd", "supervisor": "supervisord"}
	if name, ok := names[service]; ok {
		return func(pid int) bool { return commandName(pid) == name }
	}
	if service == "pg_watcher" {
		return func(pid int) bool { return strings.Contains(commandLine(pid), "pgctl watch") }
	}
	return func(pid int) bool { return commandName(pid) == service }
}

// processes lists the host's own processes that match, as this machine numbers them.
func (h *Host) processes(match func(pid int) bool) []int {
	var pids []int
	for _, pid := range processesIn(h.groups()) {
		if len(namespacePIDs(pid)) > 1 && match(pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// Kill is a power failure: SIGKILL to the host's PID 1, and the kernel kills the
// rest. The disk and the data stay; Boot starts the host again.
func (h *Host) Kill(ctx context.Context) error {
	pid, err := h.init()
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return fmt.Errorf("%s: kill: %w", h.Name(), err)
	}
	return waitFor(ctx, h.Name()+" to die", 20*time.Second, func(context.Context) error {
		if pids := processesIn(h.groups()); len(pids) > 0 {
			return fmt.Errorf("process %d (%s) is left", pids[0], commandName(pids[0]))
		}
		return nil
	})
}

// Freeze stops (SIGSTOP) the processes whose command line matches the regular
// expression; Postmaster and Everything are special. The kernel still answers for
// a frozen host: connections open and then hang.
func (h *Host) Freeze(pattern string) error { return h.signal(syscall.SIGSTOP, pattern) }

// Thaw lets frozen processes go on.
func (h *Host) Thaw(pattern string) error { return h.signal(syscall.SIGCONT, pattern) }

func (h *Host) signal(sig syscall.Signal, pattern string) error {
	match, err := freezeMatch(pattern)
	if err != nil {
		return fmt.Errorf("%s: %w", h.Name(), err)
	}
	pids := h.processes(match)
	if len(pids) == 0 {
		return fmt.Errorf("%s: no process matches %q", h.Name(), pattern)
	}
	var errs []error
	for _, pid := range pids {
		if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			errs = append(errs, fmt.Errorf("%s: %s to process %d: %w", h.Name(), sig, pid, err))
		}
	}
	return errors.Join(errs...)
}

func freezeMatch(pattern string) (func(pid int) bool, error) {
	switch pattern {
	case Everything:
		return func(int) bool { return true }, nil
	case Postmaster:
		return isPostmaster, nil
	}
	expr, err := regexp.Compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %w", pattern, err)
	}
	return func(pid int) bool { return expr.MatchString(commandLine(pid)) }, nil
}

// isPostmaster: the postgres process whose parent is none.
func isPostmaster(pid int) bool {
	if commandName(pid) != "postgres" {
		return false
	}
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest) // state, parent, ...
	if len(fields) < 2 {
		return false
	}
	parent, err := strconv.Atoi(fields[1])
	return err == nil && commandName(parent) != "postgres"
}

const filler = "filler.lab"

// FillDisk fills the file system of the server's data directory to the last byte.
func (h *Host) FillDisk() error {
	if !h.spec.server {
		return fmt.Errorf("%s: fill the disk: it is no server, only servers have a data file system", h.Name())
	}
	file, err := os.Create(filepath.Join(dirsOf(h.region.Name(), h.Name()).data, filler))
	if err != nil {
		return fmt.Errorf("%s: fill the disk: %w", h.Name(), err)
	}
	defer file.Close()
	for block := make([]byte, 1<<20); len(block) > 0; {
		if _, err = file.Write(block); err != nil {
			block = block[:len(block)/2]
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("%s: fill the disk: %w", h.Name(), err)
	}
	return nil
}

// FreeDisk undoes FillDisk.
func (h *Host) FreeDisk() error {
	err := os.Remove(filepath.Join(dirsOf(h.region.Name(), h.Name()).data, filler))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s: free the disk: %w", h.Name(), err)
	}
	return nil
}

// BreakNames makes the host forget every name, its own too; addresses still work.
func (h *Host) BreakNames() error { return h.writeHosts("127.0.0.1 localhost\n") }

// MendNames undoes BreakNames.
func (h *Host) MendNames() error { return h.writeHosts(hostsFile(h.region.spec)) }

func (h *Host) writeHosts(content string) error {
	path := filepath.Join(dirsOf(h.region.Name(), h.Name()).root, "etc", "hosts")
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		return fmt.Errorf("%s: names: %w", h.Name(), err)
	}
	return nil
}
