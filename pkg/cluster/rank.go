package cluster

import (
	"cmp"
	"strings"
)

// Candidate is a server that may be elected, as far as the order of preference knows it.
type Candidate struct {
	Host     string
	Member   string
	Position LSN
	Failed   bool // it was elected by the attempt before and did not get there, or its starts fail
	Old      bool // it was the master of the epoch that is over
	Wanted   bool // an operator wants it
}

// Compare is the order in which candidates are preferred, the best first, total: no two servers are equal. All of them have reached the
// bar, so each is safe; the order is about what works.
//
//  1. One that did not fail a moment ago: else an election would come to the same server for ever.
//  2. The one that an operator wants.
//  3. The furthest: it may have commits that were never acknowledged, and losing none is better than losing some.
//  4. Not the old master: it has just shown that it is not well.
//  5. By name.
func Compare(a, b Candidate) int {
	return cmp.Or(last(a.Failed, b.Failed), last(b.Wanted, a.Wanted), cmp.Compare(b.Position, a.Position), last(a.Old, b.Old), strings.Compare(a.Host, b.Host))
}

// last puts the one of which it is true behind the other.
func last(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}
