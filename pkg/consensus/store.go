package consensus

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
)

// The store's file, what it may grow to, and how long another process is waited for that holds it. raft's log is cut to
// trailingLogs entries after each snapshot, so a store stays far below its budget (docs/consensus.md).
const (
	storeFile    = "raft.db"
	storeBudget  = 256 << 20
	storeTimeout = 2 * time.Second
	storeVersion = 1
)

var (
	bucketLog    = []byte("log")       // index, big endian: entry
	bucketStable = []byte("stable")    // raft's term and vote
	bucketOwn    = []byte("own")       // what this store is
	bucketSeen   = []byte("sightings") // host: sighting
	keyOwn       = []byte("own")
)

// own is what a store says of itself. It is written with every write of raft, in the same transaction.
type own struct {
	Version int    `json:"version"`
	Store   string `json:"store"`
	Since   uint64 `json:"since"`
	Writes  uint64 `json:"writes"`
	Runs    []run  `json:"runs"`
	// Resets are the times that the quorum was made anew out of one survivor (Recover), by their names, oldest first.
	Resets []string `json:"resets,omitempty"`
	// Unfinished says that the last one of them is not done.
	Unfinished bool `json:"unfinished,omitempty"`
}

// done are the resets that came to their end.
func (o *own) done() []string {
	if o.Unfinished {
		return o.Resets[:len(o.Resets)-1]
	}
	return o.Resets
}

// store is raft's log and its stable store in one bbolt file. A write that has returned is on the disk: bbolt syncs at each
// commit. All methods may be called at once.
type store struct {
	db  *bolt.DB
	run string // this process

	mu    sync.Mutex // held over every write, and over a reading of what was written
	own   own        // as it is on the disk
	index uint64     // of the last entry
	heard bool       // raft was given a connection in this process (adopt)
}

// openStore opens the store in a directory, which is made where it is missing. budget is the size in bytes beyond which
// writes fail. An error after storeTimeout says that another process has it.
func openStore(dir string, budget int) (*store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, storeFile)
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: storeTimeout, MaxSize: budget, FreelistType: bolt.FreelistMapType})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	s := &store{db: db, run: randomID()}
	if err := errors.Join(s.load(), syncDir(dir)); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), db.Close())
	}
	return s, nil
}

// load reads what the store is; a new one gets a name of its own, before anything else is written to it.
func (s *store) load() error {
	return s.db.Update(func(tx *bolt.Tx) error {
		for _, name := range [][]byte{bucketLog, bucketStable, bucketOwn, bucketSeen} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		err := s.read(tx)
		if errors.Is(err, errNotFound) {
			s.own = own{Version: storeVersion, Store: randomID()}
			return putOwn(tx, s.own)
		}
		return err
	})
}

// read reads what the store is; errNotFound: it is none yet.
func (s *store) read(tx *bolt.Tx) error {
	if tx.Bucket(bucketOwn) == nil || tx.Bucket(bucketLog) == nil {
		return errNotFound
	}
	s.index = lastIndex(tx)
	data := tx.Bucket(bucketOwn).Get(keyOwn)
	if data == nil {
		return errNotFound
	}
	if err := json.Unmarshal(data, &s.own); err != nil {
		return err
	}
	if s.own.Version > storeVersion {
		return fmt.Errorf("it is of version %d, this program knows up to %d: a newer one wrote it", s.own.Version, storeVersion)
	}
	return nil
}

// write runs one durable write of raft. The count and the run go into the same transaction: they never lag behind.
func (s *store) write(change func(tx *bolt.Tx) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.own
	next.Runs = slices.Clone(next.Runs)
	if n := len(next.Runs); n == 0 || next.Runs[n-1].ID != s.run {
		next.Runs = append(next.Runs, run{ID: s.run, From: next.Writes})
		next.Runs = next.Runs[max(0, len(next.Runs)-maxRuns):]
	}
	next.Writes++
	err := s.db.Update(func(tx *bolt.Tx) error {
		if err := change(tx); err != nil {
			return err
		}
		return putOwn(tx, next)
	})
	if err != nil {
		return err
	}
	s.own = next
	// not in the transaction: Cursor.Last of bbolt 1.5.0 does not come back there when the last of several pages of entries were emptied (TestDeleteRange)
	s.index, err = s.LastIndex()
	return err
}

// mark is how far the store has come. It waits for a write that is under way, so what it says is durable.
func (s *store) mark() mark {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.markLocked()
}

// markLocked is called with the lock held.
func (s *store) markLocked() mark {
	return mark{Store: s.own.Store, Since: s.own.Since, Writes: s.own.Writes, Runs: slices.Clone(s.own.Runs), Index: s.index, Resets: s.own.Resets}
}

// keepMembership notes the index at which this host became a member, and the resets of the quorum until then, from the replicated state. It is no
// write of raft.
func (s *store) keepMembership(index uint64, resets []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if index <= s.own.Since && len(resets) <= len(s.own.Resets) {
		return nil
	}
	return s.changeLocked(func(_ *bolt.Tx, next *own) error {
		next.Since = max(next.Since, index)
		if len(resets) > len(next.Resets) {
			next.Resets = resets
		}
		return nil
	})
}

// change changes what the store says of itself, with what goes with it, at once. It is no write of raft.
func (s *store) change(change func(tx *bolt.Tx, next *own) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changeLocked(change)
}

// changeLocked is called with the lock held.
func (s *store) changeLocked(change func(tx *bolt.Tx, next *own) error) error {
	next := s.own
	err := s.db.Update(func(tx *bolt.Tx) error {
		if err := change(tx, &next); err != nil {
			return err
		}
		return putOwn(tx, next)
	})
	if err == nil {
		s.own = next
	}
	return err
}

func (s *store) close() error { return s.db.Close() }

func putOwn(tx *bolt.Tx, o own) error {
	data, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return tx.Bucket(bucketOwn).Put(keyOwn, data)
}

// randomID is 64 random bits in hex.
func randomID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// size is that of the file, in bytes; 0 when it cannot be asked.
func (s *store) size() int64 {
	info, err := os.Stat(s.db.Path())
	if err != nil {
		return 0
	}
	return info.Size()
}
