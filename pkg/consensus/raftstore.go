package consensus

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
	bolt "go.etcd.io/bbolt"
)

// errNotFound has the text by which raft knows that a key was never set (raft, api.go: HasExistingState).
var errNotFound = errors.New("not found")

// FirstIndex is that of the oldest entry, 0 without any.
func (s *store) FirstIndex() (index uint64, err error) {
	err = s.db.View(func(tx *bolt.Tx) error {
		if key, _ := tx.Bucket(bucketLog).Cursor().First(); key != nil {
			index = binary.BigEndian.Uint64(key)
		}
		return nil
	})
	return index, err
}

// LastIndex is that of the newest entry, 0 without any.
func (s *store) LastIndex() (index uint64, err error) {
	err = s.db.View(func(tx *bolt.Tx) error {
		index = lastIndex(tx)
		return nil
	})
	return index, err
}

func lastIndex(tx *bolt.Tx) uint64 {
	key, _ := tx.Bucket(bucketLog).Cursor().Last()
	if key == nil {
		return 0
	}
	return binary.BigEndian.Uint64(key)
}

// GetLog reads an entry; raft.ErrLogNotFound when there is none.
func (s *store) GetLog(index uint64, out *raft.Log) error {
	return s.db.View(func(tx *bolt.Tx) error {
		data := tx.Bucket(bucketLog).Get(key64(index))
		if data == nil {
			return raft.ErrLogNotFound
		}
		return decodeEntry(index, data, out)
	})
}

// StoreLog writes one entry.
func (s *store) StoreLog(entry *raft.Log) error { return s.StoreLogs([]*raft.Log{entry}) }

// StoreLogs writes entries, all or none.
func (s *store) StoreLogs(entries []*raft.Log) error {
	return s.write(func(tx *bolt.Tx) error {
		for _, e := range entries {
			if err := tx.Bucket(bucketLog).Put(key64(e.Index), encodeEntry(e)); err != nil {
				return err
			}
		}
		return nil
	})
}

// DeleteRange deletes the entries from low to high, both included. The keys are read before the first is deleted: a cursor may stand on a page that has
// become empty, and give the same key for ever.
func (s *store) DeleteRange(low, high uint64) error {
	return s.write(func(tx *bolt.Tx) error {
		bucket := tx.Bucket(bucketLog)
		var keys [][]byte
		cursor := bucket.Cursor()
		for key, _ := cursor.Seek(key64(low)); key != nil && binary.BigEndian.Uint64(key) <= high; key, _ = cursor.Next() {
			keys = append(keys, bytes.Clone(key))
		}
		for _, key := range keys {
			if err := bucket.Delete(key); err != nil {
				return err
			}
		}
		return nil
	})
}

// Set keeps a value of raft's. What is there already is not written again.
func (s *store) Set(key, value []byte) error {
	if old, err := s.Get(key); err == nil && bytes.Equal(old, value) {
		return nil
	}
	return s.write(func(tx *bolt.Tx) error { return tx.Bucket(bucketStable).Put(key, value) })
}

// Get reads a value of raft's; errNotFound when it was never set.
func (s *store) Get(key []byte) (value []byte, err error) {
	err = s.db.View(func(tx *bolt.Tx) error {
		data := tx.Bucket(bucketStable).Get(key)
		if data == nil {
			return errNotFound
		}
		value = bytes.Clone(data) // bbolt's memory is good for the transaction only
		return nil
	})
	return value, err
}

// SetUint64 is Set for a number. A zero is not written where nothing is: raft sets its term at each start, and a store
// that has promised nothing is to stay so.
func (s *store) SetUint64(key []byte, value uint64) error {
	if _, err := s.Get(key); value == 0 && errors.Is(err, errNotFound) {
		return nil
	}
	return s.Set(key, key64(value))
}

// GetUint64 is Get for a number.
func (s *store) GetUint64(key []byte) (uint64, error) {
	data, err := s.Get(key)
	if err != nil {
		return 0, err
	}
	if len(data) != 8 {
		return 0, fmt.Errorf("%s has %d bytes, expected a number of 8", key, len(data))
	}
	return binary.BigEndian.Uint64(data), nil
}

func key64(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// An entry is, after one byte that gives the version of this encoding: type (1 byte), term (8), time in ns (8), length of the
// extensions (4), the extensions, the data.
const (
	entryVersion = 1
	entryHead    = 1 + 1 + 8 + 8 + 4
)

func encodeEntry(e *raft.Log) []byte {
	out := make([]byte, 0, entryHead+len(e.Extensions)+len(e.Data))
	out = append(out, entryVersion, byte(e.Type))
	out = binary.BigEndian.AppendUint64(out, e.Term)
	out = binary.BigEndian.AppendUint64(out, uint64(e.AppendedAt.UnixNano()))
	out = binary.BigEndian.AppendUint32(out, uint32(len(e.Extensions)))
	out = append(out, e.Extensions...)
	return append(out, e.Data...)
}

func decodeEntry(index uint64, in []byte, out *raft.Log) error {
	if len(in) < entryHead || in[0] != entryVersion || uint64(binary.BigEndian.Uint32(in[18:])) > uint64(len(in)-entryHead) {
		return fmt.Errorf("entry %d of the log cannot be read", index)
	}
	body, extensions := in[entryHead:], binary.BigEndian.Uint32(in[18:])
	*out = raft.Log{
		Index: index, Type: raft.LogType(in[1]), Term: binary.BigEndian.Uint64(in[2:]),
		AppendedAt: time.Unix(0, int64(binary.BigEndian.Uint64(in[10:]))),
		Data:       bytes.Clone(body[extensions:]),
	}
	if extensions > 0 {
		out.Extensions = bytes.Clone(body[:extensions])
	}
	return nil
}
