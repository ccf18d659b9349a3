package consensus

import "github.com/hashicorp/raft"

// edges carries the edges of leadership from raft to whoever listens, in order, losing none: raft waits for its reader
// (Config.NotifyCh), so it is read at once, and what has not been listened to is kept.
type edges struct {
	in  chan bool
	out chan bool
}

func newEdges() *edges {
	// With room for some, as at its end raft tells only what there is room for.
	return &edges{in: make(chan bool, 64), out: make(chan bool)}
}

// run carries edges until in is closed.
func (e *edges) run() {
	defer close(e.out)
	var kept []bool
	for {
		var out chan bool // nil: there is nothing to tell
		next := false
		if len(kept) > 0 {
			out, next = e.out, kept[0]
		}
		select {
		case edge, more := <-e.in:
			if !more {
				return
			}
			kept = append(kept, edge)
		case out <- next:
			kept = kept[1:]
		}
	}
}

// Leadership tells each gain (true) and loss (false) of the lead, in turn, beginning with a gain. None is dropped, however
// late it is read. Close closes it, which reads as a loss. A gain is a hint: act only on what Propose or Barrier has
// confirmed since.
func (n *Node) Leadership() <-chan bool { return n.edges.out }

// Leader is the name of who leads, as far as this host knows; "" when it knows of none.
func (n *Node) Leader() string {
	_, id := n.raft.LeaderWithID()
	return string(id)
}

// Leads tells whether this host believes that it leads. It may be wrong for as long as it was stopped, and a little longer.
func (n *Node) Leads() bool { return n.raft.State() == raft.Leader && n.Err() == nil }
