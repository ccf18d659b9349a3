package failover

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/nodes"
	"github.com/pgctl/pgctl/pkg/pgpool"
	"github.com/pgctl/pgctl/pkg/plan"
)

// The verbs of the steps of a pool that names both servers of a 9.x site. Their arguments, each of which may be missing:
//
//	failover    "on" or "off": what the flag of every backend shall say
//	backends    the host of backend 0, of backend 1
//	master      who shall be up, and the primary, in SHOW POOL_NODES; its addresses, port and so on as in facts
//	up          "all": so shall every other backend
//	status      "keep": what pgpool remembers of nodes that are down is still true of the backends and survives the restart
const (
	verbPool9Edit    = "pool9.edit"
	verbPool9Restart = "pool9.restart"
	verbPool9Nodes   = "pool9.nodes"
)

// FlagsCommand is the command that lets the pools of a 9.x site fail over, or no longer.
func FlagsCommand(on bool) string {
	if on {
		return "enable-failover"
	}
	return "disable-failover"
}

// PoolFailover plans what lets every pool of a 9.x site fail over, or no longer: one pool after the other, so that one of two always
// serves.
//
// On is refused, with every reason at once, where a failover could not work or would lose the site: the master must be certain and its
// slave stream, every pool must answer, name both in this order and have a command that promotes the slave. Two pools of which one
// fails over and one does not may end on different masters, so none is left out. Off asks for nothing of this, and leaves out what it
// cannot reach: what is off stays off.
func PoolFailover(snap cluster.Snapshot, d cluster.Diagnosis, on bool, s pgpool.Settings) (p plan.Plan, left map[string]string, err error) {
	p = plan.Plan{Name: FlagsCommand(on), Facts: map[string]string{"failover": string(onOff(on))}}
	if snap.Kind != nodes.KindPG9 {
		return p, nil, &cluster.Refusal{Risks: []cluster.Risk{{
			Evidence: "this is a site with PostgreSQL 10 or later: its failover is the watchers', and its pools never fail over",
			Hint:     map[bool]string{true: "pgctl enable-ha", false: "pgctl disable-ha"}[on],
		}}}
	}
	args := map[string]string{"failover": string(onOff(on)), "status": "keep"}
	if on {
		master, err := mayFailOver(snap, d, s)
		if err != nil {
			return p, nil, err
		}
		args = map[string]string{"failover": string(onOff(on)), "up": "all", "addresses": strings.Join(master.Addresses, " ")}
		for key, value := range facts(master) {
			p.Facts[key], args[key] = value, value
		}
	}
	left = map[string]string{}
	for _, pool := range snap.Pools {
		if why := poolSilent(pool); why != "" {
			left[pool.Host] = why
			continue
		}
		p.Steps = append(p.Steps, failoverSteps(pool.Host, args, s)...)
	}
	return p, left, nil
}

func onOff(on bool) cluster.Failover {
	if on {
		return cluster.FailoverOn
	}
	return cluster.FailoverOff
}

// poolSilent is why a pool cannot be helped; "" when it can.
func poolSilent(pool cluster.Pool) string {
	switch {
	case !pool.Reached():
		return pool.Unreachable.Message
	case pool.ConfFailure != nil:
		return pool.ConfFailure.Message
	case pool.Backends == nil:
		return "its pgpool.conf was not read"
	}
	return ""
}

// stopsFailover are the findings with which a failover would not work, whatever their severity. What a running pgpool makes of its
// backends is none of them: it is about to be restarted.
var stopsFailover = []cluster.Code{
	cluster.NoMaster, cluster.SplitBrain, cluster.HostUnreachable, cluster.PostgresDown,
	cluster.StandbyNotStreaming, cluster.StandbyLagging, cluster.Diverged, cluster.SystemIDMismatch,
}

// mayFailOver gives the certain master of a site on which a failover by pgpool would work, else refuses.
func mayFailOver(snap cluster.Snapshot, d cluster.Diagnosis, s pgpool.Settings) (*cluster.Server, error) {
	no := &refusals{}
	for _, f := range d.Findings {
		if slices.Contains(stopsFailover, f.Code) {
			no.add("", f.Hint, "%s", strings.TrimSpace(fmt.Sprintf("%s %s", f.Code, f.Host))+": "+f.Message)
		}
	}
	for _, pool := range snap.Pools {
		switch why := poolSilent(pool); {
		case why != "" && pool.Reached():
			no.add("", "", "%s: %s", pool.Host, why)
		case why != "": // host-unreachable has said so
		case d.Master != "" && !inOrder(snap, d.Master, pool.Backends):
			no.add("", "pgctl pg9 post-failover", "%s: the backends in %s are not the master %s and then the slave", pool.Host, s.ConfPath(), d.Master)
		case pool.FailoverCommand == "":
			no.add("", "set it to what makes the trigger file on the slave", "%s: %s sets no failover_command: pgpool would take the master out of use and promote nobody", pool.Host, s.ConfPath())
		}
	}
	if len(snap.Servers) != 2 || len(snap.Pools) == 0 {
		no.add("", "correct the inventory", "the site has %d servers and %d pools, expected two servers and their pools", len(snap.Servers), len(snap.Pools))
	}
	if no.any() {
		return nil, no.err()
	}
	return CertainMaster(snap, d, nil)
}

// inOrder tells whether the backends are the master first, and then each other server.
func inOrder(snap cluster.Snapshot, master string, backends []cluster.Backend) bool {
	next := 1
	for i := range snap.Servers {
		at := next
		if snap.Servers[i].Host == master {
			at = 0
		} else {
			next++
		}
		if at >= len(backends) || !snap.Servers[i].IsBackend(backends[at]) {
			return false
		}
	}
	return len(backends) == len(snap.Servers)
}

func failoverSteps(pool string, args map[string]string, s pgpool.Settings) []plan.Step {
	text := map[string]string{"on": "allow failover", "off": "disallow failover"}[args["failover"]]
	steps := []plan.Step{
		{Verb: verbPool9Edit, Text: fmt.Sprintf("%s in every backend_flag of %s", text, s.ConfPath())},
		{Verb: verbPool9Restart, Text: "restart " + s.Unit(), Why: "a reload does not change an existing backend"},
		{Verb: verbPool9Nodes, Text: "see in show pool_nodes that it took them"},
	}
	if args["master"] != "" {
		steps[2].Text = "see in show pool_nodes that both servers are up and " + args["master"] + " is the primary"
		steps = append(steps, plan.Step{Verb: verbPoolProve, Text: fmt.Sprintf("write through the pool, and see that %s:%s took it", args["master"], args["port"])})
	}
	return onPool(pool, args, steps)
}

// onPool makes steps those of one pool.
func onPool(pool string, args map[string]string, steps []plan.Step) []plan.Step {
	for i := range steps {
		steps[i].ID, steps[i].Host, steps[i].Args = pool+"/"+steps[i].Verb, pool, args
	}
	return steps
}

// StillFailsOver is the guard of enable-failover: the master is as certain as it was, and the same. Off holds whoever is master.
func StillFailsOver(snap cluster.Snapshot, p plan.Plan, accept []string) error {
	if p.Facts["failover"] == string(cluster.FailoverOff) {
		return nil
	}
	held := plan.Plan{Facts: map[string]string{}}
	for key, value := range p.Facts {
		if key != "failover" {
			held.Facts[key] = value
		}
	}
	return StillMaster(snap, held, accept)
}
