package cluster

import (
	"cmp"
	"fmt"
	"slices"
)

// Kin is how a server's history stands to the master's, as far as files and rows tell.
//
// Only where both Diverged and Unproven are "" and nothing of Own is there may the server follow the master as it is. A timeline's
// number proves nothing: two servers may have opened the same one, with identical history files.
type Kin struct {
	Diverged string // why its history is known not to be part of the master's; ""
	Unproven string // why it is not proven to be part of it; ""
	Fork     Fork   // the last timeline that both have, and where they part; Parent 0: not known
	Own      []Fork // timelines, and from where on the server's WAL of them is not the master's
}

// branch is one timeline of a server's history and where it was left; Current has no end.
type branch struct {
	timeline Timeline
	left     LSN
}

const endless = ^LSN(0)

// KinTo compares the histories of a server and of the master. The rows are the epochs of both, the server's as far as it could be
// asked.
func (srv *Server) KinTo(master *Server, own, theirs []Epoch) Kin {
	mine, ok := srv.branches(srv.newest())
	ours, ok2 := master.branches(master.SQL.Timeline)
	switch {
	case srv.Data == nil || srv.systemID() == 0:
		return Kin{Unproven: "it has no data that could be read"}
	case srv.systemID() != master.systemID():
		return Kin{Unproven: fmt.Sprintf("it is another cluster: its system identifier is %d, not %d", srv.systemID(), master.systemID())}
	case !ok || !ok2 || mine[0].timeline != ours[0].timeline:
		return Kin{Unproven: fmt.Sprintf("how its timeline %d came about is not known", srv.newest())}
	}
	k := Kin{}
	for i := range mine {
		a := mine[i]
		if i == len(ours) || ours[i].timeline != a.timeline {
			k.Diverged = fmt.Sprintf("its timeline %d is a branch that %s has not come through", a.timeline, master.Host)
			k.Own = starts(mine[i:], mine[i-1].left)
			return k
		}
		if why := srv.otherOpening(master, a.timeline); why != "" {
			k.Diverged, k.Own = why, starts(mine[i:], mine[i-1].left)
			return k
		}
		if k.Unproven == "" {
			k.Unproven = srv.unproven(master, a.timeline, own, theirs)
		}
		k.Fork = Fork{Parent: a.timeline, At: min(a.left, ours[i].left)}
		if b := ours[i]; a.left != b.left {
			return k.part(mine[i:], a, b, master)
		}
		if reached, _ := srv.furthest(); a.left != endless && reached <= a.timeline {
			k.Own = append(k.Own, Fork{Parent: a.timeline, At: a.left})
		}
	}
	k.Fork.At = master.SQL.Position // the same timeline to this day
	if position := srv.position(); position > master.SQL.Position && master.SQL.AskedAgain {
		k.Diverged = fmt.Sprintf("it is ahead of %s (%s against %s)", master.Host, position, master.SQL.Position)
		k.Own = []Fork{{Parent: k.Fork.Parent, At: master.SQL.Position}}
	}
	if srv.wroteTo(master) && k.Unproven == "" {
		k.Unproven = fmt.Sprintf("it ran as master on timeline %d, as %s does: both may have written to it", k.Fork.Parent, master.Host)
	}
	diverged, unproven := contradicts(own, theirs, master.SQL.InRecovery)
	k.Diverged, k.Unproven = cmp.Or(k.Diverged, diverged), cmp.Or(k.Unproven, unproven)
	return k
}

// wroteTo tells whether the server was a master too, on the timeline on which the master is now.
func (srv *Server) wroteTo(master *Server) bool {
	if srv.SQL != nil {
		return !srv.SQL.InRecovery && !master.SQL.InRecovery
	}
	reached, _ := srv.furthest()
	return srv.ranAsMaster() && reached == master.SQL.Timeline
}

// part ends the comparison where the two left one timeline at different positions, or one has not left it.
func (k Kin) part(rest []branch, a, b branch, master *Server) Kin {
	switch {
	case a.left == endless: // the server never left it: what it has up to there is the master's
		k.Own = append(k.Own, Fork{Parent: a.timeline, At: b.left})
	case a.left < b.left:
		k.Diverged = fmt.Sprintf("it left timeline %d at %s, %s did not", a.timeline, a.left, master.Host)
		k.Own = starts(rest[1:], a.left)
	default:
		k.Diverged = fmt.Sprintf("it left timeline %d at %s, %s at %s already", a.timeline, a.left, master.Host, b.left)
		k.Own = append([]Fork{{Parent: a.timeline, At: b.left}}, starts(rest[1:], a.left)...)
	}
	return k
}

// starts are the branches and where each began, the first one at the given position.
func starts(all []branch, at LSN) []Fork {
	var own []Fork
	for _, b := range all {
		own = append(own, Fork{Parent: b.timeline, At: at})
		at = b.left
	}
	return own
}

// branches are the timelines that a server came through up to t, oldest first.
func (srv *Server) branches(t Timeline) ([]branch, bool) {
	history, ok := srv.history(t)
	if !ok || t == 0 {
		return nil, false
	}
	var all []branch
	for _, f := range history {
		all = append(all, branch{f.Parent, f.At})
	}
	return append(all, branch{t, endless}), true
}

// otherOpening says that the server and the master each opened timeline t, as the WAL that both still have of it shows.
func (srv *Server) otherOpening(master *Server, t Timeline) string {
	own, theirs, both := srv.openings(master, t)
	if both && string(own) != string(theirs) {
		return fmt.Sprintf("it opened timeline %d by a promotion of its own", t)
	}
	return ""
}

// unproven says why the server's timeline t is not proven to be the master's: neither a row of it nor the WAL of its
// beginning is on both (Epoch says what a row proves). The row of a later timeline proves it too: it came over the stream of a master that
// had come through t. The first timeline is opened once in a cluster's life; a timeline that it has not reached needs no proof.
func (srv *Server) unproven(master *Server, t Timeline, own, theirs []Epoch) string {
	reached, _ := srv.furthest()
	if t == 1 || t > reached && len(srv.Data.Openings[t]) == 0 { // pg_control lags behind a promotion, a segment of t does not
		return ""
	}
	if _, _, both := srv.openings(master, t); both {
		return ""
	}
	for i, e := range own {
		if j := slices.Index(theirs, e); e.Timeline >= t && j >= 0 && srv.wrote(own, i) && master.wrote(theirs, j) {
			return ""
		}
	}
	return fmt.Sprintf("that its timeline %d is the one of %s is not proven: the WAL of its beginning is gone, and a number proves nothing", t, master.Host)
}

// wrote tells whether row i of its rows was written in the server's own history.
func (srv *Server) wrote(rows []Epoch, i int) bool {
	t := srv.newest()
	h, ok := srv.history(t)
	return ok && h.Wrote(t, rows, i)
}

// openings are the first records of timeline t on both.
func (srv *Server) openings(master *Server, t Timeline) (own, theirs []byte, both bool) {
	own, ok := srv.opening(t)
	theirs, ok2 := master.opening(t)
	return own, theirs, ok && ok2
}

func (srv *Server) opening(t Timeline) ([]byte, bool) {
	if srv.Data == nil {
		return nil, false
	}
	record, ok := wholeRecord(srv.Data.Openings[t])
	return record, ok && srv.passed(t, len(record))
}

// position is the furthest that the server is known to have WAL up to.
func (srv *Server) position() LSN {
	_, p := srv.furthest()
	return p
}

// RenewedFrom tells whether the server's data is a copy of the master's that was not started since, by its mark.
func (srv *Server) RenewedFrom(master *Server) bool {
	return srv.Data != nil && srv.Data.Renewed.Of(srv.Host, master.Host, master.systemID(), master.SQL.Timeline) && srv.newest() <= master.SQL.Timeline
}

// Of tells whether the mark is the one of this host's copy of that master.
func (r *Renewed) Of(host, master string, systemID uint64, t Timeline) bool {
	return r != nil && r.Host == host && r.Master == master && r.SystemID == systemID && r.Timeline == t
}
