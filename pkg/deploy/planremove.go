package deploy

import (
	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/nodes"
	"github.com/pgctl/pgctl/pkg/plan"
	"github.com/pgctl/pgctl/pkg/postgres"
)

// PlanRemove plans the removal. It is refused while the watchers are to act.
func (d *Deployer) PlanRemove(snap cluster.Snapshot, seen map[string]*Seen, o Options) (plan.Plan, map[string]string, error) {
	if snap.HA == nodes.HAEnabled {
		return plan.Plan{}, nil, refuse("automatic failover is on (inactive_failover is 0 in every zone): without watchers nothing would do it", "pgctl disable-ha")
	}
	all := region(snap, seen)
	left := map[string]string{}
	p := plan.Plan{Name: "deploy --remove", Facts: map[string]string{"ha": string(snap.HA)}}
	for _, n := range all {
		if n.why != "" {
			left[n.host] = n.why
			continue
		}
		p.Steps = append(p.Steps,
			plan.Step{ID: n.host + "/" + verbStop, Verb: verbStop, Host: n.host, Text: "stop pgctl's pg_watcher, and remove it from supervisor with its status files", Why: meanwhile(snap.HA, false)},
			plan.Step{ID: n.host + "/" + verbClear, Verb: verbClear, Host: n.host, Text: d.clearText(n.host)})
	}
	p.Steps = append(p.Steps, dropSteps(all, o, left)...)
	for _, n := range all {
		if n.why == "" && n.seen.facts.has("kept") {
			p.Steps = append(p.Steps, plan.Step{
				ID: n.host + "/" + verbRestore, Verb: verbRestore, Host: n.host, Text: "put the pg_watcher that was there before back, and start it if it ran",
				Why: "when pgctl's has stopped on every host",
			})
		}
	}
	return p, left, nil
}

// dropSteps take the watchers' role and users away, when none of the watchers runs any more.
func dropSteps(all []node, o Options, left map[string]string) []plan.Step {
	var steps []plan.Step
	if o.Master == nil {
		left["the role "+postgres.WatcherRole] = o.NoMaster
	} else {
		steps = append(steps, plan.Step{
			ID: o.Master.Host + "/" + verbDropRole, Verb: verbDropRole, Host: o.Master.Host, Text: "drop the role " + postgres.WatcherRole + " in PostgreSQL, if deploy made it",
			Why: "the table pgctl.epoch stays: what it proves of a server does not end with the watchers",
		})
	}
	for _, n := range all {
		if n.why == "" && n.role == roleServer {
			steps = append(steps, plan.Step{ID: n.host + "/" + verbDropUser, Verb: verbDropUser, Host: n.host, Text: "remove the system user " + postgres.WatcherRole + ", if deploy made it"})
		}
	}
	return steps
}

func (d *Deployer) clearText(host string) string {
	if host == d.Here {
		return "remove its own key and certificate; the authority and pgctl stay on this host"
	}
	return "remove its keys, certificates and " + BinaryPath
}
