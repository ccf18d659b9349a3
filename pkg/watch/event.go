package watch

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// EventKind names what the program of watch.notify is told of.
type EventKind string

// The kinds of events. Of the region's the executor tells, of its own server and of itself each watcher.
const (
	EventFormed      EventKind = "formed"      // the region has its first master
	EventElection    EventKind = "election"    // the epoch is over: another master is looked for
	EventElected     EventKind = "elected"     // it is found, and promotes itself
	EventServes      EventKind = "master"      // it is promoted: it acknowledges
	EventOpened      EventKind = "opened"      // and lets clients in
	EventSync        EventKind = "sync-set"    // what a commit waits for is another set
	EventMember      EventKind = "member"      // a server counts under a new name
	EventQuarantined EventKind = "quarantined" // a server's data is no copy of the master's
	EventPaused      EventKind = "paused"
	EventResumed     EventKind = "resumed"
	EventHalted      EventKind = "halted" // nothing is done by itself until an operator adopts a master
	EventAdopted     EventKind = "adopted"
	EventPoolMoved   EventKind = "pool-moved"
	EventJudged      EventKind = "judgement" // what is the matter with the region has changed

	EventDown    EventKind = "postgres-down"
	EventUp      EventKind = "postgres-up"
	EventStarted EventKind = "watcher-started"
	EventStopped EventKind = "watcher-stopped"
)

// Event is one thing that has happened, as the program of watch.notify gets it.
type Event struct {
	Kind    EventKind `json:"event"`
	Time    string    `json:"time"` // RFC 3339; of a decision, by the clock of the one that made it
	From    string    `json:"from"` // the host that tells
	Host    *string   `json:"host"` // that it is about; null the region
	Message string    `json:"message"`
	Why     []string  `json:"why"` // the rule and the evidence
	Epoch   int64     `json:"epoch"`
	Master  *string   `json:"master"`  // null: nobody is elected
	Needed  int       `json:"needed"`  // so many of in_sync a commit waits for
	InSync  []string  `json:"in_sync"` // hosts
	Dropped int64     `json:"dropped"` // events before this one that could not be told
}

// told are the commands that make an event. One that opens another sync configuration has none: its end has.
var told = map[cluster.CommandKind]EventKind{
	cluster.Form: EventFormed, cluster.OpenVote: EventElection, cluster.VoteAgain: EventElection, cluster.Elect: EventElected,
	cluster.Serve: EventServes, cluster.Open: EventOpened, cluster.Settle: EventSync, cluster.Register: EventMember,
	cluster.Isolate: EventQuarantined, cluster.PauseHA: EventPaused, cluster.ResumeHA: EventResumed, cluster.Halt: EventHalted,
	cluster.Adopt: EventAdopted, cluster.PoolMoved: EventPoolMoved,
}

// regionEvents are what has happened to the region between two of its states, as its records say: a state that was passed over is in them.
// A host that comes to know a region that has a history was not there, and tells nothing of it.
func regionEvents(before, after *cluster.State, from string) []Event {
	seen, total := before.Number(len(before.History))-1, after.Number(len(after.History))-1
	if seen == 0 && total > 1 {
		return nil
	}
	var all []Event
	for i := max(0, int(seen-after.Dropped)); i < len(after.History); i++ {
		r := &after.History[i]
		kind, ok := told[r.Command]
		if !ok {
			continue
		}
		e := eventOf(kind, after, from)
		e.Time, e.Epoch, e.Host = r.At, r.Epoch, orNull(r.Host)
		e.Message, e.Why = sentence(kind, r, after), append([]string{r.Rule}, r.Evidence...)
		all = append(all, e)
	}
	return all
}

// eventOf is an event with what holds in a state.
func eventOf(kind EventKind, s *cluster.State, from string) Event {
	q := cluster.Quorum{Configs: s.Configs, Members: s.Members}
	e := Event{Kind: kind, From: from, Why: []string{}, Epoch: s.Epoch, Master: orNull(s.Master), InSync: q.InSync()}
	if newest, ok := s.Newest(); ok {
		e.Needed = newest.K
	}
	return e
}

// sentence is a record for people.
func sentence(kind EventKind, r *cluster.Record, after *cluster.State) string {
	switch kind {
	case EventFormed:
		return r.Host + " is the first master of the region"
	case EventElection:
		return fmt.Sprintf("the epoch before is over, an election for epoch %d has begun", r.Epoch)
	case EventElected:
		return fmt.Sprintf("%s is elected for epoch %d", r.Host, r.Epoch)
	case EventServes:
		return fmt.Sprintf("%s is promoted for epoch %d", r.Host, r.Epoch)
	case EventOpened:
		return r.Host + " lets clients in"
	case EventSync:
		return "a commit waits for " + waitsFor(after)
	case EventMember:
		return fmt.Sprintf("%s counts under the name %s", r.Host, cmp.Or(after.MemberOf(r.Host), "?"))
	case EventQuarantined:
		return r.Host + " is no copy of the master: it needs pgctl upmaster"
	case EventPoolMoved:
		return fmt.Sprintf("the pool of %s writes to %s", r.Host, after.Master)
	case EventPaused:
		return "no failover begins: " + r.Rule
	case EventResumed:
		return "failovers begin again: " + r.Rule
	case EventHalted:
		return "nothing is done by itself any more: " + r.Rule
	}
	return r.Host + " is taken for the master"
}

// waitsFor is what the newest configuration has a commit wait for.
func waitsFor(s *cluster.State) string {
	newest, ok := s.Newest()
	if !ok || newest.K == 0 {
		return "nobody"
	}
	q := cluster.Quorum{Configs: s.Configs, Members: s.Members}
	hosts := strings.Join(q.InSync(), ", ")
	if newest.Any {
		return fmt.Sprintf("any %d of %s", newest.K, hosts)
	}
	return hosts
}

// judged is an event of a decision whose judgements have changed; names are their codes and hosts.
func judged(d *cluster.Decision, names string, s *cluster.State, from string) Event {
	e := eventOf(EventJudged, s, from)
	e.Message = cmp.Or(names, "all is well")
	for _, j := range d.Judgements {
		for _, evidence := range j.Evidence {
			e.Why = append(e.Why, strings.TrimSpace(string(j.Code)+" "+j.Host)+": "+evidence)
		}
	}
	return e
}

// power is what was last told of the own server.
type power struct{ known, up bool }

// startGrace is how long after the watcher's own start a PostgreSQL that is not up is no event: the machine may be starting.
const startGrace = 10 * time.Second

// next is what is to be remembered after a look at the own server, and whether it is an event. The first look that finds it up is none.
func (p power) next(f *cluster.Facts, age time.Duration) (after power, event bool) {
	up := f.Running && f.Silent <= patience
	switch {
	case !p.known && up:
		return power{true, true}, false
	case !p.known && age < startGrace, p.known && p.up == up:
		return p, false
	}
	return power{true, up}, true
}
