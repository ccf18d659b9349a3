package watch

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// exposition writes metrics in Prometheus' text format, version 0.0.4.
type exposition struct{ out *bytes.Buffer }

// The types of metrics.
const (
	gauge   = "gauge"
	counter = "counter"
	summary = "summary"
)

// family begins a metric. Its samples follow.
func (x *exposition) family(name, kind, help string) {
	x.out.WriteString("# HELP pgctl_" + name + " " + help + "\n# TYPE pgctl_" + name + " " + kind + "\n")
}

// sample is one value; labels are names and values in turn.
func (x *exposition) sample(name string, value float64, labels ...string) {
	x.out.WriteString("pgctl_" + name)
	for i := 0; i < len(labels); i += 2 {
		x.out.WriteString(map[bool]string{true: "{", false: ","}[i == 0] + labels[i] + `="` + escapeLabel.Replace(labels[i+1]) + `"`)
	}
	if len(labels) > 0 {
		x.out.WriteByte('}')
	}
	x.out.WriteString(" " + strconv.FormatFloat(value, 'g', -1, 64) + "\n")
}

var escapeLabel = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// one is a metric of one sample.
func (x *exposition) one(name, kind, help string, value float64, labels ...string) {
	x.family(name, kind, help)
	x.sample(name, value, labels...)
}

func yes(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// all writes everything that is known. What is not is left out, never 0.
func (x *exposition) all(s *snapshot, now time.Duration) {
	x.one("info", gauge, "The watcher.", 1, "host", s.host, "version", s.version)
	x.one("round_age_seconds", gauge, "Since the watcher last looked at everything.", (now - s.at).Seconds())
	x.one("rounds_total", counter, "Looks at everything.", float64(s.rounds))
	if s.part {
		x.region(s)
		x.watchers(s, now)
	}
	if s.facts != nil {
		x.server(s)
		x.ages(s)
	}
	x.work(s)
}

// region is what the quorum agrees on, as far as this host knows.
func (x *exposition) region(s *snapshot) {
	st := &s.state
	x.one("epoch", gauge, "The epoch that is known here.", float64(st.Epoch))
	x.family("phase", gauge, "1 for the phase that the epoch is in.")
	for _, phase := range []cluster.Phase{cluster.Unformed, cluster.Electing, cluster.Elected, cluster.Serving} {
		x.sample("phase", yes(st.Phase == phase), "phase", cmp.Or(string(phase), "unformed"))
	}
	x.family("master", gauge, "1 for the master of the epoch; no sample while there is none.")
	if st.Master != "" {
		x.sample("master", 1, "host", st.Master)
	}
	x.one("opened", gauge, "1 while the master's clients are let in.", yes(st.Opened))
	x.one("paused", gauge, "1 while an operator wants no failover to begin.", yes(st.Paused != nil))
	x.one("halted", gauge, "1 while nothing is done until an operator adopts a master.", yes(st.Halted != ""))
	q := cluster.Quorum{Phase: st.Phase, Configs: st.Configs, Members: st.Members}
	if survives, serving := q.Survives(); serving {
		x.one("sync_survives", gauge, "Hosts that may be lost before an acknowledged commit is, by every configuration in force.", float64(survives))
	}
	if newest, ok := st.Newest(); ok {
		x.one("sync_needed", gauge, "Standbys that a commit waits for (K of the newest configuration).", float64(newest.K))
	}
	x.one("sync_configurations", gauge, "Synchronous configurations that may be in force; more than 1 while they change.", float64(len(st.Configs)))
	x.family("sync_member", gauge, "1 for each standby of the newest configuration.")
	for _, host := range q.InSync() {
		x.sample("sync_member", 1, "host", host)
	}
	x.family("quarantined", gauge, "1 for each server whose data is no copy of the master's.")
	for _, each := range st.Quarantined {
		x.sample("quarantined", 1, "host", each.Host)
	}
	x.one("pools_to_move", gauge, "Pools that do not point at the master yet.", float64(len(st.Pools)))
	if s.leads {
		x.family("judgement", gauge, "1 for each thing that is the matter; on the executor.")
		for _, j := range s.judged {
			if j.Code != cluster.JudgedOK {
				x.sample("judgement", 1, "code", string(j.Code), "host", j.Host)
			}
		}
	}
}

// watchers are the quorum itself.
func (x *exposition) watchers(s *snapshot, now time.Duration) {
	x.one("quorum_leads", gauge, "1 on the executor.", yes(s.leads))
	x.one("quorum_leader_known", gauge, "1 while an executor is known here.", yes(s.leader != ""))
	x.one("quorum_voters", gauge, "Hosts that vote.", float64(len(s.voters)))
	x.one("quorum_state_index", gauge, "Of the state that is known here.", float64(s.index))
	if r := s.raft; r != nil {
		x.one("quorum_term", gauge, "Term of the quorum; it grows when the executor changes.", float64(r.Term))
		x.one("quorum_commit_index", gauge, "Last entry of the log that a majority has.", float64(r.CommitIndex))
		x.one("quorum_store_bytes", gauge, "Size of the log's file.", float64(r.StoreBytes))
		if r.LeaderContact >= 0 {
			x.one("quorum_leader_contact_seconds", gauge, "Since the executor was heard by its replica here; 0 on itself.", r.LeaderContact.Seconds())
		}
	}
	x.family("peer_report_age_seconds", gauge, "Since the last report of another watcher.")
	for _, host := range slices.Sorted(maps.Keys(s.heard)) {
		x.sample("peer_report_age_seconds", (now - s.heard[host]).Seconds(), "host", host)
	}
}

// server is this host's PostgreSQL.
func (x *exposition) server(s *snapshot) {
	f := s.facts
	answers := f.Running && f.Silent <= patience
	x.one("postgres_up", gauge, "1 while this host's PostgreSQL runs and answers.", yes(answers))
	if !answers {
		return
	}
	x.one("postgres_in_recovery", gauge, "1 on a standby.", yes(f.Recovery))
	x.one("postgres_clients", gauge, "1 while pg_hba.conf lets clients in.", yes(f.Clients))
	x.one("postgres_timeline", gauge, "Its timeline.", float64(f.Timeline))
	if !f.Recovery {
		x.one("postgres_position_bytes", gauge, "Its position in the WAL.", float64(f.Current))
		return
	}
	x.one("postgres_position_bytes", gauge, "Its position in the WAL: on a standby what is replayed.", float64(f.Replayed))
	x.one("postgres_streaming", gauge, "1 while the standby streams.", yes(f.Upstream.Streaming))
	if lag, known := s.lag(); known {
		x.one("postgres_lag_bytes", gauge, "What the standby has still to replay of what the master has written.", float64(lag))
	}
}

// ages are those that a running master rests on.
func (x *exposition) ages(s *snapshot) {
	f := s.facts
	if !f.Running || f.Recovery {
		return
	}
	if f.Lease < cluster.Never/8 {
		x.one("lease_age_seconds", gauge, "On the master, since it asked for the lease that it has.", f.Lease.Seconds())
	}
	if f.Canary.Age < cluster.Never/8 {
		x.one("canary_age_seconds", gauge, "On the master, since the last commit was begun that its standbys acknowledged.", f.Canary.Age.Seconds())
	}
	x.one("write_age_seconds", gauge, "On the master, since its own write last came back.", f.WriteAge.Seconds())
}

// work is what this watcher has done.
func (x *exposition) work(s *snapshot) {
	x.family("actions_total", counter, "What was done to this host's PostgreSQL and pool.")
	x.outcomes("actions_total", "do", s.actions)
	x.family("decisions_total", counter, "What was proposed to the quorum here, as its executor.")
	x.outcomes("decisions_total", "command", s.decisions)
	x.family("look_duration_seconds", summary, "How long the looks at this host's PostgreSQL took.")
	x.sample("look_duration_seconds_sum", s.looking.Seconds())
	x.sample("look_duration_seconds_count", float64(s.looks))
	x.one("look_last_seconds", gauge, "How long the last look took.", s.lastLook.Seconds())
	if s.watchdog {
		x.one("watchdog_armed", gauge, "1 while the watchdog resets this machine unless it is fed.", yes(s.armed))
	}
	x.one("notify_dropped_total", counter, "Events that found the queue full.", float64(s.dropped))
	x.one("notify_failed_total", counter, "Events for which the program of watch.notify failed.", float64(s.failed))
}

func (x *exposition) outcomes(name, label string, all map[outcomeOf]int64) {
	order := func(a, b outcomeOf) int { return cmp.Or(cmp.Compare(a.what, b.what), cmp.Compare(a.result, b.result)) }
	for _, o := range slices.SortedFunc(maps.Keys(all), order) {
		x.sample(name, float64(all[o]), label, o.what, "result", o.result)
	}
}
