package watch

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/postgres"
)

// The two words that are good in a status; anything else is a fault and says what is wrong.
const (
	statusActive    = "active"
	statusAvailable = "available"
)

// timeLayout is RFC 3339 with a fraction of fixed length.
const timeLayout = "2006-01-02T15:04:05.000000Z07:00"

// program names who wrote a status file.
const program = "pgctl"

// Monitor is the file PGMonitor: the watcher itself, and the configuration that is in force.
type Monitor struct {
	Program string          `json:"program"` // "pgctl"
	Version string          `json:"version"`
	Host    string          `json:"host"`
	Status  string          `json:"status"`
	Time    string          `json:"time"`
	PID     int             `json:"pid"`
	Binary  string          `json:"binary_sha256"`   // of the program that runs
	Setting string          `json:"settings_sha256"` // of pgctl.yaml as it was at the start; "" there was none
	Config  MonitorConfig   `json:"config"`
	Quorum  *cluster.Quorum `json:"quorum"` // null: this host takes no part in one, and status says why
}

// MonitorConfig is the server.yaml that is in force. SHA256 and the two switches are null when there is none.
type MonitorConfig struct {
	File             string  `json:"file"`
	SHA256           *string `json:"sha256"`
	InactiveFailover *bool   `json:"inactive_failover"`
	UsingMasterByTS  *bool   `json:"using_master_by_ts"`
	Error            *string `json:"error"` // why the file as it lies there is not in force
}

// Node is the file PGNode: this host's own PostgreSQL, by its last answer. What is not known is null.
type Node struct {
	Program  string   `json:"program"`
	Host     string   `json:"host"`
	Status   string   `json:"status"`
	Time     string   `json:"time"`
	Role     string   `json:"role"` // "master", "standby", "unknown" (it does not answer now); "arbiter"; "none" on a host with neither
	Version  *string  `json:"version"`
	Timeline *int     `json:"timeline"`
	LSN      *string  `json:"lsn"`
	Upstream *string  `json:"upstream"`
	Age      *float64 `json:"age_seconds"` // of the answer that all this is from
	Error    *string  `json:"error"`       // why the last question had no answer
	AskedAs  *string  `json:"asked_as"`    // the role in PostgreSQL that asked for it
	Fallback *string  `json:"fallback"`    // why that was not the watcher's own, which may look and nothing more; null: it was
}

// monitor fills in PGMonitor.
func (w *watcher) monitor(now time.Time) Monitor {
	m := Monitor{
		Program: program, Version: w.Version, Host: w.Host, Status: monitorStatus(w), Time: now.Format(timeLayout),
		PID: w.pid, Binary: w.Binary, Setting: w.Settings, Config: MonitorConfig{File: w.config.path},
	}
	if w.config.taken {
		m.Config.SHA256 = new(w.config.sum)
	}
	if in := w.config.watcher; in != nil {
		m.Config.InactiveFailover, m.Config.UsingMasterByTS = new(in.InactiveFailover), new(in.UsingMasterByTS)
	}
	if w.config.problem != "" {
		m.Config.Error = new(w.config.problem)
	}
	if w.quorum != nil {
		m.Quorum = w.quorumNow()
	}
	return m
}

func (w *watcher) quorumNow() *cluster.Quorum {
	k := w.latest()
	s := &k.State
	voters, spare := w.quorum.voters()
	q := &cluster.Quorum{
		Executor: orNull(w.quorum.leader()), Index: k.Index, Epoch: s.Epoch, Phase: s.Phase, Master: orNull(s.Master), Opened: s.Opened,
		Configs: orEmpty(s.Configs), Members: orEmpty(s.Members), Former: orEmpty(s.Former), Pools: orEmpty(s.Pools), Voters: orEmpty(voters), Spare: orNull(spare),
		Silent: w.silent(), Quarantined: orEmpty(s.Quarantined), Paused: s.Paused, Halted: s.Halted,
		Judgements: orEmpty(w.decision.Judgements), Waits: orEmpty(w.decision.Waits),
	}
	if w.facts != nil && s.Master == w.name && w.facts.Lease < cluster.Never {
		q.Lease = new(w.facts.Lease.Round(time.Millisecond).Seconds())
	}
	return q
}

// silent are the hosts that are not heard.
func (w *watcher) silent() []string {
	all := []string{}
	for _, h := range w.hosts {
		if heard, known := w.heard[h.Name]; !known || sinceBoot()-heard.At > 3*round {
			all = append(all, h.Name)
		}
	}
	return all
}

func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func orEmpty[T any](all []T) []T {
	if all == nil {
		return []T{}
	}
	return all
}

// monitorStatus is the watcher in one sentence; the executor is active.
func monitorStatus(w *watcher) string {
	c := w.config
	switch {
	case !c.taken:
		return "no configuration: " + c.problem
	case c.problem != "":
		return "a newer configuration is not in force: " + c.problem
	case c.watcher == nil:
		return c.path + " has no section pg_watcher"
	case w.problem != "" && !c.watcher.InactiveFailover:
		return "it takes no part in the quorum: " + w.problem
	case w.guard.fault() != "":
		return "the watchdog (watch.watchdog): " + w.guard.fault()
	case w.teller.fault() != "":
		return "events do not arrive (watch.notify): " + w.teller.fault()
	case w.unheard != "":
		return "metrics are not served (watch.metrics): " + w.unheard
	case w.quorum.leads():
		return statusActive
	}
	return statusAvailable
}

// node fills in PGNode.
func (w *watcher) node(now time.Time, what part) Node {
	n := Node{Program: program, Host: w.Host, Time: now.Format(timeLayout), Role: string(what), Status: statusAvailable}
	switch {
	case what == partUnknown:
		n.Status = "no configuration says whether this host has a server"
	case w.server != nil && w.facts != nil:
		n.server(w.Host, w.Postgres, w.server, w.facts)
	}
	return n
}

func (n *Node) server(host string, settings postgres.Settings, s *server, f *cluster.Facts) {
	n.Role, n.Status = string(cluster.RoleUnknown), serverStatus(host, settings, s.last, f)
	if err := s.last.SQLErr; err != nil {
		n.Error = new(postgres.Explain(host, settings, err, lookLimit).Message)
	}
	n.AskedAs, n.Fallback = orNull(s.last.AskedAs), orNull(s.last.Fallback)
	q := s.sql
	if q == nil {
		return
	}
	n.Age = new(f.Silent.Round(time.Millisecond).Seconds())
	position := q.Current
	if q.Recovery {
		position = q.Replayed
	}
	n.Version, n.Timeline, n.LSN = new(q.Version), new(int(q.Timeline)), new(position.String())
	if f.Running && f.Silent <= patience {
		n.Role = string(cluster.RoleMaster)
		if q.Recovery {
			n.Role = string(cluster.RoleStandby)
		}
	}
	if up := f.Upstream.Receiver; up != "" && up != "?" {
		n.Upstream = new(up)
	}
}

// patience is how long an answer may be on its way before its absence is told.
const patience = 3 * time.Second

// asked is for the log: as whom, and why not as itself.
func (n *Node) asked() string {
	switch {
	case n.AskedAs == nil:
		return ""
	case n.Fallback == nil:
		return "as " + *n.AskedAs
	}
	return "as " + *n.AskedAs + ": " + *n.Fallback
}

// serverStatus is a server in one sentence, which stays the same as long as the server does.
func serverStatus(host string, settings postgres.Settings, seen postgres.OwnSight, f *cluster.Facts) string {
	err := seen.SQLErr
	switch {
	case err != nil && !silent(err):
		return postgres.Explain(host, settings, err, lookLimit).Message
	case seen.PID == 0 && !f.Running && seen.DataDir != "":
		return "PostgreSQL does not run"
	case f.Silent >= cluster.Never/8:
		return "PostgreSQL has not answered yet"
	case f.Silent > patience:
		return "PostgreSQL gives no answer"
	case !f.Recovery:
		return statusActive
	case f.Upstream.Receiver == "":
		return "the standby receives nothing: it has no WAL receiver"
	case !f.Upstream.Streaming:
		return "the standby does not stream: its receiver has not connected"
	case f.Paused:
		return "replay is paused"
	}
	return statusAvailable
}

// silent tells whether an error is the absence of an answer, not an answer that says no.
func silent(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
}

// publish writes the status files, and logs what has changed.
func (w *watcher) publish() {
	what, now := w.config.partOf(w.Host), w.Now()
	m, n := w.monitor(now), w.node(now, what)
	w.tell("configuration", w.config.sum)
	w.tell("monitor", m.Status)
	w.tell("node", n.Status)
	w.tell("role", n.Role)
	w.tell("asked", n.asked())
	w.tell("files", problem(errors.Join(w.write("PGMonitor", m), w.write("PGNode", n))))
}
