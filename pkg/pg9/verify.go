package pg9

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// Check is one thing that must be so on a 9.x site, and whether it is.
type Check struct {
	Host   string // "" the site's
	Name   string // such as "wal-sender"; part of the contract of pg9 verify -o json
	OK     bool
	Detail string // what was seen
}

// Sight is what Verify judges.
type Sight struct {
	Snap  cluster.Snapshot
	Hosts map[string]Host
	// Writes is, by pool, who took a write through it: a host of the inventory; or why that could not be seen.
	Writes map[string]Write
	// Before and After are the slave's replay position before and after those writes, Want the master's in between; 0 not known.
	Before, Want, After cluster.LSN
}

// Write is what came of a write through a pool.
type Write struct {
	By  string // who took it; "" nobody, or not known
	Why string // why it is not known
}

// Verify is the guide's list of checks after a change of roles, from PostgreSQL itself and from the process lists, and whether all are
// as they should be. Without one master it ends with that.
func Verify(s Sight) (checks []Check, right bool) {
	v := &verifying{Sight: s}
	v.servers()
	for i := range s.Snap.Pools {
		if v.master != nil {
			v.pool(&s.Snap.Pools[i])
		}
	}
	if state := s.Snap.Failover(); len(s.Snap.Pools) > 0 && v.master != nil {
		v.add("", "failover", state == cluster.FailoverOn || state == cluster.FailoverOff, "the pools' failover is %s", orUnknown(string(state)))
	}
	return v.checks, !slices.ContainsFunc(v.checks, func(c Check) bool { return !c.OK })
}

type verifying struct {
	Sight
	checks        []Check
	master, slave *cluster.Server
}

func (v *verifying) add(host, name string, ok bool, format string, args ...any) {
	v.checks = append(v.checks, Check{host, name, ok, fmt.Sprintf(format, args...)})
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

func (v *verifying) servers() {
	view := v.Snap.View()
	for i := range v.Snap.Servers {
		s := &v.Snap.Servers[i]
		switch {
		case s.Host == view.Master:
			v.master = s
		case view.Master != "":
			v.slave = s
		}
	}
	if v.master == nil || v.slave == nil {
		why := view.Distrust
		if why == "" {
			why = fmt.Sprintf("%d servers answer as master: %s", len(view.Masters), states(v.Snap))
			if len(view.Masters) > 0 {
				why = fmt.Sprintf("%d servers answer as master: %s", len(view.Masters), strings.Join(view.Masters, " and "))
			}
		}
		v.add("", "master", false, "%s", why)
		return
	}
	v.add(v.master.Host, "master", true, "answers as master, on timeline %d at %s", v.master.SQL.Timeline, v.master.SQL.Position)
	v.onMaster()
	v.onSlave()
	v.position()
	for _, s := range []*cluster.Server{v.master, v.slave} {
		if h, ok := v.Hosts[s.Host]; ok && h.Failure == nil {
			found := strings.Join(h.Triggers, " ")
			v.add(s.Host, "trigger-file", found == "", "%s", map[bool]string{true: "there is none", false: found + " is there: it would promote this server as soon as it is a slave"}[found == ""])
		} else {
			v.add(s.Host, "trigger-file", false, "not known: the host does not tell")
		}
	}
	v.inventory()
}

// processes are the titles of a server's processes of one kind.
func processes(s *cluster.Server, kind string) []string {
	var found []string
	if s.Data != nil {
		for _, title := range s.Data.Processes {
			if strings.HasPrefix(title, kind) {
				found = append(found, strings.Join(strings.Fields(title), " "))
			}
		}
	}
	return found
}

// onMaster: both a writer and a sender, and no recovery.conf.
func (v *verifying) onMaster() {
	m := v.master
	writers := processes(m, "wal writer")
	v.add(m.Host, "wal-writer", len(writers) == 1, "%s", listed(writers))
	senders := slices.DeleteFunc(processes(m, "wal sender"), func(title string) bool {
		return !slices.ContainsFunc(v.slave.Addresses, func(a string) bool { return strings.Contains(title, " "+a+"(") })
	})
	streaming := len(senders) == 1 && strings.Contains(senders[0], " streaming ") && Feeds(m.SQL, v.slave)
	v.add(m.Host, "wal-sender", streaming, "%s", listed(senders))
	detail := "no recovery.conf, never promoted"
	switch {
	case m.Data == nil:
		detail = "not known: the host does not tell"
	case m.Data.Signal:
		detail = "recovery.conf is there: PostgreSQL would be a slave after its next start"
	case m.Data.Promoted:
		detail = "recovery.done, no recovery.conf"
	}
	v.add(m.Host, "recovery-files", m.Data != nil && !m.Data.Signal, "%s", detail)
}

func listed(titles []string) string {
	if len(titles) == 0 {
		return "no such process"
	}
	return strings.Join(titles, "; ")
}

// onSlave: one receiver that streams from the master, and a recovery.conf that names it.
func (v *verifying) onSlave() {
	s := v.slave
	if s.SQL == nil {
		why := "it is out of reach"
		if s.Reached() {
			why = "PostgreSQL does not answer"
		}
		v.add(s.Host, "slave", false, "%s", why)
		return
	}
	v.add(s.Host, "slave", s.SQL.InRecovery, "in recovery on timeline %d at %s", s.SQL.Timeline, s.SQL.Position)
	receivers := processes(s, "wal receiver")
	v.add(s.Host, "wal-receiver", len(receivers) == 1 && strings.Contains(receivers[0], "streaming "), "%s", listed(receivers))
	switch {
	case s.Data == nil:
		v.add(s.Host, "recovery-files", false, "not known: the host does not tell")
	case !s.Data.Signal:
		v.add(s.Host, "recovery-files", false, "no recovery.conf: PostgreSQL would be a master after its next start")
	default:
		ok := Names(s.Data.Upstream, v.master)
		detail := fmt.Sprintf("recovery.conf follows %s", orUnknown(s.Data.Upstream))
		if s.Data.Promoted {
			detail += "; a recovery.done is left of an earlier promotion"
		}
		if !ok {
			detail += ", which is not " + v.master.Host
		}
		v.add(s.Host, "recovery-files", ok, "%s", detail)
	}
}

// Names tells whether a host of a primary_conninfo is the server.
func Names(host string, s *cluster.Server) bool {
	return host == s.Host || slices.Contains(s.Addresses, host)
}

// position: what was written through the pools has arrived at the slave.
func (v *verifying) position() {
	switch {
	case v.Before == 0 || v.Want == 0 || v.After == 0:
		v.add(v.slave.Host, "position", false, "whether it moves was not seen")
	case v.After < v.Want:
		v.add(v.slave.Host, "position", false, "it stands at %s, the master is at %s", v.After, v.Want)
	case v.After == v.Before:
		v.add(v.slave.Host, "position", false, "it stands at %s, although there were writes", v.After)
	default:
		v.add(v.slave.Host, "position", true, "it moved from %s to %s with the master", v.Before, v.After)
	}
}

// pool: the file has the master, then the slave; the running pgpool has the same, both up, the master as the primary; a write
// through it reaches the master.
func (v *verifying) pool(p *cluster.Pool) {
	if !p.Reached() || p.ConfFailure != nil || len(p.Backends) == 0 {
		why := "its pgpool.conf cannot be read"
		if !p.Reached() {
			why = "it is out of reach: " + p.Unreachable.Message
		}
		v.add(p.Host, "backends", false, "%s", why)
		return
	}
	b := p.Backends
	v.add(p.Host, "backends", len(b) == 2 && v.master.IsBackend(b[0]) && v.slave.IsBackend(b[1]), "%s", hostsOf(b))
	if p.Running == nil {
		why := "it could not be asked"
		if p.RunningFailure != nil {
			why = p.RunningFailure.Message
		}
		v.add(p.Host, "pool-nodes", false, "%s", why)
	} else {
		r := p.Running
		ok := len(r) == len(b) && slices.EqualFunc(r, b, func(x, y cluster.Backend) bool { return x.Host == y.Host && x.Port == y.Port && !x.Down }) && r[0].Role != "standby"
		v.add(p.Host, "pool-nodes", ok, "%s", nodeStates(r))
	}
	w := v.Writes[p.Host]
	detail := "taken by " + w.By
	if w.By == "" {
		detail = orUnknown(w.Why)
	}
	v.add(p.Host, "write", w.By == v.master.Host, "%s", detail)
}

func hostsOf(backends []cluster.Backend) string {
	var each []string
	for _, b := range backends {
		each = append(each, fmt.Sprintf("%s:%d", b.Host, b.Port))
	}
	return strings.Join(each, ", ")
}

// inventory: the servers are in the order of the inventory, the one that is listed as master first.
func (v *verifying) inventory() {
	listed := v.Snap.Servers[0].Host
	detail := fmt.Sprintf("pgmaster is %s", listed)
	if listed != v.master.Host {
		detail += ", the master is " + v.master.Host
	}
	v.add("", "inventory", listed == v.master.Host, "%s", detail)
}
