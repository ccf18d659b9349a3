package watch

import (
	"fmt"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/postgres"
)

// The two words that are good in a status; anything else is a fault and says what is wrong.
const (
	statusActive    = "active"
	statusAvailable = "available"
)

// WatchesOnly is the status of a watcher whose configuration asks for more than this version does.
const WatchesOnly = "this version watches only: it does not fail over"

// timeLayout is RFC 3339 with a fraction of fixed length.
const timeLayout = "2006-01-02T15:04:05.000000Z07:00"

// program names who wrote a status file.
const program = "pgctl"

// Monitor is the file PGMonitor: the watcher itself, and the configuration that is in force.
type Monitor struct {
	Program string        `json:"program"` // "pgctl"
	Version string        `json:"version"`
	Host    string        `json:"host"`
	Status  string        `json:"status"`
	Time    string        `json:"time"`
	PID     int           `json:"pid"`
	Binary  string        `json:"binary_sha256"`   // of the program that runs
	Setting string        `json:"settings_sha256"` // of pgctl.yaml as it was at the start; "" there was none
	Config  MonitorConfig `json:"config"`
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
		Program: program, Version: w.Version, Host: w.Host, Status: monitorStatus(w.config), Time: now.Format(timeLayout),
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
	return m
}

// monitorStatus is the watcher in one sentence.
func monitorStatus(c *config) string {
	switch {
	case !c.taken:
		return "no configuration: " + c.problem
	case c.problem != "":
		return "a newer configuration is not in force: " + c.problem
	case c.watcher == nil:
		return c.path + " has no section pg_watcher"
	case !c.watcher.InactiveFailover:
		return WatchesOnly
	}
	return statusAvailable
}

// node fills in PGNode.
func (w *watcher) node(now time.Time, what part, seen sight) Node {
	n := Node{Program: program, Host: w.Host, Time: now.Format(timeLayout), Role: string(what), Status: statusAvailable}
	switch what {
	case partServer:
		n.server(w.Host, w.Postgres, now, seen)
	case partUnknown:
		n.Status = "no configuration says whether this host has a server"
	}
	return n
}

func (n *Node) server(host string, s postgres.Settings, now time.Time, seen sight) {
	n.Role = string(cluster.RoleUnknown)
	n.Status = serverStatus(host, s, now, seen)
	if seen.err != nil {
		n.Error = new(postgres.Explain(host, s, seen.err, probeLimit).Message)
	}
	in := seen.instance
	if in == nil {
		return
	}
	n.Age = new(max(0, now.Sub(seen.since)).Round(time.Millisecond).Seconds())
	n.AskedAs = new(seen.role)
	if seen.instead != "" {
		n.Fallback = new(seen.instead)
	}
	n.Version, n.Timeline, n.LSN = new(in.Version), new(int(in.Timeline)), new(in.Position.String())
	if seen.err == nil && now.Sub(seen.since) <= patience {
		n.Role = string(cluster.RoleMaster)
		if in.InRecovery {
			n.Role = string(cluster.RoleStandby)
		}
	}
	if in.Receiver != nil && in.Receiver.SenderHost != "" {
		n.Upstream = new(in.Receiver.SenderHost)
	}
}

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
func serverStatus(host string, s postgres.Settings, now time.Time, seen sight) string {
	in := seen.instance
	switch {
	case seen.err != nil && !silent(seen.err):
		return postgres.Explain(host, s, seen.err, probeLimit).Message
	case seen.err != nil, now.Sub(seen.since) > patience:
		return "PostgreSQL gives no answer"
	case in == nil:
		return "PostgreSQL has not answered yet"
	case !in.InRecovery:
		return statusActive
	case in.Receiver == nil:
		return "the standby receives nothing: it has no WAL receiver"
	case in.Receiver.Status != "streaming":
		return fmt.Sprintf("the standby does not stream: its receiver is %s", in.Receiver.Status)
	case in.Paused:
		return "replay is paused"
	}
	return statusAvailable
}
