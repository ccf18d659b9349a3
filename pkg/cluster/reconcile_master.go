package cluster

// ascend is the way of the elected one to its throne: closed all the way, so that it may take as long as it likes, or come too late.
func (w *reconciler) ascend() {
	base := w.s.Election.Base
	switch {
	case !w.f.Running:
		w.startReadOnly()
	case base == 0 && (w.f.Upstream.File != "" || w.f.Upstream.Receiver != ""): // made master by hand, it still names whom it followed
		w.do(Action{Do: DoFreeze, Base: w.s.Epoch - 1}, "it is master of epoch %d, and follows nobody when it is started", w.s.Epoch)
	case base == 0 && !w.f.Recovery && w.unconfirmed():
		w.do(Action{Do: DoStop}, "it may have clients, and the quorum has not confirmed it for %s", short(w.f.Lease))
	case base == 0 && w.f.Recovery:
		w.startMaster("it was master when the region was formed, or adopted")
	case base == 0 || !w.f.Recovery:
		w.sign(base)
	case w.f.crowned(w.s): // promoted already: the quorum may know its row by now, and another timeline would belie that
		w.startMaster("it is promoted and signed for its epoch")
	case w.f.FrozenFor < base:
		w.do(Action{Do: DoFreeze, Base: base}, "elected for epoch %d", w.s.Epoch)
	case w.f.Names.Shown != w.NamesFor(w.s, w.f.Host):
		w.do(Action{Do: DoSetNames, Text: w.NamesFor(w.s, w.f.Host)}, "it may acknowledge nothing before its epoch serves")
	case w.f.Paused:
		w.do(Action{Do: DoResumeReplay}, "a promotion waits for it")
	default:
		w.promote()
	}
}

// promote is done in one go: none of it is begun before what precedes it has come to its end, and to look in between would show nothing else.
func (w *reconciler) promote() {
	if w.f.Clients {
		w.do(Action{Do: DoCloseClients}, "nobody may read what may vanish")
	}
	w.do(Action{Do: DoPromote, Epoch: w.s.Epoch}, "elected for epoch %d", w.s.Epoch)
	w.signature()
}

// unconfirmed: a master that was formed or adopted has clients and acknowledges before its epoch serves. The quorum has to confirm it from the
// moment on at which it knows of that.
func (w *reconciler) unconfirmed() bool {
	r, _ := w.v.of(w.f.Host)
	return w.f.Lease > w.p.Lease && r != nil && r.EpochAge > w.p.Lease
}

// sign writes the row of the epoch once it is promoted, and puts the gate back.
func (w *reconciler) sign(base int64) {
	switch {
	case base != 0 && (w.f.FrozenFor < base || w.f.Names.Shown != w.NamesFor(w.s, w.f.Host)):
		w.do(Action{Do: DoStop}, "it runs as master, but was not promoted closed")
	case !w.f.crowned(w.s):
		w.signature()
	default:
		w.gate()
	}
}

// signature is what makes a promoted server one that may serve, as soon as the quorum knows of it.
func (w *reconciler) signature() {
	w.do(Action{Do: DoWriteRow, Epoch: w.s.Epoch, Nonce: w.s.Nonce}, "promoted")
	w.do(Action{Do: DoPutGate}, unasked)
}

// unasked is why the gate lies beside a running master.
const unasked = "whatever starts it unasked finds it read-only"

func (w *reconciler) gate() {
	if !w.f.Gate {
		w.do(Action{Do: DoPutGate}, unasked)
	}
}

// reign is the duty of the serving master.
func (w *reconciler) reign() {
	switch {
	case w.f.Running && w.f.Recovery && w.f.Names.Shown != ClosedNames:
		w.do(Action{Do: DoSetNames, Text: ClosedNames}, "read-only, it may acknowledge nothing, whoever promotes it")
	case !w.f.Running || w.f.Recovery:
		w.restart()
	case !w.f.signed(w.s):
		w.do(Action{Do: DoStop}, "its data does not bear the row of epoch %d", w.s.Epoch)
	case w.newer() > w.s.Epoch:
		w.do(Action{Do: DoStop}, "epoch %d is known to others", w.newer())
	case !w.MayServe(w.s, w.f, w.p):
		w.do(Action{Do: DoStop}, "no sign of the quorum for %s and no canary came back begun within %s", short(w.f.Lease), w.p.Lease)
	case w.s.Wanted != "":
		w.do(Action{Do: DoMakeWay}, "an operator wants %s", w.s.Wanted)
	case w.f.WriteAge >= w.p.DownAfter:
		w.do(Action{Do: DoKill}, "its own writes have not come back for %s", short(w.f.WriteAge))
	default:
		w.govern()
	}
}

// newer is the newest epoch that anybody has said to know of the quorum.
func (w *reconciler) newer() int64 {
	var newest int64
	for i := range w.v.Heard {
		newest = max(newest, w.v.Heard[i].Epoch)
	}
	return newest
}

// signedAbove tells whether some server's data is signed above what is known: made master by a hand outside the quorum. That stops no
// running master, as nobody can know who is right, but it starts none either.
func (w *reconciler) signedAbove() bool {
	for i := range w.v.Heard {
		if f := w.v.Heard[i].Facts; f != nil && f.System == w.s.System && f.top() > w.s.Epoch {
			return true
		}
	}
	return false
}

// restart brings the master back after a crash, a reboot, or a stop for want of a lease. A clean stop was somebody's wish. Data that
// this watcher has not seen to bear the epoch's row is looked at read-only first.
func (w *reconciler) restart() {
	switch {
	case w.s.Wanted != "": // it has made way, and the next one is about to be elected
	case !w.f.Running && w.f.Stopped, w.newer() > w.s.Epoch, w.signedAbove():
	case !w.f.Running && !w.f.signed(w.s): // it has to be seen first
		w.startReadOnly()
	case w.f.signed(w.s) && w.MayStart(w.s, w.f, w.p):
		w.startMaster("the quorum says that it is the master")
	case !w.f.Running && w.f.Lease > w.p.DownAfter: // no word of the quorum
		w.startReadOnly()
	}
}

// startMaster starts it for its epoch, from the end of its WAL.
func (w *reconciler) startMaster(why string) {
	if (!w.f.Running || w.f.AtEnd) && w.MayStart(w.s, w.f, w.p) && w.tries() {
		w.do(Action{Do: DoStartMaster, Epoch: w.s.Epoch}, "%s (epoch %d)", why, w.s.Epoch)
	}
}

// govern keeps the names in force, the gate behind it, and the clients out or in.
func (w *reconciler) govern() {
	f := w.f
	n, _ := w.s.Newest()
	want := w.NamesFor(w.s, f.Host)
	missing := w.InForce(f, w.s.Epoch, n, w.s.Configs)
	proven := f.Names.proves(w.s.Epoch, n)
	switch {
	case f.Names.Shown != want:
		w.do(Action{Do: DoSetNames, Text: want}, "configuration %d", n.Gen)
	case missing == "" && !proven:
		w.do(Action{Do: DoRemember, Proof: &Proof{Epoch: w.s.Epoch, Gen: n.Gen, At: f.Current}}, "configuration %d is in force", n.Gen)
	}
	w.endStrangers()
	w.endDoubles()
	w.gate()
	if !f.Clients && f.Gate && w.mayOpen() {
		w.do(Action{Do: DoOpenClients}, "every configuration in force has %s", f.Recovered)
	}
	if w.s.Opened && f.Clients && proven && !f.Saved {
		w.do(Action{Do: DoCheckpoint}, "promoted, open, and the checkpointer has read the names")
	}
	w.masterFile()
	if missing != "" && f.Names.Shown == want {
		w.endOld(n)
	}
}

// mayOpen: nothing that is shown can vanish, and nobody else shows anything any more.
func (w *reconciler) mayOpen() bool {
	r, _ := w.v.of(w.f.Host)
	return r != nil && r.Epoch == w.s.Epoch && (max(r.EpochAge, r.MasterAge+w.s.Quiet) >= w.p.handover() || w.handedOver()) && w.Reached(w.Rules, w.s, w.v, w.p, w.f.Recovered)
}

// handedOver: every master before, back to the last one that is known to have had clients, says, knowing of this epoch, that it is none any
// more. It cannot become one again without the quorum, so its lease need not be waited for. An act that it decided on before, and that
// comes late, starts it with its clients closed.
func (w *reconciler) handedOver() bool {
	for _, host := range w.s.Before {
		r := w.v.fresh(host, w.p.Fresh)
		if host != w.f.Host && (r == nil || r.Epoch != w.s.Epoch || r.Facts == nil || r.Facts.Running && !r.Facts.Recovery) {
			return false
		}
	}
	return len(w.s.Before) > 0
}

// endOld ends walsenders that may go by older names: under ANY, where nothing else tells, one after the other, and all of them where that has taken too long.
func (w *reconciler) endOld(n SyncConfig) {
	late := w.f.Names.ShownFor >= w.p.StandbyDownAfter
	for i := range w.f.Senders {
		if x := &w.f.Senders[i]; x.outdated(n) && (n.Any || late) {
			w.do(Action{Do: DoEndSender, PID: x.PID}, "it may go by older names")
			if !late {
				return
			}
		}
	}
}

// endStrangers ends what bears a member's name and does not come from that member's host: it would release commits that the member does
// not have.
func (w *reconciler) endStrangers() {
	for i := range w.f.Senders {
		if x := &w.f.Senders[i]; w.s.Listed(x.Name) && x.Host != w.s.HostOf(x.Name) {
			w.do(Action{Do: DoEndSender, PID: x.PID}, "it is called %s and is not", x.Name)
		}
	}
}

// endDoubles ends both of two walsenders of a member's name from its host. Mostly the older one is left of a connection that is lost, and PostgreSQL would wait
// for it. But it may also be the member's and the younger one somebody else's, who would release commits that the member does not have: which is which
// cannot be told here, and the member connects again. Only of a member's name: a backup has two walsenders of one name too, and needs both.
func (w *reconciler) endDoubles() {
	for i := range w.f.Senders {
		a := &w.f.Senders[i]
		double := func(b *Sender) bool { return b.PID != a.PID && sameName(b.Name, a.Name) && b.Host == a.Host }
		if a.Host == "" || a.Host != w.s.HostOf(a.Name) {
			continue
		}
		for j := range w.f.Senders {
			if double(&w.f.Senders[j]) {
				w.do(Action{Do: DoEndSender, PID: a.PID}, "there are two of %s", a.Name)
				break
			}
		}
	}
}
