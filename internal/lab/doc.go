// Package lab runs a whole region on one machine: real hosts, each a
// systemd-nspawn container with its own systemd, sshd, PostgreSQL, pgpool-II and
// supervisor, on a bridge inside a network namespace of the region's own. The
// demonstration and the slow tests stand on it.
//
// What holds for every region:
//   - everything that it is made of hangs on its name: the network namespace
//     pgctl-lab-NAME, the control groups pgctl-lab/NAME, the directory
//     /run/pgctl-lab/NAME with all mounts below it. Down finds them by that name
//     alone, so it also clears what a killed run left behind;
//   - a host's disk (an overlay on the shared base image) and its data directory
//     (a file system of limited size) live as long as the region: Kill is a power
//     failure, not a reinstallation;
//   - nothing is installed or configured by hand after a host has booted; files
//     are written into the disk before;
//   - a wait is a condition with a deadline.
//
// The package needs root on Linux; Available says in one sentence what is missing.
package lab
