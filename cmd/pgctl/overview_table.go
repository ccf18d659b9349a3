package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/olekukonko/tablewriter/pkg/twwidth"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/nodes"
)

// page is the table form of an overview: a headline, tables and findings, one below the other.
type page struct {
	headline string
	notes    []string // lines of a block of their own under the headline
	tables   []table
	findings []string
	width    int // 0: as wide as it takes
	height   int // where all does not fit into so many lines, findings go first; 0: tables always do
}

func overviewTables(snap cluster.Snapshot, d cluster.Diagnosis, p painter, wide bool) page {
	out := page{headline: headline(snap, d, p), notes: quorumLines(snap, d, p), width: pageWidth}
	if wide {
		out.width = 0
	}
	out.tables = append(out.tables, serverTable(snap, d, p, wide))
	if aside := asideTable(snap); len(aside.rows) > 0 {
		out.tables = append(out.tables, aside)
	}
	if len(snap.Pools) > 0 {
		out.tables = append(out.tables, poolTable(snap, p, wide))
	}
	if len(snap.Arbiters) > 0 {
		out.tables = append(out.tables, arbiterTable(snap, p))
	}
	if watchers := watcherTable(snap, d, p); len(watchers.rows) > 0 {
		out.tables = append(out.tables, watchers)
	}
	for _, f := range d.Findings {
		out.findings = append(out.findings, findingText(f, p))
	}
	return out
}

func (g page) write(w io.Writer) error {
	var blocks []string
	for _, t := range g.tables {
		var b strings.Builder
		t.fit(g.width)
		if err := t.write(&b); err != nil {
			return err
		}
		blocks = append(blocks, b.String())
	}
	if len(g.findings) > 0 {
		findings := strings.Join(g.findings, "\n") + "\n"
		if lines := strings.Count(strings.Join(blocks, "\n")+"\n"+findings, "\n") + 2; g.height > 0 && lines > g.height {
			blocks = append([]string{findings}, blocks...)
		} else {
			blocks = append(blocks, findings)
		}
	}
	if len(g.notes) > 0 {
		blocks = append([]string{strings.Join(g.notes, "\n") + "\n"}, blocks...)
	}
	if g.headline != "" {
		blocks = append([]string{g.headline + "\n"}, blocks...)
	}
	_, err := io.WriteString(w, strings.Join(blocks, "\n"))
	return err
}

// headline is the region in one line.
func headline(snap cluster.Snapshot, d cluster.Diagnosis, p painter) string {
	status := map[cluster.Status]string{
		cluster.Healthy: p.good("healthy"), cluster.Degraded: p.warn("degraded"), cluster.CriticalFailure: p.bad("critical"),
	}[d.Status]
	master := "no master"
	switch {
	case d.Master != "":
		master = "master " + p.bold(d.Master)
	case len(d.Masters) > 1:
		master = strconv.Itoa(len(d.Masters)) + " masters"
	}
	ha := "HA " + haText(d)
	if snap.Kind == nodes.KindPG9 {
		ha = "pgpool's failover " + failoverCell(snap.Failover(), p)
	}
	return wrap(fmt.Sprintf("REGION %s, %s, %s", status, master, ha), pageWidth, "  ")
}

func serverTable(snap cluster.Snapshot, d cluster.Diagnosis, p painter, wide bool) table {
	t := table{
		header:     []string{"  SERVER", "ZONE", "ROLE", "SERVICE", "VERSION", "TL", "LSN", "LAG", "SYNC", "UPSTREAM"},
		expendable: []string{"UPSTREAM", "ZONE", "VERSION"},
	}
	if wide {
		t.header = append(t.header, "RECEIVED", "PG_MASTER", "DISK FREE", "PORT", "DATA", "WATCHER")
	}
	for i, s := range snap.Servers {
		row := serverRow(s, d.Standings[i], s.Host == d.Master, p)
		if wide {
			row = append(row, serverExtra(s)...)
		}
		t.rows = append(t.rows, row)
	}
	return t
}

func serverRow(s cluster.Server, st cluster.Standing, master bool, p painter) []string {
	role := string(st.Role)
	switch st.Role {
	case cluster.RoleMaster:
		role = p.bold(role)
	case cluster.RoleUnknown:
		role = p.bad(role)
	}
	row := []string{marked(s.Host, master), dash(s.Zone), role, serviceCell(s.Common, s.Service, p)}
	if s.SQL == nil {
		return append(row, "-", "-", "-", "-", "-", "-")
	}
	return append(row, s.SQL.Version, strconv.Itoa(int(s.SQL.Timeline)), s.SQL.Position.String(),
		lagCell(st, s.SQL, p), dash(st.SyncState), dash(st.Upstream))
}

// marked puts a star before the master, and keeps the others in line with it.
func marked(host string, master bool) string {
	if master {
		return "* " + host
	}
	return "  " + host
}

func serverExtra(s cluster.Server) []string {
	received, file, free, port, data := "-", "-", "-", "-", "-"
	if s.SQL != nil && s.SQL.Received != 0 {
		received = s.SQL.Received.String()
	}
	if s.MasterFile != nil {
		file = dash(*s.MasterFile)
	}
	if s.Disk != nil {
		free = cluster.Size(s.Disk.Free).String()
	}
	if s.Data != nil {
		data = s.Data.Path
		if s.Data.Port != 0 {
			port = strconv.Itoa(s.Data.Port)
		}
	}
	return []string{received, file, free, port, data, watcherCell(s.Watcher)}
}

// asideTable lists what renewals set aside.
func asideTable(snap cluster.Snapshot) table {
	t := table{header: []string{"  SET ASIDE", "PATH", "MADE"}}
	for _, s := range snap.Servers {
		for _, aside := range s.Asides {
			t.rows = append(t.rows, []string{marked(s.Host, false), cluster.Printable(aside.Path), aside.Made.UTC().Format("2006-01-02 15:04 UTC")})
		}
	}
	return t
}

func poolTable(snap cluster.Snapshot, p painter, wide bool) table {
	t := table{header: []string{"  POOL", "SERVICE", "BACKENDS"}}
	pg9 := snap.Kind == nodes.KindPG9
	if pg9 {
		t.header = append(t.header, "FAILOVER")
	}
	if wide {
		t.header = append(t.header, "RUNNING")
	}
	for _, pool := range snap.Pools {
		row := []string{marked(pool.Host, false), serviceCell(pool.Common, pool.Service, p), backendCell(pool.Backends, wide)}
		if pg9 {
			row = append(row, failoverCell(pool.Failover(), p))
		}
		if wide {
			row = append(row, backendCell(pool.Running, false))
		}
		t.rows = append(t.rows, row)
	}
	return t
}

// failoverCell is whether pgpool may fail over, on or off by choice; mixed is neither.
func failoverCell(f cluster.Failover, p painter) string {
	switch f {
	case cluster.FailoverUnknown:
		return "unknown"
	case cluster.FailoverMixed:
		return p.warn(string(f))
	}
	return string(f)
}

func arbiterTable(snap cluster.Snapshot, p painter) table {
	t := table{header: []string{"  ARBITER", "ZONE", "HOST", "WATCHER"}}
	for _, a := range snap.Arbiters {
		reached := "reachable"
		if !a.Reached() {
			reached = p.bad("unreachable")
		}
		t.rows = append(t.rows, []string{marked(a.Host, false), dash(a.Zone), reached, watcherCell(a.Watcher)})
	}
	return t
}

// findingText is "critical  code host: sentence", wrapped to the page, and the remedy on a line of its own.
func findingText(f cluster.Finding, p painter) string {
	severity := p.warn(string(f.Severity))
	if f.Severity == cluster.Critical {
		severity = p.bad(string(f.Severity))
	}
	pad := strings.Repeat(" ", 10)
	subject := string(f.Code)
	if f.Host != "" {
		subject += " " + f.Host
	}
	text := severity + pad[len(f.Severity):] + wrap(subject+": "+f.Message, pageWidth-len(pad), pad)
	if f.Hint != "" {
		text += "\n" + pad + "-> " + hintText(f.Hint, pageWidth-len(pad)-len("-> "), pad+"   ")
	}
	return text
}

// hintText breaks a remedy only between its parts, and only where it is too long: a command is to be copied in one piece.
func hintText(hint string, width int, indent string) string {
	if twwidth.Width(hint) <= width {
		return hint
	}
	return strings.ReplaceAll(hint, "; ", ";\n"+indent)
}

func serviceCell(c cluster.Common, s cluster.Service, p painter) string {
	switch {
	case !c.Reached():
		return p.bad("unreachable")
	case s.State == cluster.ServiceActive:
		return string(s.State)
	case s.State == "":
		return p.bad(string(cluster.ServiceUnknown))
	}
	return p.bad(string(s.State))
}

// lagCell is bytes and age: "0 B", "1.2 MiB 3s".
func lagCell(st cluster.Standing, in *cluster.Instance, p painter) string {
	if st.LagBytes == nil {
		return "-"
	}
	text := cluster.Size(*st.LagBytes).String()
	if st.LagTime != nil && *st.LagBytes > 0 {
		text += " " + st.LagTime.Round(time.Second).String()
	}
	if in.Paused || *st.LagBytes >= cluster.LagLimit {
		return p.bad(text)
	}
	return text
}

func backendCell(backends []cluster.Backend, flags bool) string {
	var each []string
	for _, b := range backends {
		text := fmt.Sprintf("%s:%d", b.Host, b.Port)
		if flags && b.Flag != "" {
			text += " " + b.Flag
		}
		each = append(each, text)
	}
	return dash(strings.Join(each, ", "))
}

func watcherCell(w cluster.Watcher) string {
	text := dash(string(w.Service.State))
	for _, status := range []*string{w.Monitor, w.Node} {
		switch {
		case status == nil:
		case strings.Contains(*status, " "):
			text += " fault" // the finding says which
		default:
			text += " " + *status
		}
	}
	return text
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
