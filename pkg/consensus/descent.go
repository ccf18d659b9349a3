package consensus

import (
	"errors"
	"fmt"
	"slices"
	"sync"
)

// ErrSuperseded is returned when the quorum that a store is of was made anew without it (Recover). The store votes and follows no more, whoever else
// comes back: it is to be set aside, and its host begins without it.
var ErrSuperseded = errors.New("the quorum was made anew without this store")

// ErrOtherQuorum is returned when two quorums were made of one. Neither knows which is right: an operator sets the stores of one aside.
var ErrOtherQuorum = errors.New("the host is of another quorum, that was made of the same one")

// errLeftBehind is ErrSuperseded of the own store.
var errLeftBehind = errors.New("its quorum was made anew out of the one that this host's store is of")

// descent compares the quorums that two stores are of, by their resets. One whose resets are the first ones of another's is what that was made of. A
// store that knows of no membership of its own is of no quorum yet: it begins, and takes over what it is told.
func descent(own, theirs *mark) error {
	n := min(len(own.Resets), len(theirs.Resets))
	switch {
	case own.Since == 0 || theirs.Since == 0:
		return nil
	case !slices.Equal(own.Resets[:n], theirs.Resets[:n]):
		return fmt.Errorf("%w: %q against %q", ErrOtherQuorum, theirs.Resets, own.Resets)
	case len(theirs.Resets) < len(own.Resets):
		return fmt.Errorf("%w: it was reset as %q", ErrSuperseded, own.Resets[n:])
	case len(own.Resets) < len(theirs.Resets):
		return errLeftBehind
	}
	return nil
}

// askAround greets every host of the inventory once before this one takes part, unless it has never been a member: its quorum may have been made anew
// without it, and those who are left behind together would be a majority of the one that it knows. Who does not answer in time is not waited for.
func (n *Node) askAround() error {
	if n.store.mark().Since == 0 {
		return nil
	}
	var all sync.WaitGroup
	for _, h := range n.others() {
		all.Go(func() { _ = n.rounds.meet(n.life, h.Name) }) // what came of it is in the acquaintance
	}
	all.Wait()
	return n.Err()
}
