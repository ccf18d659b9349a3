package lab

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// outcome is what a client was told about a write.
type outcome int

const (
	failed       outcome = iota // it was not done
	unknown                     // it may have been done, or may be lost later
	acknowledged                // it is done, for good
)

// outcomeOf reads the answer to a write. A server that answers with an error has
// rolled back; not so where the answer is about the connection, or about the end of
// the server (classes 08, 57, 58 and XX): such a write may have been committed. A commit
// with a warning is one that did not wait for its standbys.
func outcomeOf(err error, warned bool) outcome {
	var answer *pgconn.PgError
	switch {
	case err == nil && !warned:
		return acknowledged
	case !errors.As(err, &answer) || answer.Severity != "ERROR" || len(answer.Code) < 2:
		return unknown
	}
	switch answer.Code[:2] {
	case "08", "57", "58", "XX":
		return unknown
	}
	return failed
}

// gapFrom is how long nothing is acknowledged before that is a gap.
const gapFrom = 200 * time.Millisecond

// Gap is a time in which no write was acknowledged.
type Gap struct{ From, To time.Time }

// Length is how long it was.
func (g Gap) Length() time.Duration { return g.To.Sub(g.From) }

// WriterReport is what came of a writer's writes.
type WriterReport struct {
	// Attempts is the sum of the three that follow.
	Attempts int
	// Acknowledged writes must never be lost.
	Acknowledged int
	// Failed writes were not done: nobody was there, or the server said so.
	Failed int
	// Unknown is for the others: the connection was lost or the time was up during
	// the write, or the commit came with a warning.
	Unknown int
	// Gaps longer than 200 ms without an acknowledged write, from the start to the
	// end of the writing.
	Gaps []Gap
	// LongestGap is the longest time between two acknowledged writes, a gap or not.
	LongestGap time.Duration

	acks     []int64
	writer   string
	database string
}

// String is the report for people.
func (w WriterReport) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d writes: %d acknowledged, %d failed, %d unknown; longest time without: %s\n",
		w.Attempts, w.Acknowledged, w.Failed, w.Unknown, w.LongestGap.Round(time.Millisecond))
	for _, g := range w.Gaps {
		fmt.Fprintf(&b, "gap from %s to %s: %s\n", g.From.Format("15:04:05.000"), g.To.Format("15:04:05.000"), g.Length().Round(time.Millisecond))
	}
	return b.String()
}

// Lost lists the acknowledged writes that the server on that host lacks.
func (w WriterReport) Lost(ctx context.Context, on *Host) ([]int64, error) {
	sql := fmt.Sprintf("SELECT n FROM %s WHERE writer = '%s'", writerTable, w.writer)
	out, err := on.psql(ctx, w.database, sql)
	if err != nil {
		return nil, err
	}
	there := map[int64]bool{}
	for _, line := range strings.Fields(out) {
		n, err := strconv.ParseInt(line, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%s: the rows of a writer: %w", on.Name(), err)
		}
		there[n] = true
	}
	var lost []int64
	for _, n := range w.acks {
		if !there[n] {
			lost = append(lost, n)
		}
	}
	return lost, nil
}

// notes are taken while a writer writes.
type notes struct {
	started  time.Time
	last     time.Time // of the last acknowledgement; zero before the first
	attempts [acknowledged + 1]int
	acks     []int64
	gaps     []Gap
	longest  time.Duration
}

func (n *notes) add(number int64, o outcome, at time.Time) {
	n.attempts[o]++
	if o == acknowledged {
		n.acks = append(n.acks, number)
		n.gap(at)
		n.last = at
	}
}

// gap takes the time since the last acknowledgement.
func (n *notes) gap(to time.Time) {
	from := n.last
	if from.IsZero() {
		from = n.started
	}
	g := Gap{from, to}
	n.longest = max(n.longest, g.Length())
	if g.Length() > gapFrom {
		n.gaps = append(n.gaps, g)
	}
}

func (n *notes) report(writer, database string) WriterReport {
	return WriterReport{
		Attempts:     n.attempts[failed] + n.attempts[unknown] + n.attempts[acknowledged],
		Acknowledged: n.attempts[acknowledged], Failed: n.attempts[failed], Unknown: n.attempts[unknown],
		Gaps: n.gaps, LongestGap: n.longest, acks: n.acks, writer: writer, database: database,
	}
}
