package cluster

import (
	"slices"
	"time"

	"github.com/pgctl/pgctl/pkg/nodes"
)

// Policy is what the site has decided, and the bounds that follow from it.
type Policy struct {
	Servers []string // every server of the inventory, in its order
	Pools   []string
	Voters  []string // who votes now
	Spare   string   // who takes over a silent voter's vote; "" nobody

	Inactive   bool // only watch
	MasterByTS bool // an old master rejoins by itself
	Needed     int  // sync_mode: 0 all, N any N

	DownAfter        time.Duration // a master without progress for so long is down
	StandbyDownAfter time.Duration // a standby without progress for so long leaves
	SpareAfter       time.Duration // a voter silent for so long gives its vote to the spare
	Lease            time.Duration // a master may serve so long after its last sign of the quorum
	StopTime         time.Duration // a master's stop takes no longer, from the end of its lease on (nodes.StopTimeOf)
	Drift            time.Duration // two monotonic clocks differ by no more meanwhile
	Fresh            time.Duration // a report older than that is silence: three heartbeats
	RetryInterval    time.Duration // a frozen server's receiver that may come back is back by then; of one that reads the service file, none may
	PromoteTimeout   time.Duration // an elected server that is not promoted by then is given up
	JoinDeadline     time.Duration // a joining member that holds up commits for so long is taken out again
	JoinDamping      time.Duration // how long a standby streams before it joins; doubled with each flap
	JoinLag          LSN           // and how near it has to be, in bytes
	AntiFlap         time.Duration // a second failover within this time asks for twice the evidence; 0 never
	MaxStarts        int           // starts of a PostgreSQL in a row that are tried at once; the next ones wait (startDelay)
	StartRetry       time.Duration // before the first start that waits; doubled with each one after it, up to 32 times as long
}

// StartLasts is how long a PostgreSQL has to run and answer after its start until that was a success: Facts.Starts begins again at 0.
const StartLasts = 10 * time.Second

// PolicyOf is the policy of a region's pg_watcher section. The servers are those of pg_node_info, the pools theirs.
func PolicyOf(w *nodes.Watcher) Policy {
	p := Policy{
		Inactive: w.InactiveFailover, MasterByTS: w.UsingMasterByTS, Needed: w.SyncNeeded(),
		DownAfter: w.DownAfter, StandbyDownAfter: w.StandbyDownAfter, SpareAfter: w.SpareAfter, Lease: w.Lease,
		StopTime: nodes.StopTimeOf(w.DownAfter), Drift: nodes.ClockDrift, Fresh: 3 * time.Second, RetryInterval: 5 * time.Second,
		PromoteTimeout: 60 * time.Second, JoinDeadline: 20 * time.Second, JoinDamping: 2 * time.Second, JoinLag: 16 << 20,
		AntiFlap: 10 * time.Minute, MaxStarts: 3, StartRetry: 10 * time.Second,
	}
	for _, n := range w.Nodes {
		p.Servers = append(p.Servers, n.Host)
		for _, pool := range n.Pools {
			p.Pools = addOnce(p.Pools, pool)
		}
	}
	p.Voters = append(append(p.Voters, p.Servers...), w.Globals...)
	if p.Spare = spareOf(w); p.Spare != "" {
		p.Voters = slices.DeleteFunc(p.Voters, func(host string) bool { return host == p.Spare })
	}
	return p
}

// spareOf is the host without a vote where their number would be even, which stops as early as with one fewer: the last arbiter, else the
// last server by name whose zone keeps a vote without it; "" none is needed, or none can be spared.
func spareOf(w *nodes.Watcher) string {
	if (len(w.Nodes)+len(w.Globals))%2 == 1 {
		return ""
	}
	if n := len(w.Globals); n > 0 {
		return w.Globals[n-1]
	}
	zone := map[string]int{}
	spare := ""
	for _, n := range w.Nodes {
		zone[n.Zone]++
	}
	for _, n := range w.Nodes {
		if zone[n.Zone] > 1 && n.Host > spare {
			spare = n.Host
		}
	}
	return spare
}

func addOnce(all []string, one string) []string {
	if slices.Contains(all, one) {
		return all
	}
	return append(all, one)
}

// handover is how long the new master's clients wait, from the moment its epoch was known there: by then every lease and every
// confirmation of the old one has run out, and it has stopped (invariant 4).
func (p *Policy) handover() time.Duration { return p.Lease + p.StopTime + p.Drift }

// killTime is what a stop keeps for its end: for a decision that comes late, and for the kernel to end what is killed.
const killTime = time.Second

// StopPatience is how long what was told to stop may take until what is left of it is killed, so that all is over within the stop time.
func (p *Policy) StopPatience() time.Duration { return p.StopTime - killTime }

// damping is how long a standby that left n times soon after it had joined must stream before it joins again.
func (p *Policy) damping(flaps int) time.Duration { return p.JoinDamping << min(flaps, 5) }

// startDelay is how long the next start waits after the last one, when so many in a row have failed: not at all for the first MaxStarts,
// then StartRetry, twice that, and so on up to 32 times (10 s to 5 min 20 s). What cannot be started now may be later: a full disk, a
// missing library, too little memory.
func (p *Policy) startDelay(failed int) time.Duration {
	if failed < p.MaxStarts {
		return 0
	}
	return p.StartRetry << min(failed-p.MaxStarts, 5)
}

// failing is for how long PostgreSQL has been down although starts of it were tried, counted from the one that was the last to be tried at
// once; 0 while the limit is not passed. The later ones that failed too are no progress, whatever answered for a moment.
func (p *Policy) failing(f *Facts) time.Duration {
	if f.Starts <= p.MaxStarts {
		return 0
	}
	total := f.StartAge
	for n := p.MaxStarts; n < f.Starts; n++ {
		total += p.startDelay(n)
	}
	return total
}
