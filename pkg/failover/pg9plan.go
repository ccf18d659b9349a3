package failover

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/nodes"
	"github.com/pgctl/pgctl/pkg/pg9"
	"github.com/pgctl/pgctl/pkg/plan"
)

// The verbs of the steps after a failover by pgpool on a 9.x site.
const (
	verb9Fence   = "pg9.fence"   // the old master accepts no write, and comes up read-only whatever starts it
	verb9Hold    = "pg9.hold"    // it is noted that the pools fail over, and shall do so again
	verb9Unhold  = "pg9.unhold"  // they do
	verb9Trigger = "pg9.trigger" // no trigger file is left, which would promote a slave
	verb9Master  = "pg9.master"  // configure_master.sh has run, and the master runs
	verb9Aside   = "pg9.aside"   // the old master's data is set aside
	verb9Backup  = "pg9.backup"  // base_backup.sh has run
	verb9Slave   = "pg9.slave"   // configure_slave.sh has run
	verb9Start   = "pg9.start"   // the slave runs, in recovery
	verb9Stream  = "pg9.stream"  // it streams from the master and has caught up
	verb9Nodes   = "pg9.nodes"   // pgmaster and pgslave name them
)

// PostFailover is what a plan of the steps after a failover is made from. The invariants, each with its test:
//
//	F1  Nobody is set aside but a server that pg9.Judge proves to be the old master (TestJudge), and not before it is stopped and
//	    starts read-only, whatever starts it (TestPG9Aside).
//	F2  The old master's data is renamed, never deleted. What is deleted is a copy that base_backup.sh has begun for this very change of
//	    roles, by the marks of both servers (TestPG9Clear).
//	F3  The master that all clients write to is stopped for one script only, and started again whatever comes of that, pgctl being there
//	    or not (TestPG9MasterStartsAgain).
//	F4  The slave is not started before its recovery.conf names the master (TestPG9StartsOnlyASlave), nor while a trigger file
//	    is there.
//	F5  Two do not work at once: not beside the site's robot (TestPostFailover), not two pgctl, and not beside a step that a dead
//	    pgctl has left running (a lock on the host).
//	F6  While the master is stopped for its script no pool fails over: it would take its last server out of use too, and serve nobody
//	    until it is restarted. Failover is let again at the end (TestPostFailover, and the story of the lab, whose writers notice).
type PostFailover struct {
	Snap    cluster.Snapshot
	Hosts   map[string]pg9.Host
	Verdict pg9.Verdict
	Here    string                // the host with the node files
	Nodes   map[string]nodes.File // pgmaster and pgslave, by role
	Backups string                // where old node files are kept
	Stamp   string
	Size    int64 // of the master's data directory; 0 not known
	PoolAt  string
}

// Plan plans the guide's steps, with three differences: the old master is stopped before anything else, its data is set aside before a base
// backup is made over it, and the pools do not fail over meanwhile. Pools that cannot be helped are left out and returned with the reason.
func (f *PostFailover) Plan() (p plan.Plan, left map[string]string, err error) {
	v := f.Verdict
	no := &refusals{}
	f.robots(no)
	if !v.Follows {
		f.mayRenew(no)
	}
	addresses, err := f.addresses()
	if err != nil && !v.Follows {
		no.add("", "", "%v", err)
	}
	if no.any() {
		return p, nil, no.err()
	}
	p = plan.Plan{Name: "pg9 post-failover", Facts: facts(v.Master)}
	p.Facts["slave"] = v.Slave.Host
	args := maps.Clone(p.Facts)
	args["key"], args["addresses"], args["slave_addresses"] = v.Key, strings.Join(v.Master.Addresses, " "), strings.Join(v.Slave.Addresses, " ")
	args["data_dir"], args["stamp"] = v.Master.Data.Path, f.Stamp
	b := builder{&p, args}
	if !v.Follows {
		f.serverSteps(b, addresses)
	}
	left = f.poolSteps(b)
	if err := f.nodeStep(b); err != nil {
		return p, nil, err
	}
	return p, left, nil
}

// robots: F5. What the site does by itself is not done beside it.
func (f *PostFailover) robots(no *refusals) {
	if f.Verdict.Follows && f.poolsRight() {
		return
	}
	for _, s := range f.Snap.Servers {
		h := f.Hosts[s.Host]
		for _, job := range h.Cron {
			no.add("", "it does this by itself within minutes: pgctl pg9 verify; where it does not, take that line out of cron, then run it again",
				"the site's robot is installed on %s (%s), and two must not do this at once", s.Host, job)
		}
		if len(h.Robot) > 0 {
			no.add("", "wait until it has ended", "the site's robot runs on %s (process %s)", s.Host, strings.Join(h.Robot, ", "))
		}
		if h.Busy != "" {
			no.add("", "wait until it has ended", "a step that an earlier pgctl began still runs on %s: %s", s.Host, h.Busy)
		}
	}
}

// poolsRight tells whether the pools have nothing left to be done to them.
func (f *PostFailover) poolsRight() bool {
	for _, pool := range f.Snap.Pools {
		if !inOrder(f.Snap, f.Verdict.Master.Host, pool.Backends) || !inOrder(f.Snap, f.Verdict.Master.Host, resolved(pool)) {
			return false
		}
		if slices.ContainsFunc(pool.Running, func(b cluster.Backend) bool { return b.Down }) {
			return false
		}
	}
	return true
}

// resolved are a running pool's backends with the addresses that its host takes their names for.
func resolved(pool cluster.Pool) []cluster.Backend {
	running := slices.Clone(pool.Running)
	for i := range running {
		for _, b := range pool.Backends {
			if b.Host == running[i].Host {
				running[i].Addresses = b.Addresses
			}
		}
	}
	return running
}

// mayRenew: what must be there, and what must not, before the old master's data is replaced by a copy.
func (f *PostFailover) mayRenew(no *refusals) {
	m, o := f.Verdict.Master.Host, f.Verdict.Slave.Host
	master, slave := f.Hosts[m], f.Hosts[o]
	for _, need := range []struct {
		host, path string
		there      bool
	}{{m, pg9.ConfigureMaster, master.Has(pg9.ConfigureMaster)}, {m, pg9.BaseBackup, master.Has(pg9.BaseBackup)}, {o, pg9.ConfigureSlave, slave.Has(pg9.ConfigureSlave)}} {
		if !need.there {
			no.add("", "put the site's own script back", "%s: %s is not there", need.host, need.path)
		}
	}
	for host, script := range map[string]string{m: pg9.ConfigureMaster, o: pg9.ConfigureSlave} {
		if facts := f.Hosts[host]; pg9.Calls(facts.Files[script]) {
			no.add("", "pgctl pg9 auto-failover takes that out of the scripts, and lets the robot do all this", "%s: %s would install the site's robot, which would begin beside this", host, script)
		}
	}
	if master.Tablespaces || slave.Tablespaces {
		no.add("", "make the slave anew by hand, tablespaces too", "the data has tablespaces outside of its directory, which setting it aside does not move")
	}
	if slave.Mounted {
		no.add("", "move the data one level down, or make the slave anew by hand", "%s: the data directory is a mount point, and cannot be set aside by renaming", o)
	}
	if disk := f.Verdict.Slave.Disk; disk != nil && f.Size > 0 && !slave.NoData && slave.Marks[pg9.MarkAside] != f.Verdict.Key && disk.Free < f.Size {
		no.add("", "make room; pgctl cleanup removes what was set aside before", "%s has %s free, and a copy beside its old data takes %s", o, cluster.Size(disk.Free), cluster.Size(f.Size))
	}
}

// addresses are those that the scripts are given: by whom, then of whom.
func (f *PostFailover) addresses() (map[string][2]string, error) {
	v := f.Verdict
	known := map[string][2]string{}
	for host, other := range map[string]string{v.Master.Host: v.Slave.Host, v.Slave.Host: v.Master.Host} {
		here, there := f.Hosts[host], f.Hosts[other]
		m, err := here.Address(v.Master, &there)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", host, err)
		}
		s, err := here.Address(v.Slave, &there)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", host, err)
		}
		known[host] = [2]string{m, s}
	}
	return known, nil
}

// slaveDir is the data directory of the slave: its own, and where it has none just now, where the master has its.
func (f *PostFailover) slaveDir() string {
	if d := f.Verdict.Slave.Data; d != nil && d.Path != "" {
		return d.Path
	}
	return f.Verdict.Master.Data.Path
}

func (f *PostFailover) serverSteps(b builder, addresses map[string][2]string) {
	m, o := f.Verdict.Master.Host, f.Verdict.Slave.Host
	dir := with("data_dir", f.slaveDir())
	onMaster, onSlave := addresses[m], addresses[o]
	b.step(verb9Fence, o, "stop PostgreSQL, and have it start read-only", "nobody may write to the old master any more", dir)
	f.holdSteps(b)
	for _, host := range []string{m, o} {
		b.step(verb9Trigger, host, "remove the trigger file, where there is one", "it would promote a slave", with("data_dir", map[string]string{m: f.Verdict.Master.Data.Path, o: f.slaveDir()}[host]))
	}
	b.step(verb9Master, m, fmt.Sprintf("stop PostgreSQL, run configure_master.sh %s %s as postgres, start it", onMaster[0], onMaster[1]), "clients lose their sessions", with("ips", onMaster[0]+" "+onMaster[1]))
	b.step(verb9Aside, o, "set the old data aside as "+f.slaveDir()+".pgctl-"+f.Stamp, "it may have what "+m+" never received", dir)
	size := ""
	if f.Size > 0 {
		size = cluster.Size(f.Size).String()
	}
	b.step(verb9Backup, m, fmt.Sprintf("run base_backup.sh %s as postgres", onMaster[1]), size, with("ips", onMaster[1]), with("slave_dir", f.slaveDir()), with("size", strconv.FormatInt(f.Size, 10)))
	b.step(verb9Slave, o, fmt.Sprintf("run configure_slave.sh %s %s as postgres", onSlave[1], onSlave[0]), "", dir, with("ips", onSlave[1]+" "+onSlave[0]))
	b.step(verb9Start, o, "start PostgreSQL", "", dir)
	b.step(verb9Stream, o, "see that it streams from "+m+" and has caught up", "", dir)
}

// failsOver tells whether the pools fail over, or did before an earlier run of this plan held them.
func (f *PostFailover) failsOver() bool {
	state := f.Snap.Failover()
	return f.Hosts[f.Verdict.Master.Host].Marks[pg9.MarkHold] == f.Verdict.Key || !f.Verdict.Follows && (state == cluster.FailoverOn || state == cluster.FailoverMixed)
}

// holdSteps has no pool fail over for a while: F6. The old master is stopped by then, and what a pool knows of it, it goes on to know.
func (f *PostFailover) holdSteps(b builder) {
	if !f.failsOver() {
		return
	}
	m := f.Verdict.Master.Host
	b.step(verb9Hold, m, "note that the pools are to fail over again afterwards", "", with("data_dir", f.Verdict.Master.Data.Path))
	for _, pool := range f.Snap.Pools {
		if poolSilent(pool) != "" {
			continue
		}
		own := []arg{with("failover", string(cluster.FailoverOff)), with("status", "keep")}
		b.step(verbPool9Edit, pool.Host, "disallow failover in every backend_flag of "+f.PoolAt, "it would take "+m+" out of use too while that is restarted", own...)
		b.step(verbPool9Restart, pool.Host, "restart pgpool", "", own...)
		b.step(verbPoolProve, pool.Host, "write through the pool, and see that "+m+" took it", "", own...)
	}
}

// poolSteps has every pool that answers name the master first.
func (f *PostFailover) poolSteps(b builder) map[string]string {
	left := map[string]string{}
	v := f.Verdict
	for _, pool := range f.Snap.Pools {
		if why := poolSilent(pool); why != "" {
			left[pool.Host] = why
			continue
		}
		hosts := strings.Join(f.hostsFor(pool), " ")
		own := []arg{with("backends", hosts), with("up", "all")}
		text := fmt.Sprintf("make %s backend_hostname0 and %s backend_hostname1 in %s", v.Master.Host, v.Slave.Host, f.PoolAt)
		if f.failsOver() {
			own = append(own, with("failover", string(cluster.FailoverOn)))
			text += ", and allow failover"
		}
		b.step(verbPool9Edit, pool.Host, text, "", own...)
		b.step(verbPool9Restart, pool.Host, "restart pgpool", "a reload does not change an existing backend", own...)
		b.step(verbPool9Nodes, pool.Host, "see in show pool_nodes that both are up and "+v.Master.Host+" is the primary", "", own...)
		b.step(verbPoolProve, pool.Host, fmt.Sprintf("write through the pool, and see that %s took it", v.Master.Host), "", own...)
	}
	if f.failsOver() && len(left) == 0 {
		b.step(verb9Unhold, v.Master.Host, "forget that note", "", with("data_dir", v.Master.Data.Path))
	}
	return left
}

// hostsFor are the names that the pool's file shall have: as it names them already, where it has them in their places.
func (f *PostFailover) hostsFor(pool cluster.Pool) []string {
	hosts := []string{f.Verdict.Master.Host, f.Verdict.Slave.Host}
	for i, s := range []*cluster.Server{f.Verdict.Master, f.Verdict.Slave} {
		if i < len(pool.Backends) && s.IsBackend(pool.Backends[i]) {
			hosts[i] = pool.Backends[i].Host
		}
	}
	return hosts
}

// nodeStep has the inventory list the master as such. Both files change together: one host in both would be no inventory.
func (f *PostFailover) nodeStep(b builder) error {
	v := f.Verdict
	master, slave := f.Nodes[nodes.RoleMaster], f.Nodes[nodes.RoleSlave]
	if listed, err := nodes.ParseNodeList(master); err == nil && len(listed) == 1 && listed[0].Host == v.Master.Host {
		if other, err := nodes.ParseNodeList(slave); err == nil && len(other) == 1 && other[0].Host == v.Slave.Host {
			return nil
		}
	}
	for _, f := range []struct {
		file     nodes.File
		from, to string
	}{{master, v.Slave.Host, v.Master.Host}, {slave, v.Master.Host, v.Slave.Host}} {
		if _, err := editedList(f.file, f.from, f.to); err != nil {
			return err
		}
	}
	b.step(verb9Nodes, f.Here, fmt.Sprintf("make %s the host of %s, and %s that of %s", v.Master.Host, master.Path, v.Slave.Host, slave.Path), "",
		with("pgmaster", master.Path), with("pgslave", slave.Path), with("backups", f.Backups))
	return nil
}

// editedList is a node file with one host in the place of the other; as it is where that is so.
func editedList(file nodes.File, from, to string) ([]byte, error) {
	listed, err := nodes.ParseNodeList(file)
	if err != nil {
		return nil, err
	}
	if len(listed) == 1 && listed[0].Host == to {
		return file.Data, nil
	}
	return nodes.EditNodeList(file, from, to)
}

// StillPromoted is the guard of pg9 post-failover: the master is the one of the plan, on its timeline, and answers, no other server has
// become one on a newer timeline, and the site's robot has not begun. The old master may still answer as one.
func StillPromoted(snap cluster.Snapshot, hosts map[string]pg9.Host, p plan.Plan) error {
	for i := range snap.Servers {
		s := &snap.Servers[i]
		h := hosts[s.Host]
		if len(h.Robot) > 0 || len(h.Cron) > 0 && p.Steps[0].Verb == verb9Fence {
			return fmt.Errorf("the site's robot was installed or has begun on %s since the plan was made", s.Host)
		}
		if s.Host != p.Facts["master"] {
			planned, err := strconv.Atoi(p.Facts["timeline"])
			if err != nil || s.SQL != nil && !s.SQL.InRecovery && int(s.SQL.Timeline) > planned {
				return fmt.Errorf("%s is a master on a newer timeline than the plan's %s", s.Host, p.Facts["timeline"])
			}
			continue
		}
		switch {
		case s.SQL == nil || s.Data == nil:
			return fmt.Errorf("%s, the master of the plan, does not answer", s.Host)
		case s.SQL.InRecovery:
			return fmt.Errorf("%s, the master of the plan, is in recovery", s.Host)
		}
		for key, value := range facts(s) {
			if p.Facts[key] != value {
				return fmt.Errorf("the plan was made for %s %s of %s, it is %s now", key, p.Facts[key], s.Host, value)
			}
		}
	}
	return nil
}
