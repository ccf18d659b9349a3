package cluster

import "time"

// Rules are the judgements that safety rests on, each a pure function of its own. Sound is what runs; the simulation replaces one at a
// time by a plausible mistake, and has to notice.
type Rules struct {
	// Stale: was the command decided on another state (compare-and-set)?
	Stale func(s *State, c *Command) bool
	// AllBlocked: may anybody still acknowledge under these configurations while those are frozen (M1)?
	AllBlocked func(configs []SyncConfig, frozen func(member string) bool) bool
	// InForce says what is missing to the proof that every process of the master goes by c; "" nothing (M3).
	InForce func(f *Facts, epoch int64, c SyncConfig, inForce []SyncConfig) string
	// Settled says what is missing before the newest configuration may be the only one, and what its members have flushed.
	Settled func(r Rules, s *State, v *Sight, p *Policy) (from LSN, missing string)
	// Flushed is the position that a member is believed to have flushed as a standby of this master (M6).
	Flushed func(s *State, v *Sight, p *Policy, member string) (LSN, bool)
	// Final is the position at which a server that receives nothing ends; false while that cannot be known.
	Final func(f *Facts) (LSN, bool)
	// Frozen: is the receiver gone and unable to return, for this election (M8)?
	Frozen func(f *Facts, base int64, p *Policy) bool
	// Thaws: may a frozen server receive again?
	Thaws func(s *State, f *Facts) bool
	// Foreign says why the data is not proven to be part of the master's history; "" it is (M7). Asked before following.
	Foreign func(f *Facts, rows []Epoch, position LSN) string
	// NamesFor is synchronous_standby_names for this host's PostgreSQL.
	NamesFor func(s *State, host string) string
	// MayServe: may a running master go on (M10)?
	MayServe func(s *State, f *Facts, p *Policy) bool
	// MayStart: may this host's PostgreSQL be started as master?
	MayStart func(s *State, f *Facts, p *Policy) bool
	// Reached: have the members of every configuration in force flushed x, so that what is before x may be shown?
	Reached func(r Rules, s *State, v *Sight, p *Policy, x LSN) bool
	// Quiet is for how long nobody has seen progress of the master.
	Quiet func(s *State, v *Sight) time.Duration
}

// Sound are the rules that are believed to be right.
func Sound() Rules {
	return Rules{
		Stale: stale, AllBlocked: AllBlocked, InForce: inForce, Settled: settled, Flushed: flushed, Final: final, Frozen: frozen, Thaws: thaws,
		Foreign: Foreign, NamesFor: namesFor, MayServe: mayServe, MayStart: mayStart, Reached: reached, Quiet: quiet,
	}
}
