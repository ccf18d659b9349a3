package consensus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// ErrNotMember is returned when the inventory does not have this host among its servers and arbiters.
var ErrNotMember = errors.New("the inventory does not have this host as a server or an arbiter")

// Options are what a Node is opened with.
type Options struct {
	Host    string // this host, as the inventory and its certificate have it
	Dir     string // its own; made where it is missing, mode 0700
	Port    *Port  // one Node a Port
	Hosts   []Host // the inventory; pools in it are admitted to the Port, and nothing else
	Machine Machine
	// Multiplier scales every time of the engine; 0 is 1. All members must have the same.
	Multiplier float64
	// SpareAfter is for how long a voter is silent before the spare takes its vote; 0 is one minute.
	SpareAfter time.Duration
	Log        *slog.Logger
	Now        func() time.Time // time.Now, monotonic

	// For tests.
	budget    int
	diskLimit time.Duration
	transport raft.Transport
	wrap      func(raft.LogStore) raft.LogStore
}

// Node is one replica.
type Node struct {
	options  Options
	times    times
	store    *store
	replica  *replica
	manners  *acquaintance
	stream   *stream
	rounds   *rounds
	raft     *raft.Raft
	shutdown func() error // ends raft, once, and waits for it
	edges    *edges
	handover handover
	life     context.Context // ends with Close
	end      context.CancelFunc
	ended    <-chan struct{}
	failed   chan struct{}
	failOnce sync.Once
	wait     sync.WaitGroup

	mu        sync.Mutex
	inventory []Host
	err       error
}

// Open starts a replica on its directory. It becomes a member when the first configuration is made, which takes every host
// of the inventory to be up once with an empty directory, or when a leader takes it in.
func Open(o Options) (*Node, error) {
	if o.Multiplier == 0 {
		o.Multiplier = 1
	}
	if o.SpareAfter == 0 {
		o.SpareAfter = time.Minute
	}
	if o.budget == 0 {
		o.budget = storeBudget
	}
	if o.diskLimit == 0 {
		o.diskLimit = times(o.Multiplier).of(diskLimit)
	}
	if err := isMember(o.Host, o.Hosts); err != nil {
		return nil, err
	}
	st, err := openStore(o.Dir, o.budget)
	if err != nil {
		return nil, err
	}
	n := &Node{options: o, times: times(o.Multiplier), store: st, failed: make(chan struct{}), inventory: slices.Clone(o.Hosts)}
	n.life, n.end = context.WithCancel(context.Background())
	n.ended = n.life.Done()
	n.replica = &replica{machine: o.Machine, fail: n.fail}
	n.edges = newEdges()
	n.acquaint()
	if err := n.start(); err != nil {
		n.end()
		return nil, errors.Join(err, n.store.close())
	}
	return n, nil
}

func isMember(host string, hosts []Host) error {
	in := replicating(hosts)
	if !slices.ContainsFunc(in, func(h Host) bool { return h.Name == host }) {
		return fmt.Errorf("%w: %s is not one of %s", ErrNotMember, host, names(in))
	}
	return nil
}

// acquaint prepares how this host meets the others.
func (n *Node) acquaint() {
	o := n.options
	n.manners = &acquaintance{
		host: o.Host, store: n.store, replica: n.replica, now: o.Now, timeout: n.times.of(transportTimeout),
		formation: func() string { return formation(n.hosts()) }, refused: n.refusedBy, began: o.Now(), known: map[string]*known{},
	}
	n.stream = &stream{queue: newQueue(nil), name: nameAddr(o.Host), port: o.Port, manners: n.manners}
	n.rounds = &rounds{stream: n.stream, limit: n.times.of(transportTimeout), links: map[string]*link{}}
}

// start starts raft, and with it everything else.
func (n *Node) start() error {
	o, log := n.options, bridge(n.options.Log, n.options.Now)
	config := n.times.config(o.Host, log)
	config.NotifyCh = n.edges.in
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(o.Dir, snapshotsKept, log)
	if err != nil {
		return err
	}
	if err := n.whole(snapshots); err != nil {
		return err
	}
	var logs raft.LogStore = n.store
	if o.wrap != nil {
		logs = o.wrap(logs)
	}
	over := o.transport
	if over == nil {
		o.Port.SetHosts(o.Hosts)
		over = &transport{raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
			Stream: n.stream, MaxPool: maxPool, MaxRPCsInFlight: maxInFlight, Timeout: n.times.of(transportTimeout), Logger: log,
		}), n.times.of(timeoutNowLimit)}
	}
	if o.transport == nil {
		n.wait.Go(n.stream.serve)
		if err := n.askAround(); err != nil {
			close(n.edges.in)
			o.Port.quit()
			return err
		}
	}
	n.wait.Go(n.edges.run)
	n.raft, err = raft.NewRaft(config, n.replica,
		&disk{LogStore: logs, limit: o.diskLimit, fail: n.fail}, &ballot{StableStore: n.store, fail: n.fail}, snapshots, over)
	if err != nil {
		close(n.edges.in)
		return errors.Join(err, n.Err())
	}
	n.shutdown = sync.OnceValue(func() error { return n.raft.Shutdown().Error() })
	n.wait.Go(n.watch)
	if o.transport == nil {
		n.wait.Go(func() { n.every(n.times.of(roundEvery)) })
	}
	return nil
}

// whole refuses to start on a part of a store.
func (n *Node) whole(snapshots raft.SnapshotStore) error {
	there, err := snapshots.List()
	switch {
	case err != nil:
	case n.store.own.Unfinished: // nobody else has the store yet
		err = ErrUnfinished
	default:
		err = n.store.whole(there)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", n.options.Dir, err)
	}
	return nil
}

func (n *Node) hosts() []Host {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.inventory
}

// others are the hosts of the inventory that replicate, but this one.
func (n *Node) others() []Host {
	return slices.DeleteFunc(replicating(n.hosts()), func(h Host) bool { return h.Name == n.options.Host })
}

// SetHosts gives a new inventory, also to the Port. It changes no member by itself: the leader's Advance does, one by one.
// The caller must be sure that a majority has the same inventory, or two leaders with two inventories take turns in undoing
// each other. An inventory without this host is ErrNotMember, and not taken.
func (n *Node) SetHosts(hosts []Host) error {
	if err := isMember(n.options.Host, hosts); err != nil {
		return err
	}
	n.mu.Lock()
	n.inventory = slices.Clone(hosts)
	n.mu.Unlock()
	n.options.Port.SetHosts(hosts)
	return nil
}
