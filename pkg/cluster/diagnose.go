package cluster

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pgctl/pgctl/pkg/nodes"
)

// The limits from which something is a finding.
const (
	LagLimit   int64 = 16 << 20        // bytes of WAL a standby may be behind
	SlotLimit  int64 = 1 << 30         // bytes of WAL an idle slot may retain
	DiskFloor        = 10              // percent of the data directory's file system that must be free
	ClockLimit       = 2 * time.Second // how far a host's clock may be off the others'
)

// Diagnosis is what a snapshot means.
type Diagnosis struct {
	View
	HA       nodes.HA    // as the inventory's files say; paused, where the quorum says so
	Regime   *QuorumView // nil: no watcher that could be asked takes part in a quorum
	Status   Status
	Findings []Finding // sorted by severity, code, host
}

// Diagnose says what is wrong with a region. It is a pure function of the snapshot.
func Diagnose(s Snapshot) Diagnosis { return diagnose(s, false) }

// diagnose is Diagnose; supposed: that HA is on is not so, but what would be wrong then is asked.
func diagnose(s Snapshot, supposed bool) Diagnosis {
	d := diagnosis{Snapshot: s, view: s.View(), regime: s.ViewQuorum(), supposed: supposed}
	d.masters()
	for i := range s.Servers {
		d.server(&s.Servers[i], d.view.Standings[i])
	}
	for i := range s.Pools {
		d.pool(&s.Pools[i])
	}
	d.flags9()
	d.blocked()
	d.identities()
	d.masterFiles()
	d.clocks()
	d.watchers()
	d.inventory()
	d.unfinished()
	found := sortFindings(d.found)
	return Diagnosis{View: d.view, HA: s.haNow(d.regime), Regime: d.regime, Status: statusOf(found), Findings: found}
}

// haNow is what the inventory's files say of HA, and the quorum of a pause.
func (s *Snapshot) haNow(q *QuorumView) nodes.HA {
	if s.HA == nodes.HAEnabled && q != nil && q.Paused != nil {
		return nodes.HAPaused
	}
	return s.HA
}

// diagnosis is the work in progress of Diagnose.
type diagnosis struct {
	Snapshot
	view     View
	regime   *QuorumView
	supposed bool
	found    []Finding
}

func (d *diagnosis) critical(code Code, host, hint, format string, args ...any) {
	d.found = append(d.found, Finding{Critical, code, host, fmt.Sprintf(format, args...), hint})
}

func (d *diagnosis) warn(code Code, host, hint, format string, args ...any) {
	d.found = append(d.found, Finding{Warning, code, host, fmt.Sprintf(format, args...), hint})
}

// master is the one proven master, nil when there is none.
func (d *diagnosis) master() *Server {
	for i := range d.Servers {
		if d.Servers[i].Host == d.view.Master {
			return &d.Servers[i]
		}
	}
	return nil
}

// partial reports a host that answered only in part, once.
func (d *diagnosis) partial(c Common, severity Severity) {
	if c.Partial != nil && !slices.ContainsFunc(d.found, func(f Finding) bool { return f.Code == HostUnreachable && f.Host == c.Host }) {
		d.found = append(d.found, Finding{severity, HostUnreachable, c.Host, c.Partial.Message, c.Partial.Hint})
	}
}

// unreachable reports a host once, however many things it carries.
func (d *diagnosis) unreachable(c Common, severity Severity) {
	if slices.ContainsFunc(d.found, func(f Finding) bool { return f.Code == HostUnreachable && f.Host == c.Host }) {
		return
	}
	d.found = append(d.found, Finding{severity, HostUnreachable, c.Host, c.Unreachable.Message, c.Unreachable.Hint})
}

// masters: exactly one server may answer as master, and nothing may speak against it.
func (d *diagnosis) masters() {
	switch {
	case d.view.Distrust != "":
		old := d.view.Masters[0]
		d.critical(NoMaster, "", fmt.Sprintf("to keep the other one: stop PostgreSQL on %s, then start the other; to keep %s after all: clone the other anew from it, and lose what only that one has", old, old), "%s", d.view.Distrust)
	case len(d.view.Masters) == 0:
		message, hint := d.whyNoMaster()
		if half := d.half(); half != "" {
			hint = half
		}
		d.critical(NoMaster, "", hint, "%s", message)
	case len(d.view.Masters) > 1:
		var each []string
		for _, s := range d.Servers {
			if s.role() == RoleMaster {
				each = append(each, fmt.Sprintf("%s on timeline %d at %s", s.Host, s.SQL.Timeline, s.SQL.Position))
			}
		}
		d.critical(SplitBrain, "", d.newerMaster(),
			"%d servers answer as master: %s", len(each), strings.Join(each, ", "))
	}
}

// newerMaster is which of several masters to keep, where their timelines tell.
func (d *diagnosis) newerMaster() string {
	var newest, others []string
	var top Timeline
	for _, s := range d.Servers {
		if s.role() == RoleMaster {
			top = max(top, s.SQL.Timeline)
		}
	}
	for _, s := range d.Servers {
		switch {
		case s.role() != RoleMaster:
		case s.SQL.Timeline == top:
			newest = append(newest, s.Host)
		default:
			others = append(others, d.rejoin(s.Host))
		}
	}
	if len(newest) == 1 {
		return fmt.Sprintf("%s has the newer timeline; where it is to stay: %s (that says what only the other holds)", newest[0], strings.Join(others, ", "))
	}
	return "see which one the pools write to (pgctl pgpool show) and what only the other holds; then " + d.rejoin("OTHER") + ", where the newer one is to stay"
}

// whyNoMaster names who was master by the files of the servers that do not answer, and how far the standbys are.
func (d *diagnosis) whyNoMaster() (message, hint string) {
	var notes []string
	hint = "bring back what does not answer; where a master is gone for good: pgctl failover shows who can take over"
	if d.Kind == nodes.KindPG9 {
		hint = "bring back what does not answer; where a master is gone for good, pgpool promotes the slave, if pgctl enable-failover has let it"
	}
	for i := range d.Servers {
		s := &d.Servers[i]
		switch {
		case s.SQL != nil:
			notes = append(notes, fmt.Sprintf("%s is a standby on timeline %d at %s", s.Host, s.SQL.Timeline, max(s.SQL.Position, s.SQL.Received)))
		case !s.Reached():
			notes = append(notes, s.Host+" is out of reach")
		case s.ranAsMaster():
			notes = append(notes, fmt.Sprintf("%s does not answer and was master on timeline %d", s.Host, s.newest()))
		default:
			notes = append(notes, s.Host+" does not answer")
		}
		if d.startable(s) {
			hint = fmt.Sprintf("nobody was promoted since %s was master: start it again: %s", s.Host, s.Service.command(s.Host, "start"))
		}
	}
	switch {
	case d.decided() && d.regime.Master != nil && d.regime.Paused.Holds(*d.regime.Master):
		hint = fmt.Sprintf("HA is paused for it: bring %s back, or have another server take over: pgctl resume", *d.regime.Master)
	case d.decided():
		hint = "the executor sees to it, where a failover is possible: pgctl overview --watch"
	}
	return "no server answers as master: " + strings.Join(notes, ", "), hint
}

// ranAsMaster tells from pg_control whether the data directory was last in use by a master.
func (srv *Server) ranAsMaster() bool {
	if srv.Data == nil {
		return false
	}
	switch srv.Data.State {
	case "in production", "shut down", "shutting down", "in crash recovery":
		return true
	}
	return false
}

// Masked is the detail of a unit of systemd's that nobody can start (systemctl(1), "mask").
const Masked = "masked"

// sentence says which service it is and how it is.
func (s Service) sentence() string {
	if s.Detail == Masked {
		return s.Unit + " is masked, so nobody can start it"
	}
	return fmt.Sprintf("%s is %s", s.Unit, s.State)
}

// command is the shell command that does verb to this service from firstbox; "" when it is not known which service that is.
// What a unit merely wants is left alone: on Debian pgpool2.service wants postgresql.service, and starting a pool would start a
// PostgreSQL that was stopped on the same host, an old master for example.
func (s Service) command(host, verb string) string {
	switch {
	case s.Unit == "":
		return ""
	case s.Detail == Masked:
		return fmt.Sprintf("ssh %s 'systemctl unmask %s; systemctl %s --job-mode=ignore-dependencies %s'", host, s.Unit, verb, s.Unit)
	case s.Manager == "systemd" && strings.HasPrefix(s.Unit, "pgpool"):
		return fmt.Sprintf("ssh %s systemctl %s --job-mode=ignore-dependencies %s", host, verb, s.Unit)
	case s.Manager == "systemd":
		return fmt.Sprintf("ssh %s systemctl %s %s", host, verb, s.Unit)
	case s.Manager == "supervisor":
		return fmt.Sprintf("ssh %s supervisorctl %s %s", host, verb, s.Unit)
	}
	return fmt.Sprintf("ssh %s service %s %s", host, s.Unit, verb)
}
