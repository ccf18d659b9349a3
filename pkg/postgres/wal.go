package postgres

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// errEndOfWAL is returned when no whole record follows.
var errEndOfWAL = errors.New("end of WAL")

// A page header says what a page is (PostgreSQL source, xlog_internal.h: XLogPageHeaderData, XLogLongPageHeaderData).
const (
	pageContinues  = 0x0001 // XLP_FIRST_IS_CONTRECORD: it begins with the rest of a record
	pageLong       = 0x0002 // XLP_LONG_HEADER: the first of its segment
	pageOverwrites = 0x0008 // XLP_FIRST_IS_OVERWRITE_CONTRECORD: a crash took the rest of the record before it; from 10.19 on
	pageFlags      = 0x000F

	oldestMagic = 0xD097 // XLOG_PAGE_MAGIC of PostgreSQL 10; it grows with each version that changes a format
	newestMagic = 0xD1FF
)

// A record begins with its length, transaction, the position of the record before it, info, resource manager and CRC
// (PostgreSQL source, xlogrecord.h: XLogRecord).
const (
	recordHeader = 24
	recordCRC    = 20 // the offset of the CRC, the last field
	recordAlign  = 8
	opMask       = 0xF0 // what of info is the resource manager's own

	managerXLOG = 0    // RM_XLOG_ID
	opSwitch    = 0x40 // XLOG_SWITCH: the rest of the segment is empty
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// walRecord is one whole record. Its body is valid until the next one is read.
type walRecord struct {
	start, end    cluster.LSN
	manager, info byte
	body          []byte // after the header
}

// walReader reads the records of one timeline, one after the other, and ends where PostgreSQL itself would end recovery:
// at the first record that is not whole, or does not name the one before it. It reads no page before it needs it.
type walReader struct {
	pages    io.Reader // the WAL from the start of the page of the first position, which is in the middle of none
	timeline cluster.Timeline
	segment  cluster.LSN // its size, a power of two

	at       cluster.LSN // where the next record begins, or where the page header before it does
	page     []byte      // nil before the first is read
	addr     cluster.LSN // of the page, or of the first that will be read
	magic    uint16
	pageTLI  cluster.Timeline
	previous cluster.LSN // the start of the last record; 0 before the first
	raw      []byte      // the record that is put together
}

// newWALReader reads from a position where a record begins, or the header of its page.
func newWALReader(pages io.Reader, t cluster.Timeline, from, segment cluster.LSN) (*walReader, error) {
	r := &walReader{pages: pages, timeline: t, segment: segment, at: from, addr: from - from%pageSize}
	if in := int(from % pageSize); from%recordAlign != 0 || in > 0 && in < r.headerSize(r.addr) {
		return nil, fmt.Errorf("no WAL record can begin at %s: expected a multiple of %d outside of a page header", from, recordAlign)
	}
	return r, nil
}

// next is the next record, or errEndOfWAL. An error of the pages other than io.EOF is passed on. After an error there is
// nothing more to read.
func (r *walReader) next() (walRecord, error) {
	start, err := r.assemble()
	if err != nil {
		return walRecord{}, err
	}
	u32, u64 := binary.LittleEndian.Uint32, binary.LittleEndian.Uint64
	crc := crc32.Update(crc32.Checksum(r.raw[recordHeader:], castagnoli), castagnoli, r.raw[:recordCRC])
	if crc != u32(r.raw[recordCRC:]) || !r.follows(start, cluster.LSN(u64(r.raw[8:]))) {
		return walRecord{}, errEndOfWAL
	}
	record := walRecord{start: start, manager: r.raw[17], info: r.raw[16], body: r.raw[recordHeader:]}
	if record.manager == managerXLOG && record.info&opMask == opSwitch {
		r.at = alignUp(r.at, r.segment)
	}
	record.end, r.previous = r.at, start
	return record, nil
}

// follows checks the link to the record before. The first record has no known one before it, but one that is left in a
// segment which PostgreSQL took into use again names one that is a whole segment or more away.
func (r *walReader) follows(start, previous cluster.LSN) bool {
	if r.previous != 0 {
		return previous == r.previous
	}
	return previous < start && start-previous < r.segment
}

// assemble puts the next record together in raw, over as many pages as it has, and moves behind it.
func (r *walReader) assemble() (start cluster.LSN, err error) {
	if err := r.toRecord(); err != nil {
		return 0, err
	}
	start = r.at
	rest := r.page[r.at-r.addr:]
	length := int(binary.LittleEndian.Uint32(rest)) // records are aligned: these 4 bytes are never split
	if length < recordHeader {
		return 0, errEndOfWAL
	}
	r.raw = append(r.raw[:0], rest[:min(length, len(rest))]...)
	r.at += cluster.LSN(min(length, len(rest)))
	for len(r.raw) < length {
		if err := r.load(); err != nil {
			return 0, err
		}
		switch missing := length - len(r.raw); {
		case r.flags()&pageOverwrites != 0: // the record was given up, another stands here in its place
			return r.assemble()
		case r.flags()&pageContinues == 0 || int(binary.LittleEndian.Uint32(r.page[16:])) != missing:
			return 0, errEndOfWAL
		default:
			part := r.page[r.headerSize(r.addr):]
			part = part[:min(missing, len(part))]
			r.raw = append(r.raw, part...)
			r.at = r.addr + cluster.LSN(r.headerSize(r.addr)+len(part))
		}
	}
	r.at = alignUp(r.at, recordAlign)
	return start, nil
}

// toRecord moves past the page header, where at is a page's start, to where the record begins.
func (r *walReader) toRecord() error {
	if err := r.load(); err != nil {
		return err
	}
	if r.at == r.addr {
		switch {
		case r.flags()&pageContinues == 0:
		case r.previous == 0: // there is more than can be counted from here: not an end
			return fmt.Errorf("no WAL record begins at %s: its page begins with the rest of one", r.at)
		default:
			return errEndOfWAL
		}
		r.at += cluster.LSN(r.headerSize(r.addr))
	}
	return nil
}

// load reads on to the page that at is on.
func (r *walReader) load() error {
	for r.page == nil || r.addr+pageSize <= r.at {
		if r.page == nil {
			r.page = make([]byte, pageSize)
		} else {
			r.addr += pageSize
		}
		if _, err := io.ReadFull(r.pages, r.page); errors.Is(err, io.EOF) {
			return errEndOfWAL
		} else if err != nil {
			return err
		}
		if r.addr+pageSize <= r.at {
			continue // the empty rest of a segment
		}
		if err := r.check(); err != nil {
			return err
		}
	}
	return nil
}

// check tells whether the page is the one of its address. What is not, has been left there by an earlier use of the
// segment, or was never written. The first segment of a timeline begins with pages of the parent's.
func (r *walReader) check() error {
	u16, u32, u64 := binary.LittleEndian.Uint16, binary.LittleEndian.Uint32, binary.LittleEndian.Uint64
	magic, timeline := u16(r.page), cluster.Timeline(u32(r.page[4:]))
	if cluster.LSN(u64(r.page[8:])) != r.addr || magic == 0 {
		return errEndOfWAL
	}
	if r.magic == 0 && (magic < oldestMagic || magic > newestMagic) {
		return fmt.Errorf("the WAL page at %s has the magic number %04X: expected one of PostgreSQL 10 or later, %04X and up", r.addr, magic, oldestMagic)
	}
	first := r.addr%r.segment == 0
	switch {
	case r.magic != 0 && magic != r.magic, r.flags()&^pageFlags != 0, timeline > r.timeline, timeline < r.pageTLI,
		first != (r.flags()&pageLong != 0),
		first && (cluster.LSN(u32(r.page[32:])) != r.segment || u32(r.page[36:]) != pageSize):
		return errEndOfWAL
	}
	r.magic, r.pageTLI = magic, timeline
	return nil
}

func (r *walReader) flags() uint16 { return binary.LittleEndian.Uint16(r.page[2:]) }

// headerSize is the size of the header of the page at an address.
func (r *walReader) headerSize(addr cluster.LSN) int {
	if addr%r.segment == 0 {
		return longHeader
	}
	return shortHeader
}

// alignUp is the next multiple of a power of two, l itself where it is one.
func alignUp(l, to cluster.LSN) cluster.LSN { return (l + to - 1) &^ (to - 1) }
