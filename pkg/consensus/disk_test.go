package consensus

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// hanging is a log store whose writes hang while it is told so, or are slow.
type hanging struct {
	raft.LogStore
	delay  atomic.Int64 // of each write, in ns
	hangs  atomic.Bool
	resume chan struct{}
	began  atomic.Int32
}

func (h *hanging) StoreLogs(entries []*raft.Log) error {
	h.began.Add(1)
	time.Sleep(time.Duration(h.delay.Load()))
	if h.hangs.Load() {
		<-h.resume
	}
	return h.LogStore.StoreLogs(entries)
}

// TestHangingLeader: raft alone would keep a leader whose disk hangs for ever.
func TestHangingLeader(t *testing.T) {
	t.Parallel()
	s := newSite(t, three)
	disks := map[string]*hanging{}
	s.tune = func(o *Options) {
		o.diskLimit = times(pace).of(diskLimit)
		o.wrap = func(l raft.LogStore) raft.LogStore {
			disks[o.Host] = &hanging{LogStore: l, resume: make(chan struct{})}
			return disks[o.Host]
		}
	}
	s.startAll()
	leader := s.propose("one")
	began := time.Now()
	disks[leader.name].hangs.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, _, err := leader.Propose(ctx, []byte("lost"))
	if !errors.Is(err, ErrUnknown) && !errors.Is(err, ErrBusy) { // the latter where the write that hangs is the one of spread, after "one"
		t.Errorf("got %v", err)
	}
	s.wait("end of the leader", func() bool { return leader.Err() != nil })
	<-leader.Failed()
	if !errors.Is(leader.Err(), ErrDiskHangs) || leader.Leads() {
		t.Errorf("%v, leads %v", leader.Err(), leader.Leads())
	}
	writes := disks[leader.name].began.Load()
	if next := s.propose("two"); next == leader {
		t.Error("it leads again")
	}
	t.Logf("another leader after %s (limit %s, heartbeat %s)", time.Since(began).Round(time.Millisecond), times(pace).of(diskLimit), times(pace).of(heartbeat))
	close(disks[leader.name].resume)
	disks[leader.name].hangs.Store(false)
	if got := disks[leader.name].began.Load(); got != writes {
		t.Errorf("%d writes after the one that hung", got-writes)
	}
	s.stop(leader.name)
	s.start(leader.name) // with what landed late
	s.propose("three")
	for _, m := range s.up {
		s.wait("three", func() bool { c := m.commands(); return len(c) > 0 && c[len(c)-1] == "three" })
		if got := strings.Join(m.commands(), " "); got != "one two three" && got != "one lost two three" {
			t.Errorf("%s has %s", m.name, got)
		}
	}
}

// TestNothingAfterAFailure: a disk that failed once is not written to again, whoever asks, also not when it was the slow one.
func TestNothingAfterAFailure(t *testing.T) {
	h := &hanging{LogStore: raft.NewInmemStore(), resume: make(chan struct{})}
	failures := 0
	d := &disk{LogStore: h, limit: 20 * time.Millisecond, fail: func(error) { failures++ }}
	if err := d.StoreLog(&raft.Log{Index: 1}); err != nil {
		t.Fatal(err)
	}
	h.hangs.Store(true)
	if err := d.StoreLog(&raft.Log{Index: 2, Data: []byte("late")}); !errors.Is(err, ErrDiskHangs) {
		t.Fatalf("got %v", err)
	}
	h.hangs.Store(false)
	if err := d.StoreLog(&raft.Log{Index: 2, Data: []byte("retry")}); !errors.Is(err, ErrDiskHangs) {
		t.Errorf("got %v", err)
	}
	if err := d.DeleteRange(1, 2); !errors.Is(err, ErrDiskHangs) {
		t.Errorf("got %v", err)
	}
	close(h.resume)
	var got raft.Log
	wait(t, "the late write", func() bool { return h.GetLog(2, &got) == nil })
	if string(got.Data) != "late" || failures != 1 || h.began.Load() != 2 {
		t.Errorf("entry %q, %d failures told, %d writes", got.Data, failures, h.began.Load())
	}
}

// TestBudget: a store that is full ends its replica, and leaves the others a majority. With room it comes back.
func TestBudget(t *testing.T) {
	s := newSite(t, three)
	s.startAll()
	s.propose("one")
	s.agree("one")
	full := s.leader().name
	s.stop(full)
	s.tune = func(o *Options) { o.budget = 1 } // what the file has is kept; it may not grow
	m := s.start(full)
	s.tune = nil
	wait(t, "a full store", func() bool {
		s.propose(strings.Repeat("x", 16000))
		return m.Err() != nil
	})
	if !errors.Is(m.Err(), berrors.ErrMaxSizeReached) {
		t.Errorf("it stopped for %v", m.Err())
	}
	s.propose("two")
	s.stop(full)
	s.copyData(s.data(full), s.data("moved")) // where it was a vote that could not be written, this process keeps the lock for good
	s.copyData(s.data("moved"), s.data(full))
	m = s.start(full)
	s.wait("two", func() bool { c := m.commands(); return len(c) > 0 && c[len(c)-1] == "two" })
}

// TestFullDisk is TestBudget on a file system without room, where one can be made.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=512k"); err != nil {
		t.Skipf("no file system to fill: %v", err)
	}
	defer func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) }()
	st, err := openStore(dir, storeBudget)
	if err != nil {
		t.Fatal(err)
	}
	index, failed := uint64(0), error(nil)
	d := &disk{LogStore: st, limit: patience, fail: func(err error) { failed = err }}
	for err = nil; err == nil && index < 100; {
		index++
		err = d.StoreLog(&raft.Log{Index: index, Data: make([]byte, 16000)})
	}
	if !errors.Is(failed, syscall.ENOSPC) {
		t.Fatalf("after %d entries: %v", index, failed)
	}
	if err := st.close(); err != nil {
		t.Fatal(err)
	}
	st, err = openStore(dir, storeBudget)
	if err != nil {
		t.Fatalf("a full store cannot be opened: %v", err)
	}
	defer st.close()
	if last, err := st.LastIndex(); err != nil || last != index-1 || st.mark().Writes != index-1 {
		t.Errorf("last entry %d, writes %d, %v; %d were acknowledged", last, st.mark().Writes, err, index-1)
	}
}

// TestVoteThatCannotBeWritten: raft would panic; here it is not answered, and the replica stops.
func TestVoteThatCannotBeWritten(t *testing.T) {
	told := make(chan error, 1)
	b := &ballot{StableStore: brokenStable{}, fail: func(err error) { told <- err }}
	returned := make(chan struct{})
	go func() {
		_ = b.SetUint64([]byte("CurrentTerm"), 7)
		close(returned)
	}()
	if err := <-told; !errors.Is(err, errBroken) {
		t.Errorf("got %v", err)
	}
	select {
	case <-returned:
		t.Error("raft got an answer")
	case <-time.After(20 * time.Millisecond):
	}
}

var errBroken = errors.New("broken")

type brokenStable struct{ raft.StableStore }

func (brokenStable) SetUint64([]byte, uint64) error { return errBroken }

func TestStore(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "deep", "raft")
	s, err := openStore(dir, storeBudget)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get([]byte("x")); err == nil || err.Error() != "not found" {
		t.Errorf("raft does not know %v", err)
	}
	if err := s.SetUint64([]byte("CurrentTerm"), 0); err != nil || s.mark().Writes != 0 {
		t.Errorf("a store that promised nothing has %d writes, %v", s.mark().Writes, err)
	}
	if err := s.GetLog(1, &raft.Log{}); !errors.Is(err, raft.ErrLogNotFound) {
		t.Errorf("got %v", err)
	}
	stamp := time.Unix(0, 1234567890).UTC()
	entries := []*raft.Log{
		{Index: 5, Term: 2, Type: raft.LogConfiguration, Data: []byte("five"), Extensions: []byte("ext"), AppendedAt: stamp},
		{Index: 6, Term: 2, Data: nil},
		{Index: 7, Term: 3, Data: make([]byte, 10000)},
	}
	if err := errors.Join(s.StoreLogs(entries), s.SetUint64([]byte("CurrentTerm"), 3), s.SetUint64([]byte("CurrentTerm"), 3)); err != nil {
		t.Fatal(err)
	}
	if m := s.mark(); m.Writes != 2 || m.Index != 7 || len(m.Runs) != 1 {
		t.Errorf("the mark is %+v", m)
	}
	if other, err := openStore(dir, storeBudget); err == nil {
		other.close()
		t.Error("two have it open")
	}
	name := s.mark().Store
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	if s, err = openStore(dir, storeBudget); err != nil {
		t.Fatal(err)
	}
	defer s.close()
	var got raft.Log
	if err := s.GetLog(5, &got); err != nil || got.Index != 5 || got.Term != 2 || got.Type != raft.LogConfiguration || string(got.Data) != "five" || string(got.Extensions) != "ext" || !got.AppendedAt.Equal(stamp) {
		t.Errorf("read %+v, %v", got, err)
	}
	if err := s.DeleteRange(5, 6); err != nil {
		t.Fatal(err)
	}
	low, _ := s.FirstIndex()
	high, _ := s.LastIndex()
	if m := s.mark(); low != 7 || high != 7 || m.Store != name || len(m.Runs) != 2 || m.Runs[1].From != 2 || m.Writes != 3 {
		t.Errorf("entries %d to %d, mark %+v", low, high, m)
	}
	if info := must(os.Stat(filepath.Join(dir, storeFile))); info.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v", info.Mode())
	}
}

func TestStoreOfANewerVersion(t *testing.T) {
	dir := t.TempDir()
	s := must(openStore(dir, storeBudget))
	_ = s.db.Update(func(tx *bolt.Tx) error { return putOwn(tx, own{Version: storeVersion + 1}) })
	s.close()
	if _, err := openStore(dir, storeBudget); err == nil || !strings.Contains(err.Error(), "a newer one wrote it") {
		t.Errorf("got %v", err)
	}
}

func TestBrokenEntries(t *testing.T) {
	good := encodeEntry(&raft.Log{Index: 1, Extensions: []byte("ext"), Data: []byte("data")})
	for n := range entryHead + 3 {
		if err := decodeEntry(1, good[:n], &raft.Log{}); err == nil {
			t.Errorf("%d bytes were read as an entry", n)
		}
	}
	good[0]++
	if err := decodeEntry(1, good, &raft.Log{}); err == nil {
		t.Error("another version was read")
	}
}
