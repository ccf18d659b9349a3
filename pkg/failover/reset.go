package failover

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/plan"
)

// RiskLostHosts is accepted by --accept=lost-hosts: the hosts that do not answer are lost for good, or stay off until they reach those that are left.
const RiskLostHosts = "lost-hosts"

// Survivor is a server or an arbiter of a region whose quorum is to be made anew, and what it has.
type Survivor struct {
	Host  string
	Shelf *Shelf // nil: it could not be looked at
	Lost  bool   // it does not answer at all
	Why   string // why it could not be looked at
}

// Reset is what a quorum is made anew from.
type Reset struct {
	Seen   []Survivor       // of every server and arbiter of the inventory, in its order
	Snap   cluster.Snapshot // by which it is known who is master
	ID     string           // of this reset, new
	By     string           // who wants it
	Accept []string
	Begun  *plan.Plan // an earlier run that did not come to its end; nil: none
}

// The facts of its plan.
const (
	factReset = "reset"
	factOf    = "of"
)

// ResetQuorum plans to make a quorum that has lost its majority for good anew, out of the survivor that knows the most. What keeps it safe:
//
//   - it is refused while there is an executor, and while those that answer would be a majority: then there is a quorum, or there will be one when the
//     watchers run;
//   - who does not answer is lost for good, as the operator says, or stays off until it reaches the others: those who were left behind are a majority of
//     the quorum that they know, and whoever of them reaches one of the new quorum hears of that before it takes part (pkg/consensus, descent.go);
//   - every watcher that answers is stopped before, so that nobody of them votes in two quorums, and the store is the furthest of all then;
//   - the new quorum begins halted, as the lost ones may have decided more: nobody is elected until an operator has said who is master;
//   - every store that there was is kept beside the new one.
func ResetQuorum(r Reset) (plan.Plan, error) {
	no := &refusals{accept: r.Accept}
	of := r.survivor(no)
	if no.any() {
		return plan.Plan{}, no.err()
	}
	lost := r.lost(of)
	for _, host := range lost {
		no.add(RiskLostHosts, "bring it back if that is possible: with enough of them the quorum goes on by itself",
			"%s does not answer: if it is not lost, and comes back where it reaches none of the others, it may take part in the quorum that there was", host)
	}
	r.masterRules(no, of)
	if no.any() {
		return plan.Plan{}, no.err()
	}
	return r.plan(of, lost), nil
}

// survivor is the one that the quorum is made of.
func (r *Reset) survivor(no *refusals) *Survivor {
	if r.Begun != nil && !r.stale(r.Begun.Facts[factReset]) {
		r.ID = r.Begun.Facts[factReset]
	}
	var of *Survivor
	executor := ""
	for i := range r.Seen {
		s := &r.Seen[i]
		switch {
		case s.Lost:
		case s.Shelf == nil:
			no.add("", "pgctl deploy brings a pgctl that can", "what %s has of the quorum cannot be looked at: %s", s.Host, s.Why)
		case s.Shelf.Executor != "" && !s.Shelf.has(r.ID):
			if executor == "" {
				no.add("", "pgctl overview", "there is an executor, %s, as the watcher of %s says: the quorum has its majority", s.Shelf.Executor, s.Host)
			}
			executor = s.Shelf.Executor
		case s.Shelf.Secret():
			no.add("", "run it again in a moment; or ssh "+s.Host+" supervisorctl stop pg_watcher, and run it again", "the watcher of %s runs, and does not tell what it has of the quorum: %s", s.Host, s.Shelf.Problem)
		case s.Shelf.Broken():
			no.add("", "see what is wrong; or give up what it knows: pgctl store aside --id broken-"+r.short()+", on "+s.Host, "what %s has of the quorum cannot be read: %s", s.Host, s.Shelf.Problem)
		case s.Shelf.Store == nil:
		case of != nil && apart(s.Shelf.Store, of.Shelf.Store):
			no.add("", fmt.Sprintf("pgctl store aside --id wrong-%s, on the one that is wrong, %s or %s, when its watcher is stopped", r.short(), of.Host, s.Host),
				"%s and %s are of two quorums that were made of one", of.Host, s.Host)
		case of == nil || compareStores(s.Shelf.Store, of.Shelf.Store) > 0:
			of = s
		}
	}
	if of == nil && !no.any() {
		no.add("", "pgctl deploy: watchers that have no quorum form one when all of the inventory are there", "no host that answers has anything of a quorum")
	}
	if of == nil || of.Shelf.has(r.ID) {
		return of
	}
	var here []string
	for _, s := range r.Seen {
		if s.Shelf != nil && s.Shelf.Store != nil && slices.Contains(of.Shelf.Store.Voters, s.Host) {
			here = append(here, s.Host)
		}
	}
	if all := len(of.Shelf.Store.Voters); 2*len(here) > all {
		no.add("", "see that their watchers run and reach each other: pgctl status, pgctl overview, pgctl logs",
			"%s answer, %d of the %d that vote: they are a majority, and need no other quorum", strings.Join(here, " and "), len(here), all)
	}
	return of
}

// stale tells of a reset that was begun whether there is nothing left to do of it: nobody who answers has an older store, and the quorum that came of it has
// lost its majority since.
func (r *Reset) stale(begun string) bool {
	voters, here := map[string]bool{}, 0
	var latest *Store
	for _, s := range r.Seen {
		switch {
		case s.Shelf == nil || s.Shelf.Store == nil:
		case !s.Shelf.has(begun):
			return false
		case latest == nil || compareStores(s.Shelf.Store, latest) > 0:
			latest = s.Shelf.Store
		}
	}
	if latest == nil {
		return false
	}
	for _, host := range latest.Voters {
		voters[host] = true
	}
	for _, s := range r.Seen {
		if s.Shelf != nil && s.Shelf.has(begun) && voters[s.Host] {
			here++
		}
	}
	return 2*here <= len(voters)
}

// short is what a name is made new with.
func (r *Reset) short() string { return strings.TrimPrefix(r.ID, "reset-") }

// lost are those that the operator has to give up: of the inventory, and of those that voted.
func (r *Reset) lost(of *Survivor) []string {
	var all, known []string
	for _, s := range r.Seen {
		known = append(known, s.Host)
		if s.Lost {
			all = append(all, s.Host)
		}
	}
	for _, voter := range of.Shelf.Store.Voters {
		if !slices.Contains(known, voter) {
			all = append(all, voter)
		}
	}
	return all
}

// masterRules: when the quorum is there again, an operator says who is master. It has to be somebody.
func (r *Reset) masterRules(no *refusals, of *Survivor) {
	last := of.Shelf.State.Master
	here := false
	for _, s := range r.Snap.Servers {
		if s.SQL != nil && !s.SQL.InRecovery {
			return
		}
		here = here || s.Host == last && s.Reached() && of.Shelf.State.Phase == cluster.Serving
	}
	if !here && of.Shelf.State.Phase != cluster.Unformed {
		no.add("", "pgctl failover first: it stops the watchers and makes a standby master", "no server runs as master, and the last one is not among those that answer")
	}
}

func (r *Reset) plan(of *Survivor, lost []string) plan.Plan {
	p := plan.Plan{Name: "deploy --reset-quorum", Facts: map[string]string{factReset: r.ID, factOf: of.Host, "ha": string(r.Snap.HA)}}
	var hosts []string
	for _, s := range r.Seen {
		if s.Shelf != nil {
			hosts = append(hosts, s.Host)
		}
	}
	b := builder{plan: &p, args: map[string]string{"reset": r.ID}}
	stopWatchers(b, hosts, "nobody may vote in two quorums")
	b.step(verbReset, of.Host, "make the quorum anew out of what it knows, and keep what there was in /var/lib/pgctl/raft."+r.ID,
		fmt.Sprintf("of those that answer it knows the most: term %d, entry %d; nobody is elected until pgctl resume --adopt", of.Shelf.Store.Term, of.Shelf.Store.Index),
		with("hosts", strings.Join(hosts, " ")), with("by", r.By), with("lost", strings.Join(lost, " ")))
	others := slices.DeleteFunc(slices.Clone(hosts), func(host string) bool { return host == of.Host })
	at := len(p.Steps)
	for _, host := range others {
		b.step(verbAside, host, "set what it has of the old quorum aside, in /var/lib/pgctl/raft."+r.ID, "it is taken into the new one as one that was never there")
	}
	b.beside(at, byHost)
	b.step(verbStartWatcher, of.Host, "start its watcher, and see that there is an executor", "")
	at = len(p.Steps)
	for _, host := range others {
		b.step(verbStartWatcher, host, "start its watcher, and see that it is taken in", "")
	}
	b.beside(at, byHost)
	return p
}

// stopWatchers stops the watchers of hosts, side by side.
func stopWatchers(b builder, hosts []string, why string) {
	at := len(b.plan.Steps)
	for _, host := range hosts {
		b.step(verbStopWatcher, host, "stop its watcher", why)
	}
	b.beside(at, byHost)
}
