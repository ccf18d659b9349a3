package consensus

import (
	"errors"
	"fmt"
	"slices"
)

// ErrWentBack is returned when a store is older than what a peer has seen of it: a copy of its directory, or a disk that lost
// what it had said to be durable, was put in its place. Its votes and acknowledgements since then are forgotten, so it must
// not give others. The directory is to be emptied; the host then begins again without a vote.
var ErrWentBack = errors.New("the store went back to an older state")

// ErrOtherStore is returned when a host comes with another store than the one that is known of it: its disk was emptied or
// exchanged. It is taken in again when it has been removed from the members and joins anew.
var ErrOtherStore = errors.New("the host has another store than the one that is known")

// mark is how far a store has come, as its own host says it. The announced one was durable when it was read.
//
// raft's own measures do not serve: within one term the last index goes back whenever a leader replaces entries that were
// never committed. What only grows is the number of durable writes of raft: each vote, term, entry and deletion.
type mark struct {
	Store  string `json:"store"`  // made at random when the store was made: an emptied disk has another
	Since  uint64 `json:"since"`  // index at which the host last became a member, as its own log says; 0: not known
	Writes uint64 `json:"writes"` // durable writes of raft in this store; 0: it has promised nothing
	Runs   []run  `json:"runs"`   // processes that wrote, oldest first; the last maxRuns
	Index  uint64 `json:"index"`  // of the last log entry; tells how far behind it is, judges nothing
	// Resets are those of the quorum that its store is of (descent).
	Resets []string `json:"resets,omitempty"`
}

// run is one life of a process on a store, from its first write.
type run struct {
	ID   string `json:"id"`   // made at random
	From uint64 `json:"from"` // writes of the store when it began
}

// maxRuns bounds a mark. A peer that has not seen a host for this many of its restarts takes it as it comes.
const maxRuns = 64

// sighting is what a host keeps of another: the furthest mark that it has seen.
type sighting struct {
	Store  string `json:"store"`
	Since  uint64 `json:"since"` // the highest index of membership known for this store
	Run    string `json:"run"`   // the last one
	Writes uint64 `json:"writes"`
}

// judge says whether a host may go on with the store that m tells of, and what is then kept of it. before is the sighting
// that was kept when the host was asked for m (not a later one: answers overtake each other), nil: none. since is the
// index at which it became a member, or after which it may become one, as the log of the one who judges says; 0: not known.
//
// One store follows on another only by way of the members: the host was removed and joined again since the last sighting,
// and the new store began empty after that (it knows of no membership of its own), or it has already been told of the newer
// membership, which it can only have from the log.
func judge(before *sighting, m mark, since uint64) (*sighting, error) {
	now := &sighting{Store: m.Store, Since: max(m.Since, since), Writes: m.Writes}
	if len(m.Runs) > 0 {
		now.Run = m.Runs[len(m.Runs)-1].ID
	}
	switch {
	case before == nil:
		return now, nil
	case before.Store != m.Store:
		if m.Since > before.Since || since > before.Since && m.Since == 0 {
			return now, nil
		}
		return nil, fmt.Errorf("%w: it was %s, member since index %d, and is %s now", ErrOtherStore, before.Store, before.Since, m.Store)
	}
	now.Since = max(now.Since, before.Since)
	return now, follows(*before, m)
}

// follows tells whether a mark's history goes through the sighting.
func follows(before sighting, m mark) error {
	if before.Writes == 0 {
		return nil
	}
	i := slices.IndexFunc(m.Runs, func(r run) bool { return r.ID == before.Run })
	if i < 0 {
		if len(m.Runs) == maxRuns && m.Runs[0].From >= before.Writes {
			return nil
		}
		return fmt.Errorf("%w: it knows nothing of the run in which it had %d writes", ErrWentBack, before.Writes)
	}
	end := m.Writes
	if i+1 < len(m.Runs) {
		end = m.Runs[i+1].From
	}
	if end < before.Writes {
		return fmt.Errorf("%w: its run had %d writes, and ends after %d now", ErrWentBack, before.Writes, end)
	}
	return nil
}

// newer is the further one of two sightings of one host, both judged good.
func newer(a, b *sighting) *sighting {
	switch {
	case a == nil:
		return b
	case a.Store == b.Store && a.Writes > b.Writes, a.Store != b.Store && a.Since > b.Since:
		return a
	}
	return b
}
