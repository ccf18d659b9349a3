package watch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/consensus"
	"github.com/pgctl/pgctl/pkg/nodes"
)

// quorum is this host's part in what the watchers agree on: a replica, where it has one, and the latest state that is known here.
type quorum struct {
	node     *consensus.Node // nil on a pool's host
	path     string          // where the latest state is kept: none that is older is ever gone by, in another life neither
	state    atomic.Pointer[known]
	learning sync.Mutex            // a state is compared, kept and gone by in one
	leading  atomic.Bool           // it leads, and has done a barrier since
	broken   atomic.Pointer[error] // a state could not be kept: what is decided here could be forgotten
	granted  atomic.Int64          // when, since boot in ns, a lease was confirmed last here, or when this host began to lead
	// confirmed is when the lease was asked for, since boot in ns, that was granted last here; 0: none was.
	confirmed atomic.Int64
	wake      func()
}

// members are the hosts of a server.yaml, as the quorum takes them: servers, arbiters, and hosts that only carry a pool.
func members(w *nodes.Watcher) []consensus.Host {
	address := func(host string) string { return net.JoinHostPort(host, strconv.Itoa(w.Port)) }
	var all []consensus.Host
	add := func(name, zone string, role consensus.Role) {
		if !slices.ContainsFunc(all, func(h consensus.Host) bool { return h.Name == name }) {
			all = append(all, consensus.Host{Name: name, Address: address(name), Zone: zone, Role: role})
		}
	}
	for _, n := range w.Nodes {
		add(n.Host, n.Zone, consensus.Server)
	}
	for _, g := range w.Globals {
		add(g, "", consensus.Arbiter)
	}
	for _, n := range w.Nodes {
		for _, p := range n.Pools {
			add(p, "", consensus.Pool)
		}
	}
	return all
}

// inventoryHash tells two inventories apart.
func inventoryHash(hosts []consensus.Host) string {
	var text strings.Builder
	for _, h := range hosts {
		fmt.Fprintln(&text, h.Name, h.Address, h.Zone, h.Role)
	}
	sum := sha256.Sum256([]byte(text.String()))
	return hex.EncodeToString(sum[:8])
}

// openQuorum opens the replica of a server or an arbiter; a pool's host asks those for their state.
func (w *watcher) openQuorum(hosts []consensus.Host, section *nodes.Watcher, role consensus.Role) (*quorum, error) {
	dir := filepath.Join(w.StateDir, "raft")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	q := &quorum{path: filepath.Join(dir, "state.json"), wake: w.again}
	q.state.Store(&known{})
	if text, err := os.ReadFile(q.path); err == nil {
		k, err := readKnown(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", q.path, err)
		}
		q.state.Store(&k)
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if role == consensus.Pool {
		return q, nil
	}
	node, err := consensus.Open(consensus.Options{
		Host: w.name, Dir: dir, Port: w.port, Hosts: hosts, Machine: &machine{changed: q.learn},
		SpareAfter: section.SpareAfter, Log: w.Log, Now: w.Now,
	})
	if errors.Is(err, consensus.ErrSuperseded) { // the next process begins as one that was never there
		err = errors.Join(err, setStoreAside(w.StateDir, "superseded-"+w.Now().UTC().Format("20060102T150405Z")))
		q.broken.Store(&err)
		return q, nil
	}
	switch {
	case errors.Is(err, consensus.ErrHalf):
		return nil, fmt.Errorf("%w; with the watcher stopped, pgctl store aside --id NAME: this host begins anew", err)
	case errors.Is(err, consensus.ErrUnfinished):
		return nil, fmt.Errorf("%w: pgctl deploy --reset-quorum", err)
	case err != nil:
		return nil, err
	}
	q.node = node
	go q.lead()
	return q, nil
}

// learn takes a state if it is later than the one that is known, and keeps it before anybody goes by it.
func (q *quorum) learn(k known) {
	q.learning.Lock()
	defer q.learning.Unlock()
	if k.Index <= q.state.Load().Index {
		return
	}
	text, err := json.Marshal(k)
	if err == nil {
		err = replaceFile(q.path, append(text, '\n'), 0o600, true)
	}
	if err != nil {
		err = fmt.Errorf("what the quorum has decided cannot be kept: %w", err)
		q.broken.Store(&err)
	} else {
		q.state.Store(&k)
	}
	q.wake()
}

// failed says why this replica cannot go on; nil it can.
func (q *quorum) failed() error {
	if err := q.broken.Load(); err != nil {
		return *err
	}
	if q.node != nil {
		return q.node.Err()
	}
	return nil
}

// lead follows the edges of leadership. A new leader does a barrier before it acts.
func (q *quorum) lead() {
	for gained := range q.node.Leadership() {
		q.leading.Store(false)
		for gained && q.node.Leads() {
			ctx, cancel := context.WithTimeout(context.Background(), leaseLimit)
			err := q.node.Barrier(ctx)
			cancel()
			if err == nil {
				q.granted.Store(int64(sinceBoot()))
				q.leading.Store(true)
				q.wake()
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	q.leading.Store(false)
}

// leads tells whether this host is the executor, as far as it knows.
func (q *quorum) leads() bool {
	return q != nil && q.node != nil && q.leading.Load() && q.node.Leads() && q.failed() == nil
}

// leader is the executor's host, as far as is known here; "" nobody's.
func (q *quorum) leader() string {
	if q == nil || q.node == nil {
		return ""
	}
	return q.node.Leader()
}

// voters are the hosts that vote now, by name, and the one that follows without a vote; none on a pool's host.
func (q *quorum) voters() (voters []string, spare string) {
	if q == nil || q.node == nil {
		return nil, ""
	}
	for _, m := range q.node.Members() {
		if m.Votes {
			voters = append(voters, m.Name)
		} else {
			spare = m.Name
		}
	}
	return voters, spare
}

// propose has a command committed. A refusal, and a state that has moved on, are errors of cluster.Apply.
func (q *quorum) propose(ctx context.Context, c cluster.Command) error {
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	answer, _, err := q.node.Propose(ctx, text)
	if err != nil {
		return err
	}
	refused, _ := answer.(error)
	return refused
}

// confirm is the leader's word that a host is the master of an epoch, by a majority that has confirmed the lead since it was asked.
func (q *quorum) confirm(ctx context.Context, host string, epoch int64) (leaseGrant, error) {
	if !q.leads() {
		return leaseGrant{}, consensus.ErrNotLeader
	}
	asked := int64(sinceBoot())
	q.granted.Store(asked) // before the state is looked at: an election that is decided meanwhile must know of it
	if err := errors.Join(q.node.Barrier(ctx), q.failed()); err != nil {
		return leaseGrant{}, err
	}
	s := &q.state.Load().State
	if s.Epoch != epoch || s.Master != host {
		return leaseGrant{}, fmt.Errorf("the quorum knows %q as the master of epoch %d", s.Master, s.Epoch)
	}
	q.confirmed.Store(asked)
	return leaseGrant{Epoch: s.Epoch, Gen: s.Gen}, nil
}

// unconfirmed is for how long no lease can have been granted, by anybody: this host leads since, and has granted none.
func (q *quorum) unconfirmed(now time.Duration) time.Duration {
	return now - time.Duration(q.granted.Load())
}

// close hands the lead over and ends the replica.
func (q *quorum) close() error {
	if q == nil || q.node == nil {
		return nil
	}
	if q.node.Leads() {
		voters, _ := q.voters()
		for _, voter := range voters {
			ctx, cancel := context.WithTimeout(context.Background(), leaseLimit)
			err := q.node.Transfer(ctx, voter)
			cancel()
			if err == nil {
				break
			}
		}
	}
	return q.node.Close()
}
