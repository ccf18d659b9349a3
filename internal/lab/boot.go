package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// bootLimit is how long a host, or one of its services, may take to answer. It is
// generous: on a loaded machine a boot takes several times its usual three seconds.
const bootLimit = 90 * time.Second

// Boot starts a host that is down, with the disk and the data that it had, and
// returns when it answers: sshd, and PostgreSQL on a server.
func (h *Host) Boot(ctx context.Context) error {
	if h.Running() {
		return fmt.Errorf("%s: boot: the host is running already", h.Name())
	}
	if err := h.clearRemains(ctx); err != nil {
		return fmt.Errorf("%s: boot: %w", h.Name(), err)
	}
	if err := h.start(); err != nil {
		return fmt.Errorf("%s: boot: %w", h.Name(), err)
	}
	if err := h.waitBooted(ctx); err != nil {
		return fmt.Errorf("%w\n%s", err, h.lastWords())
	}
	return nil
}

// clearRemains waits until the kernel has cleared up after the last run and makes
// fresh control groups.
func (h *Host) clearRemains(ctx context.Context) error {
	return waitFor(ctx, "remains of the last run to go", 10*time.Second, func(ctx context.Context) error {
		if pids := processesIn(h.groups()); len(pids) > 0 {
			return fmt.Errorf("process %d is left", pids[0])
		}
		if hasPort(ctx, h.region.Name(), h.Name()) {
			return errors.New("its network port is left")
		}
		if err := removeGroups(h.groups()); err != nil {
			return err
		}
		for _, group := range h.groups() {
			if err := os.MkdirAll(group, 0o755); err != nil {
				return err
			}
		}
		return nil
	})
}

// start starts systemd-nspawn in the host's control groups and the region's network
// namespace. It outlives this process.
func (h *Host) start() error {
	dirs := dirsOf(h.region.Name(), h.Name())
	argv := []string{
		"nsenter", "--net=/run/netns/" + netnsName(h.region.Name()),
		"systemd-nspawn", "--quiet", "--directory=" + dirs.root, "--machine=" + h.Name(), "--hostname=" + h.Name(),
		"--register=no", "--keep-unit", "--network-bridge=" + bridge, "--console=read-only",
		"--link-journal=no", "--resolv-conf=off", "--timezone=off",
	}
	if h.spec.server {
		argv = append(argv, "--bind="+dirs.data+":"+h.region.spec.flavour().dataFS)
	}
	if h.spec.systemd {
		argv = append(argv, "--boot")
	} else {
		argv = append(argv, "--as-pid2", "/usr/local/sbin/region-init")
	}
	argv = inGroups(h.groups(), argv...)

	console, err := os.Create(dirs.log)
	if err != nil {
		return err
	}
	defer console.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = console, console
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { _ = cmd.Wait() }()
	return nil
}

func (h *Host) waitBooted(ctx context.Context) error {
	err := waitFor(ctx, h.Name()+": sshd", bootLimit, func(ctx context.Context) error {
		_, err := h.Shell(ctx, `exec 3<>/dev/tcp/127.0.0.1/22 && read -r -t 2 banner <&3 && [[ $banner == SSH-* ]]`)
		return err
	})
	if err == nil && h.spec.server {
		err = h.WaitPostgres(ctx, bootLimit)
	}
	if err != nil || !h.spec.systemd {
		return err
	}
	return waitFor(ctx, h.Name()+": the end of its boot", bootLimit, func(ctx context.Context) error {
		result, err := h.Exec(ctx, "systemctl", "is-system-running")
		state := strings.TrimSpace(result.Stdout)
		if err == nil && state != "running" && state != "degraded" {
			err = fmt.Errorf("systemd says %s", state)
		}
		return err
	})
}

// WaitPostgres returns when the server's PostgreSQL answers.
func (h *Host) WaitPostgres(ctx context.Context, limit time.Duration) error {
	return waitFor(ctx, h.Name()+": PostgreSQL", limit, func(ctx context.Context) error {
		_, err := h.PSQL(ctx, "SELECT 1")
		return err
	})
}

// lastWords is what the host said last, on its console and in the server's log.
func (h *Host) lastWords() string {
	dirs := dirsOf(h.region.Name(), h.Name())
	logs, _ := filepath.Glob(filepath.Join(dirs.root, "var", "log", "postgresql", "*.log"))
	var b strings.Builder
	for _, path := range append([]string{dirs.log}, logs...) {
		text, _ := os.ReadFile(path)
		fmt.Fprintf(&b, "%s: %s:\n%s\n", h.Name(), filepath.Base(path), lastLines(strings.ReplaceAll(string(text), "\r", ""), 12))
	}
	return strings.TrimSpace(b.String())
}
