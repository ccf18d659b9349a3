package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// cgroupRoots are the control group hierarchies that systemd uses to keep track of
// processes: the unified one alone, or on a hybrid machine the named one of version
// 1 too. A host needs a group of its own in each, or the systemd of one host takes
// the processes of another for its own and kills them.
func cgroupRoots() []string {
	const top = "/sys/fs/cgroup"
	if _, err := os.Stat(top + "/cgroup.controllers"); err == nil {
		return []string{top}
	}
	var roots []string
	for _, name := range []string{"systemd", "unified"} {
		if _, err := os.Stat(filepath.Join(top, name, "cgroup.procs")); err == nil {
			roots = append(roots, filepath.Join(top, name))
		}
	}
	return roots
}

func probeCgroups() error {
	roots := cgroupRoots()
	if len(roots) == 0 {
		return errors.New("the lab needs the control groups of systemd below /sys/fs/cgroup: run it on a machine that has them mounted")
	}
	for _, root := range roots {
		dir := filepath.Join(root, cgroup)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("the lab cannot make a control group (%w): run it on a machine or virtual machine of its own, not in a container", err)
		}
		_ = os.Remove(dir) // stays when a region is up
	}
	return nil
}

// cgroupDirs are the groups of a region, or of one of its hosts.
func cgroupDirs(region string, host ...string) []string {
	var dirs []string
	for _, root := range cgroupRoots() {
		dirs = append(dirs, filepath.Join(append([]string{root, cgroup, region}, host...)...))
	}
	return dirs
}

// processesIn lists the processes in the groups and all groups below.
func processesIn(groups []string) []int {
	var pids []int
	for _, group := range groups {
		_ = filepath.WalkDir(group, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.Name() != "cgroup.procs" {
				return nil // a group may go while we look
			}
			text, _ := os.ReadFile(path)
			for field := range strings.FieldsSeq(string(text)) {
				if pid, err := strconv.Atoi(field); err == nil {
					pids = append(pids, pid)
				}
			}
			return nil
		})
	}
	slices.Sort(pids)
	return slices.Compact(pids)
}

// removeGroups removes the groups and all below, innermost first. Groups that do
// not exist are no error.
func removeGroups(groups []string) error {
	var errs []error
	for _, group := range groups {
		var dirs []string
		_ = filepath.WalkDir(group, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		for _, dir := range slices.Backward(dirs) {
			if err := syscall.Rmdir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, fmt.Errorf("remove control group %s: %w", dir, err))
			}
		}
	}
	return errors.Join(errs...)
}

// initOf finds the process that is PID 1 of its own PID namespace.
func initOf(pids []int) (int, bool) {
	for _, pid := range pids {
		if ns := namespacePIDs(pid); len(ns) > 1 && ns[len(ns)-1] == "1" {
			return pid, true
		}
	}
	return 0, false
}

// namespacePIDs are the numbers a process has in each PID namespace, ours first.
func namespacePIDs(pid int) []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "NSpid:"); ok {
			return strings.Fields(rest)
		}
	}
	return nil
}

func commandLine(pid int) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return strings.TrimSpace(strings.ReplaceAll(string(text), "\x00", " "))
}

func commandName(pid int) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return strings.TrimSpace(string(text))
}
