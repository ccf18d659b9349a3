package failover

import (
	"slices"
	"strconv"
	"strings"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/nodes"
	"github.com/pgctl/pgctl/pkg/plan"
)

// Candidate is a server that could become master by hand, and what speaks against it.
type Candidate struct {
	Host     string
	Timeline cluster.Timeline
	Position cluster.LSN // the furthest that it has WAL up to
	Received cluster.LSN // what its receiver has flushed; 0 unknown
	Behind   int64       // bytes behind the furthest candidate
	Note     string      // why it cannot be taken; ""
}

// Candidates are the servers that answer as standbys, the furthest first, and the others with the reason.
func Candidates(snap cluster.Snapshot) []Candidate {
	var all []Candidate
	for i := range snap.Servers {
		s := &snap.Servers[i]
		c := Candidate{Host: s.Host}
		switch {
		case !s.Reached():
			c.Note = "out of reach"
		case s.SQL == nil:
			c.Note = "PostgreSQL does not answer"
		case !s.SQL.InRecovery:
			c.Note = "answers as master"
			c.Timeline, c.Position = s.SQL.Timeline, s.SQL.Position
		default:
			c.Timeline, c.Position, c.Received = s.SQL.Timeline, reach(s), s.SQL.Received
		}
		all = append(all, c)
	}
	slices.SortStableFunc(all, func(a, b Candidate) int { return compareReach(b, a) })
	for i := range all {
		if all[i].Note == "" {
			all[i].Behind = all[i].Position.Behind(all[0].Position)
		}
	}
	return all
}

// compareReach orders candidates: one that can be taken before one that cannot, then the newer timeline, then the further position.
func compareReach(a, b Candidate) int {
	able := func(c Candidate) int {
		if c.Note == "" {
			return 1
		}
		return 0
	}
	for _, d := range []int{able(a) - able(b), int(a.Timeline) - int(b.Timeline)} {
		if d != 0 {
			return d
		}
	}
	switch {
	case a.Position > b.Position:
		return 1
	case a.Position < b.Position:
		return -1
	}
	return 0
}

// Failover plans a change of master by hand, when the master is gone and nobody else decides. What keeps it safe, as far as that can be:
//
//   - where HA is on, the watchers that can be reached are stopped first; they are too few to decide, or wait for an operator's word;
//   - every host that can be reached and does not answer as a standby is fenced first: its PostgreSQL is stopped, and starts
//     read-only from then on;
//   - the candidate is the furthest that can be reached;
//   - every standby that can be reached streams from the candidate before it is promoted: none of them acknowledges for an old master
//     any more, and who has something that the candidate lacks stops the plan;
//   - a commit on the new master waits for these standbys from the first one on;
//   - what cannot be known is a risk that the operator names.
func Failover(t Takeover, o TakeoverOptions) (plan.Plan, error) {
	no := &refusals{accept: o.Accept}
	if t.byHandRules(no); no.any() {
		return plan.Plan{}, no.err()
	}
	if t.handRules(no, o); no.any() {
		return plan.Plan{}, no.err()
	}
	t.From = nil
	to := t.To
	p := plan.Plan{Name: "failover", Facts: takeoverFacts(nil, to)}
	b := builder{plan: &p, args: map[string]string{"data_dirs": dirsText(t.Snap), "data_dir": to.Data.Path}}
	names := t.namesAfter(o, "")
	if t.Snap.HA == nodes.HAEnabled {
		stopWatchers(b, watchedHosts(t.Snap), "what knows nothing of this change would undo it; they start again when the quorum is made anew")
	}
	fenced := t.fence(b)
	p.Facts["fenced"] = hostList(fenced)
	t.stopStrays(b)
	t.slots(b, t.followers())
	b.step(verbNames, to.Host, "set its names for its time as master: "+namesText(names.String()), "", with("names", names.String()))
	t.repoint(b, t.followArgs(names))
	b.step(verbPromote, to.Host, "promote it", "", with("names", names.String()), with("old", dirText(fenced...)), with("followers", dirText(t.followers()...)),
		with("known", t.known(o)))
	promoted := len(p.Steps)
	t.after(b, o)
	b.beside(promoted, byHost)
	b.step(verbCheckpoint, to.Host, "write a checkpoint", "its control file has the new timeline then", with("promoted", "yes"))
	return p, nil
}

// Afterwards plans what comes after a promotion, for a server that is master already, however it became that: its row, the pools, the files that
// name it. What is as it should be is skipped.
func Afterwards(name string, t Takeover, o TakeoverOptions) (plan.Plan, error) {
	no := &refusals{accept: o.Accept}
	if t.siteRules(no); no.any() {
		return plan.Plan{}, no.err()
	}
	otherMasters(t.Snap, []string{t.To.Host}, no)
	if t.To.Data == nil || t.To.Data.Port == 0 || t.To.Data.SystemID == 0 || len(t.To.Addresses) == 0 {
		no.add("", "pgctl overview", "%s did not tell its port, system identifier and addresses", t.To.Host)
	}
	if no.any() {
		return plan.Plan{}, no.err()
	}
	p := plan.Plan{Name: name, Facts: takeoverFacts(nil, t.To)}
	b := builder{plan: &p, args: map[string]string{"data_dirs": dirsText(t.Snap), "data_dir": t.To.Data.Path}}
	t.after(b, o)
	b.beside(0, byHost)
	return p, nil
}

// fence stops whatever can be reached and is no standby.
func (t *Takeover) fence(b builder) []*cluster.Server {
	var fenced []*cluster.Server
	defer b.beside(len(b.plan.Steps), byHost)
	for i := range t.Snap.Servers {
		s := &t.Snap.Servers[i]
		if s == t.To || s.SQL != nil || !s.Reached() || s.Data == nil {
			continue
		}
		b.step(verbFence, s.Host, "make sure that PostgreSQL is stopped, and starts read-only", "two masters at a time are the end of it", with("data_dir", s.Data.Path))
		fenced = append(fenced, s)
	}
	return fenced
}

// stopStrays stops the standbys that will not follow: they might go on acknowledging for an old master that cannot be reached.
func (t *Takeover) stopStrays(b builder) {
	for i := range t.Snap.Servers {
		s := &t.Snap.Servers[i]
		if why := t.strays(s); s != t.To && s.SQL != nil && s.Data != nil && s.SQL.InRecovery && why != "" {
			b.step(verbStop, s.Host, "stop PostgreSQL", "it cannot follow, and may acknowledge for the old master: "+why, with("data_dir", s.Data.Path))
		}
	}
}

// known is how many transactions the candidate may lack: those that were counted; any where the operator gave them up.
func (t *Takeover) known(o TakeoverOptions) string {
	switch {
	case slices.Contains(o.Accept, RiskDataLoss):
		return "any"
	case t.Tail != nil:
		return strconv.Itoa(t.Tail.Transactions)
	}
	return "0"
}

func hostList(servers []*cluster.Server) string {
	var all []string
	for _, s := range servers {
		all = append(all, s.Host)
	}
	return strings.Join(all, " ")
}

// handRules refuse what nobody can take, and name every risk that somebody has to.
func (t *Takeover) handRules(no *refusals, o TakeoverOptions) {
	if t.To == nil || t.To.SQL == nil || t.To.Data == nil || !t.To.SQL.InRecovery {
		no.add("", "pgctl failover shows the candidates", "%s is no standby that answers", o.To)
		return
	}
	for i := range t.Snap.Servers {
		t.otherRules(no, &t.Snap.Servers[i])
	}
	t.lossRules(no)
	for _, s := range t.followers() {
		if why := t.NoRoute[s.Host]; why != "" {
			no.add("", "correct pg_hba.conf, the name, the route or the firewall", "%s could not follow %s: %s", s.Host, t.To.Host, why)
		}
	}
	if len(t.followers()) == 0 {
		no.add(RiskNoSyncStandby, "have another standby answer first", "no standby will follow %s: a commit there waits for nobody, and is lost with it", t.To.Host)
	}
}

// otherRules are about one of the other servers.
func (t *Takeover) otherRules(no *refusals, s *cluster.Server) {
	to := t.To
	switch {
	case s == to:
	case !s.Reached():
		no.add(RiskUnfencedMaster, "make sure that it is off, or cut off from its clients", "%s is out of reach and cannot be stopped: if it runs as master, there will be two", s.Host)
	case s.SQL == nil && s.Data == nil:
		no.add(RiskUnfencedMaster, "pgctl overview", "%s runs something that is not known: it cannot be stopped", s.Host)
	case s.SQL == nil:
	case !s.SQL.InRecovery:
		no.add("", "pgctl switchover --to "+to.Host+", or stop it first", "%s answers as master", s.Host)
	case s.SQL.Timeline > to.SQL.Timeline || s.SQL.Timeline == to.SQL.Timeline && reach(s) > reach(to):
		no.add("", "pgctl failover --to "+s.Host, "%s is further than %s: timeline %d, %s against timeline %d, %s (%s)", s.Host, to.Host,
			s.SQL.Timeline, reach(s), to.SQL.Timeline, reach(to), cluster.Size(reach(to).Behind(reach(s))))
	}
}

// lossRules say what may be lost.
func (t *Takeover) lossRules(no *refusals) {
	var unknown []string
	for _, s := range t.Snap.Servers {
		if s.Host != t.To.Host && s.SQL == nil && (!s.Reached() || s.Data == nil) {
			unknown = append(unknown, s.Host)
		}
	}
	const hint = "bring it back if that is possible: it may have what is missing"
	switch {
	case len(unknown) > 0:
		no.add(RiskDataLoss, hint, "what %s has after %s, where %s ends, is not known: what was acknowledged and is not here is lost, unless every commit had to wait for %s",
			strings.Join(unknown, " and "), reach(t.To), t.To.Host, t.To.Host)
	case t.Tail == nil && t.TailWhy != "":
		no.add(RiskDataLoss, hint, "what the old master has after %s cannot be read: %s", reach(t.To), t.TailWhy)
	case t.Tail != nil && t.Tail.Transactions > 0:
		no.add(RiskDataLoss, hint, "the old master has %s that %s lacks: %s", transactions(*t.Tail), t.To.Host, extent(*t.Tail))
	}
	if newest, of := t.newestElsewhere(); newest > t.To.SQL.Timeline {
		no.add(RiskDataLoss, "pgctl overview", "%s knows timeline %d, %s is on %d: a promotion that it has not seen", of, newest, t.To.Host, t.To.SQL.Timeline)
	}
}

func (t *Takeover) newestElsewhere() (newest cluster.Timeline, of string) {
	for _, s := range t.Snap.Servers {
		if s.Data == nil || s.Host == t.To.Host {
			continue
		}
		for timeline := range s.Data.Histories {
			if timeline > newest {
				newest, of = timeline, s.Host
			}
		}
		if s.Data.Timeline > newest {
			newest, of = s.Data.Timeline, s.Host
		}
	}
	return newest, of
}

// MayGoBack tells whether a switchover stopped after the old master was stopped and before the promotion was asked for.
func MayGoBack(stopped *plan.Stopped) bool {
	index := func(verb string) int {
		return slices.IndexFunc(stopped.Plan.Steps, func(s plan.Step) bool { return s.Verb == verb })
	}
	if stopped.Done < index(verbStop) {
		return false
	}
	return stopped.Done < index(verbPromote) || stopped.Done == index(verbPromote) && (!stopped.Begun || isNotPromoted(stopped.Err))
}

// BeforePromotion tells whether a plan of which so many steps are done has not asked for its promotion, for certain. A promotion that an earlier
// run asked for may still come, though the candidate is a standby at this moment.
func BeforePromotion(p plan.Plan, done int) bool {
	return done < slices.IndexFunc(p.Steps, func(s plan.Step) bool { return s.Verb == verbPromote })
}

// AfterPromotion is what of the plan of an earlier run comes after the promotion.
func AfterPromotion(p plan.Plan) plan.Plan {
	at := slices.IndexFunc(p.Steps, func(s plan.Step) bool { return s.Verb == verbPromote })
	p.Steps = p.Steps[at+1:]
	return p
}

// byHandRules: where a quorum decides, nobody goes round it. One that has lost its majority decides nothing, and one that has halted waits for an operator.
func (t *Takeover) byHandRules(no *refusals) {
	q := ViaExecutor(t.Snap)
	if t.Snap.Kind == nodes.KindPG9 || q == nil {
		t.siteRules(no)
		return
	}
	var here []string
	for _, host := range q.Voters {
		if answers(t.Snap, host) {
			here = append(here, host)
		}
	}
	switch {
	case q.Halted != "":
	case q.Leader != "":
		t.siteRules(no)
	case 2*len(here) > len(q.Voters):
		no.add("", "pgctl overview says what it waits for; where it cannot: pgctl disable-ha first", "HA is on: %s, and nobody beside it: the watchers of %s answer, and are a majority",
			whoDecides(q), strings.Join(here, " and "))
	}
}

// answers tells whether the watcher of a host takes part in the quorum.
func answers(snap cluster.Snapshot, host string) bool {
	return slices.ContainsFunc(snap.Servers, func(s cluster.Server) bool { return s.Host == host && s.Watcher.Quorum != nil }) ||
		slices.ContainsFunc(snap.Arbiters, func(a cluster.Arbiter) bool { return a.Host == host && a.Watcher.Quorum != nil })
}

// watchedHosts are those of the region that answer and may run a watcher with a vote.
func watchedHosts(snap cluster.Snapshot) []string {
	var all []string
	for _, s := range snap.Servers {
		if s.Reached() {
			all = append(all, s.Host)
		}
	}
	for _, a := range snap.Arbiters {
		if a.Reached() && !slices.Contains(all, a.Host) {
			all = append(all, a.Host)
		}
	}
	return all
}
