package cluster

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgctl/pgctl/pkg/nodes"
)

// The findings that only doctor has, and what each means.
const (
	TooFewVotes     Code = "too-few-votes"     // servers and arbiters do not make three votes
	ZoneHasQuorum   Code = "zone-has-quorum"   // one zone alone holds the majority: without it nothing is decided
	LinkDown        Code = "link-down"         // one node does not reach another
	PgpoolFailsOver Code = "pgpool-fails-over" // pgpool would do a failover of its own
	PgpoolSlowStart Code = "pgpool-slow-start" // each start of pgpool first clears memory that it does not use
	UnsafeSetting   Code = "unsafe-setting"    // PostgreSQL may lose what it has acknowledged
	ConfigFileError Code = "config-file-error" // PostgreSQL cannot read its configuration files
	OldScript       Code = "old-script"        // a script that goes round the quorum lies on the host
	NotExamined     Code = "not-examined"      // something could not be asked
	MayCountTwice   Code = "may-count-twice"   // a standby of several that a commit waits for uses no replication slot
)

// Examine says what would stop an operation or a failover: everything that Diagnose finds, judged as if HA were on, and what
// only a checkup shows. It is a pure function of its arguments.
func Examine(s Snapshot, c Checkup) Diagnosis {
	off, ha := s.HA != nodes.HAEnabled, s.haNow(s.ViewQuorum())
	if s.Kind != nodes.KindPG9 {
		s.HA = nodes.HAEnabled
	}
	was := diagnose(s, off)
	d := diagnosis{Snapshot: s, view: was.View, found: was.Findings}
	if s.Kind != nodes.KindPG9 {
		d.votes()
		d.rules(c.Inventory)
		d.inSync(c.Inventory)
		d.failsOver()
		d.slowStart()
		d.settings(c.Vitals)
		d.oldScripts(c.OldScripts)
	}
	d.links(c.Links)
	for host, why := range c.Unasked {
		d.warn(NotExamined, host, "", "%s", why)
	}
	found := sortFindings(d.found)
	return Diagnosis{View: was.View, HA: ha, Regime: was.Regime, Status: statusOf(found), Findings: found}
}

// votes: fewer than three cannot lose one.
func (d *diagnosis) votes() {
	voters := voting(d.watched())
	if len(voters) < 3 {
		d.critical(TooFewVotes, "", "name arbiters in pg_watcher.globals of every zone's server.yaml",
			"servers and arbiters make %d of the 3 votes that are needed for one to be lost (%d servers, %d arbiters; of an even number the last one is a spare)",
			len(voters), len(d.Servers), len(d.Arbiters))
	}
	votes := map[string]int{}
	for _, v := range voters {
		votes[d.zoneOf(v.Host)]++
	}
	for zone, n := range votes {
		if zone != "" && n > len(voters)/2 && len(voters) > 1 {
			d.warn(ZoneHasQuorum, "", "put an arbiter into another zone", "the zone %s has %d of %d votes: when it is lost, nothing is decided", zone, n, len(voters))
		}
	}
}

func (d *diagnosis) zoneOf(host string) string {
	for _, s := range d.Servers {
		if s.Host == host {
			return s.Zone
		}
	}
	for _, a := range d.Arbiters {
		if a.Host == host {
			return a.Zone
		}
	}
	return ""
}

// switches are the two values that enable-ha and disable-ha set: that zones differ in them is what those two mend.
var switches = []string{"inactive_failover", "using_master_by_ts"}

// rules: the watchers must all go by the same rules and watch every server.
func (d *diagnosis) rules(inv *nodes.Inventory) {
	const hint = "make pg_watcher agree in every zone's file and with nodes/pgserver"
	if len(inv.Zones) == 0 {
		d.critical(HAConfigMismatch, "", hint, "no zone has a server.yaml")
	}
	var first *nodes.Zone
	for i := range inv.Zones {
		z := &inv.Zones[i]
		if z.Watcher == nil {
			d.critical(HAConfigMismatch, "", hint, "%s has no pg_watcher section", z.Path)
			continue
		}
		if first == nil {
			first = z
		}
		var hosts, unwatched []string
		for _, s := range inv.Servers {
			hosts = append(hosts, s.Host)
			if !z.Watcher.Names(s.Host) {
				unwatched = append(unwatched, s.Host)
			}
		}
		if len(unwatched) > 0 {
			d.critical(HAConfigMismatch, "", hint, "%s: pg_node_info does not name %s: nobody would watch it", z.Path, strings.Join(unwatched, ", "))
		}
		differ := slices.DeleteFunc(z.Watcher.Differs(first.Watcher, hosts), func(key string) bool { return slices.Contains(switches, key) })
		if len(differ) > 0 {
			d.critical(HAConfigMismatch, "", hint, "%s differs from %s in %s: watchers would go by different rules", z.Path, first.Path, strings.Join(differ, ", "))
		}
	}
}

// inSync: with fewer standbys in the synchronous set than the rules want, a failover loses what the master alone had.
func (d *diagnosis) inSync(inv *nodes.Inventory) {
	needed, in := len(d.Servers)-1, 0
	for _, z := range inv.Zones {
		if z.Watcher != nil && z.Watcher.SyncNeeded() > 0 {
			needed = min(needed, z.Watcher.SyncNeeded())
		}
	}
	for _, st := range d.view.Standings {
		if st.Streaming && (st.SyncState == "sync" || st.SyncState == "quorum") {
			in++
		}
	}
	if d.view.Master != "" && in < needed {
		d.critical(NotSynchronous, "", fmt.Sprintf("see synchronous_standby_names on %s", d.view.Master),
			"a commit waits for %d of %d standbys: a failover would lose what the others have not", in, needed)
	}
	if needed > 1 {
		d.mayCountTwice()
	}
}

// mayCountTwice: where a commit waits for several standbys, PostgreSQL takes two connections of one name for two of them (source: SyncRepGetCandidateStandbys; tried on
// 10.23 and 15.18), and a standby that was lost without a word and is back has two for a moment. A slot is used by one connection at a time (manual, "Replication Slots").
func (d *diagnosis) mayCountTwice() {
	for i, st := range d.view.Standings {
		if host := d.Servers[i].Host; st.Upstream == d.view.Master && st.Slot == "" && (st.SyncState == "sync" || st.SyncState == "quorum") {
			d.warn(MayCountTwice, host, fmt.Sprintf("make a physical slot for it on %s, and set primary_slot_name to it on %s (docs/ha.md)", d.view.Master, host),
				"it uses no replication slot: if its connection breaks without a word, it may count for two of the standbys that a commit waits for until the old one times out")
		}
	}
}

// failsOver: a pgpool that fails over by itself works against the quorum.
func (d *diagnosis) failsOver() {
	for _, p := range d.Pools {
		for _, b := range p.Backends {
			if !strings.Contains(b.Flag, "DISALLOW_TO_FAILOVER") {
				d.critical(PgpoolFailsOver, p.Host, "pgctl pgpool sync", "the backend %s:%d in pgpool.conf is not DISALLOW_TO_FAILOVER: pgpool would take it out of use by itself", b.Host, b.Port)
			}
		}
		for _, b := range p.Running {
			if b.Flag != "" && !strings.Contains(b.Flag, "DISALLOW_TO_FAILOVER") {
				d.critical(PgpoolFailsOver, p.Host, "pgctl pgpool sync", "the running pgpool may take %s:%d out of use by itself: it has the flag %s", b.Host, b.Port, b.Flag)
			}
		}
	}
}

// unusedCache is how much shared memory of a pool without a query cache is worth a word, in bytes.
const unusedCache = 32 << 20

// slowStart: since 4.1 pgpool keeps its relation cache in the memory of the query cache, which it allocates and clears at each start even where no query is cached
// (pgpool-II manual, "enable_shared_relcache", "memqcache_total_size"). A failover waits for that.
func (d *diagnosis) slowStart() {
	for _, p := range d.Pools {
		if !p.QueryCache && p.Shared >= unusedCache {
			d.warn(PgpoolSlowStart, p.Host, "set memqcache_total_size = 4MB and memqcache_max_num_cache = 1000 in its pgpool.conf; then, which ends its sessions: "+p.Service.command(p.Host, "restart"),
				"each start of pgpool, so each failover too, waits until %d MB are cleared for a query cache that is off", p.Shared/1e6)
		}
	}
}

// oldScripts warns of scripts that change the master without asking anybody.
func (d *diagnosis) oldScripts(found map[string][]string) {
	for host, paths := range found {
		for _, path := range paths {
			d.warn(OldScript, host, "tell everybody to use pgctl upmaster, or move the script away", "%s goes round the quorum: it changes who is master while the watchers do not know", path)
		}
	}
}
