package consensus

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// errRefused is returned when the other end does not accept this host's store.
var errRefused = errors.New("refused by the other end")

// acquaintance is what a host knows of the others, and how it introduces itself to them.
type acquaintance struct {
	host      string
	store     *store
	replica   *replica
	now       func() time.Time
	timeout   time.Duration // for one greeting
	formation func() string // what this host would found
	refused   func(by string, r refusal)

	mu    sync.Mutex
	began time.Time
	known map[string]*known
}

// known is what is known of one host since this process began.
type known struct {
	last    time.Time // of its last greeting that was accepted
	index   uint64    // of its last entry then
	fresh   string    // what it would found, when it was last seen without anything promised; "" it never was
	refused string    // why its last greeting was refused; "" it was not
}

// introduce greets the host that was dialed.
func (a *acquaintance) introduce(conn net.Conn, peer, purpose string) error {
	return a.timely(conn, func() error {
		before, err := a.store.sighting(peer)
		if err != nil {
			return err
		}
		if err := writeFrame(conn, frame{For: purpose}); err != nil {
			return err
		}
		theirs, err := readFrame(conn)
		if err != nil {
			return err
		}
		if err := a.judge(peer, purpose, before, theirs); err != nil {
			return errors.Join(err, refuse(conn, err))
		}
		if err := writeFrame(conn, a.self()); err != nil {
			return err
		}
		verdict, err := readFrame(conn)
		return errors.Join(err, a.heed(peer, verdict))
	})
}

// receive answers the host that dialed, and says what the connection is for.
func (a *acquaintance) receive(conn net.Conn, peer string) (purpose string, err error) {
	asked, err := readFrame(conn) // on a connection of rounds it may be a while
	if err != nil {
		return "", err
	}
	return asked.For, a.timely(conn, func() error {
		before, err := a.store.sighting(peer)
		if err != nil {
			return err
		}
		if err := writeFrame(conn, a.self()); err != nil {
			return err
		}
		theirs, err := readFrame(conn)
		if err != nil {
			return err
		}
		if err := a.heed(peer, theirs); err != nil {
			return err
		}
		if err := a.judge(peer, asked.For, before, theirs); err != nil {
			return errors.Join(err, refuse(conn, err))
		}
		return writeFrame(conn, frame{})
	})
}

// timely gives a greeting its time.
func (a *acquaintance) timely(conn net.Conn, greet func() error) error {
	if err := conn.SetDeadline(a.now().Add(a.timeout)); err != nil {
		return err
	}
	if err := greet(); err != nil {
		return err
	}
	return conn.SetDeadline(time.Time{})
}

// self is this host's own word.
func (a *acquaintance) self() frame {
	m := a.store.mark()
	m.Since = max(m.Since, a.replica.joined(a.host))
	if resets := a.replica.membership().Resets; len(resets) > len(m.Resets) {
		m.Resets = resets
	}
	return frame{Mark: &m, Formation: a.formation()}
}

// judge takes the word of a host, and keeps it before anything else is said.
func (a *acquaintance) judge(peer, purpose string, before *sighting, theirs frame) error {
	if theirs.Mark == nil {
		return fmt.Errorf("%s said nothing of its store", peer)
	}
	err := a.accept(peer, purpose, before, theirs.Mark)
	a.mu.Lock()
	defer a.mu.Unlock()
	k := a.of(peer)
	if errors.Is(err, ErrWentBack) || errors.Is(err, ErrOtherStore) || errors.Is(err, ErrOtherQuorum) || errors.Is(err, ErrSuperseded) {
		k.refused = err.Error()
	}
	if errors.Is(err, errLeftBehind) {
		a.refused(peer, refusal{Superseded: true, Why: err.Error()})
	}
	if err != nil {
		return fmt.Errorf("%s: %w", peer, err)
	}
	k.last, k.index, k.refused = a.now(), theirs.Mark.Index, ""
	if theirs.Mark.Writes == 0 {
		k.fresh = theirs.Formation
	}
	return nil
}

// accept keeps what a host's mark says, or says why it is not accepted. Its quorum comes first: marks of two quorums do not compare.
func (a *acquaintance) accept(peer, purpose string, before *sighting, theirs *mark) error {
	if err := a.store.adopt(theirs, purpose == forRaft); err != nil {
		return err
	}
	seen, err := judge(before, *theirs, a.replica.since(peer))
	if err != nil {
		return err
	}
	return a.store.keepSighting(peer, seen)
}

// heed takes the other's verdict on this host.
func (a *acquaintance) heed(peer string, verdict frame) error {
	if verdict.Refusal == nil {
		return nil
	}
	a.refused(peer, *verdict.Refusal)
	return fmt.Errorf("%s: %w: %s", peer, errRefused, verdict.Refusal.Why)
}

// of is what is known of a host; it is called with the lock held.
func (a *acquaintance) of(peer string) *known {
	k := a.known[peer]
	if k == nil {
		k = &known{last: a.began} // as if it had answered then: silence has to last before it counts
		a.known[peer] = k
	}
	return k
}

// look is what is known of a host.
func (a *acquaintance) look(peer string) known {
	a.mu.Lock()
	defer a.mu.Unlock()
	return *a.of(peer)
}
