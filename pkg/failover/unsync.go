package failover

import (
	"cmp"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/nodes"
	"github.com/pgctl/pgctl/pkg/plan"
)

// Unsync plans that commits no longer wait for a standby: it is taken out of the master's synchronous_standby_names. What keeps it safe:
//
//   - the master is certain: names that are made shorter on an old master would let it acknowledge what is lost;
//   - a commit that then waits for nobody is a risk that the operator names;
//   - where watchers act, the names are theirs.
func Unsync(snap cluster.Snapshot, d cluster.Diagnosis, host string, accept []string) (plan.Plan, error) {
	no := &refusals{accept: accept}
	if snap.Kind == nodes.KindPG9 {
		no.add("", "", "this is a 9.x site: its replication is asynchronous, no commit waits for a standby")
		return plan.Plan{}, no.err()
	}
	watchersRule(snap, no, "it takes a standby that is down out of the sync set by itself; where it cannot: pgctl disable-ha first")
	if find(&snap, host) == nil {
		no.add("", "pgctl overview shows the servers", "the inventory has no server %s", host)
	}
	if _, err := CertainMaster(snap, d, accept); err != nil {
		no.join(err)
	}
	master := find(&snap, d.Master)
	if master == nil {
		return plan.Plan{}, no.err()
	}
	after := no.shorter(master, host)
	if no.any() {
		return plan.Plan{}, no.err()
	}
	p := plan.Plan{Name: "unsync " + host, Facts: facts(master)}
	b := builder{plan: &p, args: map[string]string{"data_dir": master.Data.Path}}
	b.step(verbNames, master.Host, "have commits wait for "+cmp.Or(after.String(), "nobody")+", no longer for "+host, "pgctl upmaster "+host+" takes it in again", with("names", after.String()))
	return p, nil
}

// shorter are the master's names without the host's, and what speaks against them.
func (r *refusals) shorter(master *cluster.Server, host string) cluster.SyncNames {
	names, err := cluster.ParseSyncNames(master.SQL.SyncNames)
	after := names.Without(host)
	switch {
	case host == master.Host:
		r.add("", "pgctl overview", "%s is the master", host)
	case err != nil:
		r.add("", "correct it on "+master.Host, "%v", err)
	case names.Anybody():
		r.add("", "set it on "+master.Host+" to the names that are to count", "synchronous_standby_names is %s: it names everybody, and nobody can be taken out of it", master.SQL.SyncNames)
	case len(names.Members)-len(after.Members) > 1:
		r.add("", "set it on "+master.Host, "synchronous_standby_names is %s: more than one of these may be %s", master.SQL.SyncNames, host)
	case names.Needed > 0 && after.Needed == 0:
		r.add(RiskNoSyncStandby, "bring "+host+" or another standby back", "without %s a commit on %s waits for nobody: what is acknowledged then is lost with it", host, master.Host)
	}
	return after
}
