package cluster

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/pgctl/pgctl/pkg/nodes"
)

// pool reports what is wrong with one pgpool.
func (d *diagnosis) pool(p *Pool) {
	if !p.Reached() {
		d.unreachable(p.Common, Critical)
		return
	}
	d.partial(p.Common, Critical)
	deaf := p.Listening != nil && !*p.Listening
	running := p.Service.State == ServiceActive || p.Listening != nil && *p.Listening
	switch {
	case !running && p.Service.State != "" && p.Service.State != ServiceUnknown:
		d.critical(PgpoolDown, p.Host, p.Service.command(p.Host, "start"), "pgpool is not running: %s", p.Service.sentence())
	case deaf:
		d.critical(PgpoolDown, p.Host, p.Service.command(p.Host, "restart"), "pgpool accepts no connection although %s", p.Service.sentence())
	}
	if p.ConfFailure != nil {
		d.critical(PgpoolWrongBackend, p.Host, p.ConfFailure.Hint, "%s", p.ConfFailure.Message)
		return
	}
	switch {
	case d.Kind == nodes.KindPG9:
		d.backends9(p)
	case d.view.Master != "" && p.Backends != nil:
		d.backends(p)
	}
}

// backends compares a pool's backends with the master, and its answer with what a pool with the right one gives.
func (d *diagnosis) backends(p *Pool) {
	port := d.master().port()
	switch {
	case d.wrong(p.Backends, port):
		d.critical(PgpoolWrongBackend, p.Host, "pgctl pgpool sync", "pgpool.conf sends clients to %s, the master is %s:%d", describe(p.Backends), d.view.Master, port)
	case p.Running != nil && d.wrong(p.Running, port):
		d.critical(PgpoolWrongBackend, p.Host, "pgctl pgpool sync (a reload would not change it)",
			"pgpool.conf is right, but the running pgpool still sends clients to %s", describe(p.Running))
	case p.Refuses && p.RunningFailure != nil:
		at := d.view.Master
		if port != 0 {
			at = fmt.Sprintf("%s:%d", at, port)
		}
		d.critical(PgpoolDown, p.Host, fmt.Sprintf("see its log for why (does it reach %s, and resolve the name?): ssh %s journalctl -n 20 -u %s", at, p.Host, p.Service.Unit),
			"pgpool accepts connections and serves nobody: %s", p.RunningFailure.Message)
	}
}

// wrong tells whether a list of backends is anything but the master alone. A port of 0 is not compared.
func (d *diagnosis) wrong(backends []Backend, port int) bool {
	if len(backends) != 1 {
		return true
	}
	b, m := backends[0], d.master()
	same := b.Host == m.Host || sameAddress(m.Addresses, b.Host) ||
		slices.ContainsFunc(b.Addresses, func(address string) bool { return sameAddress(m.Addresses, address) })
	return !same || port != 0 && b.Port != port
}

// sameAddress tells whether text is one of the addresses, however it is written.
func sameAddress(addresses []string, text string) bool {
	wanted, err := netip.ParseAddr(text)
	return err == nil && slices.ContainsFunc(addresses, func(a string) bool {
		other, err := netip.ParseAddr(a)
		return err == nil && other == wanted
	})
}

func describe(backends []Backend) string {
	if len(backends) == 0 {
		return "nowhere"
	}
	var each []string
	for _, b := range backends {
		each = append(each, fmt.Sprintf("%s:%d", b.Host, b.Port))
	}
	return strings.Join(each, " and ")
}
