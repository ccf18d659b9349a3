package postgres

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"testing"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
)

const testSegment = 1 << 20 // the smallest that initdb allows

// walBuilder writes WAL as PostgreSQL does, from the start of a page on.
type walBuilder struct {
	timeline  cluster.Timeline
	from, at  cluster.LSN
	previous  cluster.LSN // the start of the last record
	overwrite bool        // the next page begins with another record in place of the rest of one
	wal       []byte
}

func newWAL(from cluster.LSN) *walBuilder {
	return &walBuilder{timeline: 1, from: from, at: from, previous: from - 64}
}

// page begins a page, whose first bytes are the rest of a record where rest is not 0.
func (b *walBuilder) page(rest int) {
	header := make([]byte, shortHeader, longHeader)
	flags := uint16(0)
	if rest > 0 {
		flags |= pageContinues
	}
	if b.overwrite {
		flags, b.overwrite = flags|pageOverwrites, false
	}
	if b.at%testSegment == 0 {
		header, flags = header[:longHeader], flags|pageLong
		binary.LittleEndian.PutUint32(header[32:], testSegment)
		binary.LittleEndian.PutUint32(header[36:], pageSize)
	}
	binary.LittleEndian.PutUint16(header, 0xD110)
	binary.LittleEndian.PutUint16(header[2:], flags)
	binary.LittleEndian.PutUint32(header[4:], uint32(b.timeline))
	binary.LittleEndian.PutUint64(header[8:], uint64(b.at))
	binary.LittleEndian.PutUint32(header[16:], uint32(rest))
	b.raw(header)
}

func (b *walBuilder) raw(p []byte) {
	b.wal = append(b.wal, p...)
	b.at += cluster.LSN(len(p))
}

// record writes a record and returns where it begins.
func (b *walBuilder) record(manager, info byte, body []byte) cluster.LSN {
	raw := make([]byte, recordHeader, recordHeader+len(body))
	binary.LittleEndian.PutUint32(raw, uint32(recordHeader+len(body)))
	binary.LittleEndian.PutUint64(raw[8:], uint64(b.previous))
	raw[16], raw[17] = info, manager
	crc := crc32.Update(crc32.Checksum(body, castagnoli), castagnoli, raw[:recordCRC])
	binary.LittleEndian.PutUint32(raw[recordCRC:], crc)
	if b.at%pageSize == 0 {
		b.page(0)
	}
	start := b.at
	b.whole(append(raw, body...))
	b.previous = start
	return start
}

// whole writes the bytes of a record over as many pages as it needs, and what aligns the next.
func (b *walBuilder) whole(raw []byte) {
	for len(raw) > 0 {
		if b.at%pageSize == 0 {
			b.page(len(raw))
		}
		n := min(len(raw), pageSize-int(b.at%pageSize))
		b.raw(raw[:n])
		raw = raw[n:]
	}
	b.raw(make([]byte, alignUp(b.at, recordAlign)-b.at))
}

// fill writes a record that ends so many bytes before the end of its page.
func (b *walBuilder) fill(left int) {
	if b.at%pageSize == 0 {
		b.page(0)
	}
	b.record(10, 0, make([]byte, pageSize-int(b.at%pageSize)-left-recordHeader))
}

func (b *walBuilder) commit(seconds int64) cluster.LSN {
	body := binary.LittleEndian.AppendUint64([]byte{idDataShort, 8}, uint64(seconds*1e6))
	return b.record(managerXact, opCommit, body)
}

// tail is what is read of it, the rest of the segment being empty.
func (b *walBuilder) tail(from cluster.LSN) (cluster.Tail, error) {
	pages := append(bytes.Clone(b.wal), make([]byte, testSegment-b.at%testSegment)...)
	r, err := newWALReader(bytes.NewReader(pages[from-from%pageSize-b.from:]), b.timeline, from, testSegment)
	if err != nil {
		return cluster.Tail{}, err
	}
	tail := cluster.Tail{From: from, End: from}
	for {
		record, err := r.next()
		if errors.Is(err, errEndOfWAL) {
			return tail, nil
		}
		if err != nil {
			return tail, err
		}
		count(&tail, record)
	}
}

func TestWAL(t *testing.T) {
	const page, segment = 0x3002000, 0x3100000 // the middle of a segment, and the start of one
	tests := []struct {
		name  string
		from  cluster.LSN // where the WAL begins
		write func(b *walBuilder) (end cluster.LSN)
		want  int
	}{
		{"one commit", page, func(b *walBuilder) cluster.LSN { b.commit(1); return b.at }, 1},
		{"at the start of a segment", segment, func(b *walBuilder) cluster.LSN { b.commit(1); b.commit(2); return b.at }, 2},
		{"nothing but an empty page", page, func(b *walBuilder) cluster.LSN { b.page(0); return page }, 0},
		{"nothing at all", page, func(*walBuilder) cluster.LSN { return page }, 0},
		{"a header over two pages", page, func(b *walBuilder) cluster.LSN { b.fill(8); b.commit(1); b.commit(2); return b.at }, 2},
		{"a header that ends with its page", page, func(b *walBuilder) cluster.LSN { b.fill(recordHeader); b.commit(1); return b.at }, 1},
		{"a record that ends with its page", page, func(b *walBuilder) cluster.LSN { b.fill(0); b.commit(1); return b.at }, 1},
		{"the last ends with its page", page, func(b *walBuilder) cluster.LSN { b.commit(1); b.fill(0); return b.at }, 1},
		{"a record over four pages", page, func(b *walBuilder) cluster.LSN {
			b.record(21, 0, bytes.Repeat([]byte("x"), 3*pageSize))
			b.commit(1)
			return b.at
		}, 1},
		{"a record over two segments", segment - pageSize, func(b *walBuilder) cluster.LSN { b.fill(16); b.commit(1); return b.at }, 1},
		{"a switch of segments", page, func(b *walBuilder) cluster.LSN {
			b.commit(1)
			b.record(managerXLOG, opSwitch, nil)
			b.raw(make([]byte, testSegment-b.at%testSegment)) // the rest is not read, whatever is in it
			b.commit(2)
			return b.at
		}, 2},
		{"a switch and no next segment", page, func(b *walBuilder) cluster.LSN {
			b.record(managerXLOG, opSwitch, nil)
			return segment
		}, 0},
		{"a record that was given up in a crash", page, func(b *walBuilder) cluster.LSN {
			b.commit(1)
			b.fill(16)
			last, start := b.previous, len(b.wal)
			b.record(managerXact, opCommit, make([]byte, 100))
			b.wal, b.at, b.previous = b.wal[:start+16], (b.at-1)&^(pageSize-1), last
			b.overwrite = true
			b.record(managerXLOG, 0xD0, make([]byte, 18))
			b.commit(2)
			return b.at
		}, 2},
		{"prepared, aborted, other", page, func(b *walBuilder) cluster.LSN {
			for _, op := range []byte{opPrepare, opCommitPrepared, 0x20, 0x40, 0x50, 0x60, opCommit | 0x80, 0x08} {
				b.record(managerXact, op, make([]byte, 40))
			}
			b.record(10, opCommit, make([]byte, 40))
			return b.at
		}, 4},
		{"a byte that was changed", page, func(b *walBuilder) cluster.LSN {
			b.commit(1)
			end := b.at
			b.commit(2)
			b.wal[len(b.wal)-8]++
			return end
		}, 1},
		{"a byte of a header that was changed", page, func(b *walBuilder) cluster.LSN {
			b.commit(1)
			end := b.at
			b.commit(2)
			b.wal[end-page+4]++ // the transaction
			return end
		}, 1},
		{"a record that does not follow", page, func(b *walBuilder) cluster.LSN {
			b.commit(1)
			end := b.at
			b.previous -= 8
			b.commit(2)
			return end
		}, 1},
		{"a first record of the segment's earlier use", page, func(b *walBuilder) cluster.LSN {
			b.page(0)
			b.previous -= testSegment
			b.commit(1)
			return page
		}, 0},
		{"a first record that names a later one", page, func(b *walBuilder) cluster.LSN { b.previous = page * 2; b.commit(1); return page }, 0},
		{"a first record that names itself", page, func(b *walBuilder) cluster.LSN {
			b.previous = page + shortHeader
			b.commit(1)
			return page
		}, 0},
		{"a page of the segment's earlier use", page, func(b *walBuilder) cluster.LSN {
			b.commit(1)
			b.fill(0)
			end := b.at
			b.at -= testSegment
			b.commit(2)
			b.at += testSegment
			return end
		}, 1},
		{"a page of a later timeline", page, func(b *walBuilder) cluster.LSN {
			b.commit(1)
			b.fill(0)
			end := b.at
			b.timeline = 2
			b.commit(2)
			b.timeline = 1
			return end
		}, 1},
		{"pages of the parent timeline before its own", page, func(b *walBuilder) cluster.LSN {
			b.fill(0)
			b.timeline = 2
			b.commit(1)
			return b.at
		}, 1},
		{"pages of the parent timeline after its own", page, func(b *walBuilder) cluster.LSN {
			b.timeline = 3
			b.fill(0)
			end := b.at
			b.timeline = 2
			b.commit(1)
			b.timeline = 3
			return end
		}, 0},
		{"a page that does not go on", page, func(b *walBuilder) cluster.LSN {
			b.fill(16)
			end := b.at
			start := len(b.wal)
			b.commit(1)
			b.wal[start+16+2] = 0
			return end
		}, 0},
		{"a page that goes on with another record", page, func(b *walBuilder) cluster.LSN {
			b.fill(16)
			end := b.at
			start := len(b.wal)
			b.commit(1)
			b.wal[start+16+16]++
			return end
		}, 0},
		{"a length that cannot be", page, func(b *walBuilder) cluster.LSN {
			b.commit(1)
			end := b.at
			b.raw([]byte{23, 0, 0, 0, 0, 0, 0, 0})
			return end
		}, 1},
		{"a length without end", page, func(b *walBuilder) cluster.LSN {
			b.commit(1)
			end := b.at
			b.raw([]byte{255, 255, 255, 255, 0, 0, 0, 0})
			return end
		}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newWAL(tt.from)
			end := tt.write(b)
			tail, err := b.tail(tt.from)
			if err != nil || tail.End != end || tail.Transactions != tt.want {
				t.Errorf("%d transactions to %s, %v; expected %d to %s", tail.Transactions, tail.End, err, tt.want, end)
			}
		})
	}
}

// TestWALFrom begins to read at each record, and where none can begin.
func TestWALFrom(t *testing.T) {
	const page = 0x3002000
	b := newWAL(page)
	starts := []cluster.LSN{b.commit(1), b.commit(2), b.commit(3)}
	for i, from := range starts {
		if tail, err := b.tail(from); err != nil || tail.Transactions != 3-i || tail.From != from || tail.End != b.at {
			t.Errorf("from commit %d: %+v, %v", i+1, tail, err)
		}
	}
	if tail, err := b.tail(starts[1] + 16); err != nil || tail.End != tail.From || tail.Transactions != 0 {
		t.Errorf("from within a record: %+v, %v", tail, err)
	}
	for _, from := range []cluster.LSN{page + 1, page + 8, page + 16, starts[1] + 4} {
		if tail, err := b.tail(from); err == nil {
			t.Errorf("from %s, where nothing can begin: %+v", from, tail)
		}
	}
	b.fill(16)
	b.commit(4)
	if tail, err := b.tail(page + pageSize); err == nil {
		t.Errorf("from a page that begins with the rest of a record: %+v", tail)
	}
	b.wal[0], b.wal[1] = 0x7E, 0xD0
	if tail, err := b.tail(page); err == nil {
		t.Errorf("WAL of PostgreSQL 9.4: %+v", tail)
	}
}

// TestWALPages changes one byte of the header of the second page, which begins a segment.
func TestWALPages(t *testing.T) {
	for name, at := range map[string]int{
		"version": 0, "unknown flag": 3, "timeline": 4, "address": 10, "size of a segment": 34, "size of a page": 37,
	} {
		b := newWAL(0x3100000 - pageSize)
		b.fill(0)
		end := b.at
		b.commit(1)
		b.wal[pageSize+at] ^= 0x80
		if tail, err := b.tail(b.from); err != nil || tail.End != end {
			t.Errorf("another %s: %+v, %v", name, tail, err)
		}
	}
	b := newWAL(0x3000000) // a long header where a short one belongs
	b.fill(0)
	end := b.at
	b.commit(1)
	b.wal[pageSize+2] |= pageLong
	if tail, err := b.tail(b.from); err != nil || tail.End != end {
		t.Errorf("long header: %+v, %v", tail, err)
	}
}

func TestCommitTimes(t *testing.T) {
	b := newWAL(0x3002000)
	b.record(managerXact, opPrepare, make([]byte, 40))
	b.commit(10)
	data := binary.LittleEndian.AppendUint64(nil, 20e6)
	b.record(managerXact, opCommit|0x80, append([]byte{idOrigin, 1, 0, idTopLevel, 1, 0, 0, 0, idDataLong, 12, 0, 0, 0}, append(data, 1, 2, 3, 4)...))
	b.record(managerXact, opCommit, []byte{idDataShort, 200, 1, 2, 3, 4, 5, 6, 7, 8}) // its length is wrong
	b.record(managerXact, opCommit, append([]byte{0, idDataShort, 8}, data...))       // refers to a block
	tail, err := b.tail(0x3002000)
	at := func(seconds int) time.Time { return time.Date(2000, 1, 1, 0, 0, seconds, 0, time.UTC) }
	if err != nil || tail.Transactions != 5 || !tail.First.Equal(at(10)) || !tail.Last.Equal(at(20)) {
		t.Errorf("got %+v, %v", tail, err)
	}
}

func FuzzWAL(f *testing.F) {
	const from = 0x3002000
	b := newWAL(from)
	b.commit(1)
	b.fill(8)
	b.commit(2)
	f.Add(b.wal, uint16(0), uint16(5), byte(0))
	f.Add(b.wal[:pageSize], uint16(40), uint16(0), byte(0))
	f.Fuzz(func(t *testing.T, wal []byte, begin, change uint16, to byte) {
		wal = bytes.Clone(wal)
		if int(change) < len(wal) {
			wal[change] ^= to
		}
		b := &walBuilder{timeline: 1, from: from, at: from + cluster.LSN(len(wal)), wal: wal}
		if int(begin) >= len(wal) {
			begin = 0
		}
		start := from + cluster.LSN(begin)
		tail, err := b.tail(start)
		if err == nil && (tail.End < start || tail.End > alignUp(b.at, testSegment)+testSegment) {
			t.Errorf("from %s to %s, of %s", start, tail.End, b.at)
		}
	})
}
