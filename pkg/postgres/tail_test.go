package postgres

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/remote"
	"github.com/pgctl/pgctl/pkg/remote/remotetest"
)

// walDir is a data directory with the given segments; what is short of a segment's size is filled with zeros.
func walDir(t *testing.T, size int64, segments map[string][]byte) string {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "pg_wal"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range segments {
		path := filepath.Join(dir, "pg_wal", name)
		if err := errors.Join(os.WriteFile(path, content, 0o600), os.Truncate(path, size)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func gunzip(t *testing.T, path string) []byte {
	packed, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	plain, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(plain)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func here() *Server {
	return On(remote.NewPool(remote.Options{LocalName: "here"}).Host("here"), Settings{})
}

func lsnOf(t *testing.T, s string) cluster.LSN {
	l, err := cluster.ParseLSN(s)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestTailOfRealWAL reads the beginnings of segments of real servers. What is expected is what pg_waldump 15 says of its
// own, and for 10.23, which has none at hand, what was done to the server.
func TestTailOfRealWAL(t *testing.T) {
	for _, tt := range []struct {
		name, file, from, end string
		transactions          int
		first, last           string
	}{
		// a recycled segment: a record that goes over into a page of the earlier use ends it
		{"15", "15-000000010000000000000003.gz", "0/3001510", "0/301F630", 10, "2026-11-23T07:59:16.411326Z", "2026-11-23T07:59:17.331858Z"},
		{"15, the last commit", "15-000000010000000000000003.gz", "0/301F458", "0/301F630", 1, "2026-11-23T07:59:17.331858Z", "2026-11-23T07:59:17.331858Z"},
		// with two PREPAREs and a COMMIT PREPARED
		{"10", "10-000000010000000000000002.gz", "0/2008368", "0/2011400", 9, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, name, _ := strings.Cut(strings.TrimSuffix(tt.file, ".gz"), "-")
			dir := walDir(t, 16<<20, map[string][]byte{name: gunzip(t, filepath.Join("../../testdata/wal", tt.file))})
			tail, err := here().Tail(t.Context(), dir, 1, lsnOf(t, tt.from))
			if err != nil {
				t.Fatal(err)
			}
			if tail.End.String() != tt.end || tail.Transactions != tt.transactions || tail.More {
				t.Errorf("got %+v (to %s), expected %d transactions to %s", tail, tail.End, tt.transactions, tt.end)
			}
			first, last := tail.First.Format(time.RFC3339Nano), tail.Last.Format(time.RFC3339Nano)
			if tt.first != "" && (first != tt.first || last != tt.last) {
				t.Errorf("made from %s to %s, expected %s to %s", first, last, tt.first, tt.last)
			}
		})
	}
}

// segmentsOf cuts WAL that begins with a segment into files.
func segmentsOf(b *walBuilder) map[string][]byte {
	files := map[string][]byte{}
	for rest, at := b.wal, b.from; len(rest) > 0; at += testSegment {
		n := min(len(rest), testSegment)
		files[segmentName(b.timeline, at, testSegment)] = rest[:n]
		rest = rest[n:]
	}
	return files
}

func TestTailOverSegments(t *testing.T) {
	const from = 0xFFF00000 // the last segment below the next upper half
	b := newWAL(from)
	later := cluster.Tail{}
	for i := range 5 {
		if i == 3 { // in the middle of the second segment
			later.From = b.at
		}
		b.record(21, 0, make([]byte, testSegment/2))
		b.commit(1)
	}
	later.End, later.Transactions = b.at, 2
	files := segmentsOf(b)
	if len(files) != 3 || files["000000010000000100000000"] == nil {
		t.Fatalf("%d segments", len(files))
	}
	whole := cluster.Tail{From: from, End: b.at, Transactions: 5}
	check := func(t *testing.T, dir string, want cluster.Tail, limit int) {
		t.Helper()
		got, err := here().tail(t.Context(), dir, 1, want.From, limit)
		if err != nil || got.From != want.From || got.End != want.End || got.Transactions != want.Transactions || got.More != want.More {
			t.Errorf("got %+v, %v; expected %+v", got, err, want)
		}
	}
	check(t, walDir(t, testSegment, files), whole, tailLimit)
	check(t, walDir(t, testSegment, files), later, tailLimit)
	t.Run("the last one is partial", func(t *testing.T) {
		files := segmentsOf(b)
		files["000000010000000100000001.partial"] = files["000000010000000100000001"]
		delete(files, "000000010000000100000001")
		check(t, walDir(t, testSegment, files), whole, tailLimit)
	})
	t.Run("a partial one beside a whole one", func(t *testing.T) {
		files := segmentsOf(b)
		files["0000000100000000FFF00000.partial"] = nil
		files["000000010000000000000FFF.partial"] = nil
		check(t, walDir(t, testSegment, files), whole, tailLimit)
	})
	t.Run("more than the limit", func(t *testing.T) {
		two := cluster.Tail{From: from, Transactions: 1, More: true}
		one := newWAL(from)
		one.record(21, 0, make([]byte, testSegment/2))
		one.commit(1)
		two.End = one.at
		check(t, walDir(t, testSegment, files), two, testSegment)                                          // to the end of the first segment
		check(t, walDir(t, testSegment, files), two, testSegment/2+2*pageSize)                             // not a whole segment
		check(t, walDir(t, testSegment, files), whole, 3*testSegment)                                      // all there is
		check(t, walDir(t, testSegment, files), cluster.Tail{From: from, End: from, More: true}, pageSize) // no record
	})
	t.Run("from where the last segment ends", func(t *testing.T) {
		last := newWAL(0x3000000)
		last.fill(0)
		for last.at%testSegment != 0 {
			last.fill(0)
		}
		dir := walDir(t, testSegment, segmentsOf(last))
		check(t, dir, cluster.Tail{From: last.at, End: last.at}, tailLimit)
	})
}

func TestTailRefuses(t *testing.T) {
	b := newWAL(0x3000000)
	b.commit(1)
	files := segmentsOf(b)
	for _, tt := range []struct {
		name     string
		size     int64
		timeline cluster.Timeline
		from     string
		gone     bool
		want     string
	}{
		{"a segment that was removed", testSegment, 1, "0/2F00028", true, "here: cannot read the WAL of timeline 1 past 0/2F00028: there is no /"},
		{"a whole segment that was removed", testSegment, 1, "0/2F00000", true, "pg_wal/00000001000000000000002F: it has been removed, or was never written"},
		{"past all WAL", testSegment, 1, "0/3100028", true, "pg_wal/000000010000000000000031"},
		{"another timeline", testSegment, 2, "0/3000028", true, "pg_wal/00000002*: it has been removed, or was never written"},
		{"a size that is no power of two", testSegment + pageSize, 1, "0/3000028", false, "has 1056768 bytes, expected a power of two from 1 MiB to 1 GiB"},
		{"a size that is too small", testSegment / 2, 1, "0/3000028", false, "has 524288 bytes, expected a power of two from 1 MiB to 1 GiB"},
		{"a position in a page header", testSegment, 1, "0/3000018", false, "no WAL record can begin at 0/3000018"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tail, err := here().Tail(t.Context(), walDir(t, tt.size, files), tt.timeline, lsnOf(t, tt.from))
			if err == nil || !strings.Contains(err.Error(), tt.want) || errors.Is(err, ErrWALGone) != tt.gone {
				t.Errorf("got %+v, %v; expected %q", tail, err, tt.want)
			}
		})
	}
}

// TestReadTailRefuses is a host that prints something else than it should, or stops in the middle.
func TestReadTailRefuses(t *testing.T) {
	b := newWAL(0x3000000)
	b.commit(1)
	wal := string(b.wal) + strings.Repeat("\x00", pageSize-len(b.wal))
	const size, segment = "size 1048576\n", "segment 000000010000000000000030 8192\n"
	for _, text := range []string{
		"", "size", "size 1048577\n", "size 4096\n", "size many\n", "segment 000000010000000000000030 8192\n",
		size, size + segment, size + segment + wal[:4000], size + "segment 000000010000000000000031 8192\n" + wal + "end\n",
		size + "segment 000000010000000000000030 1056768\n" + wal + strings.Repeat("\x00", testSegment), size + "segment 000000010000000000000030 -1\n", size + "nonsense\n",
		size + strings.Repeat("x", 5000), "none there is\n",
	} {
		if tail, err := readTail(strings.NewReader(text), 1, 0x3000000); err == nil {
			t.Errorf("%.60q gave %+v", text, tail)
		}
	}
	if tail, err := readTail(strings.NewReader(size+segment+wal), 1, 0x3000000); err != nil || tail.Transactions != 1 {
		t.Errorf("not read to the end: %+v, %v", tail, err) // an empty place ends the WAL: what follows is not needed
	}
}

// TestTailGivesUp is a host that hangs after its first line.
func TestTailGivesUp(t *testing.T) {
	h := remotetest.NewFake(t, "db1")
	h.PipeFunc = func(context.Context, remote.Command) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() { _, _ = theirs.Write([]byte("size 1048576\n")) }()
		return ours, nil
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if tail, err := On(h, Settings{}).Tail(ctx, "/d", 1, 0x3000000); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %+v, %v", tail, err)
	}
}

func FuzzReadTail(f *testing.F) {
	b := newWAL(0x3000000)
	b.commit(1)
	b.commit(2)
	f.Add([]byte("size 1048576\nsegment 000000010000000000000030 8192\n"), append(b.wal, make([]byte, pageSize-len(b.wal))...))
	f.Add([]byte("none there is nothing\n"), []byte("end\n"))
	f.Fuzz(func(t *testing.T, head, wal []byte) {
		tail, err := readTail(io.MultiReader(bytes.NewReader(head), bytes.NewReader(wal)), 1, 0x3000000)
		if err == nil && tail.End < tail.From {
			t.Errorf("got %+v", tail)
		}
	})
}
