package cluster

import (
	"fmt"
	"slices"
)

// final is the position of a server that receives nothing: where a promotion would begin its timeline, at the end of the last whole record that it
// has. What it received may end within a record (tried on 15.18), and falls back to the start of a segment after a restart; before replay has
// come to the end of the local WAL the replay position is short of it, and an archive moves it.
func final(f *Facts) (LSN, bool) {
	if !f.Running || !f.Recovery || f.Upstream.Receiver != "" || !f.AtEnd || f.Archive {
		return 0, false
	}
	return f.Replayed, true
}

// frozen: the marker of this election is on disk, the service file names nobody, and no receiver is there, or can come back: one that is begun now reads
// that file. A reload that was sent, or a receiver that was signalled, is no freeze.
func frozen(f *Facts, base int64, p *Policy) bool {
	return base != 0 && f.FrozenFor == base && f.Upstream.File == "" && f.Upstream.Receiver == "" && f.Upstream.Gone >= p.RetryInterval
}

// thaws: only an epoch that serves, after the one whose end the freeze was for, lets a server receive again. An older state is no
// reason: it was so before the freeze too.
func thaws(s *State, f *Facts) bool { return s.Phase == Serving && s.Epoch > f.FrozenFor }

// Foreign says why data that ends at position is not proven to be part of the history that the rows describe; "" when it is. It must
// hold every row up to its position and no other, and be on the timeline that the rows give for that position. A timeline's number,
// its history file and pg_rewind prove nothing, and once it has followed WAL proves nothing either (M7).
func Foreign(f *Facts, rows []Epoch, position LSN) string {
	expected, from := Timeline(0), LSN(0)
	for i := range rows {
		r := &rows[i]
		if r.Fork >= position { // what ends there has nothing of the row's timeline: on that, it was promoted by another hand before
			continue
		}
		if !slices.Contains(f.Rows, *r) {
			return fmt.Sprintf("it ends at %s but lacks the row of epoch %d, which began at %s", position, r.Epoch, r.Fork)
		}
		expected, from = r.Timeline, r.Fork
	}
	for i := range f.Rows {
		if r := &f.Rows[i]; !slices.Contains(rows, *r) {
			return fmt.Sprintf("it has the row of a promotion of %s (epoch %d), which the master lacks", r.Master, r.Epoch)
		}
	}
	if len(rows) > 0 && expected == 0 && f.Timeline > rows[0].Timeline {
		return fmt.Sprintf("it is on timeline %d, beyond the %d on which the master's signed history begins", f.Timeline, rows[0].Timeline)
	}
	if expected != 0 && expected != f.Timeline {
		return fmt.Sprintf("it is on timeline %d at %s, where the master's history was on %d since %s", f.Timeline, position, expected, from)
	}
	return ""
}
