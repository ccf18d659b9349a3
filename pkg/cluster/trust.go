package cluster

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// distrust says why the only server that answers as master must not be taken for the region's master, or "". To name it
// would send pools and rejoining servers to it, and what the real master holds would be thrown away.
func (s Snapshot) distrust(master *Server) string {
	same, others := 0, map[uint64][]string{}
	for i := range s.Servers {
		srv := &s.Servers[i]
		if srv == master || srv.systemID() == 0 || master.systemID() == 0 {
			continue
		}
		if srv.systemID() == master.systemID() {
			same++
		} else {
			others[srv.systemID()] = append(others[srv.systemID()], srv.Host)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(others)) {
		if hosts := others[id]; same == 0 && len(hosts) > 1 {
			return fmt.Sprintf("%s answers as master, but %s have another cluster (system identifier %d, not %d)", master.Host, strings.Join(hosts, " and "), id, master.systemID())
		}
	}
	for i := range s.Servers {
		srv := &s.Servers[i]
		if srv == master || srv.systemID() != 0 && master.systemID() != 0 && srv.systemID() != master.systemID() {
			continue
		}
		newest := srv.newest()
		if newest <= master.SQL.Timeline {
			continue
		}
		history, known := srv.history(newest)
		left, descends := history.LeftAt(master.SQL.Timeline)
		if known && !descends {
			continue // a branch of its own: that one has diverged
		}
		why := fmt.Sprintf("%s answers as master on timeline %d, but %s has timeline %d", master.Host, master.SQL.Timeline, srv.Host, newest)
		if descends {
			why += fmt.Sprintf(", which left timeline %d at %s", master.SQL.Timeline, left)
		}
		return why + ": another server was promoted since, and " + master.Host + " is an old master"
	}
	return ""
}

// newest is the newest timeline that the server is known to have had anything of: by its own word, its last checkpoint, or a
// history file, which a promotion writes before anything else.
func (srv *Server) newest() Timeline {
	newest, _ := srv.furthest()
	if srv.Data != nil {
		for t := range srv.Data.Histories {
			newest = max(newest, t)
		}
	}
	return newest
}

// startable tells whether a server that is down may be started as it is, as the master that it was: no server answers as
// master, every other one is known, none of them was master too, and none has had a newer timeline.
func (s Snapshot) startable(srv *Server) bool {
	if !srv.ranAsMaster() || srv.Data.Signal || srv.Data.Postmaster == nil || srv.Data.Postmaster.Alive {
		return false
	}
	for i := range s.Servers {
		other := &s.Servers[i]
		if other.Host == srv.Host {
			continue
		}
		if other.role() == RoleMaster || other.newest() == 0 || other.newest() > srv.newest() || other.SQL == nil && other.ranAsMaster() {
			return false
		}
	}
	return true
}
