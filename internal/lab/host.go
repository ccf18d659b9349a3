package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"strings"
	"syscall"
	"time"
)

const (
	psqlPath = "/usr/lib/postgresql/15/bin/psql"
	hostPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// ErrHostDown is returned when something is asked of a host that is not running.
var ErrHostDown = errors.New("the host is down")

// Host is one host of a region.
type Host struct {
	region *Region
	spec   hostSpec
}

// Result is what a command on a host printed, and its exit status.
type Result struct {
	Stdout, Stderr string
	Exit           int
}

// Name is the host's name.
func (h *Host) Name() string { return h.spec.name }

// Addr is the host's address in the region's network.
func (h *Host) Addr() string { return h.spec.addr }

// Zone is the zone the host is in: that of its server.yaml, "global" for an
// arbiter, empty for firstbox and for a host that is only a pool.
func (h *Host) Zone() string { return h.spec.zone }

// Systemd says whether the host runs systemd.
func (h *Host) Systemd() bool { return h.spec.systemd }

// DataDir is the data directory of a server, on the host.
func (h *Host) DataDir() string { return h.region.spec.flavour().dataDir }

// Port is the port of a server's PostgreSQL.
func (h *Host) Port() int { return h.region.spec.flavour().port }

// Running says whether the host is up, in the sense that it has a PID 1.
func (h *Host) Running() bool {
	_, err := h.init()
	return err == nil
}

func (h *Host) groups() []string { return cgroupDirs(h.region.Name(), h.Name()) }

// init is the host's PID 1, as this machine numbers it.
func (h *Host) init() (int, error) {
	if pid, ok := initOf(processesIn(h.groups())); ok {
		return pid, nil
	}
	return 0, fmt.Errorf("%s: %w", h.Name(), ErrHostDown)
}

// Command prepares a command on the host: in all namespaces of its PID 1 and in its
// control group, as root, with a clean environment. The caller sets the standard
// streams and runs it. A terminal passes through.
func (h *Host) Command(ctx context.Context, argv ...string) (*exec.Cmd, error) {
	pid, err := h.init()
	if err != nil {
		return nil, err
	}
	enter := []string{
		"nsenter", "--target", fmt.Sprint(pid), "--all", "--root", "--wdns=/",
		"env", "-i", hostPath, "HOME=/root", "USER=root", "LOGNAME=root", "SHELL=/bin/bash", "LANG=C.UTF-8", "TERM=" + terminal(),
	}
	argv = inGroups(groupsOf(pid), append(enter, argv...)...)
	return exec.CommandContext(ctx, argv[0], argv[1:]...), nil
}

func terminal() string {
	if term := os.Getenv("TERM"); term != "" {
		return term
	}
	return "linux"
}

// inGroups wraps a command so that it moves into the control groups before it
// starts; groups that are not there are left out.
func inGroups(groups []string, argv ...string) []string {
	const script = `while [ "$1" != -- ]; do [ ! -e "$1" ] || echo $$ >"$1" || exit 125; shift; done; shift; exec "$@"`
	wrapped := []string{"sh", "-c", script, "sh"}
	for _, group := range groups {
		wrapped = append(wrapped, path.Join(group, "cgroup.procs"))
	}
	return append(append(wrapped, "--"), argv...)
}

// groupsOf are the control groups a process is in, in the hierarchies that matter.
func groupsOf(pid int) []string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	var groups []string
	for line := range strings.Lines(string(text)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 || !strings.Contains(fields[2], "/"+cgroup+"/") {
			continue
		}
		for _, root := range cgroupRoots() {
			unified := fields[0] == "0" && !strings.HasSuffix(root, "/systemd")
			named := fields[1] == "name=systemd" && strings.HasSuffix(root, "/systemd")
			if unified || named {
				groups = append(groups, path.Join(root, fields[2]))
			}
		}
	}
	return groups
}

// Exec runs a command on the host. A non-zero exit is no error; the error says that
// the command could not be run, or did not end before ctx did.
func (h *Host) Exec(ctx context.Context, argv ...string) (Result, error) {
	return h.ExecInput(ctx, nil, argv...)
}

// ExecInput is Exec with a standard input.
func (h *Host) ExecInput(ctx context.Context, stdin io.Reader, argv ...string) (Result, error) {
	cmd, err := h.Command(ctx, argv...)
	if err != nil {
		return Result{}, err
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &stdout, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 2 * time.Second // of a daemon that keeps our pipe open
	err = cmd.Run()
	result := Result{Stdout: stdout.String(), Stderr: stderr.String(), Exit: -1}
	if cmd.ProcessState != nil {
		result.Exit = cmd.ProcessState.ExitCode()
	}
	var status *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return result, fmt.Errorf("%s: %s: %w", h.Name(), strings.Join(argv, " "), ctx.Err())
	case err == nil, errors.Is(err, exec.ErrWaitDelay), errors.As(err, &status):
		return result, nil
	}
	return result, fmt.Errorf("%s: %s: %w", h.Name(), strings.Join(argv, " "), err)
}

// Run runs a command on the host and returns its standard output without the last
// newline. A non-zero exit is an error with what the command said.
func (h *Host) Run(ctx context.Context, argv ...string) (string, error) {
	return h.runInput(ctx, nil, argv...)
}

// Shell is Run of a shell script.
func (h *Host) Shell(ctx context.Context, script string) (string, error) {
	return h.Run(ctx, "/bin/bash", "-c", script)
}

// PSQL runs SQL on the server's own PostgreSQL as the OS user postgres, through the
// local socket, and returns the rows: fields separated by |, no header.
func (h *Host) PSQL(ctx context.Context, sql string) (string, error) {
	return h.psql(ctx, "postgres", sql)
}

func (h *Host) psql(ctx context.Context, database, sql string) (string, error) {
	return h.runInput(ctx, strings.NewReader(sql), "runuser", "-u", "postgres", "--", psqlPath,
		"-XAtq", "-v", "ON_ERROR_STOP=1", "-h", "/var/run/postgresql", "-p", fmt.Sprint(h.Port()), "-d", database)
}

func (h *Host) runInput(ctx context.Context, stdin io.Reader, argv ...string) (string, error) {
	result, err := h.ExecInput(ctx, stdin, argv...)
	if err != nil {
		return "", err
	}
	out := strings.TrimSuffix(result.Stdout, "\n")
	if result.Exit != 0 {
		said := result.Stderr
		if strings.TrimSpace(said) == "" {
			said = result.Stdout
		}
		return out, fmt.Errorf("%s: %s: exit %d: %s", h.Name(), strings.Join(argv, " "), result.Exit, lastLines(said, 5))
	}
	return out, nil
}

// Push copies a file of this machine onto the host, which must be running, owned by
// root. The file appears at once, so a program that runs can be replaced.
func (h *Host) Push(ctx context.Context, src, dst string, mode fs.FileMode) error {
	file, err := os.Open(src)
	if err != nil {
		return fmt.Errorf("%s: push: %w", h.Name(), err)
	}
	defer file.Close()
	return h.WriteFile(ctx, dst, file, mode)
}

// WriteFile is Push of what content holds.
func (h *Host) WriteFile(ctx context.Context, dst string, content io.Reader, mode fs.FileMode) error {
	const script = `set -e; mkdir -p "$(dirname "$1")"; tmp="$1.push.$$"; trap 'rm -f "$tmp"' EXIT; cat >"$tmp"; chmod "$2" "$tmp"; mv -f "$tmp" "$1"`
	_, err := h.runInput(ctx, content, "sh", "-c", script, "sh", dst, fmt.Sprintf("%o", mode.Perm()))
	return err
}

// ReadFile returns a file of the host, which must be running.
func (h *Host) ReadFile(ctx context.Context, path string) (string, error) {
	result, err := h.Exec(ctx, "cat", "--", path)
	if err == nil && result.Exit != 0 {
		err = fmt.Errorf("%s: %s", h.Name(), strings.TrimSpace(result.Stderr))
	}
	return result.Stdout, err
}
