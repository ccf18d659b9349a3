package cluster

import (
	"fmt"
	"slices"
	"strings"
)

// Epoch is one row of the table pgctl.epoch: the signature that pgctl leaves in the master's own data, after a promotion, at a first deployment, and
// when the quorum takes a server for its master. A timeline's number proves nothing: two servers may have opened the same one. What a row
// proves, and what it does not:
//
//   - HAVING a row that the master has proves a true copy up to where the row was written. It came with the WAL of the server that wrote it,
//     on the row's timeline, and its nonce is random. So each timeline up to the row's is the master's. It proves nothing of a later one.
//     It counts only where it was written in the history of both (Wrote): a dump or an upgrade brings rows of another history along.
//   - LACKING a row of the master's proves another history for a server that has WAL from past Fork, or leaves it unproven. Before that it
//     proves nothing: the row is yet to come.
//   - Having a row that the master LACKS proves another history, as every transaction does: but for a master that is a standby still and may not
//     have replayed it yet.
//   - The epochs of one history ascend. So a history that has a later row and lacks this one is another, whoever has replayed how much.
//
// What the server wrote to the row's timeline after the row, as a second master, no row tells: that is wroteTo's to say.
type Epoch struct {
	Epoch    int64
	Master   string // host
	Nonce    string // random; of a row that no quorum wrote it begins with handMark
	Timeline Timeline
	Fork     LSN // from where on data without this row is not, or not provably, the master's: see NewRow
}

// handMark begins the nonce of a row that was written for an operator, at a deployment or a change by hand.
const handMark = "hand."

// HandNonce is the nonce of a row that is written for an operator, of a random word.
func HandNonce(word string) string { return handMark + word }

// ByHand tells whether the row was written for an operator. What runs with it answers to its operator; every other row was the quorum's word.
func (e Epoch) ByHand() bool { return strings.HasPrefix(e.Nonce, handMark) }

// NewRow is the signature of an epoch in its master's data, whoever writes it: rows are those that are there, position is where WAL ends just
// before this one is written, t and h the timeline that it is written on and how that came to be. Its Fork:
//
//   - Where the history left the timeline of the last row. There may have been promotions between that nobody signed (one that crashed, one by
//     hand), and whoever holds WAL from after the first of them has not the same.
//   - Where it has not left that, position: the row before proves all that was written so far, and standbys that follow at that moment, and
//     have not come so far, are not taken for strangers. So too on timeline 1, which is opened once in a cluster's life.
//   - Where nothing was signed before, the beginning of the timeline: who is on it at all is not proven.
func NewRow(epoch int64, master, nonce string, t Timeline, h History, rows []Epoch, position LSN) Epoch {
	e := Epoch{Epoch: epoch, Master: master, Nonce: nonce, Timeline: t}
	var before Timeline
	if n := len(rows); n > 0 {
		before = rows[n-1].Timeline
	}
	e.Fork = h.forkAfter(before, t, position)
	return e
}

// forkAfter is the Fork of a row on timeline t of this history, written at position, after a row on timeline before; 0 none.
func (h History) forkAfter(before, t Timeline, position LSN) LSN {
	var began LSN
	for _, f := range h {
		if f.Parent == t {
			break
		}
		began = f.At
	}
	left, ok := h.LeftAt(before)
	switch {
	case before == t || began == 0:
		return max(began, position)
	case ok:
		return left
	}
	return began
}

// Wrote tells whether row i of the rows that a server has was written in the server's own history h, which ends on timeline t: Fork is where NewRow
// has put it then. Of a row whose Fork is the position at which it was written it can only be said that it lies on the row's timeline.
func (h History) Wrote(t Timeline, rows []Epoch, i int) bool {
	e := &rows[i]
	end, passed := h.LeftAt(e.Timeline)
	if !passed {
		end = endless
	}
	var before Timeline
	if i > 0 {
		before = rows[i-1].Timeline
	}
	return (passed || e.Timeline == t) && e.Fork <= end && e.Fork == h.forkAfter(before, e.Timeline, e.Fork)
}

// RowOf is the newest row that was written on timeline t, of this history.
func (h History) RowOf(t Timeline, rows []Epoch) (Epoch, bool) {
	for i := len(rows) - 1; i >= 0; i-- {
		if rows[i].Timeline == t && h.Wrote(t, rows, i) {
			return rows[i], true
		}
	}
	return Epoch{}, false
}

// contradicts says how the rows that a server has show that its history is not the master's: for certain, or unless the master has still to
// replay something (it is behind). "" where they do not.
func contradicts(own, theirs []Epoch, behind bool) (diverged, unproven string) {
	for _, e := range own {
		later := slices.ContainsFunc(theirs, func(o Epoch) bool { return o.Epoch > e.Epoch || o.Epoch == e.Epoch && o.Timeline >= e.Timeline })
		switch {
		case slices.Contains(theirs, e):
		case later, !behind:
			return fmt.Sprintf("it has the row of %s on timeline %d (epoch %d), which the master lacks", e.Master, e.Timeline, e.Epoch), ""
		default:
			unproven = fmt.Sprintf("it has the row of %s on timeline %d (epoch %d), which the other one lacks or has not replayed yet", e.Master, e.Timeline, e.Epoch)
		}
	}
	return "", unproven
}
