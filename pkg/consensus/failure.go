package consensus

import (
	"fmt"
	"time"
)

// Failed is closed when the replica cannot go on: its disk fails or hangs, its Machine stopped it, its store is older than
// what a peer has seen, or a transfer of the lead is stuck. It casts no vote and applies nothing any more. The process is to
// end: only a new one is sure to be rid of what hangs. Err says why.
func (n *Node) Failed() <-chan struct{} { return n.failed }

// Err is why the replica cannot go on; nil: it does.
func (n *Node) Err() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.err
}

// fail ends the replica. It is called from within raft too, so it does not wait: watch does the rest.
func (n *Node) fail(err error) {
	n.failOnce.Do(func() {
		n.mu.Lock()
		n.err = err
		n.mu.Unlock()
		close(n.failed)
	})
}

// watch ends raft when the replica has failed.
func (n *Node) watch() {
	select {
	case <-n.ended:
	case <-n.failed:
		n.options.Log.Error("the replica has stopped", "error", n.Err())
		go func() { _ = n.shutdown() }() // it may never end, which is why the replica has failed
		if n.options.transport == nil {
			n.options.Port.quit()
		}
	}
}

// refusedBy hears that a peer does not accept this host's store. That it went back is certain: the peer has seen more of
// this very store. So is that the quorum was made anew without it: the peer's quorum is made of the one that this store is of. Another store is refused until the members say that this one is the host's now.
func (n *Node) refusedBy(peer string, r refusal) {
	if r.WentBack {
		n.fail(fmt.Errorf("%w: %s says: %s; empty %s and start again", ErrWentBack, peer, r.Why, n.options.Dir))
		return
	}
	if r.Superseded {
		n.fail(fmt.Errorf("%w, as %s says: %s is to be set aside, and this host begins without it", ErrSuperseded, peer, n.options.Dir))
		return
	}
	n.options.Log.Warn("this host's store is not accepted; it is taken in when the leader has removed its old one from the members", "by", peer, "why", r.Why)
}

// closePatience is how long Close waits for raft to end: it cannot while its disk hangs.
const closePatience = 5 * time.Second

// Close ends the replica, without handing the lead over: Transfer first. It does not close the Port, but raft is not spoken
// on it any more. An error says that something of it hangs, and with it the lock on the directory.
func (n *Node) Close() error {
	n.end()
	done := make(chan error, 1)
	go func() { done <- n.close() }()
	timer := time.NewTimer(closePatience)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return fmt.Errorf("%s: the replica does not end within %s: its disk hangs", n.options.Dir, closePatience)
	}
}

func (n *Node) close() error {
	if n.options.transport == nil {
		n.options.Port.quit()
	}
	if err := n.shutdown(); err != nil {
		return err
	}
	close(n.edges.in) // raft has ended: nobody sends any more
	n.wait.Wait()
	return n.store.close()
}
