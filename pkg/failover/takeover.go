package failover

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/plan"
)

// Takeover is everything that is seen of a region whose master is to change.
type Takeover struct {
	Snap      cluster.Snapshot
	Diagnosis cluster.Diagnosis
	From      *cluster.Server              // of Snap: who is master, or was when an earlier run stopped it; nil: not known
	To        *cluster.Server              // of Snap: the candidate; nil: none
	Slots     bool                         // the site uses replication slots
	Resumed   bool                         // From was stopped by an earlier run
	Names     map[string]string            // the application_name of each standby, from its files; the host's name where there is none
	Settings  map[string]map[string]string // of the servers that answer
	Rows      map[string][]cluster.Epoch
	NoLogin   string            // why no login for replication is known; ""
	NoRoute   map[string]string // by host, why it cannot follow To
	Tail      *cluster.Tail     // what a reachable old master that does not run has past To; nil: not known
	TailWhy   string            // why not
}

func (t *Takeover) standing(s *cluster.Server) cluster.Standing {
	for i := range t.Snap.Servers {
		if &t.Snap.Servers[i] == s {
			return t.Diagnosis.Standings[i]
		}
	}
	return cluster.Standing{}
}

func (t *Takeover) nameOf(s *cluster.Server) string {
	if name := t.Names[s.Host]; name != "" {
		return name
	}
	return s.Host
}

// followers are the other standbys that answer and have nothing but the candidate's history.
func (t *Takeover) followers() []*cluster.Server {
	var all []*cluster.Server
	for i := range t.Snap.Servers {
		if s := &t.Snap.Servers[i]; s != t.From && s != t.To && t.strays(s) == "" {
			all = append(all, s)
		}
	}
	return all
}

// strays says why a server cannot follow the candidate as it is, "" when it can.
func (t *Takeover) strays(s *cluster.Server) string {
	switch {
	case t.To == nil || t.To.SQL == nil || t.To.Data == nil:
		return "the candidate does not answer"
	case !s.Reached():
		return s.Unreachable.Message
	case s.SQL == nil || s.Data == nil:
		return "PostgreSQL does not answer there"
	case !s.SQL.InRecovery:
		return "it is no standby"
	}
	kin := s.KinTo(t.To, t.Rows[s.Host], t.Rows[t.To.Host])
	if kin.Diverged != "" || t.counted(s) {
		return kin.Diverged
	}
	return kin.Unproven
}

// counted tells whether the server is a standby of the old master in good order, or was when an earlier run set the candidate's names:
// then it is no less proven to be the candidate's than it was to be the old master's.
func (t *Takeover) counted(s *cluster.Server) bool {
	if t.From == nil {
		return false
	}
	if !t.Resumed {
		st := t.standing(s)
		return st.Streaming && st.Upstream == t.From.Host
	}
	names, err := cluster.ParseSyncNames(t.To.SQL.SyncNames)
	return err == nil && slices.Contains(names.Members, t.nameOf(s))
}

// Left are the pools that a change of master leaves out, and why: their clients go on asking the old master.
func (t *Takeover) Left() map[string]string {
	left := map[string]string{}
	for _, pool := range t.Snap.Pools {
		switch {
		case !pool.Reached():
			left[pool.Host] = pool.Unreachable.Message
		case pool.ConfFailure != nil:
			left[pool.Host] = pool.ConfFailure.Message
		case pool.Backends == nil:
			left[pool.Host] = "its pgpool.conf was not read"
		}
	}
	return left
}

// Later are the servers that do not follow the new master yet, each with the reason.
func (t *Takeover) Later() map[string]string {
	later := map[string]string{}
	for i := range t.Snap.Servers {
		if s := &t.Snap.Servers[i]; s != t.From && s != t.To {
			if why := t.strays(s); why != "" {
				later[s.Host] = why
			}
		}
	}
	return later
}

// namesAfter are the names of the new master: every server that will follow it, in the form that the site had.
func (t *Takeover) namesAfter(o TakeoverOptions, incarnation string) cluster.SyncNames {
	before := t.To.SQL.SyncNames
	if t.From != nil && t.From.SQL != nil && !t.From.SQL.InRecovery {
		before = t.From.SQL.SyncNames
	}
	form := syncNames(before, o.Nodes)
	names := form
	if form.Anybody() {
		return t.anybody(form, incarnation)
	}
	for _, s := range t.Snap.Servers {
		names = names.Without(s.Host)
	}
	if !form.Any && form.Needed == len(form.Members) {
		names = cluster.SyncNames{}
	}
	for _, s := range t.followers() {
		names = names.With(s.Host, t.nameOf(s))
	}
	if t.From != nil && incarnation != "" {
		names = names.With(t.From.Host, cluster.MemberName(t.From.Host, incarnation))
	}
	if !form.Any && form.Needed < len(form.Members) || form.Any {
		names.Needed = min(form.Needed, len(names.Members))
	}
	names.Any = form.Any
	return names
}

// anybody is a form that names everybody, for as many as there will be.
func (t *Takeover) anybody(form cluster.SyncNames, incarnation string) cluster.SyncNames {
	there := len(t.followers())
	if t.From != nil && incarnation != "" {
		there++
	}
	form.Needed = min(form.Needed, there)
	return form
}

// followArgs are what the steps of a server that follows the candidate need to know.
func (t *Takeover) followArgs(names cluster.SyncNames) func(s *cluster.Server, name string, own ...arg) []arg {
	return func(s *cluster.Server, name string, own ...arg) []arg {
		args := []arg{
			with("master", t.To.Host), with("addresses", strings.Join(t.To.Addresses, " ")), with("port", strconv.Itoa(t.To.Data.Port)), with("name", name),
			with("slot", slotOf(t.Slots, s.Host)), with("names", t.ownNames(s, names)),
			with("data_dir", s.Data.Path), with("own_addresses", strings.Join(s.Addresses, " ")),
		}
		return append(args, own...)
	}
}

// ownNames are a follower's names for the day on which it is master: those that the old master has, which it may be again at once; of
// any other one everybody else.
func (t *Takeover) ownNames(s *cluster.Server, names cluster.SyncNames) string {
	if s == t.From && s.SQL != nil && !s.SQL.InRecovery {
		return s.SQL.SyncNames
	}
	return names.Without(s.Host).With(t.To.Host, t.nameOf(t.To)).String()
}

// slots has the candidate keep WAL for those who will follow it, where the site uses slots.
func (t *Takeover) slots(b builder, servers []*cluster.Server) {
	for _, s := range servers {
		if slot := slotOf(t.Slots, s.Host); slot != "" {
			b.step(verbSlot, t.To.Host, "keep the slot "+slot+" for "+s.Host, "", with("slot", slot))
		}
	}
}

// repoint has the other standbys stream from the candidate while it still is a standby: who cannot has something that it lacks.
func (t *Takeover) repoint(b builder, follow func(*cluster.Server, string, ...arg) []arg) {
	defer b.beside(len(b.plan.Steps), byHost)
	for _, s := range t.followers() {
		b.step(verbRepoint, s.Host, "have it stream from "+t.To.Host, "", follow(s, t.nameOf(s))...)
	}
}

// after is what comes when the candidate is master.
func (t *Takeover) after(b builder, o TakeoverOptions) {
	b.step(verbSign, t.To.Host, "leave the row of this promotion in its data", "every true copy has it", with("nonce", o.Nonce))
	for _, pool := range t.Snap.Pools {
		if pool.Reached() && pool.ConfFailure == nil && pool.Backends != nil {
			b.plan.Steps = append(b.plan.Steps, poolSteps(pool, t.To, o.Pools)...)
		}
	}
	b.masterFiles(t.Snap, t.To.Host)
}

// StillTakeover is the guard of a change of master: nobody but the two of the plan is master, and never both. Before the promotion the
// candidate is on the timeline of the plan, afterwards on a later one.
func StillTakeover(snap cluster.Snapshot, p plan.Plan, accept []string) error {
	no := &refusals{accept: accept}
	if strings.HasSuffix(p.Name, BackSuffix) { // nobody was promoted by this plan, and waiting for a server that is lost keeps everybody from writing
		no.accept = []string{RiskUnfencedMaster}
	}
	otherMasters(snap, append(strings.Fields(p.Facts["fenced"]), p.Facts["from"], p.Facts["to"]), no)
	if no.any() {
		return no.err()
	}
	from, to := find(&snap, p.Facts["from"]), find(&snap, p.Facts["to"])
	switch {
	case to == nil || to.SQL == nil:
		return fmt.Errorf("%s does not answer any more", p.Facts["to"])
	case to.SQL.InRecovery && to.SQL.Timeline > planned(p): // less is what a standby without a receiver may show
		return fmt.Errorf("the plan was made for %s on timeline %s, it is on timeline %d", to.Host, p.Facts["timeline"], to.SQL.Timeline)
	case !to.SQL.InRecovery && from != nil && from.SQL != nil && !from.SQL.InRecovery:
		return fmt.Errorf("both %s and %s answer as master", from.Host, to.Host)
	}
	return nil
}

func planned(p plan.Plan) cluster.Timeline {
	n, err := strconv.ParseUint(p.Facts["timeline"], 10, 32)
	if err != nil {
		return 0
	}
	return cluster.Timeline(n)
}
