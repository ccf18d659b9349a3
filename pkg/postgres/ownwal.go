package postgres

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// lookWAL reads the WAL that a standby has on disk past what it has replayed: whether there is any that is whole, and on which timeline it is.
func lookWAL(dataDir string, q *OwnSQL) {
	size, err := parseSize(q.Settings["wal_segment_size"])
	if err != nil || size < pageSize || size&(size-1) != 0 || q.Replayed == 0 {
		q.AtEnd = false
		return
	}
	w := diskWAL{dir: path.Join(dataDir, "pg_wal"), size: cluster.LSN(size)}
	q.Timeline = max(q.Timeline, w.timelineAt(q.Replayed))
	if q.AtEnd {
		q.AtEnd = !w.goesOn(q.Timeline, q.Replayed)
	}
}

// diskWAL is a directory of WAL.
type diskWAL struct {
	dir  string
	size cluster.LSN // of a segment
}

// timelines are those of which there is a segment that holds a position, the newest first.
func (w diskWAL) timelines(at cluster.LSN) []cluster.Timeline {
	dir, err := os.Open(w.dir)
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	suffix := segmentName(0, at, w.size)[8:]
	var all []cluster.Timeline
	for _, name := range names {
		if len(name) == 24 && name[8:] == suffix {
			if t, err := parseTimeline(name[:8], 16); err == nil {
				all = append(all, t)
			}
		}
	}
	slices.Sort(all)
	slices.Reverse(all)
	return all
}

// timelineAt is the timeline on which a position that was replayed is: that of the newest segment which holds the byte before it, or, where that
// timeline began there or later, the one that it came from. 0: not known.
func (w diskWAL) timelineAt(at cluster.LSN) cluster.Timeline {
	for _, t := range w.timelines(at - 1) {
		history, err := historyOf(w.dir, t)
		if err != nil {
			continue
		}
		began := cluster.LSN(0)
		if n := len(history); n > 0 {
			began = history[n-1].At
		}
		if !w.holds(t, began, at-1) {
			continue
		}
		for _, f := range history {
			if at <= f.At {
				return f.Parent
			}
		}
		return t
	}
	return 0
}

// holds tells whether the page of a position is in that segment of a timeline that began there: a segment that was made ready for later use, or is a
// leftover, holds other pages. The pages before the one in which a timeline began, and that one, are its parent's (source: XLogFileCopy).
func (w diskWAL) holds(t cluster.Timeline, began, at cluster.LSN) bool {
	at &^= pageSize - 1
	file, err := os.Open(path.Join(w.dir, segmentName(t, at, w.size)))
	if err != nil {
		return false
	}
	defer file.Close()
	head := make([]byte, shortHeader)
	if _, err := file.ReadAt(head, int64(at%w.size)); err != nil {
		return false
	}
	of := cluster.Timeline(binary.LittleEndian.Uint32(head[4:]))
	return cluster.LSN(binary.LittleEndian.Uint64(head[8:])) == at && (of == t || of < t && at < began)
}

// historyOf reads a timeline's history file; the first timeline has none.
func historyOf(walDir string, t cluster.Timeline) (cluster.History, error) {
	if t == 1 {
		return nil, nil
	}
	text, err := os.ReadFile(path.Join(walDir, fmt.Sprintf("%08X.history", uint32(t))))
	if err != nil {
		return nil, err
	}
	return parseHistory(string(text), t)
}

// goesOn tells whether a whole record follows a position on that timeline or a later one; also where that cannot be told.
func (w diskWAL) goesOn(since cluster.Timeline, at cluster.LSN) bool {
	for _, t := range w.timelines(at) {
		if t < since {
			break
		}
		reader, err := newWALReader(&diskPages{w: w, t: t, next: at &^ (pageSize - 1)}, t, at, w.size)
		if err != nil {
			return true
		}
		if _, err := reader.next(); !errors.Is(err, errEndOfWAL) {
			return true
		}
	}
	return false
}

// diskPages reads the WAL of one timeline from a page on, over segments.
type diskPages struct {
	w    diskWAL
	t    cluster.Timeline
	next cluster.LSN
}

// Read reads on to the end of the segment at most.
func (p *diskPages) Read(into []byte) (int, error) {
	file, err := os.Open(path.Join(p.w.dir, segmentName(p.t, p.next, p.w.size)))
	if err != nil {
		return 0, endIfGone(err)
	}
	defer file.Close()
	in := p.next % p.w.size
	n, err := file.ReadAt(into[:min(cluster.LSN(len(into)), p.w.size-in)], int64(in))
	p.next += cluster.LSN(n)
	if n > 0 {
		err = nil
	}
	return n, err
}

func endIfGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return errEndOfWAL
	}
	return err
}
