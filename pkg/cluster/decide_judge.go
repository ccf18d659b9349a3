package cluster

import (
	"fmt"
	"time"
)

// Judged names what is the matter.
type Judged string

// The judgements. Those of the master first: exactly one of them holds.
const (
	JudgedOK           Judged = "ok"
	JudgedSuspect      Judged = "master-suspect"                   // quiet, not yet for down_after
	JudgedDead         Judged = "master-dead"                      // quiet for down_after, for all
	JudgedDeadPartial  Judged = "master-dead-partial"              // and some standbys are not heard
	JudgedAllDead      Judged = "all-dead"                         // and no standby is heard
	JudgedStreaming    Judged = "master-unreachable-but-streaming" // nobody connects, WAL still comes
	JudgedSaturated    Judged = "master-saturated"                 // too many clients
	JudgedHung         Judged = "master-hung"                      // it answers, its writes do not come back
	JudgedStopped      Judged = "master-stopped"                   // shut down cleanly, on a live host
	JudgedCrashed      Judged = "master-crashed"                   // down, on a live host
	JudgedReadOnly     Judged = "master-read-only"                 // it waits for an authorised start
	JudgedCutOff       Judged = "observer-cut-off"                 // one observer cannot connect, others can
	JudgedElection     Judged = "election"                         // nobody is master
	JudgedSyncBlocked  Judged = "sync-blocked"                     // commits wait for a standby that is not there
	JudgedAlone        Judged = "no-failover-target"               // no standby is in sync
	JudgedDetached     Judged = "all-standbys-detached"            // the master feeds nobody
	JudgedTwoMasters   Judged = "two-masters"                      // one that nobody elected runs too
	JudgedForked       Judged = "forked-standby"                   // quarantined
	JudgedStandbyDown  Judged = "standby-link-broken"              // one standby gets nothing
	JudgedTwice        Judged = "duplicate-application-name"       // two walsenders of one name
	JudgedNoQuorum     Judged = "quorum-degraded"                  // less than all voters are heard
	JudgedSigned       Judged = "signature-above-raft"             // automatic action has halted
	JudgedPaused       Judged = "paused"
	JudgedInactive     Judged = "inactive" // inactive_failover 1
	JudgedUnformedArea Judged = "unformed"
)

func (d *decider) add(code Judged, host string, failOver bool, evidence ...string) {
	d.out.Judgements = append(d.out.Judgements, Judgement{Code: code, Host: host, FailOver: failOver, Evidence: evidence})
}

// judge names what is the matter. It decides nothing: every rule looks at the facts itself.
func (d *decider) judge() {
	switch {
	case d.s.Halted != "":
		d.add(JudgedSigned, "", false, d.s.Halted)
	case d.s.Phase == Unformed:
		d.add(JudgedUnformedArea, "", false)
	case d.s.Phase != Serving:
		d.add(JudgedElection, d.s.Master, false)
	default:
		code, failOver := d.master()
		d.add(code, d.s.Master, failOver, d.why(code)...)
		d.cutOff()
		d.standbys()
	}
	if d.s.Paused != nil {
		d.add(JudgedPaused, d.s.Paused.Host, false, d.s.Paused.Owner+": "+d.s.Paused.Reason)
	}
	if d.p.Inactive {
		d.add(JudgedInactive, "", false)
	}
	for _, voter := range d.p.Voters {
		if d.v.fresh(voter, d.p.Fresh) == nil {
			d.add(JudgedNoQuorum, voter, false)
		}
	}
}

func (d *decider) why(code Judged) []string {
	if code == JudgedOK {
		return nil
	}
	return evidence(d.s, d.v, d.p)
}

// master judges the serving master.
func (d *decider) master() (Judged, bool) {
	quiet := d.quiet()
	f := d.facts(d.s.Master)
	silent, streaming := d.observers()
	switch {
	case quiet >= d.p.DownAfter && silent == len(d.p.Servers)-1:
		return JudgedAllDead, false
	case quiet >= d.p.DownAfter && silent > 0:
		return JudgedDeadPartial, true
	case quiet >= d.p.DownAfter && f != nil && f.Stopped:
		return JudgedStopped, true
	case quiet >= d.p.DownAfter:
		return JudgedDead, true
	case f != nil && !f.Running && f.Stopped:
		return JudgedStopped, false
	case f != nil && !f.Running:
		return JudgedCrashed, false
	case f != nil && f.Recovery:
		return JudgedReadOnly, false
	case d.answered(AnswerFull):
		return JudgedSaturated, false
	case f != nil && (f.WriteAge > d.p.Lease || f.Silent > d.p.Fresh):
		return JudgedHung, false
	case quiet <= 2*d.p.Fresh && !d.answered(AnswerMaster) && streaming > 0:
		return JudgedStreaming, false
	case quiet > d.p.Fresh:
		return JudgedSuspect, false
	}
	return JudgedOK, false
}

// cutOff names the observers that cannot reach a master which others do: a broken link, perhaps one way only, and no reason for more.
func (d *decider) cutOff() {
	if d.quiet() > d.p.Fresh {
		return
	}
	for _, host := range d.p.Voters {
		r := d.v.fresh(host, d.p.Fresh)
		if r == nil || host == d.s.Master {
			continue
		}
		for i := range r.Probes {
			if pr := &r.Probes[i]; pr.Host == d.s.Master && pr.Quiet > d.p.Fresh {
				d.add(JudgedCutOff, host, false, fmt.Sprintf("%s from %s, last sign of life %s ago", pr.Answer, d.s.Master, short(pr.Quiet)))
			}
		}
	}
}

// observers counts the standbys that are not heard, and those to which WAL still comes.
func (d *decider) observers() (silent, streaming int) {
	for _, host := range d.p.Servers {
		if host == d.s.Master {
			continue
		}
		f := d.facts(host)
		if f == nil {
			silent++
		} else if f.Upstream.Receiver == d.s.Master && f.Upstream.Moved <= 2*d.p.Fresh {
			streaming++
		}
	}
	return silent, streaming
}

// answered tells whether some observer got this answer from the master.
func (d *decider) answered(a Answer) bool {
	for i := range d.v.Heard {
		h := &d.v.Heard[i]
		if d.v.Now-h.At > d.p.Fresh {
			continue
		}
		for j := range h.Probes {
			if h.Probes[j].Host == d.s.Master && h.Probes[j].Answer == a {
				return true
			}
		}
	}
	return false
}

// standbys judges everybody else, while a master serves.
func (d *decider) standbys() {
	m := d.facts(d.s.Master)
	n, _ := d.s.Newest()
	if n.K == 0 && len(d.p.Servers) > 1 {
		d.add(JudgedAlone, d.s.Master, false, "no standby has to have a commit before it returns")
	}
	for _, host := range d.p.Servers {
		f := d.facts(host)
		if host == d.s.Master {
			continue
		}
		if why := d.s.QuarantineOf(host); why != "" {
			d.add(JudgedForked, host, false, why)
		}
		if f != nil && f.Running && !f.Recovery {
			d.add(JudgedTwoMasters, host, false, fmt.Sprintf("it runs as master; %s is the one of epoch %d", d.s.Master, d.s.Epoch))
		} else if f != nil && f.Upstream.Receiver == "" {
			d.add(JudgedStandbyDown, host, false)
		}
	}
	if m == nil || !m.Running || m.Recovery {
		return
	}
	if len(m.Senders) == 0 && len(d.p.Servers) > 1 {
		d.add(JudgedDetached, d.s.Master, false)
	}
	d.senders(n, m)
}

func (d *decider) senders(n SyncConfig, m *Facts) {
	for _, member := range n.Members {
		if stalled := d.stalled(member); stalled > max(d.p.Fresh, 2*time.Second) {
			d.add(JudgedSyncBlocked, d.s.HostOf(member), false, fmt.Sprintf("commits wait for %s, which has flushed nothing for %s", member, short(stalled)))
		}
		count := 0
		for i := range m.Senders {
			if m.Senders[i].Name == member {
				count++
			}
		}
		if count > 1 {
			d.add(JudgedTwice, d.s.HostOf(member), false, fmt.Sprintf("%d walsenders are called %s", count, member))
		}
	}
}
