package failover

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/plan"
)

// The verbs of a switchover that the quorum carries out. Only the first changes something; the others see what comes of it.
const (
	VerbHandOver      = "quorum.hand-over" // the master is told to make way
	VerbQuorumServes  = "quorum.serve"     // the other one is elected, promoted, and lets clients in
	VerbQuorumPools   = "quorum.pools"     // every pool writes to it
	VerbQuorumFollows = "quorum.follow"    // the one that made way is a standby that commits wait for
)

// FactEpoch is the fact of the epoch that such a switchover is to end.
const FactEpoch = "epoch"

// HandOver plans a switchover of a region whose master the quorum decides. It is an election like any other, so safety.md says why nothing
// that was acknowledged is lost: the master stops cleanly, its epoch is ended, and the furthest of the frozen is promoted, To before others that
// are as far. to is "" for the first that commits wait for. A plan without steps: to is the master already.
//
// from is the master that an unfinished switchover to the same server began with, "" where there is none: what is left of that one is waited for
// while nobody is master, and when to is.
func HandOver(q *cluster.QuorumView, inventory []string, from, to string) (plan.Plan, error) {
	if from == "" || q.Master != nil && *q.Master != to {
		var err error
		if from, to, err = makeWay(q, inventory, to); err != nil {
			return plan.Plan{}, err
		}
	}
	p := plan.Plan{Name: "switchover", Facts: map[string]string{"from": from, "to": to, FactEpoch: strconv.FormatInt(q.Epoch, 10)}}
	if from == to {
		return p, nil
	}
	args := map[string]string{"from": from, "to": to}
	step := func(verb, host, text, why string) plan.Step {
		return plan.Step{ID: host + "/" + verb, Verb: verb, Host: host, Args: args, Text: text, Why: why}
	}
	p.Steps = []plan.Step{
		step(VerbHandOver, from, "have the quorum tell it to make way for "+to, "it stops cleanly, and no acknowledged write is lost"),
		step(VerbQuorumServes, to, "see that it is elected, promoted, and lets clients in", ""),
		step(VerbQuorumPools, to, "see that every pool writes to it", ""),
		step(VerbQuorumFollows, from, fmt.Sprintf("see that it follows %s, and that commits wait for it", to), ""),
	}
	return p, nil
}

// makeWay is who makes way, and for whom: to, or where that is "" the first that commits wait for. Both are the same where that is the master already.
func makeWay(q *cluster.QuorumView, inventory []string, to string) (master, next string, err error) {
	var no refusals
	if q.Master == nil {
		no.add("", "pgctl overview", "there is no master to make way")
		return "", "", no.err()
	}
	from := *q.Master
	if to == from {
		return from, to, nil
	}
	settled := q.Phase == cluster.Serving && q.Opened && len(q.Configs) == 1
	var standbys []string
	if settled {
		for _, m := range q.Configs[0].Members {
			standbys = append(standbys, q.HostOf(m))
		}
	}
	switch {
	case to != "" && !slices.Contains(inventory, to):
		no.add("", "expected one of "+strings.Join(inventory, ", "), "the inventory has no server %s", to)
	case q.Halted != "":
		no.add("", "pgctl overview", "the quorum has halted: %s", q.Halted)
	case !settled:
		no.add("", "run it again in a moment; pgctl overview says what is waited for", "%s has not settled yet: it is about to serve, or its synchronous standbys change", from)
	case len(standbys) == 0:
		no.add("", "pgctl overview says why", "no commit on %s waits for a standby, so none is known to have all", from)
	case to != "" && !slices.Contains(standbys, to):
		no.add("", "expected one of "+strings.Join(standbys, ", "), "no commit waits for %s, so it is not known to have all", to)
	}
	if err := no.err(); err != nil {
		return "", "", err
	}
	if to == "" {
		to = standbys[0]
	}
	return from, to, nil
}
