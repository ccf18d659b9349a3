package sim

import (
	"slices"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// Mutant is a plausible mistake, one of those that docs/safety.md lists. The simulation has to notice each.
type Mutant int

// The mutants. None is the code as it is.
const (
	None Mutant = iota
	SyncStateIsProof
	PositionBeforeProof
	JoinProposedFirst
	NoGeneration
	ExecutorWritesNames
	OpenBeforeServing
	FreezeLostAtRestart
	FreezeIsReload
	OneFreezeShort
	OnlyNewestBlocked
	ReceiveOnly
	IdentityByName
	FollowThenCompare
	NoBarrier
	FailsafeAsksSet
	FailsafeAtStart
	LeaseFromReceipt
	KeepaliveIsLife
	ThawWithoutEpoch
	OldVoterAccepted
	GateByOne
	CrashPassesGate
	PromoteByMessage
	TimersRestart
	HaltedIsNotFenced
	HalfRecordCounts
	AheadByReceived
	EachByItsOwn
	CheckpointIsWait
	Mutants
)

var mutantNames = [Mutants]string{
	"none", "sync_state is proof", "the position is read before the proof", "the join is proposed first", "no generation on what is proposed", "the executor writes names",
	"names open before serving", "the freeze is lost at a restart", "freeze is a reload that was sent", "any N with one freeze too few",
	"only the newest configuration is blocked", "the receive position alone", "identity by name", "divergence is looked at after following",
	"no barrier", "the failsafe asks the sync set", "the failsafe holds at a start", "the lease counts from receipt", "a keepalive is life",
	"a frozen member is thawed without an epoch", "an old voter's disk is accepted", "the gate is opened by one member", "a crash restart passes the gate",
	"promotion by message", "timers restart with the executor",
	"a halted master is not fenced", "half a record counts", "ahead by what was received",
	"a configuration is blocked by its own members alone", "a checkpointer that was busy and is not has read the names",
}

// String is the mistake in words.
func (m Mutant) String() string { return mutantNames[m] }

// rules are the sound ones with the mutant's mistake in one of them. Mistakes of the shell around the decisions are where the shell is.
func (m Mutant) rules() cluster.Rules {
	r := cluster.Sound()
	switch m {
	case SyncStateIsProof:
		r.InForce = syncStateIsProof
	case JoinProposedFirst:
		r.Settled = func(cluster.Rules, *cluster.State, *cluster.Sight, *cluster.Policy) (cluster.LSN, string) {
			return 0, ""
		}
	case NoGeneration:
		r.Stale = func(*cluster.State, *cluster.Command) bool { return false }
	case OpenBeforeServing:
		sound := r.NamesFor
		r.NamesFor = func(s *cluster.State, host string) string {
			if s.Phase == cluster.Elected && s.Master == host {
				return ""
			}
			return sound(s, host)
		}
	case OneFreezeShort:
		r.AllBlocked = oneShort
	case OnlyNewestBlocked:
		r.AllBlocked = func(all []cluster.SyncConfig, frozen func(string) bool) bool {
			return len(all) > 0 && all[len(all)-1].Blocked(frozen)
		}
	case ReceiveOnly:
		r.Final = func(f *cluster.Facts) (cluster.LSN, bool) {
			return f.Received, f.Running && f.Recovery && f.Upstream.Receiver == ""
		}
	case FreezeIsReload:
		r.Frozen = func(f *cluster.Facts, base int64, _ *cluster.Policy) bool { return base != 0 && f.FrozenFor == base }
		sound := r.Final
		r.Final = func(f *cluster.Facts) (cluster.LSN, bool) {
			g := *f
			g.Upstream.Receiver, g.AtEnd = "", true
			return sound(&g)
		}
	default:
		m.moreRules(&r)
	}
	return r
}

func (m Mutant) moreRules(r *cluster.Rules) {
	switch m {
	case IdentityByName:
		r.Flushed = byName
	case FollowThenCompare:
		r.Foreign = func(*cluster.Facts, []cluster.Epoch, cluster.LSN) string { return "" }
	case FailsafeAsksSet:
		r.MayServe = nil // set by the world: it needs what the watcher hears
	case FailsafeAtStart:
		may := r.MayServe // all members of the empty set confirm
		r.MayServe = func(s *cluster.State, f *cluster.Facts, p *cluster.Policy) bool {
			return may(s, f, p) || len(s.Configs) == 1 && s.Configs[0].K == 0
		}
		r.MayStart = func(s *cluster.State, f *cluster.Facts, p *cluster.Policy) bool {
			return f.Lease <= p.Lease || len(s.Configs) == 1 && s.Configs[0].K == 0
		}
	case HalfRecordCounts:
		sound := r.Final
		r.Final = func(f *cluster.Facts) (cluster.LSN, bool) {
			at, ok := sound(f)
			return max(at, f.Received), ok
		}
	case EachByItsOwn:
		r.AllBlocked = func(all []cluster.SyncConfig, frozen func(string) bool) bool {
			return len(all) > 0 && !slices.ContainsFunc(all, func(c cluster.SyncConfig) bool { return !c.Blocked(frozen) })
		}
	case KeepaliveIsLife:
		r.Quiet = keepaliveIsLife
	case GateByOne:
		r.Reached = reachedByOne
	}
}

// keepaliveIsLife takes a receiver that is there for a sign of life.
func keepaliveIsLife(s *cluster.State, v *cluster.Sight) time.Duration {
	for i := range v.Heard {
		if f := v.Heard[i].Facts; f != nil && f.Upstream.Receiver == s.Master && v.Now-v.Heard[i].At < 5*time.Second {
			return 0
		}
	}
	return cluster.Sound().Quiet(s, v)
}

// reachedByOne lets clients in when one member of some configuration has what they would see.
func reachedByOne(r cluster.Rules, s *cluster.State, v *cluster.Sight, p *cluster.Policy, x cluster.LSN) bool {
	for _, c := range s.Configs {
		for _, member := range c.Members {
			if at, ok := r.Flushed(s, v, p, member); ok && at >= x {
				return true
			}
		}
		if c.K == 0 {
			return true
		}
	}
	return false
}

func syncStateIsProof(f *cluster.Facts, epoch int64, c cluster.SyncConfig, _ []cluster.SyncConfig) string {
	if f.Names.Shown != c.Names(epoch) {
		return "not shown"
	}
	for _, m := range c.Members {
		found := false
		for i := range f.Senders {
			found = found || f.Senders[i].Name == m && (f.Senders[i].Sync == "sync" || f.Senders[i].Sync == "quorum")
		}
		if !found {
			return m + " is not sync"
		}
	}
	return ""
}

func oneShort(all []cluster.SyncConfig, frozen func(string) bool) bool {
	for _, c := range all {
		if c.K > 0 {
			c.K++
		}
		if !c.Blocked(frozen) {
			return false
		}
	}
	return len(all) > 0
}

func byName(s *cluster.State, v *cluster.Sight, p *cluster.Policy, member string) (at cluster.LSN, found bool) {
	for i := range v.Heard {
		if h := &v.Heard[i]; h.Host == s.Master && h.Facts != nil && v.Now-h.At <= p.Fresh {
			for k := range h.Facts.Senders {
				if x := &h.Facts.Senders[k]; x.Name == member && x.Stream {
					at, found = max(at, x.Flush), true
				}
			}
		}
	}
	return at, found
}

// meddle is what a mutant's watcher does in place of what was decided for its server.
func (w *world) meddle(i int, f *cluster.Facts) {
	h := &w.hosts[i]
	x := &h.w
	switch {
	case w.m == HaltedIsNotFenced && x.state.Halted != "":
		x.acts = nil
	case w.m == ThawWithoutEpoch && h.frozenFor != 0 && x.state.Election != nil && w.now > x.frozen+4*time.Second:
		x.acts = []cluster.Action{{Do: cluster.DoFollow, Host: x.state.Election.OldMaster, Epoch: h.frozenFor}}
	case w.m == PromoteByMessage && x.told != 0 && f.Recovery:
		x.told = 0
		x.acts = []cluster.Action{{Do: cluster.DoSetNames}, {Do: cluster.DoPromote}, {Do: cluster.DoOpenClients}}
	}
}

// misrule is what a mutant's executor does beside what it proposes.
func (w *world) misrule(i int) {
	x := &w.hosts[i].w
	c := x.cmd
	if c == nil && x.pending != nil {
		c = x.pending.cmd
	}
	switch {
	case c == nil:
	case w.m == ExecutorWritesNames && c.Kind == cluster.Change:
		if m := w.index(x.state.Master); m >= 0 {
			w.orphans = append(w.orphans, orphan{m, c.Config.Names(c.Epoch), w.now + w.acting() + w.acting()})
		}
	case w.m == PromoteByMessage && c.Kind == cluster.Elect:
		w.send(message{to: w.index(c.Host), from: i, promote: true})
	}
}

// sightOf is what a master compares itself with: a mutant takes what was received for what was replayed.
func (m Mutant) sightOf(v *cluster.Sight) *cluster.Sight {
	if m != AheadByReceived {
		return v
	}
	all := cluster.Sight{Now: v.Now, Since: v.Since}
	for _, h := range v.Heard {
		if h.Facts != nil {
			r, f := *h.Report, *h.Facts
			f.Replayed = max(f.Replayed, f.Received)
			r.Facts = &f
			h.Report = &r
		}
		all.Heard = append(all.Heard, h)
	}
	return &all
}
