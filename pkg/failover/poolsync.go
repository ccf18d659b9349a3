package failover

import (
	"fmt"
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
// pool after the other, so that one of two always serves. Pools that did not answer are left out and returned. It is refused
// where the master is not certain: a pool that points at a wrong master sends writes into the void.
func PoolSync(snap cluster.Snapshot, d cluster.Diagnosis, s pgpool.Settings, accept []string) (p plan.Plan, left []cluster.Pool, err error) {
	if snap.Kind == nodes.KindPG9 {
		return plan.Plan{}, nil, &cluster.Refusal{Risks: []cluster.Risk{{
			Evidence: "this is a 9.x site: its pools name both servers and do the failover themselves",
		}}}
	}
	master, err := certainMaster(snap, d, accept)
	if err != nil {
		return plan.Plan{}, nil, err
	}
	p = plan.Plan{Name: "pgpool sync", Facts: map[string]string{"master": master.Host}}
	for _, pool := range snap.Pools {
		if !pool.Reached() {
			left = append(left, pool)
			continue
		}
		p.Steps = append(p.Steps, poolSteps(pool, master, s)...)
	}
	return p, left, nil
}

// certainMaster is the one server that answers as master, when no other server can be one too: every other one answered as a
// standby, or its host answered and its PostgreSQL does not run. accept names the risks that the operator takes.
func certainMaster(snap cluster.Snapshot, d cluster.Diagnosis, accept []string) (*cluster.Server, error) {
	refusal := &cluster.Refusal{}
	var master *cluster.Server
	for i := range snap.Servers {
		s := &snap.Servers[i]
		switch {
		case s.Host == d.Master:
			master = s
		case s.SQL != nil:
		case !s.Reached():
			refusal.Risks = append(refusal.Risks, cluster.Risk{
				Name:     RiskUnfencedMaster,
				Evidence: fmt.Sprintf("%s was not asked and may be a master too: %s", s.Host, s.Unreachable.Message), Hint: s.Unreachable.Hint,
			})
		case s.Data == nil || s.Data.Postmaster == nil || s.Data.Postmaster.Alive:
			refusal.Risks = append(refusal.Risks, cluster.Risk{
				Name: RiskUnfencedMaster, Evidence: fmt.Sprintf("%s runs PostgreSQL, does not answer, and may be a master too", s.Host), Hint: "pgctl overview",
			})
		}
	}
	if master == nil {
		return nil, &cluster.Refusal{Risks: []cluster.Risk{{Evidence: noMaster(d), Hint: "pgctl overview"}}}
	}
	if master.Data == nil || master.Data.Port == 0 {
		return nil, &cluster.Refusal{Risks: []cluster.Risk{{Evidence: fmt.Sprintf("the port of %s is not known", master.Host), Hint: "set postgres.port in pgctl.yaml"}}}
	}
	refusal.Risks = slices.DeleteFunc(refusal.Risks, func(r cluster.Risk) bool { return slices.Contains(accept, r.Name) })
	if len(refusal.Risks) > 0 {
		return nil, refusal
	}
	return master, nil
}

// RiskUnfencedMaster is accepted by --accept=unfenced-master: a server that could not be asked may be a master too.
const RiskUnfencedMaster = "unfenced-master"

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
	args := map[string]string{
		"master": master.Host, "port": strconv.Itoa(master.Data.Port), "addresses": strings.Join(master.Addresses, " "),
		"system_id": strconv.FormatUint(master.Data.SystemID, 10),
	}
	target := fmt.Sprintf("%s:%d", master.Host, master.Data.Port)
	return []plan.Step{
		{ID: pool.Host + "/" + verbPoolEdit, Verb: verbPoolEdit, Host: pool.Host, Args: args, Text: fmt.Sprintf("make %s the only backend in %s", target, s.ConfPath())},
		{ID: pool.Host + "/" + verbPoolRestart, Verb: verbPoolRestart, Host: pool.Host, Args: args, Text: "restart " + s.Unit(), Why: "a reload does not change an existing backend"},
		{ID: pool.Host + "/" + verbPoolProve, Verb: verbPoolProve, Host: pool.Host, Args: args, Text: "write through the pool, and see that " + target + " took it"},
	}
}
