package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Down kills the region's hosts and removes everything it is made of. Its data is
// gone; the images stay.
func (r *Region) Down(ctx context.Context) error { return Down(ctx, r.Name()) }

// Down is Region.Down by name. It also removes what a killed run left; that nothing
// is there is no error.
func Down(ctx context.Context, name string) error {
	if name == "" {
		name = "region"
	}
	if !regionName.MatchString(name) {
		return fmt.Errorf("region name %q: want a lower-case letter, then up to 15 letters, digits and dashes", name)
	}
	unlock, err := lockRegion(name)
	if err != nil {
		return err
	}
	defer unlock()
	return takeDown(ctx, name)
}

// DownAll takes all regions down.
func DownAll(ctx context.Context) error {
	var errs []error
	for _, name := range Regions() {
		errs = append(errs, Down(ctx, name))
	}
	return errors.Join(errs...)
}

// lockRegion keeps two Ups or Downs of one region apart, in any process.
func lockRegion(name string) (unlock func(), err error) {
	if err := os.MkdirAll(lockDir, 0o755); err != nil {
		return nil, err
	}
	return lockFile(filepath.Join(lockDir, "pgctl-lab-"+name+".lock"))
}

func takeDown(ctx context.Context, region string) error {
	groups := cgroupDirs(region)
	if err := killAll(ctx, groups); err != nil {
		return fmt.Errorf("region %s: %w", region, err)
	}
	err := errors.Join(
		waitFor(ctx, "control groups to go", 10*time.Second, func(context.Context) error { return removeGroups(groups) }),
		unmountBelow(regionDir(region)),
		removeNetwork(ctx, region),
	)
	if err != nil {
		return fmt.Errorf("region %s: %w", region, err)
	}
	if err := os.RemoveAll(regionDir(region)); err != nil {
		return err
	}
	for _, root := range cgroupRoots() { // the last one puts out the light
		_ = syscall.Rmdir(filepath.Join(root, cgroup))
	}
	_ = syscall.Rmdir(runDir)
	return nil
}

// killAll kills everything in the groups: first the hosts' own PID 1, with which the
// kernel kills the rest of a host and systemd-nspawn ends by itself, and what is left
// a second later.
func killAll(ctx context.Context, groups []string) error {
	const patience = time.Second
	rest := time.Now().Add(patience)
	return waitFor(ctx, "the hosts' processes to die", 20*time.Second, func(context.Context) error {
		pids := processesIn(groups)
		if len(pids) == 0 {
			return nil
		}
		for _, pid := range pids {
			if _, isInit := initOf([]int{pid}); isInit {
				_ = syscall.Kill(pid, syscall.SIGKILL)
				rest = time.Now().Add(patience)
			} else if time.Now().After(rest) {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		return fmt.Errorf("%d left, among them %q", len(pids), commandLine(pids[0]))
	})
}

// unmountBelow unmounts a directory and all mounts below it, innermost first.
func unmountBelow(dir string) error {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	var points []string
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		point := unescapeMount(fields[4])
		if point == dir || strings.HasPrefix(point, dir+"/") {
			points = append(points, point)
		}
	}
	var errs []error
	for _, point := range slices.Backward(points) {
		if syscall.Unmount(point, 0) == nil {
			continue
		}
		if err := syscall.Unmount(point, syscall.MNT_DETACH); err != nil {
			errs = append(errs, fmt.Errorf("unmount %s: %w", point, err))
		}
	}
	return errors.Join(errs...)
}

// unescapeMount undoes the octal escapes of mountinfo (\040 is a space).
func unescapeMount(path string) string {
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] == '\\' && i+3 < len(path) {
			if code, err := strconv.ParseUint(path[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(code))
				i += 3
				continue
			}
		}
		b.WriteByte(path[i])
	}
	return b.String()
}
