package cluster

import (
	"fmt"
	"slices"
	"time"

	"github.com/pgctl/pgctl/pkg/nodes"
)

// watchers reports on arbiters and on pg_watcher. With HA off, a missing watcher is as it should be.
func (d *diagnosis) watchers() {
	on := d.HA == nodes.HAEnabled
	severity := Warning
	if on {
		severity = Critical
	}
	for _, a := range d.Arbiters {
		if !a.Reached() {
			d.unreachable(a.Common, severity)
		}
		d.partial(a.Common, severity)
	}
	hosts := d.watched()
	for _, h := range hosts {
		if h.Reached() {
			d.watcher(h, on)
		}
	}
	if !on {
		return
	}
	if d.regime != nil {
		d.quorum(d.regime)
	} else {
		d.votesRunning(hosts)
	}
	if d.Zones < 3 && len(d.Arbiters) == 0 {
		d.critical(ArbiterMissing, "", "name a host in pg_watcher.globals of every zone's server.yaml", "%d zones and no arbiter: nobody can break a tie", d.Zones)
	}
}

// votesRunning goes by the services, where no watcher takes part in a quorum of which it could be asked. One of pgctl's own that takes part
// in none has no vote.
func (d *diagnosis) votesRunning(hosts []Common) {
	voters, running := voting(hosts), 0
	for _, v := range voters {
		if v.Watcher.Service.State == ServiceActive && !v.Watcher.Own {
			running++
		}
	}
	if running <= len(voters)/2 {
		d.critical(NoQuorum, "", "start pg_watcher where it is down (pgctl status); pgctl deploy, where it takes no part", "%d of %d watchers that vote are seen to run: too few to decide anything", running, len(voters))
	}
}

// voting are the hosts that vote: an even number of votes gains nothing over one less, so the last arbiter is a spare.
func voting(hosts []Common) []Common {
	if n := len(hosts); n > 0 && n%2 == 0 {
		return hosts[:n-1]
	}
	return hosts
}

// watched are the hosts that have a watcher: servers, then arbiters.
func (d *diagnosis) watched() []Common {
	var all []Common
	for _, s := range d.Servers {
		all = append(all, s.Common)
	}
	for _, a := range d.Arbiters {
		all = append(all, a.Common)
	}
	return all
}

// watcher reports on the watcher of one reachable host.
func (d *diagnosis) watcher(c Common, on bool) {
	w := c.Watcher
	if w.Service.State == "" { // it did not answer for it: see Partial
		return
	}
	if on && w.Service.State != ServiceActive {
		hint := w.Service.command(c.Host, "start")
		if w.Service.State == ServiceAbsent {
			hint = "pgctl deploy, or switch HA off: pgctl disable-ha"
		}
		d.critical(WatcherDown, c.Host, hint, "pg_watcher is %s", w.Service.State)
		return
	}
	if w.Service.State != ServiceActive {
		return
	}
	d.watcherFile(c.Host, "PGMonitor", w.Monitor)
	d.watcherFile(c.Host, "PGNode", w.Node)
}

// watcherFile judges one status file: active and available are good, anything else is a fault.
func (d *diagnosis) watcherFile(host, file string, status *string) {
	if status != nil && *status != "active" && *status != "available" {
		d.warn(WatcherUnhealthy, host, fmt.Sprintf("ssh %s cat /var/run/pg_watcher.%s", host, file), "pg_watcher.%s says %q", file, *status)
	}
}

// inventory passes on where the inventory contradicts itself.
func (d *diagnosis) inventory() {
	for _, p := range d.Problems {
		d.warn(HAConfigMismatch, "", "make the inventory agree with itself", "%s", p.Error())
	}
}

// clocks compares the hosts' clocks with each other: the median is taken for right, so that a wrong clock on the machine
// pgctl runs on accuses nobody else.
func (d *diagnosis) clocks() {
	offsets := map[string]Clock{}
	var all []time.Duration
	note := func(c Common) {
		if _, seen := offsets[c.Host]; c.Clock == nil || seen {
			return
		}
		offsets[c.Host] = *c.Clock
		all = append(all, c.Clock.Offset)
	}
	for _, v := range d.watched() {
		note(v)
	}
	for _, p := range d.Pools {
		note(p.Common)
	}
	if len(all) == 0 {
		return
	}
	slices.Sort(all)
	median := all[(len(all)-1)/2]
	for host, c := range offsets {
		if off := c.Offset - median; off.Abs() > ClockLimit+c.Within {
			d.warn(ClockSkew, host, fmt.Sprintf("ssh %s timedatectl status", host), "its clock is %s %s the others'", off.Abs().Round(time.Second/10), direction(off))
		}
	}
	var within time.Duration // of the one that is known worst
	for _, c := range offsets {
		within = max(within, c.Within)
	}
	if median.Abs() > ClockLimit+within && len(all) > 1 {
		d.warn(ClockSkew, "", "timedatectl status", "the clock of the machine pgctl runs on is %s %s the hosts'", median.Abs().Round(time.Second/10), direction(-median))
	}
}

func direction(d time.Duration) string {
	if d > 0 {
		return "ahead of"
	}
	return "behind"
}
