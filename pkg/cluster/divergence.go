package cluster

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
)

// divergence says why srv is known to hold WAL that the master does not have, or "" when nothing seen says so.
//
// "" proves nothing: two servers promoted at the same position have identical history files, and once one has streamed
// from the other their WAL is identical too. What is said here, on the other hand, is certain; each rule rests on
// facts that a busy but healthy region cannot produce, although its servers were asked at different moments.
func divergence(srv, master *Server, streaming bool) string {
	if other, own := srv.systemID(), master.systemID(); other != 0 && own != 0 && other != own {
		return "" // not a copy at all: that is SystemIDMismatch
	}
	if why := aheadOf(srv, master, streaming); why != "" {
		return why
	}
	timeline, position := srv.applied()
	if timeline == 0 {
		return ""
	}
	if why := offHistory(srv, master, timeline, position); why != "" {
		return why
	}
	return openedTwice(srv, master)
}

// aheadOf: the master itself reports a standby of its own further than it is (one question, one moment), or a server is
// further on the same timeline than a position of the master that was read later.
func aheadOf(srv, master *Server, streaming bool) string {
	ahead := func(p LSN) string {
		return fmt.Sprintf("its WAL is ahead of the master's by %s (%s against %s)", Size(master.SQL.Position.Behind(p)), p, master.SQL.Position)
	}
	if w := master.walsenderOf(srv); w != nil {
		if p := max(w.Flush, w.Replay); p > master.SQL.Position {
			return ahead(p)
		}
	}
	timeline, position := srv.furthest()
	later := srv.SQL == nil || master.SQL.AskedAgain
	if streaming || !later || timeline == 0 || timeline != master.SQL.Timeline || position <= master.SQL.Position {
		return ""
	}
	return ahead(position)
}

// Ahead tells whether some server seems to be further than the one master on its timeline. The two were asked at different
// moments, so the master's position has to be read once more before that means anything.
func (s Snapshot) Ahead() (master string, seems bool) {
	v := s.View()
	for i := range s.Servers {
		if m := &s.Servers[i]; m.Host == v.Master {
			for j := range s.Servers {
				timeline, position := s.Servers[j].furthest()
				seems = seems || j != i && s.Servers[j].SQL != nil && !v.Standings[j].Streaming && timeline == m.SQL.Timeline && position > m.SQL.Position
			}
		}
	}
	return v.Master, seems
}

// offHistory compares timelines: the master must have come through the server's timeline, at or after the server's
// position, and by the same forks (PostgreSQL manual, "Timelines").
func offHistory(srv, master *Server, timeline Timeline, position LSN) string {
	masterHistory, known := master.history(master.SQL.Timeline)
	if timeline != master.SQL.Timeline {
		if !known {
			return ""
		}
		left, ok := masterHistory.LeftAt(timeline)
		if !ok {
			return fmt.Sprintf("it is on timeline %d, which is not in the history of the master's timeline %d", timeline, master.SQL.Timeline)
		}
		if position > left {
			return fmt.Sprintf("it has %s of WAL on timeline %d after %s, where the master left that timeline", Size(left.Behind(position)), timeline, left)
		}
		masterHistory = masterHistory[:slices.IndexFunc(masterHistory, func(f Fork) bool { return f.Parent == timeline })]
	}
	own, ok := srv.history(timeline)
	if ok && known && !slices.Equal(own, masterHistory) {
		return fmt.Sprintf("its timeline %d came about in another way than the master's", timeline)
	}
	return ""
}

// openedTwice compares the record that opened a timeline, as each has it on disk: it holds the moment of the promotion,
// so two different ones mean two promotions to the same number.
func openedTwice(srv, master *Server) string {
	if srv.Data == nil || master.Data == nil {
		return ""
	}
	timelines := make([]Timeline, 0, len(srv.Data.Openings))
	for t := range srv.Data.Openings {
		timelines = append(timelines, t)
	}
	slices.Sort(timelines)
	for _, t := range timelines {
		own, ok := wholeRecord(srv.Data.Openings[t])
		theirs, ok2 := wholeRecord(master.Data.Openings[t])
		if ok && ok2 && srv.passed(t, len(own)) && !bytes.Equal(own, theirs) {
			return fmt.Sprintf("it opened timeline %d by a promotion of its own", t)
		}
	}
	return ""
}

// wholeRecord cuts one WAL record out of raw bytes by the total length at its head (xl_tot_len of XLogRecord, a
// little-endian 32-bit number; the header alone is 24 bytes). A record that opens a timeline is far below 200 bytes.
func wholeRecord(raw []byte) ([]byte, bool) {
	if len(raw) < 24 {
		return nil, false
	}
	n := int(binary.LittleEndian.Uint32(raw))
	if n < 24 || n > 200 || n > len(raw) {
		return nil, false
	}
	return raw[:n], true
}

// passed tells whether the server is known to be past the first record of timeline t (n bytes, after a page header of at
// most 40), so that the bytes there are that record and not what a recycled segment happened to hold.
func (srv *Server) passed(t Timeline, n int) bool {
	history, ok := srv.history(t)
	if !ok || len(history) == 0 {
		return false
	}
	opened := history[len(history)-1].At
	timeline, position := srv.furthest()
	if timeline < t {
		return false
	}
	return position >= opened+LSN(40+n)
}

// furthest is the timeline and position up to which the server is known to have WAL: its own word when it runs, else the
// last checkpoint on disk (a lower bound). Timeline 0 when nothing is known.
func (srv *Server) furthest() (Timeline, LSN) {
	switch {
	case srv.SQL != nil && srv.SQL.InRecovery && srv.Data != nil:
		return max(srv.SQL.Timeline, srv.Data.WALTimeline), max(srv.SQL.Position, srv.SQL.Received)
	case srv.SQL != nil:
		return srv.SQL.Timeline, max(srv.SQL.Position, srv.SQL.Received)
	case srv.Data != nil:
		return srv.Data.Newest(), srv.Data.Checkpoint
	}
	return 0, 0
}

// applied is the timeline and position up to which the server has applied WAL. What a standby has received beyond that is not
// its state yet: the beginning of a record that never got its end is thrown away when it follows a new timeline.
func (srv *Server) applied() (Timeline, LSN) {
	if srv.SQL != nil {
		return srv.SQL.Timeline, srv.SQL.Position
	}
	return srv.furthest()
}

// history is how the server's timeline t came to be; timeline 1 has no history file and no ancestors.
func (srv *Server) history(t Timeline) (History, bool) {
	if t == 1 {
		return History{}, true
	}
	if srv.Data == nil {
		return nil, false
	}
	h, ok := srv.Data.Histories[t]
	return h, ok
}

// port is where the server listens, as far as is known.
func (srv *Server) port() int {
	if srv.Data == nil {
		return 0
	}
	return srv.Data.Port
}

func (srv *Server) systemID() uint64 {
	if srv.Data == nil {
		return 0
	}
	return srv.Data.SystemID
}
