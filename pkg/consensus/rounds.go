package consensus

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// idleRound is how long a connection of rounds may be silent.
const idleRound = 30 * time.Second

// rounds greet every other host once a second, whoever leads: raft's followers do not speak to each other, and a host must
// have heard of what another has promised to know that it forgot it.
type rounds struct {
	stream *stream
	limit  time.Duration // for one greeting, with its dialing

	mu    sync.Mutex
	links map[string]*link
}

type link struct {
	mu   sync.Mutex // held while it greets
	conn net.Conn   // nil: none yet
}

// meet greets one host now; nil: both have accepted each other.
func (r *rounds) meet(ctx context.Context, peer string) error {
	l := r.link(peer)
	l.mu.Lock()
	defer l.mu.Unlock()
	return r.greet(ctx, l, peer)
}

// start greets one host, unless it is being greeted. It does not wait.
func (r *rounds) start(ctx context.Context, peer string) {
	l := r.link(peer)
	if !l.mu.TryLock() {
		return
	}
	go func() {
		defer l.mu.Unlock()
		_ = r.greet(ctx, l, peer) // what came of it is in the acquaintance
	}()
}

func (r *rounds) link(peer string) *link {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.links[peer]
	if l == nil {
		l = &link{}
		r.links[peer] = l
	}
	return l
}

func (r *rounds) greet(ctx context.Context, l *link, peer string) error {
	ctx, cancel := context.WithTimeout(ctx, r.limit)
	defer cancel()
	if l.conn != nil {
		err := r.stream.manners.introduce(l.conn, peer, forRound)
		if err == nil {
			return nil
		}
		l.conn.Close()
		l.conn = nil
		r.stream.shun(peer)
	}
	conn, err := r.stream.greet(ctx, peer, forRound)
	l.conn = conn
	return err
}

// every runs the rounds until the node ends, and what goes with them.
func (n *Node) every(interval time.Duration) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		n.tick()
		select {
		case <-n.ended:
			return
		case <-n.failed:
			return
		case <-ticker.C:
		}
	}
}

func (n *Node) tick() {
	if err := n.store.keepMembership(n.replica.joined(n.options.Host), n.replica.membership().Resets); err != nil {
		n.fail(err)
		return
	}
	for _, h := range n.others() {
		n.rounds.start(n.life, h.Name)
	}
	n.found()
	n.probe()
}

// formation is the first configuration of an inventory, in short.
func formation(hosts []Host) string {
	voters, spare := Electorate(hosts)
	sum := sha256.Sum256(fmt.Append(nil, voters, spare))
	return hex.EncodeToString(sum[:8])
}

// found makes the first configuration, once every host of the inventory has been seen with nothing promised, about to
// found the same. Each host may do it: they all write the same entry (raft, BootstrapCluster). An emptied host finds
// peers with a past, and waits to be taken in.
func (n *Node) found() {
	if n.store.mark().Writes > 0 {
		return
	}
	hosts := n.hosts()
	for _, h := range replicating(hosts) {
		if h.Name != n.options.Host && n.manners.look(h.Name).fresh != formation(hosts) {
			return
		}
	}
	voters, spare := Electorate(hosts)
	var first raft.Configuration
	for _, v := range voters {
		first.Servers = append(first.Servers, raft.Server{ID: raft.ServerID(v), Address: raft.ServerAddress(v)})
	}
	if spare != "" {
		first.Servers = append(first.Servers, raft.Server{ID: raft.ServerID(spare), Address: raft.ServerAddress(spare), Suffrage: raft.Nonvoter})
	}
	if spare == n.options.Host {
		return // raft lets voters found only; it is told by them
	}
	if err := n.raft.BootstrapCluster(first).Error(); err != nil {
		n.options.Log.Warn("the quorum cannot be founded", "error", err)
	}
}
