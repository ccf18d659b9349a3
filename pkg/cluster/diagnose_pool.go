package cluster

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgctl/pgctl/pkg/nodes"
)

// pool reports what is wrong with one pgpool.
func (d *diagnosis) pool(p *Pool) {
	if !p.Reached() {
		d.unreachable(p.Common, Critical, "")
		return
	}
	switch {
	case p.Service.State != ServiceActive && !p.Listening:
		d.critical(PgpoolDown, p.Host, d.startPool(p), "pgpool is not running: %s is %s", p.Service.Unit, p.Service.State)
	case !p.Listening:
		d.critical(PgpoolDown, p.Host, p.Service.command(p.Host, "restart"), "pgpool accepts no connection although %s is %s", p.Service.Unit, p.Service.State)
	}
	if p.ConfFailure != nil {
		d.critical(PgpoolWrongBackend, p.Host, p.ConfFailure.Hint, "%s", p.ConfFailure.Message)
		return
	}
	if d.Kind == nodes.KindPG9 || d.view.Master == "" {
		return
	}
	port := d.master().port()
	if d.wrong(p.Backends, port) {
		d.critical(PgpoolWrongBackend, p.Host, fmt.Sprintf("make %s:%d its only backend in pgpool.conf, then: %s", d.view.Master, port, p.Service.command(p.Host, "restart")),
			"pgpool.conf sends clients to %s, the master is %s:%d", describe(p.Backends), d.view.Master, port)
		return
	}
	if p.Running != nil && d.wrong(p.Running, port) {
		d.critical(PgpoolWrongBackend, p.Host, fmt.Sprintf("a reload does not change an existing backend: %s", p.Service.command(p.Host, "restart")),
			"pgpool.conf is right, but the running pgpool still sends clients to %s", describe(p.Running))
	}
}

// startPool is the command that starts a pool. On Debian pgpool2.service wants postgresql.service: started the plain way,
// it would start a PostgreSQL that was stopped on the same host, an old master for example.
func (d *diagnosis) startPool(p *Pool) string {
	stopped := slices.ContainsFunc(d.Servers, func(s Server) bool {
		return s.Host == p.Host && s.SQL == nil && s.Data != nil && !s.Data.Postmaster.Alive
	})
	if stopped && p.Service.Manager == "systemd" {
		return p.Service.command(p.Host, "start --job-mode=ignore-dependencies")
	}
	return p.Service.command(p.Host, "start")
}

// wrong tells whether a list of backends is anything but the master alone. A port of 0 is not compared.
func (d *diagnosis) wrong(backends []Backend, port int) bool {
	if len(backends) != 1 {
		return true
	}
	host := slices.IndexFunc(d.Servers, func(s Server) bool {
		return s.Host == d.view.Master && (s.Host == backends[0].Host || slices.Contains(s.Addresses, backends[0].Host))
	})
	return host < 0 || port != 0 && backends[0].Port != port
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
