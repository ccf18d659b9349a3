package postgres

import (
	"encoding/binary"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// What the transaction manager writes (PostgreSQL source, xact.h).
const (
	managerXact      = 1    // RM_XACT_ID
	xactMask         = 0x70 // XLOG_XACT_OPMASK
	opCommit         = 0x00
	opPrepare        = 0x10
	opCommitPrepared = 0x30
)

// A record's body begins with a list of what it holds, each with an id before it; its own data comes last (PostgreSQL
// source, xlogrecord.h).
const (
	idTopLevel  = 252 // XLR_BLOCK_ID_TOPLEVEL_XID, with 4 bytes; from 14 on
	idOrigin    = 253 // XLR_BLOCK_ID_ORIGIN, with 2 bytes
	idDataLong  = 254 // XLR_BLOCK_ID_DATA_LONG, with a length of 4 bytes
	idDataShort = 255 // XLR_BLOCK_ID_DATA_SHORT, with a length of 1 byte
)

// count adds one record to the tail.
func count(tail *cluster.Tail, r walRecord) {
	tail.End = r.end
	if r.manager != managerXact {
		return
	}
	op := r.info & xactMask
	if op != opCommit && op != opPrepare && op != opCommitPrepared {
		return
	}
	tail.Transactions++
	if op == opPrepare {
		return // it has its time elsewhere
	}
	if at, ok := commitTime(r.body); ok {
		if tail.First.IsZero() {
			tail.First = at
		}
		tail.Last = at
	}
}

// commitTime is the first field of a commit (xl_xact_commit): microseconds since 2000-01-01.
func commitTime(body []byte) (time.Time, bool) {
	data := mainData(body)
	if len(data) < 8 {
		return time.Time{}, false
	}
	micros := int64(binary.LittleEndian.Uint64(data))
	return time.UnixMicro(micros + time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()).UTC(), true
}

// mainData is a record's own data. A record that refers to blocks, as no commit does, gives none.
func mainData(body []byte) []byte {
	length := -1
	for rest := body; len(rest) >= 5 && length < 0; {
		switch rest[0] {
		case idTopLevel:
			rest = rest[5:]
		case idOrigin:
			rest = rest[3:]
		case idDataShort:
			length = int(rest[1])
		case idDataLong:
			length = int(binary.LittleEndian.Uint32(rest[1:]))
		default:
			return nil
		}
	}
	if length < 0 || length > len(body) {
		return nil
	}
	return body[len(body)-length:]
}
