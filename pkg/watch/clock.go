package watch

import (
	"time"

	"golang.org/x/sys/unix"
)

// sinceBoot is the clock of all ages: monotonic, of the machine, going on while it sleeps (clock_gettime(2), CLOCK_BOOTTIME). Two lives
// of a watcher within one boot read the same clock.
func sinceBoot() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		panic(err) // since Linux 2.6.39
	}
	return time.Duration(t.Nano())
}
