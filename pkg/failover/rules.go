package failover

import (
	"errors"
	"fmt"
	"slices"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/nodes"
)

// The risks of a change that an operator can accept.
const (
	RiskDataLoss       = "data-loss"                  // acknowledged transactions may be gone
	RiskLoseDiverged   = "lose-diverged-transactions" // transactions that only one server has are set aside
	RiskUnfencedMaster = "unfenced-master"            // a server that could not be asked may be a master too
	RiskNoSyncStandby  = "no-sync-standby"            // a commit will wait for nobody
)

// refusals collects every reason against a change, but for what the operator accepts.
type refusals struct {
	accept []string
	cluster.Refusal
}

func (r *refusals) add(risk, hint, format string, args ...any) {
	if risk == "" || !slices.Contains(r.accept, risk) {
		r.Risks = append(r.Risks, cluster.Risk{Name: risk, Hint: hint, Evidence: fmt.Sprintf(format, args...)})
	}
}

// join adds the reasons of another refusal.
func (r *refusals) join(err error) {
	var more *cluster.Refusal
	if errors.As(err, &more) {
		r.Risks = append(r.Risks, more.Risks...)
		return
	}
	r.add("", "", "%v", err)
}

func (r *refusals) any() bool { return len(r.Risks) > 0 }

func (r *refusals) err() error {
	if !r.any() {
		return nil
	}
	return &r.Refusal
}

// whoIsWho refuses unless there is one master that everything points to, and the old server is another one.
func (r *Rejoin) whoIsWho(no *refusals) {
	switch {
	case r.Snap.Kind == nodes.KindPG9:
		no.add("", "pgctl pg9 post-failover", "this is a 9.x site")
		return
	case r.Old == nil:
		no.add("", "pgctl overview shows the servers", "the inventory has no such server")
		return
	case r.Old.Host == r.Diagnosis.Master:
		no.add("", "pgctl switchover moves it", "%s is the master", r.Old.Host)
		return
	case !r.Old.Reached():
		no.add("", r.Old.Unreachable.Hint, "%s is out of reach: %s", r.Old.Host, r.Old.Unreachable.Message)
		return
	case r.Master == nil:
		no.add("", "pgctl overview", "the master is not certain: %s", noMaster(r.Diagnosis))
		return
	}
	otherMasters(r.Snap, []string{r.Old.Host, r.Master.Host}, no)
	switch q := ViaExecutor(r.Snap); {
	case q == nil:
		watchersRule(r.Snap, no, "")
	case q.Phase != cluster.Serving || *q.Master != r.Master.Host:
		no.add("", "wait until it has settled: pgctl overview --watch", "HA is on, and the quorum does not have %s for its serving master", r.Master.Host)
	case q.CountsOn(r.Old.Host):
		no.add("", "if its data is no good: stop its PostgreSQL; when it has left the sync set (pgctl overview), run this again",
			"HA is on, and the quorum counts on %s: what was acknowledged may rest on its data", r.Old.Host)
	}
	if r.Master.Data.SystemID == 0 || r.Master.Data.Port == 0 || len(r.Master.Addresses) == 0 {
		no.add("", "pgctl overview", "%s did not tell its port, system identifier and addresses", r.Master.Host)
	}
	r.newer(no)
}

// newer: of two that were master, the one with the newer row of an epoch, else with the newer timeline, is the master.
func (r *Rejoin) newer(no *refusals) {
	old, master := r.Old, r.Master
	if why := r.Diagnosis.Distrust; why != "" {
		no.add("", "have the server with the newest timeline be the master; or, if what it has is to be given up, move its data directory away there and run this again: it is copied anew", "%s", why)
		return
	}
	if old.SQL == nil || old.SQL.InRecovery {
		return
	}
	mine, theirs := newest(r.OldRows), newest(r.Rows)
	switch {
	case old.Data == nil || old.Data.SystemID != master.Data.SystemID:
		no.add("", "look at both before anything is thrown away", "%s and %s both answer as master and are not copies of one cluster", old.Host, master.Host)
	case mine > theirs || mine == theirs && old.SQL.Timeline > master.SQL.Timeline:
		no.add("", fmt.Sprintf("if %s is the one to keep: pgctl upmaster %s", old.Host, master.Host),
			"%s answers as master too and is the newer one (timeline %d, %s has %d)", old.Host, old.SQL.Timeline, master.Host, master.SQL.Timeline)
	case mine == theirs && old.SQL.Timeline == master.SQL.Timeline:
		no.add("", "stop the one whose writes are to be given up, then run it again",
			"%s and %s both answer as master on timeline %d: neither is the newer one", old.Host, master.Host, master.SQL.Timeline)
	}
}

func newest(rows []cluster.Epoch) (epoch int64) {
	for _, r := range rows {
		epoch = max(epoch, r.Epoch)
	}
	return epoch
}

// otherMasters: every server but those of the plan must be known not to be a master.
func otherMasters(snap cluster.Snapshot, ours []string, no *refusals) {
	for i := range snap.Servers {
		switch s := &snap.Servers[i]; {
		case slices.Contains(ours, s.Host), s.SQL != nil && s.SQL.InRecovery:
		case s.SQL != nil:
			no.add("", "pgctl overview", "%s answers as master too", s.Host)
		case !s.Reached():
			no.add(RiskUnfencedMaster, s.Unreachable.Hint, "%s is out of reach and may be a master too: %s", s.Host, s.Unreachable.Message)
		case s.Data == nil || s.Data.Postmaster == nil || s.Data.Postmaster.Alive:
			no.add(RiskUnfencedMaster, "pgctl overview", "%s runs PostgreSQL, does not answer, and may be a master too", s.Host)
		}
	}
}

// ViaExecutor is the quorum that changes the region in the place of commands: it was formed, and a watcher that takes part in it may act.
// nil: there is none. What a command did beside it would be undone, or taken for the act of a stranger, for which everything halts.
func ViaExecutor(snap cluster.Snapshot) *cluster.QuorumView {
	q := snap.ViewQuorum()
	if q == nil || q.Phase == cluster.Unformed {
		return nil
	}
	acts := func(w cluster.Watcher) bool { return w.Quorum != nil && w.Inactive != nil && !*w.Inactive }
	if slices.ContainsFunc(snap.Servers, func(s cluster.Server) bool { return acts(s.Watcher) }) ||
		slices.ContainsFunc(snap.Arbiters, func(a cluster.Arbiter) bool { return acts(a.Watcher) }) {
		return q
	}
	return nil
}

// watchersRule: where watchers act, nobody else does. With a quorum that acts, instead is what to do.
func watchersRule(snap cluster.Snapshot, no *refusals, instead string) {
	if q := ViaExecutor(snap); q != nil {
		no.add("", instead, "HA is on: %s, and nobody beside it", whoDecides(q))
		return
	}
	if snap.HA != nodes.HAEnabled {
		return
	}
	for _, s := range snap.Servers {
		if s.Watcher.Service.State == cluster.ServiceActive {
			no.add("", "pgctl disable-ha, and enable-ha afterwards", "failover is on and the watcher of %s runs: it may act at the same time", s.Host)
			return
		}
	}
}

func whoDecides(q *cluster.QuorumView) string {
	if q.Leader == "" {
		return "the quorum changes the region"
	}
	return "the executor, " + q.Leader + ", changes the region"
}
