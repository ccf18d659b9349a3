package watch

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/consensus"
	"github.com/pgctl/pgctl/pkg/failover"
	"github.com/pgctl/pgctl/pkg/nodes"
	"github.com/pgctl/pgctl/pkg/postgres"
	"github.com/pgctl/pgctl/pkg/remote"
)

// errAlone is why a host without certificates watches on its own.
var errAlone = errors.New("no certificate: run pgctl deploy")

// join takes this host's part in the region as its server.yaml says, when that is taken and whenever it changes.
func (w *watcher) join() {
	section := w.config.watcher
	if section == nil {
		return
	}
	hosts := members(section)
	if w.port != nil && slices.Equal(hosts, w.hosts) {
		return
	}
	err := w.take(section, hosts)
	w.problem = problem(err)
	w.tell("quorum", w.problem)
}

func (w *watcher) take(section *nodes.Watcher, hosts []consensus.Host) error {
	i := slices.IndexFunc(hosts, func(h consensus.Host) bool { return sameHost(h.Name, w.Host) })
	if i < 0 {
		return fmt.Errorf("%s is not in %s", w.Host, w.ServerYAML)
	}
	self := hosts[i]
	w.name = self.Name
	if self.Role == consensus.Server && w.server == nil {
		w.server = newServer(postgres.OwnServer(w.Local, w.Postgres), self.Name, &w.memory, sinceBoot())
	}
	if slices.ContainsFunc(section.Nodes, func(n nodes.WatchedNode) bool { return slices.Contains(n.Pools, self.Name) }) && w.pool == nil {
		w.pool = &pool{host: self.Name, pools: &failover.Pools{
			Hosts: func(string) remote.Host { return w.Local }, Settings: w.PGPool, Timeout: poolLimit, Stamp: w.Now().UTC().Format("20060102T150405Z"),
			Warn: func(_, message string) { w.Log.Warn("pool", "problem", message) },
		}}
	}
	if w.port == nil {
		if err := w.open(section); err != nil {
			return err
		}
	}
	w.port.SetHosts(hosts)
	w.peers.connect(hosts)
	if w.quorum == nil {
		q, err := w.openQuorum(hosts, section, self.Role)
		if err != nil {
			return err
		}
		w.quorum = q
		w.asked.Store(q)
	} else if w.quorum.node != nil {
		if err := w.quorum.node.SetHosts(hosts); err != nil {
			return err
		}
	}
	w.hosts = hosts
	return nil
}

// open opens the port, with what deploy has put there.
func (w *watcher) open(section *nodes.Watcher) error {
	files := consensus.Files{
		CA: filepath.Join(w.TLSDir, "ca.crt"), Certificate: filepath.Join(w.TLSDir, "host.crt"), Key: filepath.Join(w.TLSDir, "host.key"),
	}
	if _, err := os.Stat(files.Certificate); err != nil {
		return errors.Join(errAlone, err)
	}
	port, err := consensus.Listen(consensus.PortOptions{
		Host: w.name, Listen: cmp.Or(w.Listen, net.JoinHostPort("", strconv.Itoa(section.Port))), Files: files, Log: w.Log, Now: w.Now,
	})
	if err != nil {
		return err
	}
	w.port, w.peers = port, newPeers(w.name, port, w.Log)
	go func() { w.Log.Debug("the port is closed", "reason", w.serve()) }()
	return nil
}

// policy is what goes by this host's server.yaml, and the voters of now.
func (w *watcher) policy() *cluster.Policy {
	p := cluster.PolicyOf(w.config.watcher)
	if voters, spare := w.quorum.voters(); len(voters) > 0 {
		p.Voters, p.Spare = voters, spare
	}
	p.RetryInterval, p.Fresh = freezeFor, freshFor
	return &p
}

// freshFor is three heartbeats, and the one that a report may be older than when it came: it says what its hearer's clock was a heartbeat before.
const freshFor = 4 * round

// fresh is what a server's watcher reports now, its facts with it; nil: it is not heard. It is the loop's.
func (w *watcher) fresh(host string) *cluster.Report {
	h := w.heard[host]
	if h.Report == nil || h.Facts == nil || sinceBoot()-h.At+h.Delay > freshFor {
		return nil
	}
	return h.Report
}

// freezeFor is how long no receiver is seen after the service file names nobody. A look reads that file first and asks for receivers then: one that has
// connected by what the file said before is seen, as it shows from before its connection on (source: AuxiliaryProcessMain), and one that is begun later
// finds nobody. So the first look that no action of the watcher's overlaps will do, and what a look takes is longer than this; of a server that gives no answer it is 0.
const freezeFor = time.Nanosecond

// seen turns a look into facts.
func (w *watcher) seen(l look, state *cluster.State, now time.Duration) *cluster.Facts {
	frozen, err := w.frozenFor()
	w.tell("marker", problem(err))
	master, _ := os.ReadFile(failover.MasterFile)
	sight := w.sight(l.began)
	f := w.server.facts(l.sight, view{
		now: now, asked: l.began, idle: w.config.watcher.InactiveFailover, between: w.working[laneServer] != nil || l.began <= w.acted, state: state, sight: &sight, frozen: frozen,
		masterFile: strings.TrimSpace(string(master)), hostOf: w.directory.hostOf,
	})
	w.directory.setMember(l.sight.Member)
	w.directory.setPort(w.name, l.sight.Port)
	return f
}

// sight is what was heard until a moment.
func (w *watcher) sight(until time.Duration) cluster.Sight {
	s := cluster.Sight{Now: sinceBoot(), Since: w.born}
	for _, h := range w.heard {
		if h.At <= until {
			s.Heard = append(s.Heard, h)
		}
	}
	slices.SortFunc(s.Heard, func(a, b cluster.Heard) int { return cmp.Compare(a.Host, b.Host) })
	return s
}

// report tells all others, and itself.
func (w *watcher) report(now time.Duration) {
	w.memory.Seq++
	r := &cluster.Report{
		Host: w.name, Seq: w.memory.Seq, Features: cluster.Features, Epoch: w.memory.Epoch, Phase: w.memory.Phase,
		EpochAge: now - w.memory.EpochAt, PhaseAge: now - w.memory.PhaseAt, Facts: w.facts, Probes: w.probed(now),
	}
	if w.memory.Master != "" {
		r.MasterAge = now - w.memory.MasterAt
	}
	if w.pool != nil {
		r.Pool = w.pool.facts()
	}
	d := &dispatch{
		Report: r, Index: w.latest().Index, Inventory: inventoryHash(w.hosts), Inactive: w.config.watcher.InactiveFailover,
		Version: w.Version, Status: monitorStatus(w), Announced: w.news.announced, Up: now - w.born,
	}
	if w.server != nil {
		d.Port, d.Slot = w.server.last.Port, w.server.last.Slot
	}
	w.heard[w.name], w.letters[w.name] = cluster.Heard{Report: r, At: now}, d
	w.expect(w.config.watcher.StandbyDownAfter - stall(w.state(), r))
	withLogin := *d
	withLogin.Login = w.directory.loginNow()
	text, textWithLogin := d.text(), withLogin.text()
	for _, h := range w.hosts {
		switch {
		case h.Name == w.name:
		case h.Role == consensus.Server:
			w.peers.tell(h.Name, textWithLogin)
		default:
			w.peers.tell(h.Name, text)
		}
	}
}

// hear takes another host's report. One that is older than what was heard of that host is dropped, but for a host whose clock was put back.
func (w *watcher) hear(ctx context.Context, d *dispatch) {
	now := d.came
	if before, known := w.heard[d.Report.Host]; known && before.Seq >= d.Report.Seq && now-before.At < 3*round {
		return
	}
	w.keepSteady(d)
	w.heard[d.Report.Host], w.letters[d.Report.Host] = cluster.Heard{Report: d.Report, At: now, Delay: d.delay}, d
	w.directory.setPort(d.Report.Host, d.Port)
	w.news.heard(d.Announced)
	if w.directory.setLogin(d.Login) {
		w.tell("login", problem(w.keepLogin(d.Login)))
	}
	if d.Index > w.latest().Index && w.quorum != nil && w.quorum.node == nil && !w.fetching {
		w.fetching = true
		go func() {
			w.fetchState(ctx, d.Report.Host)
			w.post(func() { w.fetching = false })
		}()
	}
	if w.server != nil && d.Report.Host == w.state().Master && w.hurried == 0 && w.masterClosed(w.state()) { // it waits for its standbys, or is about to
		w.again()
	}
	if w.quorum.leads() && (!w.settled() || stall(w.state(), d.Report) >= w.config.watcher.StandbyDownAfter) {
		w.decide(ctx, w.state(), sinceBoot())
	}
}

// settled tells whether nothing is under way that the next report could bring on.
func (w *watcher) settled() bool {
	s := w.state()
	return s.Phase == cluster.Serving && s.Opened && len(s.Configs) == 1 && len(s.Pools) == 0 && s.Wanted == ""
}

// fetchState asks a host that replicates for its state: a pool's host has no replica.
func (w *watcher) fetchState(ctx context.Context, host string) {
	ctx, cancel := context.WithTimeout(ctx, leaseLimit)
	defer cancel()
	var text json.RawMessage
	if err := w.peers.ask(ctx, host, pathState, struct{}{}, &text); err != nil {
		w.Log.Debug("no state", "of", host, "error", err)
		return
	}
	if k, err := readKnown(text); err == nil {
		w.quorum.learn(k)
	}
}

// lease asks the executor to confirm that this host is master, when the last confirmation is getting old.
func (w *watcher) lease(ctx context.Context, state *cluster.State) {
	if w.server == nil || w.asking || state.Master != w.name || state.Phase == cluster.Electing {
		return
	}
	limit := w.config.watcher.Lease
	if w.facts.Lease < limit/4 {
		return
	}
	w.asking = true
	epoch, server := state.Epoch, w.server
	go func() {
		ctx, cancel := context.WithTimeout(ctx, leaseLimit)
		defer cancel()
		grant, sent, err := insist(ctx, func() (leaseGrant, error) { return w.askLease(ctx, w.quorum.leader(), epoch) })
		if err == nil && grant.Epoch == epoch && grant.Gen <= w.latest().State.Gen {
			server.leased(epoch, grant.Gen, sent)
		}
		w.post(func() {
			w.asking = false
			if err == nil { // what waits for it need not wait for the next round
				w.again()
			}
		})
	}()
}

// insist asks for a lease once more, soon, where nobody leads or the lead is being handed over: the next round may be too late for a short lease. sent is
// when the question was asked that was answered last.
func insist(ctx context.Context, ask func() (leaseGrant, error)) (grant leaseGrant, sent time.Duration, err error) {
	for {
		sent = sinceBoot()
		grant, err = ask()
		var refusal *errAnswer
		if !errors.Is(err, consensus.ErrNotLeader) && (!errors.As(err, &refusal) || refusal.status != http.StatusConflict) {
			return grant, sent, err
		}
		select {
		case <-ctx.Done():
			return grant, sent, err
		case <-time.After(leaseRetry):
		}
	}
}

func (w *watcher) askLease(ctx context.Context, leader string, epoch int64) (grant leaseGrant, err error) {
	if leader == w.name {
		return w.quorum.confirm(ctx, w.name, epoch)
	}
	if leader == "" {
		return grant, consensus.ErrNotLeader
	}
	err = w.peers.ask(ctx, leader, pathLease, leaseRequest{epoch}, &grant)
	return grant, err
}

// grant answers another host's question for the lease.
func (w *watcher) grant(host string, q leaseRequest) (leaseGrant, error) {
	part := w.asked.Load()
	if part == nil {
		return leaseGrant{}, consensus.ErrNotLeader
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaseLimit)
	defer cancel()
	return part.confirm(ctx, host, q.Epoch)
}

// reconcile does what this host's own server and pool need. A look that began before the last thing that was done had ended shows the server as it was
// before, or half of it: it would be done again.
func (w *watcher) reconcile(ctx context.Context, state *cluster.State, current bool, now time.Duration) {
	p, sight := w.policy(), w.sight(now)
	w.directory.resolve(p.Servers, now)
	if w.server != nil {
		w.server.own.GiveStop(p.StopPatience())
		w.prepare(ctx, state, p)
		w.wanted = cluster.Reconcile(state, w.facts, &sight, p)
		if current && !w.held(state, p, now) {
			w.begin(ctx, w.allowed(state, slices.Clone(w.wanted)))
		}
		if !p.Inactive {
			w.server.writes(ctx, w.facts)
		}
		if !p.Inactive && !w.server.ending {
			w.nudge(state)
			w.server.commits(ctx, w.facts)
			w.server.seeWait(ctx, w.facts)
			w.tell("wait", w.server.unseen())
		}
	}
	if w.pool != nil {
		w.pool.look(ctx, now, slices.Contains(state.Pools, w.name), w.again)
		if m := state.Master; m != "" {
			w.target.Store(&failover.PoolTarget{Master: m, Addresses: w.directory.addressesOf(m), Port: w.directory.portOf(m), SystemID: state.System})
		}
		serving := ""
		if w.masterServes(state) {
			serving = state.Master
		}
		w.pool.hears(serving)
		if now < w.askingUntil {
			w.pool.missed(state.Epoch)
		}
		if serving != "" || state.Phase != cluster.Serving { // a region that was changed by hand while the watchers looked on has another master than they remember
			w.begin(ctx, cluster.ReconcilePool(state, w.pool.facts(), p))
		}
	}
}

// held: a watcher that begins, or did not run for a while, has no lease and no canary of late, as it could not ask. It asks before it stops its master for
// want of them, unless others know of a newer epoch. Who was away for so long could not have stopped it either.
func (w *watcher) held(s *cluster.State, p *cluster.Policy, now time.Duration) bool {
	if now >= w.askingUntil || s.Master != w.name || w.facts.Lease <= p.Lease {
		return false
	}
	for _, h := range w.heard {
		if h.Epoch > s.Epoch {
			return false
		}
	}
	return true
}

// masterServes tells whether the master is heard to be one, open or not.
func (w *watcher) masterServes(s *cluster.State) bool {
	r := w.fresh(s.Master)
	return r != nil && r.Epoch == s.Epoch && r.Facts.Running && !r.Facts.Recovery
}

// allowed leaves out what has to wait until nothing of an earlier watcher is at work on the server, nor an operator. A server that does not run has no
// sessions.
func (w *watcher) allowed(s *cluster.State, actions []cluster.Action) []cluster.Action {
	if !w.facts.Running {
		w.server.ending = false
	}
	if w.server.last.Starting && !w.server.last.Halted { // its recovery may take as long as it takes: to begin it anew would never end it
		actions = slices.DeleteFunc(actions, func(a cluster.Action) bool { return a.Do == cluster.DoKill })
	}
	if !w.server.ending && !w.handsOff(s) {
		return actions
	}
	return slices.DeleteFunc(actions, func(a cluster.Action) bool { return !urgent[a.Do] })
}
