package cluster

import (
	"fmt"
	"strconv"
	"strings"
)

// LSN is a position in the write-ahead log: a byte address in the stream (PostgreSQL manual, "pg_lsn Type").
// Positions compare as numbers, never as text.
type LSN uint64

// ParseLSN reads the form "16/B374D848": two hexadecimal halves of at most 32 bits.
func ParseLSN(s string) (LSN, error) {
	high, low, ok := strings.Cut(s, "/")
	h, errHigh := strconv.ParseUint(high, 16, 32)
	l, errLow := strconv.ParseUint(low, 16, 32)
	if !ok || errHigh != nil || errLow != nil {
		return 0, fmt.Errorf("%q is not a WAL position: expected two hexadecimal numbers such as 0/3000060", s)
	}
	return LSN(h<<32 | l), nil
}

// String gives PostgreSQL's own form, such as "0/3000060".
func (l LSN) String() string { return fmt.Sprintf("%X/%X", uint64(l)>>32, uint64(l)&0xFFFFFFFF) }

// Behind is how many bytes l is behind ahead; 0 when it is not behind.
func (l LSN) Behind(ahead LSN) int64 {
	if l >= ahead {
		return 0
	}
	return int64(ahead - l)
}

// Timeline is a timeline number (PostgreSQL manual, "Timelines"); 0 means unknown.
type Timeline uint32

// Fork is one line of a timeline history file: the parent timeline and the position at which it was left.
type Fork struct {
	Parent Timeline `json:"parent"`
	At     LSN      `json:"at"`
}

// History is how a timeline came to be: its ancestors, oldest first. Timeline 1 has none.
type History []Fork

// LeftAt is the position at which this history left the given ancestor.
func (h History) LeftAt(t Timeline) (LSN, bool) {
	for _, f := range h {
		if f.Parent == t {
			return f.At, true
		}
	}
	return 0, false
}
