package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/deploy"
	"github.com/pgctl/pgctl/pkg/nodes"
	"github.com/pgctl/pgctl/pkg/observe"
)

func newStatusCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "status [HOST...]",
		Short: "Show the services postgresql, pgpool2 and pg_watcher on every node",
		Long: `status asks each host's own service manager: systemd where it runs, service(8) where it
does not, supervisor for pg_watcher. On Debian the unit asked is the instance's
(postgresql@15-main.service), as postgresql.service says active whatever its instances do.

Exit code 3 when a service that should run does not, or a host does not answer. A missing
pg_watcher is as it should be while HA is off.`,
		Example: `  pgctl status
  pgctl status db1 db2`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error { return a.status(cmd, args) },
	}
}

// statusDoc is the document of `status -o json` (docs/json.md).
type statusDoc struct {
	Hosts []hostStatus `json:"hosts"`
}

type hostStatus struct {
	Host      string          `json:"host"`
	Reachable bool            `json:"reachable"`
	Services  []serviceStatus `json:"services"`
	Error     *string         `json:"error"`
	Hint      *string         `json:"hint"`
}

type serviceStatus struct {
	Name    string               `json:"name"`
	Manager string               `json:"manager"`
	Unit    string               `json:"unit"`
	State   cluster.ServiceState `json:"state"`
	Detail  string               `json:"detail"`
	Wanted  bool                 `json:"wanted"` // it should be active
}

func (a *app) status(cmd *cobra.Command, only []string) error {
	ctx := cmd.Context()
	site, closeSite, err := a.site(ctx)
	if err != nil {
		return err
	}
	defer closeSite()
	if err := restrict(site.Inventory, only); err != nil {
		return usageError(cmd.CommandPath(), err)
	}
	doc, err := a.askStatus(ctx, site)
	if err != nil {
		return err
	}
	p := a.painter()
	if err := a.print(doc, func() error { return statusTable(doc, p).write(a.out) }); err != nil {
		return err
	}
	if slices.ContainsFunc(doc.Hosts, hostStatus.wrong) {
		return unhealthy()
	}
	return nil
}

// restrict leaves only the named hosts in the inventory. HA stays what all zones say.
func restrict(inv *nodes.Inventory, only []string) error {
	if len(only) == 0 {
		return nil
	}
	all := deploy.Hosts(inv)
	for _, name := range only {
		if !slices.Contains(all, name) {
			return fmt.Errorf("the inventory has no host %s: expected one of %s", name, strings.Join(all, ", "))
		}
	}
	inv.Servers = slices.DeleteFunc(inv.Servers, func(s nodes.Server) bool { return !slices.Contains(only, s.Host) })
	inv.Pools = slices.DeleteFunc(inv.Pools, func(p nodes.Pool) bool { return !slices.Contains(only, p.Host) })
	inv.Arbiters = slices.DeleteFunc(inv.Arbiters, func(x nodes.Arbiter) bool { return !slices.Contains(only, x.Host) })
	return nil
}

// askStatus asks every host and puts its services together, a host once, whatever it carries.
func (a *app) askStatus(ctx context.Context, site *observe.Site) (statusDoc, error) {
	snap, err := ask(ctx, site, observe.ServicesOnly)
	if err != nil {
		return statusDoc{}, err
	}
	doc := statusDoc{Hosts: []hostStatus{}}
	watched := snap.HA == nodes.HAEnabled
	for _, s := range snap.Servers {
		h := doc.host(s.Common)
		h.add("postgresql", s.Service, true)
		if snap.Kind != nodes.KindPG9 { // which has no watchers
			h.add("pg_watcher", s.Watcher.Service, watched)
		}
	}
	for _, p := range snap.Pools {
		doc.host(p.Common).add("pgpool2", p.Service, true)
	}
	for _, x := range snap.Arbiters {
		doc.host(x.Common).add("pg_watcher", x.Watcher.Service, watched)
	}
	return doc, nil
}

// host is the entry of a host, made on first use.
func (d *statusDoc) host(c cluster.Common) *hostStatus {
	if i := slices.IndexFunc(d.Hosts, func(h hostStatus) bool { return h.Host == c.Host }); i >= 0 {
		return &d.Hosts[i]
	}
	h := hostStatus{Host: c.Host, Reachable: c.Reached(), Services: []serviceStatus{}}
	if c.Unreachable != nil {
		h.Error, h.Hint = known(c.Unreachable.Message), known(c.Unreachable.Hint)
	}
	d.Hosts = append(d.Hosts, h)
	return &d.Hosts[len(d.Hosts)-1]
}

func (h *hostStatus) add(name string, s cluster.Service, wanted bool) {
	if !h.Reachable {
		return
	}
	if s.State == "" {
		s.State, s.Detail = cluster.ServiceUnknown, "no answer"
	}
	h.Services = append(h.Services, serviceStatus{name, s.Manager, s.Unit, s.State, s.Detail, wanted})
}

func (h hostStatus) wrong() bool {
	return !h.Reachable || slices.ContainsFunc(h.Services, serviceStatus.wrong)
}

// wrong: a service that should be active is not, or one that need not be there has failed.
func (s serviceStatus) wrong() bool {
	return s.Wanted && s.State != cluster.ServiceActive || s.State == cluster.ServiceFailed
}

func statusTable(doc statusDoc, p painter) page {
	t := table{header: []string{"HOST", "SERVICE", "STATE", "UNIT", "MANAGER", "DETAIL"}, expendable: []string{"MANAGER", "DETAIL"}}
	out := page{width: pageWidth}
	for _, h := range doc.Hosts {
		if !h.Reachable {
			t.rows = append(t.rows, []string{h.Host, "-", p.bad("unreachable"), "-", "-", "-"})
			out.findings = append(out.findings, wrap(h.Host+": "+*h.Error, pageWidth, "  "))
			if h.Hint != nil {
				out.findings = append(out.findings, "  -> "+*h.Hint)
			}
			continue
		}
		for i, s := range h.Services {
			state := string(s.State)
			if s.wrong() {
				state = p.bad(state)
			}
			host := h.Host
			if i > 0 {
				host = ""
			}
			t.rows = append(t.rows, []string{host, s.Name, state, s.Unit, s.Manager, strings.TrimSpace(s.Detail)})
		}
	}
	out.tables = []table{t}
	return out
}
