package postgres

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/remote"
)

// ErrWALGone is returned when the segment that a tail begins in is not there, so that nothing can be said of what follows.
var ErrWALGone = errors.New("it has been removed, or was never written")

// errLimit is returned by segments when there is more WAL than the host was asked for.
var errLimit = errors.New("more WAL than was asked for")

// tailLimit bounds what Tail reads, in bytes: a busy server fills it in seconds, and nobody has to know more exactly.
const tailLimit = 64 << 20

//go:embed tail.sh
var tailScript string

// Tail reads how far the WAL of timeline t goes past from, and counts the transactions in it. It reads the files, so
// PostgreSQL may run or not; of one that runs, it sees what has been written so far. From is where a record begins, as a
// fork of timelines always is: where WAL ends with no record there, the tail is empty.
func (s *Server) Tail(ctx context.Context, dataDir string, t cluster.Timeline, from cluster.LSN) (cluster.Tail, error) {
	tail, err := s.tail(ctx, dataDir, t, from, tailLimit)
	if err != nil {
		err = fmt.Errorf("%s: cannot read the WAL of timeline %d past %s: %w", s.host.Name(), t, from, err)
	}
	return tail, err
}

func (s *Server) tail(ctx context.Context, dataDir string, t cluster.Timeline, from cluster.LSN, limit int) (cluster.Tail, error) {
	high, low := uint64(from)>>32, uint64(from)&0xFFFFFFFF
	conn, err := s.host.Pipe(ctx, remote.Script(tailScript+"\n"+`tail_wal "$@"`,
		dataDir, fmt.Sprintf("%08X", uint32(t)), strconv.FormatUint(high, 10), strconv.FormatUint(low, 10), strconv.Itoa(limit)))
	if err != nil {
		return cluster.Tail{}, err
	}
	defer conn.Close() // the host may have more to print than is needed
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	tail, err := readTail(conn, t, from)
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	return tail, err
}

// readTail reads what tail_wal prints, no further than it needs.
func readTail(printed io.Reader, t cluster.Timeline, from cluster.LSN) (cluster.Tail, error) {
	pages := &segments{in: bufio.NewReader(printed), timeline: t}
	if err := pages.begin(from); err != nil {
		return cluster.Tail{}, err
	}
	wal, err := newWALReader(pages, t, from, pages.size)
	if err != nil {
		return cluster.Tail{}, err
	}
	tail := cluster.Tail{From: from, End: from}
	for {
		record, err := wal.next()
		switch {
		case errors.Is(err, errLimit):
			tail.More = true
			return tail, nil
		case errors.Is(err, errEndOfWAL):
			return tail, nil
		case err != nil:
			return cluster.Tail{}, err
		}
		count(&tail, record)
	}
}

// segments is the WAL in what tail_wal prints, without the lines between the segments. It ends with io.EOF where the WAL on
// the host does, and with errLimit where the host was told to stop.
type segments struct {
	in       *bufio.Reader
	timeline cluster.Timeline
	size     cluster.LSN // of a segment
	next     cluster.LSN // the position of the next byte
	left     cluster.LSN // how many bytes of the segment at hand are to come
}

// begin reads the first line.
func (s *segments) begin(from cluster.LSN) error {
	word, rest, err := s.line()
	if err != nil {
		return err
	}
	switch word {
	case "none":
		return errors.New(cluster.Printable(rest))
	case "gone":
		return fmt.Errorf("there is no %s: %w", cluster.Printable(rest), ErrWALGone)
	}
	size, err := strconv.ParseUint(rest, 10, 32)
	if word != "size" || err != nil || size < 1<<20 || size > 1<<30 || size&(size-1) != 0 {
		return fmt.Errorf("the host printed %q: expected the size of a WAL segment", word+" "+rest)
	}
	s.size, s.next = cluster.LSN(size), from-from%pageSize
	return nil
}

// Read reads on, over the lines.
func (s *segments) Read(p []byte) (int, error) {
	for s.left == 0 {
		word, rest, err := s.line()
		if err == nil {
			err = s.segment(word, rest)
		}
		if err != nil {
			return 0, err
		}
	}
	n, err := s.in.Read(p[:min(cluster.LSN(len(p)), s.left)])
	s.left -= cluster.LSN(n)
	s.next += cluster.LSN(n)
	if errors.Is(err, io.EOF) && s.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// segment reads the line between two segments.
func (s *segments) segment(word, rest string) error {
	switch word {
	case "end":
		return io.EOF
	case "more":
		return errLimit
	}
	name, bytes, _ := strings.Cut(rest, " ")
	want := segmentName(s.timeline, s.next, s.size)
	left, err := strconv.ParseUint(bytes, 10, 32)
	if word != "segment" || strings.TrimSuffix(name, ".partial") != want || err != nil || cluster.LSN(left) > s.size-s.next%s.size {
		return fmt.Errorf("the host printed %q: expected the segment %s", cluster.Printable(word+" "+rest), want)
	}
	s.left = cluster.LSN(left)
	return nil
}

// line reads one line, its first word apart.
func (s *segments) line() (word, rest string, err error) {
	line, err := s.in.ReadSlice('\n')
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return "", "", err
	}
	word, rest, _ = strings.Cut(strings.TrimSuffix(string(line), "\n"), " ")
	return word, rest, nil
}

// segmentName is the file that holds a position (PostgreSQL source, xlog_internal.h: XLogFileName).
func segmentName(t cluster.Timeline, at, size cluster.LSN) string {
	number, per := at/size, cluster.LSN(1<<32)/size
	return fmt.Sprintf("%08X%08X%08X", uint32(t), uint64(number/per), uint64(number%per))
}
