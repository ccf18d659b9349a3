package cluster

import "slices"

// Quorum is what a watcher knows of what all of them agree on, as it writes it into PGMonitor. Times are of the watcher that writes it.
type Quorum struct {
	Executor    *string      `json:"executor"` // who leads; null: nobody, as far as this host knows
	Index       uint64       `json:"index"`    // of the state; of two hosts the higher one knows more
	Epoch       int64        `json:"epoch"`
	Phase       Phase        `json:"phase"`
	Master      *string      `json:"master"`
	Opened      bool         `json:"opened"` // clients are let in
	Configs     []SyncConfig `json:"sync"`   // in force, oldest first
	Members     []Member     `json:"members"`
	Former      []string     `json:"former"` // old masters that have not rejoined
	Pools       []string     `json:"pools"`  // still to be moved
	Voters      []string     `json:"voters"`
	Spare       *string      `json:"spare"`
	Silent      []string     `json:"silent"`        // hosts of the inventory that this one has not heard for three seconds
	Lease       *float64     `json:"lease_seconds"` // of the master: since its request that was granted last
	Quarantined []Quarantine `json:"quarantined"`
	Paused      *Pause       `json:"paused"`
	Halted      string       `json:"halted"`
	Judgements  []Judgement  `json:"judgements"` // the executor's
	Waits       []string     `json:"waits"`      // and what it waits for
}

// HostOf is the host that counts under the name of a member; the name itself where there is none.
func (q *Quorum) HostOf(member string) string {
	for _, m := range q.Members {
		if m.Name == member {
			return m.Host
		}
	}
	return member
}

// CountsOn tells whether what is acknowledged now may rest on the host's data, or on what becomes of it: it is the master, or in a
// configuration in force; while nobody serves it may be any server.
func (q *Quorum) CountsOn(host string) bool {
	if q.Phase != Serving || q.Master == nil || *q.Master == host {
		return true
	}
	return slices.ContainsFunc(q.Configs, func(c SyncConfig) bool {
		return slices.ContainsFunc(c.Members, func(member string) bool { return q.HostOf(member) == host })
	})
}

// Survives is how many hosts may be lost right now, whichever, before an acknowledged commit is: a commit is on the master and on as many
// members as each configuration in force wants. False: nobody serves, so nothing is acknowledged.
func (q *Quorum) Survives() (hosts int, serving bool) {
	if q.Phase != Serving || len(q.Configs) == 0 {
		return 0, false
	}
	hosts = q.Configs[0].K
	for _, c := range q.Configs {
		hosts = min(hosts, c.K)
	}
	return hosts, true
}

// InSync are the hosts that a commit waits for under the newest configuration.
func (q *Quorum) InSync() []string {
	all := []string{}
	if n := len(q.Configs); n > 0 {
		for _, member := range q.Configs[n-1].Members {
			all = append(all, q.HostOf(member))
		}
	}
	return all
}

// QuorumView is the quorum by the watchers that could be asked.
type QuorumView struct {
	Quorum        // by the watcher that knows the most
	From   string // which that is
	Leader string // the executor; "" nobody is known to lead
	Heard  []string
	Lost   []string // voters that the executor, or else From, does not hear
	Zones  []string // whose loss would leave too few votes, in the order of the inventory
}

// watches are the hosts of servers and arbiters, each with its zone.
type watches struct {
	Common
	zone string
}

func (s *Snapshot) watches() []watches {
	var all []watches
	for _, srv := range s.Servers {
		all = append(all, watches{srv.Common, srv.Zone})
	}
	for _, a := range s.Arbiters {
		all = append(all, watches{a.Common, a.Zone})
	}
	return all
}

// ViewQuorum is what the watchers say of the quorum; nil when none that could be asked takes part in one.
func (s *Snapshot) ViewQuorum() *QuorumView {
	var most, led *watches
	hosts := s.watches()
	for i := range hosts {
		h := &hosts[i]
		q := h.Watcher.Quorum
		if q == nil {
			continue
		}
		leads := q.Executor != nil && *q.Executor == h.Host
		if most == nil || q.Index > most.Watcher.Quorum.Index || q.Index == most.Watcher.Quorum.Index && leads {
			most = h
		}
		if leads && (led == nil || q.Index > led.Watcher.Quorum.Index) {
			led = h
		}
	}
	if most == nil {
		return nil
	}
	v := &QuorumView{Quorum: *most.Watcher.Quorum, From: most.Host}
	hears := most.Watcher.Quorum
	v.Judgements, v.Waits = nil, nil
	switch {
	case led != nil:
		hears = led.Watcher.Quorum
		v.Leader, v.Judgements, v.Waits = led.Host, hears.Judgements, hears.Waits
	case v.Executor != nil && !slices.ContainsFunc(hosts, func(h watches) bool { return h.Host == *v.Executor && h.Watcher.Quorum != nil }):
		v.Leader = *v.Executor // who could not be asked, but is heard by those that could
	}
	for _, voter := range v.Voters {
		if slices.Contains(hears.Silent, voter) {
			v.Lost = append(v.Lost, voter)
		} else {
			v.Heard = append(v.Heard, voter)
		}
	}
	v.Zones = v.indispensable(hosts)
	return v
}

// Decides tells whether a majority of the votes is there, and led.
func (v *QuorumView) Decides() bool { return v.Leader != "" && v.enough(v.Heard) }

func (v *QuorumView) enough(voters []string) bool { return len(voters) > len(v.Voters)/2 }

// PartOf is what a host is to the quorum, in a word.
func (v *QuorumView) PartOf(host string) string {
	switch {
	case host == v.Leader:
		return "executor"
	case slices.Contains(v.Lost, host):
		return "silent"
	case slices.Contains(v.Voters, host):
		return "votes"
	case v.Spare != nil && *v.Spare == host:
		return "spare"
	}
	return "none"
}

// without are the votes that are left when these hosts are lost too.
func (v *QuorumView) without(lost func(host string) bool) []string {
	return slices.DeleteFunc(slices.Clone(v.Heard), lost)
}

// indispensable are the zones without which the votes that are heard now would be too few.
func (v *QuorumView) indispensable(hosts []watches) []string {
	zones := []string{}
	for _, h := range hosts {
		if h.zone == "" || slices.Contains(zones, h.zone) {
			continue
		}
		left := v.without(func(voter string) bool {
			return slices.ContainsFunc(hosts, func(o watches) bool { return o.Host == voter && o.zone == h.zone })
		})
		if len(v.Voters) > 0 && !v.enough(left) {
			zones = append(zones, h.zone)
		}
	}
	return zones
}
