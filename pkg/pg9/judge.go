package pg9

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/nodes"
)

// Verdict is who is who on a 9.x site.
type Verdict struct {
	Master, Slave *cluster.Server
	// Follows: the slave streams from the master. Nothing is to be done to a server.
	Follows bool
	// Key names this change of roles: cluster, timeline, master, slave. pgctl's marks on the servers bear it, so that what was done in an
	// earlier change, or an earlier round, counts for nothing.
	Key string
	// Lost says what the old master has that the new one has not received; "" where it has nothing, or nothing is known.
	Lost string
	// Evidence is what the verdict rests on, for the operator.
	Evidence []string
}

// doubts collects every reason against a verdict.
type doubts struct{ cluster.Refusal }

func (d *doubts) add(hint, format string, args ...any) {
	d.Risks = append(d.Risks, cluster.Risk{Evidence: fmt.Sprintf(format, args...), Hint: hint})
}

// Judge works out who is who, from what the servers and pools themselves say. Its error is a cluster.Refusal: in doubt nobody is
// named, as the data of the other one is set aside.
//
// What must hold before a server counts as the old master, and not the only one left:
//
//	P1  the new master answers, is not in recovery, and has no recovery.conf
//	P2  it was promoted after the other: its timeline is newer, and its history left the other's timeline, at or before where
//	    that one is; both are one cluster by its identifier
//	P3  every pool that can be asked writes to it, or serves nobody, and one at least answers so; or pgctl has seen that already, and
//	    begun, and wrote that down there. A pool that has lost both servers is not to be restarted while the old one runs as a
//	    master: it would take that one for the primary
//	P4  or pgctl has set the other's data aside for this very change of roles, and wrote that down there
func Judge(snap cluster.Snapshot, hosts map[string]Host) (Verdict, error) {
	no := &doubts{}
	v := Verdict{}
	if len(snap.Servers) != 2 || snap.Kind != nodes.KindPG9 {
		no.add("", "this is no site with a pgmaster and a pgslave in the inventory")
		return v, &no.Refusal
	}
	master := newest(snap, no)
	for i := range snap.Servers {
		s := &snap.Servers[i]
		switch {
		case !s.Reached():
			no.add("bring the host back first; "+s.Unreachable.Hint, "%s is out of reach: %s", s.Host, s.Unreachable.Message)
		case hosts[s.Host].Failure != nil:
			no.add("", "%s does not tell what it has: %s", s.Host, hosts[s.Host].Failure.Message)
		}
	}
	if len(no.Risks) > 0 {
		return v, &no.Refusal
	}
	v.Master, v.Slave = &snap.Servers[master], &snap.Servers[1-master]
	v.Key = fmt.Sprintf("%d %d %s %s", v.Master.Data.SystemID, v.Master.SQL.Timeline, v.Master.Host, v.Slave.Host)
	v.Follows = follows(v.Slave, v.Master)
	if v.Follows {
		v.Evidence = append(v.Evidence, fmt.Sprintf("%s is the master on timeline %d, and %s streams from it", v.Master.Host, v.Master.SQL.Timeline, v.Slave.Host))
		return v, nil
	}
	v.promoted(hosts, no)
	v.pools(snap, hosts[v.Master.Host].Marks[MarkMaster] == v.Key || hosts[v.Master.Host].Marks[MarkHold] == v.Key, no)
	if len(no.Risks) > 0 {
		return v, &no.Refusal
	}
	return v, nil
}

// newest is the index of the server that answers as master; of two the one on the newer timeline. P1.
func newest(snap cluster.Snapshot, no *doubts) int {
	var masters []int
	for i := range snap.Servers {
		if s := &snap.Servers[i]; s.SQL != nil && !s.SQL.InRecovery {
			masters = append(masters, i)
		}
	}
	if len(masters) == 0 {
		hint := "pgctl overview"
		for i := range snap.Servers {
			if s := &snap.Servers[i]; s.Data != nil && s.Data.Promoted && !s.Data.Signal && s.Data.Newest() > newestOf(&snap.Servers[1-i]) {
				hint = fmt.Sprintf("%s was promoted last: start PostgreSQL there, then run it again", s.Host)
			}
		}
		no.add(hint, "no server answers as master: %s", states(snap))
		return 0
	}
	at := masters[0]
	if len(masters) == 2 {
		a, b := snap.Servers[0].SQL.Timeline, snap.Servers[1].SQL.Timeline
		if a == b {
			no.add("see which one the pools write to (pgctl pgpool show), and stop PostgreSQL on the other", "both servers answer as master on timeline %d: which one was promoted cannot be told", a)
		}
		if b > a {
			at = masters[1]
		}
	}
	m := &snap.Servers[at]
	switch {
	case m.Data == nil || m.Data.SystemID == 0 || m.Data.Port == 0 || len(m.Addresses) == 0:
		no.add("pgctl overview", "%s answers as master and does not tell its data directory, system identifier, port and addresses", m.Host)
	case m.Data.Signal:
		no.add("see who put it there: PostgreSQL would be a slave after its next start", "%s answers as master and has a recovery.conf", m.Host)
	}
	return at
}

func newestOf(s *cluster.Server) cluster.Timeline {
	if s.Data == nil {
		return 0
	}
	return s.Data.Newest()
}

// states says of each server what it answers.
func states(snap cluster.Snapshot) string {
	var each []string
	for _, s := range snap.Servers {
		switch {
		case !s.Reached():
			each = append(each, s.Host+" is out of reach")
		case s.SQL == nil:
			each = append(each, s.Host+"'s PostgreSQL does not answer")
		default:
			each = append(each, s.Host+" is in recovery")
		}
	}
	return strings.Join(each, ", ")
}

// follows tells whether the slave is in recovery, would be so after its next start, and is fed by the master. 9.x slaves have no name
// of their own on the master, so it goes by address.
func follows(slave, master *cluster.Server) bool {
	return slave.SQL != nil && slave.SQL.InRecovery && slave.Data != nil && slave.Data.Signal && Feeds(master.SQL, slave)
}

// Feeds tells whether a master streams to the slave, by one of its addresses.
func Feeds(master *cluster.Instance, slave *cluster.Server) bool {
	return slices.ContainsFunc(master.Standbys, func(w cluster.Walsender) bool {
		return w.State == "streaming" && slices.Contains(slave.Addresses, w.ClientAddress)
	})
}

// promoted: P2, else P4.
func (v *Verdict) promoted(hosts map[string]Host, no *doubts) {
	m, o := v.Master, v.Slave
	marks := hosts[o.Host].Marks
	if marks[MarkAside] == v.Key || o.Data == nil && marks[MarkSetting] == v.Key {
		v.Evidence = append(v.Evidence, fmt.Sprintf("pgctl has set aside the data of %s for this change of roles", o.Host))
		return
	}
	timeline := newestOf(o)
	if o.SQL != nil {
		timeline = max(timeline, o.SQL.Timeline)
	}
	left, descends := m.Data.Histories[m.SQL.Timeline].LeftAt(timeline)
	switch {
	case o.Data == nil || o.Data.SystemID == 0:
		no.add("find out what became of it; a new server is the installer's work", "%s has no data that can be read, and pgctl did not set it aside: whether it was the master cannot be told", o.Host)
		return
	case o.Data.SystemID != m.Data.SystemID:
		no.add("one of the two is not of this site", "%s is another cluster than %s (system identifier %d, not %d)", o.Host, m.Host, o.Data.SystemID, m.Data.SystemID)
		return
	case o.SQL == nil && o.Data.Postmaster != nil && o.Data.Postmaster.Alive:
		no.add("look at its log", "%s runs PostgreSQL and does not answer", o.Host)
		return
	case timeline == m.SQL.Timeline:
		no.add("look at its log; pgctl overview", "nothing has failed over: %s and %s are on the same timeline %d, and %s does not stream", m.Host, o.Host, timeline, o.Host)
		return
	case timeline > m.SQL.Timeline:
		no.add("pgctl overview", "%s answers as master on timeline %d, but %s has the newer timeline %d", m.Host, m.SQL.Timeline, o.Host, timeline)
		return
	case !descends:
		no.add("pgctl overview", "%s is on timeline %d, whose history has not come through timeline %d of %s", m.Host, m.SQL.Timeline, timeline, o.Host)
		return
	case !m.Data.Promoted && o.Data.Promoted:
		no.add("pgctl overview", "%s answers as master without a recovery.done, and %s has one", m.Host, o.Host)
		return
	}
	v.lost(left, timeline, no)
}

// lost: what the old master has past the fork. One that runs cannot be before it: the new master has received from it what it has.
func (v *Verdict) lost(left cluster.LSN, timeline cluster.Timeline, no *doubts) {
	m, o := v.Master, v.Slave
	at, known := o.Data.Checkpoint, "at least at"
	if o.SQL != nil {
		at, known = max(o.SQL.Position, o.SQL.Received), "at"
	}
	if o.SQL != nil && !o.SQL.InRecovery && at < left {
		no.add("pgctl overview", "%s is at %s on timeline %d, before %s where %s was promoted: it is not the server that %s followed", o.Host, at, timeline, left, m.Host, m.Host)
		return
	}
	v.Evidence = append(v.Evidence, fmt.Sprintf("%s was promoted at %s, from timeline %d to %d; %s is still on timeline %d, %s %s", m.Host, left, timeline, m.SQL.Timeline, o.Host, timeline, known, at))
	if behind := left.Behind(at); behind > 0 {
		v.Lost = fmt.Sprintf("%s has %s of WAL after %s that %s never received", o.Host, cluster.Size(behind), left, m.Host)
	}
}

// pools: P3. A pool that is out of reach is left to be helped later.
func (v *Verdict) pools(snap cluster.Snapshot, begun bool, no *doubts) {
	sure := 0
	if begun {
		sure = 1
	}
	for i := range snap.Pools {
		p := &snap.Pools[i]
		if p.Unreachable != nil {
			continue
		}
		if p.Listening != nil && !*p.Listening {
			continue // it is down: what it would write to is not known
		}
		if p.ServesNobody {
			v.Evidence = append(v.Evidence, p.Host+" serves nobody")
			sure++
			continue
		}
		if p.Running == nil {
			why := "no answer"
			if p.RunningFailure != nil {
				why = p.RunningFailure.Message
			}
			no.add("pgctl pgpool show; or stop pgpool there", "whom %s writes to cannot be told: %s", p.Host, why)
			continue
		}
		master, old := v.node(p, v.Master), v.node(p, v.Slave)
		switch {
		case master != nil && !master.Down && master.Role != "standby" && (old == nil || old.Down || old.Role == "standby"):
			sure++
			v.Evidence = append(v.Evidence, fmt.Sprintf("%s writes to %s", p.Host, v.Master.Host))
		default:
			no.add("pgctl pgpool show; while its clients write to another server than the others', nothing is brought in order", "%s does not write to %s: it has %s", p.Host, v.Master.Host, nodeStates(p.Running))
		}
	}
	if sure == 0 && len(no.Risks) == 0 {
		no.add(fmt.Sprintf("stop PostgreSQL on %s before you start pgpool, which may take either for the primary", v.Slave.Host), "no pool says that it writes to %s", v.Master.Host)
	}
}

// node is a server as the running pgpool has it; nil when it does not.
func (v *Verdict) node(p *cluster.Pool, s *cluster.Server) *cluster.Backend {
	for i := range p.Running {
		b := p.Running[i]
		for _, known := range p.Backends { // the file's have been resolved on the pool's host
			if known.Host == b.Host {
				b.Addresses = known.Addresses
			}
		}
		if s.IsBackend(b) {
			return &b
		}
	}
	return nil
}

func nodeStates(backends []cluster.Backend) string {
	var each []string
	for _, b := range backends {
		state := b.Role
		if b.Down {
			state = "down"
		}
		each = append(each, strings.TrimSpace(b.Host+" "+state))
	}
	return strings.Join(each, ", ")
}

// The marks that pgctl leaves on servers.
const (
	MarkMaster  = "configure-master" // configure_master.sh has run, on the master
	MarkAside   = "aside"            // the old master's data is set aside, on the slave
	MarkHold    = "hold"             // the pools failed over before, and shall again, on the master
	MarkSetting = "setting-aside"    // it is being set aside
	MarkBegun   = "backup-begun"     // base_backup.sh was started, on the master
	MarkCopied  = "backup"           // it has run
	MarkSlave   = "configure-slave"  // configure_slave.sh has run, on the slave
)
