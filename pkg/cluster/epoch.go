package cluster

import "fmt"

// Epoch is one row of the table pgctl.epoch: the signature that a promotion by pgctl leaves in the new master's own data, and that
// every true copy of it must have. A timeline's number proves nothing: two servers may have opened the same one.
type Epoch struct {
	Epoch    int64
	Master   string // host
	Nonce    string
	Timeline Timeline
	Fork     LSN // where the timeline began
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

// Contradicts says how the rows that a server has show that its history is not the master's, or "". Rows are compared up to
// the server's own position: it cannot have what it has not replayed.
func Contradicts(own, master []Epoch, position LSN) string {
	has := map[Epoch]bool{}
	for _, e := range own {
		has[e] = true
	}
	theirs := map[Epoch]bool{}
	for _, e := range master {
		theirs[e] = true
		if !has[e] && e.Fork < position && hasTimeline(own, e.Timeline) {
			return fmt.Sprintf("its row of epoch %d was written by another promotion than the master's", e.Epoch)
		}
	}
	for _, e := range own {
		if !theirs[e] {
			return fmt.Sprintf("it has the row of a promotion of %s to timeline %d (epoch %d), which the master lacks", e.Master, e.Timeline, e.Epoch)
		}
	}
	return ""
}

func hasTimeline(rows []Epoch, t Timeline) bool {
	for _, e := range rows {
		if e.Timeline == t {
			return true
		}
	}
	return false
}
