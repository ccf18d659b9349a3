package cluster

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pgctl/pgctl/pkg/nodes"
)

// server reports what is wrong with one PostgreSQL server.
func (d *diagnosis) server(srv *Server, st Standing) {
	if !srv.Reached() {
		c := srv.Common
		c.Unreachable = d.withWaiting(srv, *srv.Unreachable)
		d.unreachable(c, d.lost(srv))
		return
	}
	if st.Diverged != "" {
		d.critical(Diverged, srv.Host, "do not promote it; "+d.rejoin(srv.Host), "%s", st.Diverged)
	}
	d.partial(srv.Common, Critical)
	d.disk(srv)
	if srv.SQL == nil {
		d.postgresDown(srv)
		return
	}
	if st.Role == RoleStandby {
		d.standby(srv, st)
	}
	d.slots(srv)
}

// postgresDown says why a server whose host answers could not be asked.
func (d *diagnosis) postgresDown(srv *Server) {
	message, hint := "PostgreSQL could not be asked", ""
	if srv.SQLFailure != nil {
		message, hint = srv.SQLFailure.Message, srv.SQLFailure.Hint
	}
	switch {
	case srv.Data == nil || srv.Data.Postmaster == nil:
	case srv.Data.Postmaster.Stopped:
		message = fmt.Sprintf("PostgreSQL is frozen: its postmaster (pid %d) was stopped by a signal, holds its port and answers nobody", srv.Data.Postmaster.PID)
		hint = fmt.Sprintf("find out who stopped it, then: ssh %s kill -CONT %d", srv.Host, srv.Data.Postmaster.PID)
	case !srv.Data.Postmaster.Alive:
		message = "PostgreSQL is not running"
		if srv.Service.Unit != "" {
			message += ": " + srv.Service.sentence()
		}
		hint = srv.Service.command(srv.Host, "start")
		if srv.ranAsMaster() {
			message += fmt.Sprintf("; it was master on timeline %d", srv.newest())
			hint = d.oldMaster(srv)
		}
		if half := d.half(); half != "" && d.view.Master == "" {
			hint = half
		}
	}
	f := d.withWaiting(srv, Failure{message, hint})
	d.found = append(d.found, Finding{d.lost(srv), PostgresDown, srv.Host, f.Message, f.Hint})
}

// oldMaster is what to do with a server that is down and was master: started as it is, it may become a second one.
func (d *diagnosis) oldMaster(srv *Server) string {
	switch {
	case d.view.Master != "":
		if srv.Data.Signal {
			return d.rejoin(srv.Host)
		}
		return "do not start it as it is, that makes a second master: " + d.rejoin(srv.Host)
	case d.startable(srv), d.decided() && d.regime.Phase == Serving && d.regime.Master != nil && *d.regime.Master == srv.Host:
		return srv.Service.command(srv.Host, "start")
	}
	return "do not start it before every other server has answered and it is known which was master last: it may be an old one"
}

// standby reports on a server in recovery.
func (d *diagnosis) standby(srv *Server, st Standing) {
	if !st.Streaming {
		message := "receives no WAL: it has no WAL receiver"
		hint := d.whyNotStreaming(srv.Host)
		switch r := srv.SQL.Receiver; {
		case r != nil && r.Status == "":
			message, hint = "whether it receives WAL cannot be seen: the role that asks may not read pg_stat_wal_receiver", "grant it pg_monitor"
		case r != nil:
			message = fmt.Sprintf("receives no WAL: its WAL receiver is %s", r.Status)
		}
		f := d.withWaiting(srv, Failure{message, hint})
		d.found = append(d.found, Finding{d.lost(srv), StandbyNotStreaming, srv.Host, f.Message, f.Hint})
	}
	switch {
	case srv.SQL.Paused:
		d.critical(StandbyLagging, srv.Host, resume(srv),
			"%s", strings.TrimSuffix("replay is paused, it is "+behind(st), ", it is "))
	case st.LagBytes != nil && *st.LagBytes >= LagLimit:
		d.critical(StandbyLagging, srv.Host, "look at its disk, its network, and queries that hold replay back",
			"is %s", behind(st))
	}
	d.synchronous(srv, st)
}

// synchronous: on a PostgreSQL 10+ site every commit waits for every standby.
func (d *diagnosis) synchronous(srv *Server, st Standing) {
	if d.Kind == nodes.KindPG9 || !st.Streaming || d.view.Master == "" || d.master().SQL.Blocked() {
		return
	}
	hint := fmt.Sprintf("see synchronous_standby_names on %s", d.view.Master)
	names, err := ParseSyncNames(d.master().SQL.SyncNames)
	switch {
	case d.decided():
		hint = "the watchers have commits wait for it once it has kept up for some seconds: pgctl overview --watch"
	case err == nil && !slices.ContainsFunc(names.Members, func(m string) bool { return IsMember(m, srv.Host) }):
		hint = "pgctl upmaster " + srv.Host + " has commits wait for it"
	}
	switch {
	case st.Upstream == "":
		d.warn(NotSynchronous, srv.Host, "see its primary_conninfo", "it streams from %q, which is no server of the inventory", srv.SQL.Receiver.SenderHost)
	case st.Upstream == d.view.Master && st.SyncState == "":
		d.warn(NotSynchronous, srv.Host, hint, "%s does not tell whether a commit waits for it", st.Upstream)
	case st.Upstream == d.view.Master && st.SyncState != "sync" && st.SyncState != "quorum":
		d.warn(NotSynchronous, srv.Host, hint, "a commit does not wait for it: %s sees it as %s", st.Upstream, st.SyncState)
	}
}

// blocked: commits on the master wait, and no finding of a server has said so yet.
func (d *diagnosis) blocked() {
	m := d.master()
	if m == nil || !m.SQL.Blocked() || slices.ContainsFunc(d.found, func(f Finding) bool { return strings.Contains(f.Message, "; every commit on ") }) {
		return
	}
	waiting := ""
	if m.SQL.SyncWaits > 0 {
		waiting = ", " + sessions(m.SQL.SyncWaits) + " now"
	}
	d.critical(StandbyNotStreaming, m.Host, "bring the missing standby back; "+d.unsync("HOST"),
		"every commit waits%s: synchronous_standby_names is %s, and too few of these stream", waiting, m.SQL.SyncNames)
}

// sessions is how many wait.
func sessions(n int) string {
	if n == 1 {
		return "1 session does so"
	}
	return fmt.Sprintf("%d sessions do so", n)
}

// resume is the command that lets a paused replay go on.
func resume(srv *Server) string {
	port := ""
	if srv.port() != 0 {
		port = fmt.Sprintf(" -p %d", srv.port())
	}
	return fmt.Sprintf(`ssh %s "runuser -u postgres -- psql%s -c 'SELECT pg_wal_replay_resume()'"`, srv.Host, port)
}

// whyNotStreaming is the remedy for a standby without a stream.
func (d *diagnosis) whyNotStreaming(host string) string {
	switch q := d.regime; {
	case d.view.Master == "":
		return "it has no master to follow: see to that first"
	case d.decided() && slices.Contains(q.Former, host):
		return "it was master before, and waits for an operator: pgctl upmaster " + host
	case d.decided() && slices.ContainsFunc(q.Quarantined, func(x Quarantine) bool { return x.Host == host }):
		return "the quorum does not take its data for a copy: pgctl upmaster " + host
	}
	return fmt.Sprintf("look at its PostgreSQL log for the reason (cannot reach %s, WAL already removed, another history)", d.view.Master)
}

// withWaiting adds to what is wrong with a server that commits wait for it, and how they stop doing so.
func (d *diagnosis) withWaiting(srv *Server, f Failure) *Failure {
	if waiting := d.waitingFor(srv); waiting != "" {
		f.Message += waiting
		f.Hint = strings.TrimPrefix(f.Hint+"; "+d.unsync(srv.Host), "; ")
	}
	return &f
}

// decided tells whether the executor acts where an operator would have to.
func (d *diagnosis) decided() bool {
	return d.HA == nodes.HAEnabled && d.regime != nil && d.regime.Decides() && d.regime.Halted == ""
}

// unsync is how commits stop waiting for a server that stays away.
func (d *diagnosis) unsync(host string) string {
	if d.decided() {
		return "if it stays away, the executor takes it out of the sync set by itself"
	}
	return "if it stays away: pgctl unsync " + host
}

// waitingFor says that commits wait for this server, when it is a member of the sync set that the master lacks.
func (d *diagnosis) waitingFor(srv *Server) string {
	m := d.master()
	if m == nil || m == srv || !m.SQL.Blocked() || m.walsenderOf(srv) != nil {
		return ""
	}
	names, err := ParseSyncNames(m.SQL.SyncNames)
	if err != nil || !slices.ContainsFunc(names.Members, func(name string) bool { return name == "*" || IsMember(name, srv.Host) }) {
		return ""
	}
	if m.SQL.SyncWaits > 0 {
		return fmt.Sprintf("; every commit on %s waits for it, %s now", m.Host, sessions(m.SQL.SyncWaits))
	}
	return fmt.Sprintf("; every commit on %s waits for it", m.Host)
}

// behind renders a lag as "16.0 MiB behind; ...", or "" when there is none.
func behind(st Standing) string {
	switch {
	case st.LagBytes == nil || *st.LagBytes == 0:
		return ""
	case st.LagTime == nil:
		return fmt.Sprintf("%s behind", Size(*st.LagBytes))
	}
	return fmt.Sprintf("%s behind; the last commit that it replayed is %s old", Size(*st.LagBytes), st.LagTime.Round(time.Second))
}

// slots reports slots that keep WAL for nobody.
func (d *diagnosis) slots(srv *Server) {
	for _, s := range srv.SQL.Slots {
		switch {
		case s.Status == "lost":
			d.warn(SlotRetainsWAL, srv.Host, fmt.Sprintf("its reader must be cloned anew; then, there: SELECT pg_drop_replication_slot('%s')", s.Name),
				"slot %s has lost WAL that its reader still needs", s.Name)
		case !s.Active && s.Retained >= SlotLimit:
			d.warn(SlotRetainsWAL, srv.Host, fmt.Sprintf("bring its reader back, or, if it is gone for good, there: SELECT pg_drop_replication_slot('%s')", s.Name),
				"slot %s is not in use and retains %s of WAL", s.Name, Size(s.Retained))
		}
	}
}

// disk warns before the data directory's file system is full.
func (d *diagnosis) disk(srv *Server) {
	if srv.Disk == nil || srv.Disk.Total == 0 {
		return
	}
	if free := srv.Disk.Free * 100 / srv.Disk.Total; free < DiskFloor {
		d.warn(DiskLow, srv.Host, "make room: old logs and idle replication slots first, never files in pg_wal by hand",
			"the data directory's disk has %d%% free (%s)", free, Size(srv.Disk.Free))
	}
}

// identities: all servers must be copies of one cluster and run one release.
func (d *diagnosis) identities() {
	reference := slices.IndexFunc(d.Servers, func(s Server) bool { return s.Host == d.view.Master })
	if reference < 0 {
		reference = slices.IndexFunc(d.Servers, func(s Server) bool { return s.systemID() != 0 })
	}
	if reference < 0 {
		return
	}
	ref := &d.Servers[reference]
	for i := range d.Servers {
		s := &d.Servers[i]
		if s.systemID() != 0 && ref.systemID() != 0 && s.systemID() != ref.systemID() {
			d.critical(SystemIDMismatch, s.Host, "one of the two is not of this region: look at both before you clone anything",
				"its system identifier is %d, that of %s is %d", s.systemID(), ref.Host, ref.systemID())
		}
		if s.SQL != nil && ref.SQL != nil && s.SQL.Version != ref.SQL.Version {
			d.warn(VersionMismatch, s.Host, "bring all servers to the same minor release, standbys first",
				"runs PostgreSQL %s, %s runs %s", s.SQL.Version, ref.Host, ref.SQL.Version)
		}
	}
}

// masterFiles: /pitrix/run/pg_master must name the master wherever the site keeps it.
func (d *diagnosis) masterFiles() {
	if d.view.Master == "" {
		return
	}
	inUse := slices.ContainsFunc(d.Servers, func(s Server) bool { return s.MasterFile != nil })
	for _, s := range d.Servers {
		fix := fmt.Sprintf("ssh %s 'echo %s > /pitrix/run/pg_master'", s.Host, d.view.Master)
		switch {
		case !s.Reached() || s.Partial != nil || !inUse:
		case s.MasterFile == nil:
			d.warn(MasterFileStale, s.Host, fix, "/pitrix/run/pg_master is missing, the master is %s", d.view.Master)
		case *s.MasterFile != d.view.Master:
			d.warn(MasterFileStale, s.Host, fix, "/pitrix/run/pg_master says %q, the master is %s", *s.MasterFile, d.view.Master)
		}
	}
}
