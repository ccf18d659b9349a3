package failover

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/nodes"
	"github.com/pgctl/pgctl/pkg/pgpool"
	"github.com/pgctl/pgctl/pkg/plan"
)

// TakeoverOptions are what the operator says of a change of master.
type TakeoverOptions struct {
	To          string // "": the best standby
	Accept      []string
	Incarnation string // for the name of the old master as a standby
	Nonce       string // signs the promotion
	FromPort    int    // where the old master listened, as an earlier run has it; 0: there was none
	Nodes       nodes.Inventory
	Pools       pgpool.Settings
}

// Switchover plans a planned change of master. What keeps it safe:
//
//   - the old master is shut down cleanly before anybody is promoted, and its files make it a standby from then on, whatever starts it;
//   - the candidate is promoted only when it has replayed the last record of that shutdown: nothing acknowledged can be missing;
//   - every other standby streams from the candidate before the promotion: it has nothing that the candidate lacks;
//   - a commit on the new master waits for the same number of standbys as before, from the first one on: its names are set before;
//   - until the promotion is asked for, the old master can be started again, and is.
func Switchover(t Takeover, o TakeoverOptions) (plan.Plan, error) {
	no := &refusals{accept: o.Accept}
	if t.siteRules(no); no.any() {
		return plan.Plan{}, no.err()
	}
	if t.switchRules(no, o); no.any() {
		return plan.Plan{}, no.err()
	}
	from, to := t.From, t.To
	p := plan.Plan{Name: "switchover", Facts: takeoverFacts(from, to)}
	p.Facts["incarnation"], p.Facts["port"] = o.Incarnation, strconv.Itoa(cmp.Or(from.Data.Port, o.FromPort))
	b := builder{plan: &p, args: map[string]string{"data_dirs": dirsText(t.Snap), "data_dir": to.Data.Path}}
	names := t.namesAfter(o, o.Incarnation)
	follow := t.followArgs(names)
	dir := func(s *cluster.Server) arg { return with("data_dir", s.Data.Path) }

	b.step(verbCheckpoint, from.Host, "write a checkpoint", "the stop is quick then", dir(from))
	t.slots(b, append(t.followers(), from))
	b.step(verbNames, to.Host, "set its names for its time as master: "+namesText(names.String()), "", with("names", names.String()))
	b.step(verbStop, from.Host, "stop PostgreSQL cleanly", "no write is accepted from here on", dir(from), with("or", "standby"))
	name := cluster.MemberName(from.Host, o.Incarnation)
	b.step(verbFollow, from.Host, fmt.Sprintf("make its files those of a standby of %s, named %s", to.Host, name), "whatever starts it, it is no master any more",
		append(follow(from, name), dir(from))...)
	t.repoint(b, follow)
	b.step(verbPromote, to.Host, "promote it, when it has the last record of "+from.Host, "", with("names", names.String()), with("old", dirText(from)),
		with("followers", dirText(t.followers()...)))
	promoted := len(p.Steps)
	b.step(verbStart, from.Host, "start PostgreSQL as a standby", "", append(follow(from, name), dir(from))...)
	t.after(b, o)
	b.beside(promoted, byHost)
	b.step(verbStream, from.Host, "wait until it streams from "+to.Host+" and has caught up", "", append(follow(from, name), dir(from))...)
	if slots := foreignSlots(t.Slots, t.Snap, from.Host); slots != "" {
		b.step(verbDropSlots, from.Host, "drop the slots that it kept for others", "a standby keeps WAL for them for ever", with("slots", slots), dir(from))
	}
	b.step(verbCheckpoint, to.Host, "write a checkpoint", "its control file has the new timeline then", with("promoted", "yes"))
	return p, nil
}

// Abort plans the way back from a switchover that stopped before the promotion: the old master, shut down cleanly and superseded by
// nobody, is started as the master that it was, and everybody streams from it again. port is where it listened, as an earlier run has it.
func Abort(t Takeover, port int) (plan.Plan, error) {
	from, to := t.From, t.To
	if from == nil || from.Data == nil || to == nil || to.Data == nil || to.SQL == nil {
		return plan.Plan{}, &cluster.Refusal{Risks: []cluster.Risk{{
			Evidence: "the old master and the candidate must both answer before the old one is started again", Hint: "pgctl overview",
		}}}
	}
	p := plan.Plan{Name: "switchover" + BackSuffix, Facts: takeoverFacts(from, to)}
	b := builder{plan: &p, args: map[string]string{"data_dirs": dirsText(t.Snap), "data_dir": from.Data.Path}}
	b.step(verbRestore, from.Host, "start PostgreSQL as the master that it was", "nobody was promoted", with("to", to.Host), with("to_data_dir", to.Data.Path))
	before := to.SQL.SyncNames
	if from.SQL != nil && !from.SQL.InRecovery {
		before = from.SQL.SyncNames
	}
	repointed := len(p.Steps)
	for _, s := range append(t.followers(), to) {
		own := syncNames(before, nodes.Inventory{}).Without(s.Host).With(from.Host, t.nameOf(from)).String()
		b.step(verbRepoint, s.Host, "have it stream from "+from.Host, "", t.followArgs(cluster.SyncNames{})(s, t.nameOf(s), with("master", from.Host),
			with("addresses", strings.Join(from.Addresses, " ")), with("port", strconv.Itoa(cmp.Or(from.Data.Port, port))), with("names", own))...)
	}
	b.beside(repointed, byHost)
	if slots := foreignSlots(t.Slots, t.Snap, to.Host); slots != "" {
		b.step(verbDropSlots, to.Host, "drop the slots that it would have kept for others", "a standby keeps WAL for them for ever", with("slots", slots), with("data_dir", to.Data.Path))
	}
	return p, nil
}

// takeoverFacts are what a change of master is held to.
func takeoverFacts(from, to *cluster.Server) map[string]string {
	f := map[string]string{"to": to.Host, "system_id": fmt.Sprint(to.Data.SystemID), "timeline": fmt.Sprint(to.SQL.Timeline)}
	if from != nil {
		f["from"] = from.Host
	}
	return f
}

// siteRules are those of every change of master.
func (t *Takeover) siteRules(no *refusals) {
	if t.Snap.Kind == nodes.KindPG9 {
		no.add("", "pgctl pg9 post-failover", "this is a 9.x site: its pools fail over themselves")
	}
	watchersRule(t.Snap, no, "it fails over by itself, and pgctl overview says what it waits for; where it cannot: pgctl disable-ha first")
}

// switchRules refuse a switchover that could not come to a good end, before anything is stopped.
func (t *Takeover) switchRules(no *refusals, o TakeoverOptions) {
	switch {
	case t.From == nil:
		no.add("", "pgctl overview; where the master is gone for good: pgctl failover --to HOST", "there is no master to switch from: %s", noMaster(t.Diagnosis))
		return
	case !t.From.Reached() || t.From.Data == nil:
		no.add("", "bring it back; where it is gone for good: pgctl failover --to HOST", "%s is out of reach, and was not replaced yet", t.From.Host)
		return
	case t.To == nil && o.To != "":
		no.add("", "pgctl overview shows the servers", "the inventory has no server %s", o.To)
		return
	case t.To == nil:
		no.add("", "pgctl overview", "no standby streams and has caught up")
		return
	}
	otherMasters(t.Snap, []string{t.From.Host, t.To.Host}, no)
	t.candidateRules(no)
	if t.To.SQL == nil || t.To.Data == nil {
		return
	}
	t.settingRules(no)
	for _, s := range append(t.followers(), t.From) {
		if why := t.NoRoute[s.Host]; why != "" {
			no.add("", "correct pg_hba.conf, the name, the route or the firewall", "%s could not follow %s: %s", s.Host, t.To.Host, why)
		}
	}
	if t.NoLogin != "" {
		no.add("", "", "%s", t.NoLogin)
	}
}

func (t *Takeover) candidateRules(no *refusals) {
	to, st := t.To, t.standing(t.To)
	switch {
	case !to.Reached():
		no.add("", to.Unreachable.Hint, "%s is out of reach: %s", to.Host, to.Unreachable.Message)
	case to.SQL == nil || to.Data == nil:
		no.add("", "pgctl overview", "PostgreSQL on %s does not answer", to.Host)
	case t.Resumed: // the old master is stopped: the promotion itself looks for its last record
	case !st.Streaming || st.Upstream != t.From.Host:
		no.add("", "pgctl upmaster "+to.Host, "%s does not stream from %s", to.Host, t.From.Host)
	case to.SQL.Paused:
		no.add("", "let its replay go on", "replay is paused on %s", to.Host)
	case st.LagBytes != nil && *st.LagBytes >= cluster.LagLimit:
		no.add("", "wait until it has caught up", "%s is %s behind", to.Host, cluster.Size(*st.LagBytes))
	case t.From.SQL.SyncNames != "" && st.SyncState != "sync" && st.SyncState != "quorum":
		no.add("", "take a synchronous one, or see synchronous_standby_names on "+t.From.Host, "a commit does not wait for %s: %s sees it as %s", to.Host, t.From.Host, cmp.Or(st.SyncState, "unknown"))
	}
}

// atLeast are settings of which a standby must have as much as its master (PostgreSQL manual, "Administrator's Overview" of hot standby).
var atLeast = []string{"max_connections", "max_worker_processes", "max_wal_senders", "max_prepared_transactions", "max_locks_per_transaction"}

// settingRules: who follows must be able to, the clients of the old master must find as many connections, and nothing may be less safe.
func (t *Takeover) settingRules(no *refusals) {
	theirs := t.Settings[t.To.Host]
	for _, s := range append(t.followers(), t.From) {
		for _, name := range atLeast {
			if own := t.Settings[s.Host]; own != nil && number(own[name]) < number(theirs[name]) {
				no.add("", "set it to at least that and restart "+s.Host, "%s could not follow %s: %s is %s there and %s here", s.Host, t.To.Host, name, theirs[name], own[name])
			}
		}
	}
	if own := t.Settings[t.From.Host]; own != nil && theirs != nil && number(theirs["max_connections"]) < number(own["max_connections"]) {
		no.add("", "set it to the same", "%s takes fewer clients than %s: max_connections is %s and %s", t.To.Host, t.From.Host, theirs["max_connections"], own["max_connections"])
	}
	for _, name := range []string{"fsync", "full_page_writes", "synchronous_commit"} {
		if theirs != nil && theirs[name] == "off" {
			no.add("", "turn it on", "%s has %s = off: what it acknowledges does not last", t.To.Host, name)
		}
	}
}

func number(text string) (n int) {
	_, _ = fmt.Sscan(text, &n)
	return n
}

func namesText(names string) string {
	if names == "" {
		return "a commit waits for nobody"
	}
	return names
}

// best is the standby to take where the operator names none: a synchronous one before others, then the furthest, then the first.
func (t *Takeover) best() *cluster.Server {
	var all []*cluster.Server
	for i := range t.Snap.Servers {
		s := &t.Snap.Servers[i]
		if st := t.standing(s); s.SQL != nil && s.Data != nil && st.Role == cluster.RoleStandby && (t.Resumed || st.Streaming) {
			all = append(all, s)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return slices.MaxFunc(all, func(a, b *cluster.Server) int {
		sync := func(s *cluster.Server) int {
			if state := t.standing(s).SyncState; state == "sync" || state == "quorum" {
				return 1
			}
			return 0
		}
		return cmp.Or(cmp.Compare(sync(a), sync(b)), cmp.Compare(reach(a), reach(b)))
	})
}

// reach is the furthest that a standby has WAL up to. What it says it received falls back to a segment's start when it is started anew.
func reach(s *cluster.Server) cluster.LSN { return max(s.SQL.Received, s.SQL.Position) }
