package cluster

import (
	"cmp"
	"fmt"
	"slices"
)

// Do names one thing that a watcher does to its own server.
type Do string

// What a watcher does. Each is done by its own watcher alone, one after the other, and seen again in the next round's facts; none is
// repeated by anybody else. "in effect" means that it was seen, not that it was sent.
const (
	DoFreeze        Do = "freeze"         // marker of Base to disk, service file without a host, receiver ended
	DoFollow        Do = "follow"         // service file with Host and the epoch, marker away, receiver ended so that it comes back
	DoSetNames      Do = "set-names"      // synchronous_standby_names to Text, reload
	DoRemember      Do = "remember-proof" // Proof, until the names change or the watcher ends
	DoEndSender     Do = "end-walsender"  // of PID; its receiver connects again
	DoCloseClients  Do = "close-clients"  // reject block at the head of pg_hba.conf, in effect, sessions ended
	DoOpenClients   Do = "open-clients"   // reject block away
	DoResumeReplay  Do = "resume-replay"
	DoPromote       Do = "promote"
	DoWriteRow      Do = "write-row"       // pgctl.epoch (NewRow; postgres.Own.WriteRow), with synchronous_commit = local: nobody acknowledges it
	DoMakeWay       Do = "make-way"        // a clean stop: its standbys get all that it has
	DoStop          Do = "stop"            // immediate; what is left after StopPatience is killed
	DoKill          Do = "kill"            // SIGKILL to all its processes
	DoStartReadOnly Do = "start-read-only" // gate in place and names closed before; where it was a master when it stopped, the service file without a host too
	DoStartMaster   Do = "start-master"    // authorised: stopped first if it runs, clients closed, gate away; and back once it has read its files
	DoPutGate       Do = "put-gate"        // standby.signal beside a running master (M9)
	DoCheckpoint    Do = "checkpoint"
	DoRenew         Do = "renew"       // a copy of Host's data by rewind or clone, under a new incarnation; started read-only, frozen
	DoMasterFile    Do = "master-file" // /pitrix/run/pg_master
	DoHoldPool      Do = "hold-pool"   // stop pgpool, to be started when the next master serves
	DoPointPool     Do = "point-pool"  // pgpool's backend, and its restart
)

// Action is one thing that a watcher does, with the reason.
type Action struct {
	Do    Do     `json:"do"`
	Why   string `json:"why"`
	Host  string `json:"host,omitempty"`
	Epoch int64  `json:"epoch,omitempty"`
	Base  int64  `json:"base,omitempty"`
	Nonce string `json:"nonce,omitempty"`
	Text  string `json:"text,omitempty"`
	PID   int    `json:"pid,omitempty"`
	Proof *Proof `json:"proof,omitempty"`
}

// Reconcile is what a server's watcher does about its own server, from its own replicated state, however old that is: every action is
// safe in every state that the quorum may have come to meanwhile. It is not older than one handed in before, in another life of the
// watcher too. The first actions come first.
func Reconcile(s *State, f *Facts, v *Sight, p *Policy) []Action {
	return Sound().Reconcile(s, f, v, p)
}

// Reconcile is Reconcile under these rules.
func (r Rules) Reconcile(s *State, f *Facts, v *Sight, p *Policy) []Action {
	w := reconciler{Rules: r, s: s, f: f, v: v, p: p}
	switch {
	case p.Inactive || s.Phase == Unformed:
	case s.Halted != "" || w.outdated():
		w.fence()
	case s.Master == f.Host && s.Phase == Serving:
		w.reign()
	case s.Master == f.Host && s.Phase == Elected:
		w.ascend()
	default:
		w.serveUnder()
	}
	return w.out
}

type reconciler struct {
	Rules
	s   *State
	f   *Facts
	v   *Sight
	p   *Policy
	out []Action
}

func (w *reconciler) do(a Action, format string, args ...any) {
	a.Why = fmt.Sprintf(format, args...)
	w.out = append(w.out, a)
}

// outdated tells whether the server shows that the quorum was further than what is known of it here, or that somebody went round it: names in effect
// of a later generation, a service file for a later epoch, a row of one. This watcher must not take that back.
func (w *reconciler) outdated() bool {
	return newerNames(w.s, w.f.Names.Shown) || w.f.Upstream.FileEpoch > w.s.Epoch || w.f.top() > w.s.Epoch
}

// fence is all that is done while an operator has to say who is right, or what is known went back: nothing is started, promoted or pointed anywhere, but a
// master that cannot show that nobody else is one has to stop. Who made it master tells whose word it needs:
//
//   - Its newest row is above the quorum's epoch and was written for an operator. It answers to the operator, who has gone round a quorum that was gone.
//     No quorum has a lease for it, and a canary proves nothing, as no election would ask its standbys.
//   - Else the quorum made it master, of the epoch that is known or of one that was forgotten here. Then it needs what every master of the quorum needs.
func (w *reconciler) fence() {
	f := w.f
	switch top := f.top(); {
	case f.Running && f.Recovery && !w.outdated() && f.Names.Shown != ClosedNames:
		w.do(Action{Do: DoSetNames, Text: ClosedNames}, "read-only, it may acknowledge nothing, whoever promotes it")
	case !f.Running || f.Recovery, top > w.s.Epoch && f.Rows[len(f.Rows)-1].ByHand():
	case w.s.Master != f.Host && !w.outdated():
		w.do(Action{Do: DoStop}, "whoever is master, it is not this one: it is signed with epoch %d", top)
	case w.newer() > max(w.s.Epoch, top):
		w.do(Action{Do: DoStop}, "epoch %d is known to others", w.newer())
	case !w.MayServe(w.s, f, w.p):
		w.do(Action{Do: DoStop}, "no sign of the quorum for %s and no canary came back begun within %s", short(f.Lease), w.p.Lease)
	}
}

// serveUnder is the duty of every server that is not the one elected: not to be a master, to acknowledge nothing, to be frozen while
// there is an election, and to follow the one that serves once it is proven to be of its history.
func (w *reconciler) serveUnder() {
	switch {
	case w.f.Running && !w.f.Recovery:
		w.do(Action{Do: DoStop}, "it is not the master of epoch %d", w.s.Epoch)
	case !w.f.Running:
		w.startReadOnly()
	case w.f.Names.Shown != w.NamesFor(w.s, w.f.Host):
		w.do(Action{Do: DoSetNames, Text: w.NamesFor(w.s, w.f.Host)}, "a standby may acknowledge nothing, whoever promotes it")
	case w.s.Phase == Serving && w.s.Wanted == w.f.Host && w.f.Clients:
		w.do(Action{Do: DoCloseClients}, "%s makes way for it", w.s.Master)
	case w.s.Phase != Serving:
		w.freeze()
	default:
		w.follow()
	}
}

func (w *reconciler) startReadOnly() {
	if !w.f.Stopped && w.tries() {
		w.do(Action{Do: DoStartReadOnly}, "down, and read-only does no harm")
	}
}

// tries tells whether PostgreSQL may be started now: not as long as starts that failed make the next one wait.
func (w *reconciler) tries() bool {
	return w.f.Starts == 0 || w.f.StartAge >= w.p.startDelay(w.f.Starts)
}

// freeze: an election has begun, whatever this server's part in it. It stays so until an epoch serves.
func (w *reconciler) freeze() {
	base, up := w.s.Election.Base, &w.f.Upstream
	if w.f.FrozenFor < base || base != 0 && (up.File != "" || up.Receiver != "") {
		w.do(Action{Do: DoFreeze, Base: base}, "epoch %d is over, an election has begun", base)
	}
}

// follow points the server at the master, after what it holds is proven to be of the master's history up to its last byte.
func (w *reconciler) follow() {
	up := &w.f.Upstream
	switch {
	case w.s.QuarantineOf(w.f.Host) != "":
		w.rejoin()
	case !w.p.MasterByTS && slices.Contains(w.s.Former, w.f.Host) && w.s.MemberOf(w.f.Host) == w.f.Name:
		// using_master_by_ts is 0: an old master waits for `pgctl upmaster`, whether it is diverged or not
	case w.f.FrozenFor != 0 && !w.Thaws(w.s, w.f):
		// what is known is older than the freeze
	case up.File == w.s.Master && up.FileEpoch == w.s.Epoch:
		if w.s.Opened && !w.f.Clients && w.s.Wanted != w.f.Host {
			w.do(Action{Do: DoOpenClients}, "it follows %s, and whoever reads a standby knows what it is", w.s.Master)
		}
		w.masterFile()
	case up.File != "" || up.Receiver != "":
		w.do(Action{Do: DoFreeze, Base: w.s.Epoch - 1}, "it follows %s by what was right before epoch %d", up.File, w.s.Epoch)
	default:
		at, ok := w.Final(w.f)
		if ok && w.Foreign(w.f, w.s.Rows, at) == "" && w.f.System == w.s.System {
			w.do(Action{Do: DoFollow, Host: w.s.Master, Epoch: w.s.Epoch}, "it holds every row of the master's history up to %s", at)
		}
	}
}

// rejoin makes a diverged server a copy again, where the site wants that done without an operator. Its data under the present name must
// be counted on by nobody.
func (w *reconciler) rejoin() {
	if w.p.MasterByTS && w.s.Opened && !w.s.Listed(w.f.Name) && w.s.MemberOf(w.f.Host) == w.f.Name {
		w.do(Action{Do: DoRenew, Host: w.s.Master}, "%s", w.s.QuarantineOf(w.f.Host))
	}
}

func (w *reconciler) masterFile() {
	if w.s.Opened && w.f.MasterFile != w.s.Master {
		w.do(Action{Do: DoMasterFile, Host: w.s.Master}, "")
	}
}

// ReconcilePool is what the watcher of a pool's host does about the pool. When an election begins it has the pool stop, once: its sessions are with a master
// that is none any more, and to end them takes pgpool as long as to elect the next one. When that is elected it has the pool's file name it (the watcher waits
// with the start until it is heard to be promoted), closed as it still is. What it cannot ask it leaves alone, unless the pool is still to be moved.
func ReconcilePool(s *State, f *PoolFacts, p *Policy) []Action {
	unknown := f.Backend == "" && !slices.Contains(s.Pools, f.Host)
	switch {
	case p.Inactive, s.Halted != "":
		return nil
	case s.Phase == Electing && f.Held < s.Epoch:
		return []Action{{Do: DoHoldPool, Epoch: s.Epoch, Why: fmt.Sprintf("the master of epoch %d is about to be elected", s.Epoch)}}
	case s.Phase != Serving && s.Phase != Elected, f.Backend == s.Master, unknown:
		return nil
	}
	why := fmt.Sprintf("%s is master, the pool writes to %s", s.Master, cmp.Or(f.Backend, "nobody knows whom"))
	if f.Held == s.Epoch {
		why = fmt.Sprintf("%s is elected, and the pool waits for it", s.Master)
	}
	return []Action{{Do: DoPointPool, Host: s.Master, Epoch: s.Epoch, Why: why}}
}
