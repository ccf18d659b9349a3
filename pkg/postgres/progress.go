package postgres

import (
	"regexp"
	"strconv"
)

// Progress is how far a renewal is.
type Progress struct {
	Done, Total int64  // bytes; Total 0: not known
	Tablespaces string // of a copy, such as "0/2"
	Note        string // "", or a sentence for the operator, such as why a rewind became a clone; nothing else is set then
}

// progressLine is what pg_basebackup and pg_rewind print of their progress: "12345/67890 kB (18%), 0/1 tablespace".
var progressLine = regexp.MustCompile(`^\s*(\d+)/(\d+) kB \(\d+%\)(?: copied|, (\d+/\d+) tablespaces?.*)?\s*$`)

// parseProgress reads one line; ok is false for any other.
func parseProgress(line string) (p Progress, ok bool) {
	m := progressLine.FindStringSubmatch(line)
	if m == nil {
		return Progress{}, false
	}
	done, err1 := strconv.ParseInt(m[1], 10, 53)
	total, err2 := strconv.ParseInt(m[2], 10, 53)
	if err1 != nil || err2 != nil {
		return Progress{}, false
	}
	return Progress{Done: done << 10, Total: max(done, total) << 10, Tablespaces: m[3]}, true // the total is an estimate
}
