package consensus

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// ErrDiskHangs is returned when a write to the log has not come back in time.
var ErrDiskHangs = errors.New("the disk does not answer")

// disk is the log store that raft writes to. A write that fails or takes longer than limit ends the replica: raft never
// replaces a leader whose disk hangs, as its heartbeats do not pass by the disk (hashicorp/raft issue 503).
//
// Nothing is written after that. The write that hangs may still land: then the log has an entry that was not acknowledged,
// or lacks a suffix that was to be replaced, as after a power failure at that point. What it cannot do is land after a later write.
type disk struct {
	raft.LogStore
	limit time.Duration
	fail  func(error) // told once; may not block

	mu     sync.Mutex
	failed error
}

// StoreLog writes one entry.
func (d *disk) StoreLog(entry *raft.Log) error { return d.StoreLogs([]*raft.Log{entry}) }

// StoreLogs writes entries.
func (d *disk) StoreLogs(entries []*raft.Log) error {
	return d.write(func() error { return d.LogStore.StoreLogs(entries) })
}

// DeleteRange deletes entries.
func (d *disk) DeleteRange(low, high uint64) error {
	return d.write(func() error { return d.LogStore.DeleteRange(low, high) })
}

// diskTicks is in how many parts the limit is counted: a process that was stopped for a while takes no more than one of them for the disk's.
const diskTicks = 4

// write holds its lock for as long as it waits: no write begins while another is under way, nor after one that failed.
func (d *disk) write(do func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failed != nil {
		return d.failed
	}
	done := make(chan error, 1)
	go func() { done <- do() }()
	err := d.wait(done)
	if err == nil {
		return nil
	}
	d.failed = fmt.Errorf("the log cannot be written: %w", err)
	d.fail(d.failed)
	return d.failed
}

func (d *disk) wait(done <-chan error) error {
	for range diskTicks {
		select {
		case err := <-done:
			return err
		case <-time.After(d.limit / diskTicks):
		}
	}
	select {
	case err := <-done: // the last part may have been the one that was missed
		return err
	default:
		return fmt.Errorf("%w: nothing for %s", ErrDiskHangs, d.limit)
	}
}

// ballot is the store of raft's term and vote. It has no deadline: raft panics when it cannot save its term, and would go on
// without a vote that it may have given. A write that fails ends the replica too, and never returns to raft: the
// goroutine that asked stays where it is, until the process ends.
type ballot struct {
	raft.StableStore
	fail func(error)
}

// Set keeps a value.
func (b *ballot) Set(key, value []byte) error { return b.written(b.StableStore.Set(key, value)) }

// SetUint64 keeps a number.
func (b *ballot) SetUint64(key []byte, value uint64) error {
	return b.written(b.StableStore.SetUint64(key, value))
}

func (b *ballot) written(err error) error {
	if err == nil {
		return nil
	}
	b.fail(fmt.Errorf("the term and the vote cannot be written: %w", err))
	select {}
}
