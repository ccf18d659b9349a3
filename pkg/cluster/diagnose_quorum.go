package cluster

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgctl/pgctl/pkg/nodes"
)

// FailoverImpossible is the finding for the evening before the night: with what is seen now, no other server could take over.
const FailoverImpossible Code = "failover-impossible"

// quorum reports on the watchers as they see themselves and each other. It goes by votes, not by services that run.
func (d *diagnosis) quorum(q *QuorumView) {
	d.votesHeard(q)
	d.deaf()
	d.judged(q)
	if !d.supposed {
		d.impossible(q)
	}
}

// votesHeard: nothing is decided without an executor that a majority hears.
func (d *diagnosis) votesHeard(q *QuorumView) {
	if q.Decides() {
		return
	}
	missing := ""
	if len(q.Lost) > 0 {
		missing = " (not " + strings.Join(q.Lost, ", ") + ")"
	}
	switch {
	case !q.enough(q.Heard):
		d.critical(NoQuorum, "", "start pg_watcher where it is down (pgctl status), and see to the links between the nodes; where a majority is lost for good: pgctl deploy --reset-quorum --dry-run",
			"%d of %d watchers that vote are heard%s: too few to decide anything", len(q.Heard), len(q.Voters), missing)
	default:
		d.critical(NoQuorum, "", "look again in some seconds; where it stays so, the nodes do not reach each other's watcher port (5480): pgctl logs",
			"%d of %d watchers that vote are heard%s, but nobody leads: they are choosing an executor, or do not reach each other", len(q.Heard), len(q.Voters), missing)
	}
}

// deaf reports a watcher that does not hear another one which is there.
func (d *diagnosis) deaf() {
	for _, h := range d.watches() {
		if h.Watcher.Quorum == nil {
			continue
		}
		var unheard []string
		for _, other := range h.Watcher.Quorum.Silent {
			if other != h.Host && d.takesPart(other) {
				unheard = append(unheard, other)
			}
		}
		if len(unheard) > 0 {
			d.warn(WatcherUnhealthy, h.Host, fmt.Sprintf("see to the network and the firewall between them (TCP port 5480, both ways); pgctl logs --host %s", h.Host),
				"its watcher does not hear %s, where one runs", strings.Join(unheard, ", "))
		}
	}
}

// takesPart tells whether the watcher of a host is there, and in the quorum.
func (d *diagnosis) takesPart(host string) bool {
	return slices.ContainsFunc(d.watches(), func(h watches) bool { return h.Host == host && h.Watcher.Quorum != nil })
}

// verdict is how a judgement of the executor's is told: a sentence before its evidence, and a remedy, with HOST for the host. The
// findings that say the same of that host make it superfluous.
type verdict struct {
	message, hint string
	covered       []Code
}

var noAnswer = []Code{HostUnreachable, PostgresDown}

// verdicts are the judgements that are findings, under the same code. The others are a part of what overview shows anyway.
var verdicts = map[Judged]verdict{
	JudgedSuspect:     {"the watchers see no sign of life of the master", "nothing has to be done: if it stays so for down_after, another server takes over; pgctl overview --watch", noAnswer},
	JudgedDead:        {"the master is down for the watchers", "nothing has to be done where a failover is possible; pgctl overview --watch", noAnswer},
	JudgedDeadPartial: {"the master is down for the watchers, and some standbys are not heard", "see to the standbys that are not heard; pgctl overview --watch", noAnswer},
	JudgedAllDead:     {"no server is heard, the master and the standbys", "bring back the servers' hosts: nobody is left that could take over", nil},
	JudgedStreaming:   {"the watchers cannot connect to the master, but its standbys still receive from it: nothing is done", "see to the network and the firewall between the watchers and PostgreSQL on HOST", nil},
	JudgedSaturated:   {"the master has no connection left for anybody", "end sessions on HOST, or raise max_connections: nothing fails over for that", nil},
	JudgedHung:        {"the master answers, and its writes do not come back", "look at its disks: ssh HOST 'df; dmesg | tail'", nil},
	JudgedStopped:     {"the master was shut down, on a host that lives", "start it again before down_after is over, or another server takes over; before such work: pgctl pause --host HOST", []Code{HostUnreachable}},
	JudgedCrashed:     {"the master's PostgreSQL is down, on a host that lives", "its watcher starts it again; if it does not: pgctl logs --host HOST", []Code{HostUnreachable}},
	JudgedReadOnly:    {"the master is read-only and waits for the quorum's word to start", "it should pass in seconds; if it does not: pgctl logs --host HOST", nil},
	JudgedCutOff:      {"its watcher does not reach the master, which others do", "see to the network and the firewall between HOST and the master", nil},
	JudgedElection:    {"an election is under way: nobody serves", "nothing has to be done if it passes in seconds; what it waits for is in the message", nil},
	JudgedSyncBlocked: {"commits wait for it", "nothing has to be done: it leaves the sync set after standby_down_after; then see why it does not flush: pgctl logs --host HOST", nil},
	JudgedAlone:       {"no standby is in sync", "see to the standbys: pgctl upmaster HOST for one that does not come back by itself", nil},
	JudgedDetached:    {"the master feeds no standby", "see why the standbys do not stream: the network, pg_hba.conf, max_wal_senders", nil},
	JudgedTwoMasters:  {"it runs as a master that the quorum has not elected", "keep clients off it; its watcher stops it; then pgctl upmaster HOST", noAnswer},
	JudgedForked:      {"it is quarantined: its data is no copy of the master's", "pgctl upmaster HOST", []Code{Diverged, SystemIDMismatch}},
	JudgedStandbyDown: {"it receives nothing from the master", "look at its log: pgctl logs --host HOST", []Code{HostUnreachable, PostgresDown, StandbyNotStreaming, Diverged, SystemIDMismatch}},
	JudgedTwice:       {"two standbys bear its name", "find the one that is not HOST in pg_stat_replication of the master, and stop it", nil},
	JudgedNoQuorum:    {"its vote is not heard", "see to its watcher: pgctl logs --host HOST", []Code{HostUnreachable, WatcherDown, WatcherUnhealthy}},
	JudgedSigned:      {"the executor has halted: nothing is done by itself until an operator has decided who is master", "pgctl history says when; when the server that runs as master is the right one: pgctl resume --adopt", nil},
}

// JudgedCodes are the codes of the findings that are judgements of the executor's.
func JudgedCodes() []Code {
	var all []Code
	for j := range verdicts {
		all = append(all, Code(j))
	}
	return all
}

// judged reports what the executor thinks is the matter, where nothing else that was found says the same.
func (d *diagnosis) judged(q *QuorumView) {
	for _, j := range q.Judgements {
		v, ok := verdicts[j.Code]
		if j.Code == JudgedNoQuorum && d.takesPart(j.Host) {
			continue // whoever does not hear it says so: deaf
		}
		if !ok || slices.ContainsFunc(d.found, func(f Finding) bool { return f.Host == j.Host && slices.Contains(v.covered, f.Code) }) {
			continue
		}
		message := v.message
		evidence := j.Evidence
		if j.Code == JudgedElection {
			evidence = q.Waits
		}
		if len(evidence) > 0 {
			message += ": " + Printable(strings.Join(evidence, "; "))
		}
		d.warn(Code(j.Code), j.Host, strings.ReplaceAll(v.hint, "HOST", j.Host), "%s", message)
	}
}

// impossible says why no other server could take over if the master were lost now. While nobody serves that is no question.
func (d *diagnosis) impossible(q *QuorumView) {
	var why, hints []string
	no := func(hint, format string, args ...any) {
		why = append(why, fmt.Sprintf(format, args...))
		if hint != "" && !slices.Contains(hints, hint) {
			hints = append(hints, hint)
		}
	}
	switch {
	case q.Halted != "":
		no("", "the executor has halted (%s)", Printable(q.Halted))
	case q.Phase == Unformed:
		no("", "the region is not formed yet%s", waitsText(q.Waits))
	case q.Phase != Serving || q.Master == nil:
		return
	}
	if watching := d.onlyWatching(); len(watching) > 0 {
		no("pgctl enable-ha", "%s by a server.yaml that says inactive_failover: 1", goes(watching))
	}
	if !q.Decides() {
		no("", "less than a majority of the watchers decides")
	}
	if q.Phase == Serving {
		d.cannotFollow(q, no)
	}
	if len(why) > 0 {
		d.warn(FailoverImpossible, "", strings.Join(hints, "; "), "a failover is impossible now: %s", strings.Join(why, "; "))
	}
}

// cannotFollow says what of this moment's master and standbys stands against a failover.
func (d *diagnosis) cannotFollow(q *QuorumView, no func(hint, format string, args ...any)) {
	master := *q.Master
	if q.Paused.Holds(master) {
		no("pgctl resume, when the work is done", "%s", q.Paused.Sentence())
	}
	if left := q.without(func(voter string) bool { return voter == master }); q.Decides() && !q.enough(left) {
		no("start pg_watcher where it is down (pgctl status)", "without %s only %s of the %d watchers that vote would be left", master, listed(left), len(q.Voters))
	}
	if hosts, _ := q.Survives(); hosts == 0 {
		no("bring a standby into sync: pgctl upmaster HOST for one that does not come back by itself", "no standby is in sync with %s, which alone has what it acknowledges", master)
		return
	}
	var missing []string
	able := func(member string) bool {
		why := d.unable(q, q.HostOf(member))
		if text := q.HostOf(member) + " " + why; why != "" && !slices.Contains(missing, text) {
			missing = append(missing, text)
		}
		return why == ""
	}
	if closed := AllBlocked(q.Configs, able); !closed {
		no("", "the standbys that could take over are missing: %s", strings.Join(missing, ", "))
	}
}

// unable says why a server could not be asked to stop receiving, which is how an election begins; "" it could.
func (d *diagnosis) unable(q *QuorumView, host string) string {
	for i := range d.Servers {
		s := &d.Servers[i]
		switch {
		case s.Host != host:
			continue
		case !s.Reached():
			return "does not answer"
		case s.Watcher.Quorum == nil:
			return "has no watcher that takes part"
		case s.SQL == nil || !s.SQL.InRecovery:
			return "does not run as a standby"
		}
		if slices.ContainsFunc(q.Quarantined, func(x Quarantine) bool { return x.Host == host }) {
			return "is quarantined"
		}
		return ""
	}
	return "is not in the inventory"
}

// onlyWatching are the hosts whose watchers go by a file that switches failover off, while the inventory's files switch it on.
func (d *diagnosis) onlyWatching() []string {
	var all []string
	for _, h := range d.watches() {
		if d.HA == nodes.HAEnabled && h.Watcher.Inactive != nil && *h.Watcher.Inactive {
			all = append(all, h.Host)
		}
	}
	return all
}

// Sentence is a pause in words.
func (p *Pause) Sentence() string {
	text := "paused by " + p.Owner
	if p.Host != "" {
		text = "paused for " + p.Host + " by " + p.Owner
	}
	if p.Until != "" {
		text += " until " + p.Until
	}
	if p.Reason != "" {
		text += " (" + p.Reason + ")"
	}
	return Printable(text)
}

func waitsText(waits []string) string {
	if len(waits) == 0 {
		return ""
	}
	return " (" + Printable(strings.Join(waits, "; ")) + ")"
}

func goes(hosts []string) string {
	if len(hosts) == 1 {
		return hosts[0] + " goes"
	}
	return strings.Join(hosts, ", ") + " go"
}

func listed(hosts []string) string {
	if len(hosts) == 0 {
		return "none"
	}
	return strings.Join(hosts, ", ")
}
