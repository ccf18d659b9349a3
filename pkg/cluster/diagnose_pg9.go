package cluster

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgctl/pgctl/pkg/nodes"
)

// postFailover is the command that brings a 9.x site in order after pgpool has failed over.
const postFailover = "pgctl pg9 post-failover"

// Failover says whether the pools of a 9.x site fail over.
type Failover string

// The states of failover. FailoverMixed means that some backend of some pool differs from another, or a running pgpool from its file.
const (
	FailoverUnknown Failover = ""
	FailoverOn      Failover = "on"
	FailoverOff     Failover = "off"
	FailoverMixed   Failover = "mixed"
)

// Failover is what the flags of all backends of all pools say together, in the files and, where they tell, in the running pools.
func (s Snapshot) Failover() Failover {
	state := FailoverUnknown
	for i := range s.Pools {
		state = state.and(s.Pools[i].Failover())
	}
	return state
}

// Failover is what the flags of one pool's backends say.
func (p *Pool) Failover() Failover {
	state := FailoverUnknown
	for _, b := range p.Backends {
		state = state.and(b.failover())
	}
	for _, b := range p.Running {
		if b.Flag != "" {
			state = state.and(b.failover())
		}
	}
	return state
}

func (b Backend) failover() Failover {
	if b.FailsOver() {
		return FailoverOn
	}
	return FailoverOff
}

func (f Failover) and(other Failover) Failover {
	switch {
	case f == FailoverUnknown || f == other:
		return other
	case other == FailoverUnknown:
		return f
	}
	return FailoverMixed
}

// flags9: pools that go by different rules may end up on different masters.
func (d *diagnosis) flags9() {
	if d.Kind != nodes.KindPG9 || d.Failover() != FailoverMixed {
		return
	}
	var each []string
	for i := range d.Pools {
		if state := d.Pools[i].Failover(); state != FailoverUnknown {
			each = append(each, fmt.Sprintf("%s %s", d.Pools[i].Host, state))
		}
	}
	d.warn(FailoverDiffers, "", "pgctl enable-failover, or pgctl disable-failover", "the backend flags of the pools differ in whether they fail over: %s", strings.Join(each, ", "))
}

// backends9 judges a pool of a 9.x site: it names both servers, the master as number 0, and the running pgpool has the same and writes to
// the master.
func (d *diagnosis) backends9(p *Pool) {
	if d.view.Master == "" || p.Backends == nil {
		return
	}
	switch {
	case len(p.Backends) != len(d.Servers) || slices.ContainsFunc(d.Servers, func(s Server) bool { return !slices.ContainsFunc(p.Backends, s.IsBackend) }):
		d.critical(PgpoolWrongBackend, p.Host, "name both servers in it, the master as backend 0, then: "+postFailover, "pgpool.conf has the backends %s, expected both servers of the site", describe(p.Backends))
		return
	case !d.master().IsBackend(p.Backends[0]):
		d.critical(PgpoolWrongBackend, p.Host, postFailover, "pgpool.conf has the backends %s, in this order, and the master is %s", describe(p.Backends), d.view.Master)
		return
	}
	d.running9(p)
}

// running9 compares the running pgpool with its file, which is right, and with the master.
func (d *diagnosis) running9(p *Pool) {
	same := func(a, b Backend) bool { return a.Host == b.Host && a.Port == b.Port }
	switch {
	case p.Running == nil && p.Refuses && p.RunningFailure != nil:
		d.critical(PgpoolDown, p.Host, "see its log for why", "pgpool accepts connections and serves nobody: %s", p.RunningFailure.Message)
	case p.Running == nil:
	case !slices.EqualFunc(p.Backends, p.Running, same):
		d.critical(PgpoolWrongBackend, p.Host, postFailover, "pgpool.conf is right, but the running pgpool has the backends %s", describe(p.Running))
	case p.Running[0].Down || p.Running[0].Role == "standby":
		d.critical(PgpoolWrongBackend, p.Host, postFailover, "the running pgpool does not write to the master %s: it takes it for %s", d.view.Master, p.Running[0].state())
	default:
		for i, b := range p.Running[1:] {
			if b.Down && d.view.Standings[d.indexOf(b)].Streaming {
				d.warn(PgpoolWrongBackend, p.Host, postFailover, "the running pgpool has taken %s out of use, although it streams: nobody would take over from %s", p.Running[i+1].Host, d.view.Master)
			}
		}
	}
}

// indexOf is the server that a backend is; it must be one.
func (d *diagnosis) indexOf(b Backend) int {
	return max(slices.IndexFunc(d.Servers, func(s Server) bool { return s.IsBackend(b) }), 0)
}

// state is how a running pgpool sees the node.
func (b Backend) state() string {
	if b.Down {
		return "down"
	}
	return "a " + b.Role
}

// IsBackend tells whether a pool's backend is this server: by name, or by an address that the pool's host takes the name for; and by port,
// where both are known.
func (srv *Server) IsBackend(b Backend) bool {
	same := b.Host == srv.Host || sameAddress(srv.Addresses, b.Host) ||
		slices.ContainsFunc(b.Addresses, func(address string) bool { return sameAddress(srv.Addresses, address) })
	return same && (srv.port() == 0 || b.Port == srv.port())
}

// lost is how bad it is that a server is missing: on a 9.x site the slave is spare, as nothing waits for it.
func (d *diagnosis) lost(srv *Server) Severity {
	if d.Kind == nodes.KindPG9 && d.view.Master != "" && srv.Host != d.view.Master {
		return Warning
	}
	return Critical
}

// rejoin is the command that makes a server a standby of the master again.
func (d *diagnosis) rejoin(host string) string {
	if d.Kind == nodes.KindPG9 {
		return postFailover
	}
	return "pgctl upmaster " + host
}
