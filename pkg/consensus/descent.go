package consensus

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	bolt "go.etcd.io/bbolt"
)

// ErrSuperseded is returned when the quorum that a store is of was made anew without it (Recover). The store votes and follows no more, whoever else
// comes back: it is to be set aside, and its host begins without it.
var ErrSuperseded = errors.New("the quorum was made anew without this store")

// ErrOtherQuorum is returned when two quorums were made of one. Neither knows which is right: an operator sets the stores of one aside.
var ErrOtherQuorum = errors.New("the host is of another quorum, that was made of the same one")

// errLeftBehind is ErrSuperseded of the own store.
var errLeftBehind = errors.New("its quorum was made anew out of the one that this host's store is of")

// descent compares the quorums that two stores are of, by their resets. One whose resets are the first ones of another's is what that was made of. A
// store that nobody has told anything is of no quorum yet: it begins, and takes over what it is told (adopt).
func descent(own, theirs *mark) error {
	n := min(len(own.Resets), len(theirs.Resets))
	switch {
	case !slices.Equal(own.Resets[:n], theirs.Resets[:n]):
		return fmt.Errorf("%w: %q against %q", ErrOtherQuorum, theirs.Resets, own.Resets)
	case len(theirs.Resets) < len(own.Resets) && !theirs.begins():
		return fmt.Errorf("%w: it was reset as %q", ErrSuperseded, own.Resets[n:])
	case len(own.Resets) < len(theirs.Resets) && !own.begins():
		return errLeftBehind
	}
	return nil
}

// begins tells whether the store has promised nothing, and knows of no membership.
func (m *mark) begins() bool { return m.Since == 0 && m.Writes == 0 }

// adopt is called before a connection with a host is accepted. A store that begins takes over the resets of the quorum that the host is of, and keeps
// them before it hears anything else of that quorum: from then on none from before is accepted. It is too late for that when raft was given a
// connection already: an entry of another quorum may be on its way. Then the store is left behind, like those that it heard.
func (s *store) adopt(theirs *mark, forRaft bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	mine := s.markLocked()
	if err := descent(&mine, theirs); err != nil {
		return err
	}
	if len(theirs.Resets) > len(mine.Resets) {
		if s.heard {
			return errLeftBehind
		}
		err := s.changeLocked(func(_ *bolt.Tx, next *own) error {
			next.Resets = slices.Clone(theirs.Resets)
			return nil
		})
		if err != nil {
			return err
		}
	}
	s.heard = s.heard || forRaft
	return nil
}

// askAround greets every host of the inventory once before this one takes part, unless it begins: its quorum may have been made anew
// without it, and those who are left behind together would be a majority of the one that it knows. Who does not answer in time is not waited for.
func (n *Node) askAround() error {
	if own := n.store.mark(); own.begins() {
		return nil
	}
	var all sync.WaitGroup
	for _, h := range n.others() {
		all.Go(func() { _ = n.rounds.meet(n.life, h.Name) }) // what came of it is in the acquaintance
	}
	all.Wait()
	return n.Err()
}
