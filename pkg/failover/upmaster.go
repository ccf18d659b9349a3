package failover

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/nodes"
	"github.com/pgctl/pgctl/pkg/pgpool"
	"github.com/pgctl/pgctl/pkg/plan"
	"github.com/pgctl/pgctl/pkg/postgres"
)

// UpmasterOptions are what the operator says of a rejoin.
type UpmasterOptions struct {
	Accept      []string
	Clone       bool   // copy everything anew, also where less would do
	ReuseSpace  bool   // remove the old data first
	Incarnation string // for the name of a server that is copied anew
	Nodes       nodes.Inventory
	Pools       pgpool.Settings
}

// The ways in which a server's data becomes the master's. To follow: it is already, up to where it ends.
const (
	methodFollow = "follow"
	methodRewind = postgres.MethodRewind
	methodClone  = postgres.MethodClone
)

// Measured are arguments that move while a region is written to, and so differ between a plan and the same plan made a moment later.
var Measured = []string{"own", "size"}

// Upmaster plans how a server rejoins as a standby of the current master. What keeps it safe:
//
//   - only a server of which it is proven that it has nothing but the master's history follows as it is; every other one gets a copy of
//     it first (pg_rewind where the fork is proven, else a base backup), and what it had is set aside;
//   - transactions that only it has are never set aside unasked;
//   - the master is certain, and is asked again before each step;
//   - the server is counted for commits only when it streams and has caught up.
func Upmaster(r Rejoin, o UpmasterOptions) (plan.Plan, error) {
	refusal := &refusals{accept: o.Accept}
	if r.whoIsWho(refusal); refusal.any() {
		return plan.Plan{}, refusal.err()
	}
	method, why := r.method(o)
	r.losses(refusal)
	r.means(refusal, method, o)
	if refusal.any() {
		return plan.Plan{}, refusal.err()
	}
	return r.plan(o, method, why), nil
}

// method decides how the old server's data becomes the master's, and says why.
func (r *Rejoin) method(o UpmasterOptions) (method, why string) {
	k := r.Kin
	switch {
	case o.Clone:
		return methodClone, "as asked"
	case r.Old.RenewedFrom(r.Master) && r.OldestWAL <= r.needs():
		return methodFollow, "its data was copied from " + r.Master.Host + " already"
	case k.Unproven != "":
		return methodClone, k.Unproven
	case k.Diverged == "" && r.TailFailure == "" && r.Tail.Bytes() == 0 && !r.writes():
		if r.OldestWAL != 0 && r.needs() < r.OldestWAL {
			return methodClone, fmt.Sprintf("%s has no WAL before %s any more, it needs it from %s on", r.Master.Host, r.OldestWAL, r.needs())
		}
		return methodFollow, "its history is proven to be a part of " + r.Master.Host + "'s"
	case r.TailFailure != "":
		return methodClone, r.TailFailure
	}
	switch why = k.Diverged; {
	case why == "" && r.Tail.Bytes() == 0:
		why = "it runs as a master: its stop alone writes more"
	case why == "":
		why = fmt.Sprintf("it has %s of WAL after %s, where %s left timeline %d", cluster.Size(r.Tail.Bytes()), k.Fork.At, r.Master.Host, k.Fork.Parent)
	}
	if r.Tools.Rewind && k.Fork.Parent != r.Master.SQL.Timeline {
		return methodRewind, why
	}
	return methodClone, why
}

// writes tells whether the old server runs as a master at this moment.
func (r *Rejoin) writes() bool { return r.Old.SQL != nil && !r.Old.SQL.InRecovery }

// needs is from where on the old server wants WAL.
func (r *Rejoin) needs() cluster.LSN {
	if r.Old.SQL != nil {
		return r.Old.SQL.Position
	}
	return r.Old.Data.Checkpoint
}

// losses refuses to set transactions aside that nobody else has.
func (r *Rejoin) losses(no *refusals) {
	old := r.Old
	if old.Data == nil || old.Data.Missing || old.RenewedFrom(r.Master) {
		return
	}
	const hint = "what it has is set aside, not deleted; look at it first if in doubt"
	switch t := r.Tail; {
	case old.Data.SystemID != r.Master.Data.SystemID && old.Data.SystemID != 0:
		no.add(RiskLoseDiverged, hint, "%s has the data of another cluster (system identifier %d, %s has %d)", old.Host, old.Data.SystemID, r.Master.Host, r.Master.Data.SystemID)
	case t.Transactions > 0:
		no.add(RiskLoseDiverged, hint, "%s has %s that %s lacks: %s", old.Host, transactions(t), r.Master.Host, extent(t))
	case r.TailFailure != "" && (r.Kin.Diverged != "" || r.wasMaster()):
		no.add(RiskLoseDiverged, hint, "whether %s has transactions that %s lacks cannot be told: %s", old.Host, r.Master.Host, r.TailFailure)
	case r.Kin.Unproven != "" && r.wasMaster():
		no.add(RiskLoseDiverged, hint, "whether %s has transactions that %s lacks cannot be told: %s", old.Host, r.Master.Host, r.Kin.Unproven)
	}
}

// wasMaster tells whether the old server's files are those of a master.
func (r *Rejoin) wasMaster() bool {
	return r.Old.Data.State == "in production" || r.Old.Data.State == "shut down" || r.Old.Data.State == "in crash recovery" || r.Old.Data.State == "shutting down"
}

func transactions(t cluster.Tail) string {
	switch {
	case t.More:
		return fmt.Sprintf("more than %d transactions", t.Transactions)
	case t.Transactions == 1:
		return "1 transaction"
	}
	return fmt.Sprintf("%d transactions", t.Transactions)
}

// extent is how much WAL, and since when.
func extent(t cluster.Tail) string {
	text := fmt.Sprintf("%s of WAL after %s", cluster.Size(t.Bytes()), t.From)
	if t.More {
		text = "more than " + text
	}
	if !t.First.IsZero() {
		text += fmt.Sprintf(", made from %s to %s", t.First.UTC().Format("2006-01-02 15:04:05"), t.Last.UTC().Format("2006-01-02 15:04:05 MST"))
	}
	return text
}

// means refuses where it could not come to its end.
func (r *Rejoin) means(no *refusals, method string, o UpmasterOptions) {
	if r.NoRoute != "" {
		no.add("", "correct the name, the route or the firewall between them", "%s cannot be reached from %s: %s", r.Master.Host, r.Old.Host, r.NoRoute)
	}
	if r.NoLogin != "" {
		no.add("", "", "%s", r.NoLogin)
	}
	if method != methodClone {
		return
	}
	if r.Tools.BaseBackup == "" {
		no.add("", "install the PostgreSQL client programs of its version or a later one there", "%s has no pg_basebackup", r.Old.Host)
	}
	var room *cluster.Refusal
	if errors.As(r.Room.Refuse(r.Old.Host, o.ReuseSpace), &room) {
		no.Risks = append(no.Risks, room.Risks...)
	}
}

// plan puts the steps in order.
func (r *Rejoin) plan(o UpmasterOptions, method, why string) plan.Plan {
	old, master := r.Old, r.Master
	name, quorum := r.Name, ViaExecutor(r.Snap)
	switch {
	case method != methodFollow, quorum != nil && slices.Contains(quorum.Former, old.Host): // an old master that rejoins is another member
		name = cluster.MemberName(old.Host, o.Incarnation)
	case name == "":
		name = old.Host
	}
	before := syncNames(master.SQL.SyncNames, o.Nodes)
	args := r.args(name, before, slotOf(r.Slots, old.Host))
	if quorum != nil {
		args["names"] = cluster.ClosedNames
	}
	p := plan.Plan{Name: "upmaster " + old.Host, Facts: facts(master)}
	fork := r.Kin.Fork
	if method != methodRewind {
		fork = cluster.Fork{} // there is none: everything is copied
	}
	b := builder{plan: &p, args: args}
	if args["slot"] != "" {
		b.step(verbSlot, master.Host, "keep the slot "+args["slot"]+" for "+old.Host, "", with("data_dir", master.Data.Path))
	}
	b.step(verbStop, old.Host, "stop PostgreSQL", r.stopWhy(method))
	if method != methodFollow {
		b.step(verbRenew, old.Host, renewText(method, master.Host, o.ReuseSpace), why, with("method", method), with("fork", fork.At.String()),
			with("fork_timeline", strconv.Itoa(int(fork.Parent))), with("system_id", p.Facts["system_id"]), with("timeline", p.Facts["timeline"]),
			with("reuse_space", strconv.FormatBool(o.ReuseSpace)), with("own", forks(r.Kin.Own)), with("known", r.known(o)),
			with("anew", anew(o)))
	}
	b.step(verbFollow, old.Host, fmt.Sprintf("make its files those of a standby of %s, named %s", master.Host, name), followWhy(method, why))
	if quorum != nil && name != r.Name {
		b.step(verbMember, old.Host, "have the quorum know its data as "+name, "what was known of it under another name does not count any more")
	}
	b.step(verbStart, old.Host, "start PostgreSQL as a standby", "")
	b.step(verbStream, old.Host, "wait until it streams from "+master.Host+" and has caught up", "")
	if slots := foreignSlots(r.Slots, r.Snap, old.Host); slots != "" && method == methodFollow {
		b.step(verbDropSlots, old.Host, "drop the slots that it kept for others", "a standby keeps WAL for them for ever", with("slots", slots))
	}
	if quorum != nil {
		return p // whom commits wait for, the file with the master's name and the pools are the watchers'
	}
	after := before.With(old.Host, name)
	b.step(verbNames, master.Host, "have commits wait for "+after.String(), "", with("names", after.String()), with("data_dir", master.Data.Path))
	b.masterFiles(r.Snap, master.Host)
	for _, pool := range r.Snap.Pools {
		if pool.Reached() && pool.ConfFailure == nil && pool.Backends != nil {
			p.Steps = append(p.Steps, poolSteps(pool, master, o.Pools)...)
		}
	}
	return p
}

// anew is "yes" where the operator asked for a copy, whatever there is.
func anew(o UpmasterOptions) string {
	if o.Clone {
		return "yes"
	}
	return ""
}

// known is how many transactions may be set aside: those that were seen; any where the operator gave them up,
// or where a standby's cannot be read.
func (r *Rejoin) known(o UpmasterOptions) string {
	if slices.Contains(o.Accept, RiskLoseDiverged) || r.TailFailure != "" {
		return "any"
	}
	return strconv.Itoa(r.Tail.Transactions)
}

// args are what every step of the rejoining server needs to know.
func (r *Rejoin) args(name string, names cluster.SyncNames, slot string) map[string]string {
	args := facts(r.Master)
	args["addresses"] = strings.Join(r.Master.Addresses, " ")
	args["data_dir"], args["data_dirs"] = r.DataDir, dirsText(r.Snap)
	args["name"], args["slot"], args["own_addresses"] = name, slot, strings.Join(r.Old.Addresses, " ")
	args["names"] = names.Without(r.Old.Host).With(r.Master.Host, r.Master.Host).String()
	return args
}

func (r *Rejoin) stopWhy(method string) string {
	switch {
	case r.Old.SQL != nil && !r.Old.SQL.InRecovery:
		return "it is the older one of two masters"
	case method != methodFollow:
		return "its data is replaced"
	}
	return "it reads whom to follow at its start"
}

func renewText(method, master string, reuse bool) string {
	switch {
	case method == methodRewind:
		return "take its data back to where it left the history of " + master + " by pg_rewind; should that fail, a base backup"
	case reuse:
		return "remove its data, then copy all data from " + master + " by pg_basebackup"
	}
	return "copy all data from " + master + " by pg_basebackup; the old data is set aside"
}

func followWhy(method, why string) string {
	if method == methodFollow {
		return why
	}
	return ""
}

// StillRejoin is the guard of the plan of upmaster: the master is the one of the plan, and no server beside the two is one too.
func StillRejoin(old string) func(snap cluster.Snapshot, p plan.Plan, accept []string) error {
	return func(snap cluster.Snapshot, p plan.Plan, accept []string) error {
		no := &refusals{accept: accept}
		if otherMasters(snap, []string{old, p.Facts["master"]}, no); no.any() {
			return no.err()
		}
		master := find(&snap, p.Facts["master"])
		if master == nil || master.SQL == nil || master.Data == nil || master.SQL.InRecovery || !maps.Equal(facts(master), p.Facts) {
			return fmt.Errorf("%s is not the master on timeline %s any more", p.Facts["master"], p.Facts["timeline"])
		}
		return nil
	}
}
