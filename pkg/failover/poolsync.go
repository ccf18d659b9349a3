package failover

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/nodes"
	"github.com/pgctl/pgctl/pkg/pgpool"
	"github.com/pgctl/pgctl/pkg/plan"
)

// The verbs of a pool's steps.
const (
	verbPoolEdit    = "pool.edit"
	verbPoolRestart = "pool.restart"
	verbPoolProve   = "pool.prove"
)

// PoolSync plans what makes every reachable pool of a PostgreSQL 10+ site send its clients to the master and nowhere else: one
// pool after the other, so that one of two always serves. Pools that cannot be helped are left out and returned with the reason. It is refused
// where the master is not certain: a pool that points at a wrong master sends writes into the void.
func PoolSync(snap cluster.Snapshot, d cluster.Diagnosis, s pgpool.Settings, accept []string) (p plan.Plan, left map[string]string, err error) {
	if snap.Kind == nodes.KindPG9 {
		return plan.Plan{}, nil, &cluster.Refusal{Risks: []cluster.Risk{{
			Evidence: "this is a 9.x site: its pools name both servers and do the failover themselves",
		}}}
	}
	master, err := CertainMaster(snap, d, accept)
	if err != nil {
		return plan.Plan{}, nil, err
	}
	p = plan.Plan{Name: "pgpool sync", Facts: facts(master)}
	left = map[string]string{}
	for _, pool := range snap.Pools {
		switch {
		case !pool.Reached():
			left[pool.Host] = pool.Unreachable.Message
		case pool.ConfFailure != nil:
			left[pool.Host] = pool.ConfFailure.Message
		case pool.Backends == nil:
			left[pool.Host] = "its pgpool.conf was not read"
		default:
			p.Steps = append(p.Steps, poolSteps(pool, master, s)...)
		}
	}
	return p, left, nil
}

// facts are what a plan is held to.
func facts(master *cluster.Server) map[string]string {
	return map[string]string{
		"master": master.Host, "port": strconv.Itoa(master.Data.Port), "system_id": strconv.FormatUint(master.Data.SystemID, 10),
		"timeline": strconv.Itoa(int(master.SQL.Timeline)),
	}
}

// StillMaster is the guard of a plan: the master is as certain now as it was, and the same.
func StillMaster(snap cluster.Snapshot, p plan.Plan, accept []string) error {
	master, err := CertainMaster(snap, cluster.Diagnose(snap), accept)
	if err != nil {
		return err
	}
	if now := facts(master); !maps.Equal(now, p.Facts) {
		return fmt.Errorf("the plan was made for %s on timeline %s, the master is %s on timeline %s now", p.Facts["master"], p.Facts["timeline"], now["master"], now["timeline"])
	}
	return nil
}

// CertainMaster is the one server that answers as master, when no other server can be one too: every other one answered as a
// standby, or its host answered and its PostgreSQL does not run. accept names the risks that the operator takes. A refusal
// names every reason at once.
func CertainMaster(snap cluster.Snapshot, d cluster.Diagnosis, accept []string) (*cluster.Server, error) {
	refusal := &cluster.Refusal{}
	add := func(name, hint, format string, args ...any) {
		if name == "" || !slices.Contains(accept, name) {
			refusal.Risks = append(refusal.Risks, cluster.Risk{Name: name, Hint: hint, Evidence: fmt.Sprintf(format, args...)})
		}
	}
	var master *cluster.Server
	for i := range snap.Servers {
		switch s := &snap.Servers[i]; {
		case s.Host == d.Master:
			master = s
		case s.SQL != nil:
		case !s.Reached():
			add(RiskUnfencedMaster, s.Unreachable.Hint, "%s is out of reach and may be a master too: %s", s.Host, s.Unreachable.Message)
		case s.Data == nil || s.Data.Postmaster == nil || s.Data.Postmaster.Alive:
			add(RiskUnfencedMaster, "pgctl overview", "%s runs PostgreSQL, does not answer, and may be a master too", s.Host)
		}
	}
	switch {
	case master == nil:
		add("", "pgctl overview", "%s", noMaster(d))
	case master.Data == nil || master.Data.Port == 0 || master.Data.SystemID == 0 || len(master.Addresses) == 0:
		add("", "pgctl overview", "%s did not tell its port, system identifier and addresses", master.Host)
	case alone(snap, master):
		add("", "pgctl overview", "%s is another cluster than every other server of the region has", master.Host)
	}
	if len(refusal.Risks) > 0 {
		return nil, refusal
	}
	return master, nil
}

// alone tells whether other servers' clusters are known, and none is the master's.
func alone(snap cluster.Snapshot, master *cluster.Server) bool {
	others, same := false, false
	for _, s := range snap.Servers {
		if s.Host != master.Host && s.Data != nil && s.Data.SystemID != 0 {
			others = true
			same = same || s.Data.SystemID == master.Data.SystemID
		}
	}
	return others && !same
}

func noMaster(d cluster.Diagnosis) string {
	for _, f := range d.Findings {
		if f.Code == cluster.NoMaster || f.Code == cluster.SplitBrain {
			return f.Message
		}
	}
	return "no server answers as master"
}

// poolSteps are the steps of one pool.
func poolSteps(pool cluster.Pool, master *cluster.Server, s pgpool.Settings) []plan.Step {
	args := facts(master)
	args["addresses"] = strings.Join(master.Addresses, " ")
	target := fmt.Sprintf("%s:%d", master.Host, master.Data.Port)
	return []plan.Step{
		{ID: pool.Host + "/" + verbPoolEdit, Verb: verbPoolEdit, Host: pool.Host, Args: args, Text: fmt.Sprintf("make %s the only backend in %s", target, s.ConfPath())},
		{ID: pool.Host + "/" + verbPoolRestart, Verb: verbPoolRestart, Host: pool.Host, Args: args, Text: "restart " + s.Unit(), Why: "a reload does not change an existing backend"},
		{ID: pool.Host + "/" + verbPoolProve, Verb: verbPoolProve, Host: pool.Host, Args: args, Text: "write through the pool, and see that " + target + " took it"},
	}
}
