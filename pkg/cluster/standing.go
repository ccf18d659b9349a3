package cluster

import (
	"slices"
	"strings"
	"time"
)

// Role is what a server is, proven by asking it.
type Role string

// The roles. Unknown is the role of every server that could not be asked.
const (
	RoleMaster  Role = "master"
	RoleStandby Role = "standby"
	RoleUnknown Role = "unknown"
)

// Standing is one server's place in the region, worked out from what all of them said.
type Standing struct {
	Role      Role
	Upstream  string         // inventory name of the server it receives from; "" none or not known
	Streaming bool           // it receives WAL right now
	SyncState string         // as its upstream sees it: "sync", "quorum", "potential", "async"; "" not known
	Slot      string         // on its upstream, that it uses; "" none, or not known
	LagBytes  *int64         // master's current position less its replay position; nil not known, or the master itself
	LagTime   *time.Duration // age of the last commit it replayed, 0 when it has replayed all; nil not known
	Diverged  string         // why its WAL is known not to be the master's; "" when nothing says so
}

// View is the region's shape: who is master, and where every server stands.
type View struct {
	Master    string     // the one proven master; "" when there is none, more than one, or only one that is not to be trusted
	Masters   []string   // every server that answers as master, in inventory order
	Distrust  string     // why the only server that answers as master is not taken for it; "" otherwise
	Standings []Standing // index for index with Snapshot.Servers
}

// View works out the region's shape from the snapshot.
func (s Snapshot) View() View {
	v := View{Standings: make([]Standing, len(s.Servers))}
	var master *Server
	for i := range s.Servers {
		srv := &s.Servers[i]
		v.Standings[i].Role = srv.role()
		if srv.role() == RoleMaster {
			v.Masters = append(v.Masters, srv.Host)
			master = srv
		}
	}
	if len(v.Masters) == 1 {
		v.Distrust = s.distrust(master)
	}
	if len(v.Masters) != 1 || v.Distrust != "" {
		master = nil
	} else {
		v.Master = master.Host
	}
	for i := range s.Servers {
		s.place(&s.Servers[i], master, &v.Standings[i])
	}
	return v
}

// place fills in what depends on the other servers.
func (s Snapshot) place(srv, master *Server, st *Standing) {
	if st.Role == RoleStandby {
		upstream := s.upstreamOf(srv)
		st.Streaming = srv.SQL.Receiver != nil && srv.SQL.Receiver.Status == "streaming"
		if upstream != nil {
			st.Upstream = upstream.Host
			if w := upstream.walsenderOf(srv); w != nil {
				st.SyncState, st.Slot = w.SyncState, w.Slot
			}
		}
		st.lag(srv.SQL, master)
	}
	if master != nil && master != srv {
		st.Diverged = divergence(srv, master, st.Streaming)
	}
}

// lag measures a standby against the one master. The two were asked at slightly different moments, so a busy master may
// seem to be behind its standby; that is no lag. Divergence is judged elsewhere, on evidence of one moment.
func (st *Standing) lag(standby *Instance, master *Server) {
	if master == nil {
		return
	}
	behind := standby.Position.Behind(master.SQL.Position)
	st.LagBytes = &behind
	switch {
	case behind == 0:
		st.LagTime = new(time.Duration)
	case standby.ReplayAge != nil:
		age := *standby.ReplayAge
		st.LagTime = &age
	}
}

func (srv *Server) role() Role {
	switch {
	case srv.SQL == nil:
		return RoleUnknown
	case srv.SQL.InRecovery:
		return RoleStandby
	}
	return RoleMaster
}

// upstreamOf finds the inventory's server that feeds srv: by the name or address that the standby's receiver gives, else
// by who lists it as its walsender.
func (s Snapshot) upstreamOf(srv *Server) *Server {
	if r := srv.SQL.Receiver; r != nil && r.SenderHost != "" {
		for i := range s.Servers {
			up := &s.Servers[i]
			if up != srv && (up.Host == r.SenderHost || slices.Contains(up.Addresses, r.SenderHost)) {
				return up
			}
		}
	}
	for i := range s.Servers {
		up := &s.Servers[i]
		if up != srv && up.SQL != nil && up.walsenderOf(srv) != nil {
			return up
		}
	}
	return nil
}

// walsenderOf is the walsender that feeds the given standby, nil when there is none. It must come from the standby's own
// address (where that is known) and bear the name that the standby's receiver uses, or one that is the standby's own.
// A standby whose conninfo names none appears under its cluster_name: then it is the only one from its address.
func (srv *Server) walsenderOf(standby *Server) *Walsender {
	if srv.SQL == nil {
		return nil
	}
	var fromThere []*Walsender
	for i := range srv.SQL.Standbys {
		w := &srv.SQL.Standbys[i]
		local := slices.Contains(standby.Addresses, w.ClientAddress)
		if (local || w.ClientAddress == "" || len(standby.Addresses) == 0) && standby.uses(w.ApplicationName) {
			return w
		}
		if local && (w.State == "streaming" || w.State == "catchup") {
			fromThere = append(fromThere, w)
		}
	}
	if nameless := standby.SQL != nil && standby.SQL.Receiver != nil && standby.SQL.Receiver.ApplicationName == ""; nameless && len(fromThere) == 1 {
		return fromThere[0]
	}
	return nil
}

// uses tells whether name is the application_name of this standby: the one its receiver reports, else its own.
func (srv *Server) uses(name string) bool {
	if srv.SQL != nil && srv.SQL.Receiver != nil && srv.SQL.Receiver.ApplicationName != "" {
		return name == srv.SQL.Receiver.ApplicationName
	}
	return IsMember(name, srv.Host)
}

// IsMember tells whether an application_name is the given host's: the host name itself, or the host name, an underscore
// and the incarnation that pgctl mints at each clone, rewind and rejoin (letters and digits). PostgreSQL compares these
// names without regard to case.
func IsMember(name, host string) bool {
	if strings.EqualFold(name, host) {
		return true
	}
	if len(name) <= len(host)+1 || !strings.EqualFold(name[:len(host)], host) || name[len(host)] != '_' {
		return false
	}
	for _, c := range strings.ToLower(name[len(host)+1:]) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}
