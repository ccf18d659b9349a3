package lab

import (
	"os"
	"strconv"
	"strings"
)

// inotifyInstances is how many inotify instances root may have while regions run: each host's systemd takes about ten, and the kernel's
// default of 128 is used up by two regions. A host that gets none hangs while it boots.
const inotifyInstances = 1024

// raiseLimits raises what the kernel shares between all hosts. Where it may not, the default has to do.
func raiseLimits() {
	const file = "/proc/sys/fs/inotify/max_user_instances"
	text, err := os.ReadFile(file)
	if n, errNumber := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && errNumber == nil && n < inotifyInstances {
		_ = os.WriteFile(file, []byte(strconv.Itoa(inotifyInstances)), 0o644)
	}
}
