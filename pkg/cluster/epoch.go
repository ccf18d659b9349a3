package cluster

import (
	"fmt"
	"slices"
)

// Epoch is one row of the table pgctl.epoch: the signature that pgctl leaves in the master's own data, after a promotion and at a first
// deployment. A timeline's number proves nothing: two servers may have opened the same one. What a row proves, and what it does not:
//
//   - HAVING a row that the master has proves a true copy up to where the row was written. It came with the WAL of the server that wrote it,
//     on the row's timeline, and its nonce is random. So each timeline up to the row's is the master's. It proves nothing of a later one.
//     It counts only where the row's timeline began at its Fork on both: a dump or an upgrade brings rows of another history along.
//   - LACKING a row of the master's proves nothing. A row is written some time after its timeline began, at a first deployment perhaps
//     years after, so a true copy may be past Fork and not have it yet.
//   - Having a row that the master LACKS proves another history, as every transaction does: but for a master that is a standby still and may not
//     have replayed it yet.
//   - A history has at most one row of a timeline that began at one position: it is written only where there is none. So two different rows
//     of one timeline are of two histories, whoever has replayed how much.
//
// What the server wrote to the row's timeline after the row, as a second master, no row tells: that is wroteTo's to say.
type Epoch struct {
	Epoch    int64
	Master   string // host
	Nonce    string
	Timeline Timeline
	Fork     LSN // where the timeline began, not where the row was written; 0 of the first timeline
}

// NewRow is the signature of an epoch in its master's data. The timeline is said to begin where the history left the timeline of the last
// signature: there may have been promotions between that nobody signed (one that crashed, one by hand), and whoever holds WAL from after
// the first of them has not the same. A master that was never promoted since begins where it is.
func NewRow(epoch int64, master, nonce string, t Timeline, h History, rows []Epoch, position LSN) Epoch {
	e := Epoch{Epoch: epoch, Master: master, Nonce: nonce, Timeline: t, Fork: position}
	if n := len(rows); n > 0 {
		if left, ok := h.LeftAt(rows[n-1].Timeline); ok {
			e.Fork = left
		}
	}
	return e
}

// contradicts says how the rows that a server has show that its history is not the master's: for certain, or unless the master has still to
// replay something (it is behind). "" where they do not.
func contradicts(own, theirs []Epoch, behind bool) (diverged, unproven string) {
	for _, e := range own {
		switch {
		case slices.Contains(theirs, e):
		case hasTimeline(theirs, e.Timeline):
			return fmt.Sprintf("its row of epoch %d was written to another timeline %d than the master's", e.Epoch, e.Timeline), ""
		case behind:
			unproven = fmt.Sprintf("it has the row of %s on timeline %d (epoch %d), which the other one lacks or has not replayed yet", e.Master, e.Timeline, e.Epoch)
		default:
			return fmt.Sprintf("it has the row of %s on timeline %d (epoch %d), which the master lacks", e.Master, e.Timeline, e.Epoch), ""
		}
	}
	return "", unproven
}

func hasTimeline(rows []Epoch, t Timeline) bool {
	return slices.ContainsFunc(rows, func(e Epoch) bool { return e.Timeline == t })
}
