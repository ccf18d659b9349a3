package failover

import (
	"cmp"
	"slices"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// Store is what a host has of the quorum on its disk.
type Store struct {
	Term   uint64   `json:"term"`   // of the last entry of its log
	Index  uint64   `json:"index"`  // of that entry
	Voters []string `json:"voters"` // by that log
	Resets []string `json:"resets"` // the times that this quorum was made anew, by their names
}

// Shelf is what a host has of quorums: what `pgctl store look` prints there.
type Shelf struct {
	Running  bool          `json:"running"`  // a watcher runs
	Executor string        `json:"executor"` // whom it takes for the executor; "" nobody
	Problem  string        `json:"problem"`  // why it takes no part in a quorum, or why what is there cannot be read; "" neither
	Store    *Store        `json:"store"`    // null: there is none, or nothing was ever written to it
	State    cluster.State `json:"state"`    // the latest that is known there
	Aside    []string      `json:"aside"`    // what was set aside, by name
}

// has tells whether its store is of the quorum that was made anew under this name, or of one that was made of that.
func (s *Shelf) has(reset string) bool {
	return s.Store != nil && slices.Contains(s.Store.Resets, reset)
}

// Secret tells whether there may be a store that its watcher, which has it open, does not tell of: it has only begun, or hangs.
func (s *Shelf) Secret() bool { return s.Running && s.Store == nil && s.Problem != "" }

// Broken tells whether no watcher runs, and what there is cannot be read.
func (s *Shelf) Broken() bool { return !s.Running && s.Problem != "" }

// compareStores orders by what is known: of two the later one has all that the earlier one knows to be agreed. Entries of a later term were written by a
// leader that had everything that was agreed before (raft, Leader Completeness); within a term there was one leader, whose log only grew.
func compareStores(a, b *Store) int {
	return cmp.Or(cmp.Compare(len(a.Resets), len(b.Resets)), cmp.Compare(a.Term, b.Term), cmp.Compare(a.Index, b.Index))
}

// apart tells whether two stores are of quorums that were made of one, each without the other.
func apart(a, b *Store) bool {
	n := min(len(a.Resets), len(b.Resets))
	return !slices.Equal(a.Resets[:n], b.Resets[:n])
}
