package watch

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/consensus"
	"github.com/pgctl/pgctl/pkg/postgres"
)

// slots are what is known of the replication slots of a site, as one server sees them. A site uses slots where one of its servers names one; every server
// has its own then, named for its host where it names none.
type slots struct {
	host    string
	master  bool   // it is the master
	settled bool   // ... and has been for long enough that its standbys have come
	gated   bool   // its files make its next start a standby's
	named   string // the slot that it names for that; "" none
	room    int    // how many slots it may have
	here    []postgres.OwnSlot
	others  []slotUser
}

// slotUser is another server.
type slotUser struct {
	host    string
	named   string // the slot that it names; "" none
	heard   bool   // it said so, since this watcher began
	follows bool   // it says now, and its PostgreSQL does, that it is a standby of this one
}

func (u slotUser) slot() string { return cmp.Or(u.named, cluster.SlotName(u.host)) }

// slotsSettled is how long after it serves a slot that nobody has come for is made to keep WAL. It is not done at once: whoever comes at that moment
// would find none.
const slotsSettled = 10 * time.Second

func (w *watcher) slots(seen *postgres.OwnSight) slots {
	s := slots{
		host: w.name, master: !seen.SQL.Recovery, settled: w.memory.Phase == cluster.Serving && sinceBoot()-w.memory.PhaseAt > slotsSettled,
		gated: seen.Gate, named: seen.Slot, here: seen.SQL.Slots,
	}
	s.room, _ = strconv.Atoi(seen.SQL.Settings["max_replication_slots"])
	for _, h := range w.hosts {
		if h.Name == w.name || h.Role != consensus.Server {
			continue
		}
		u := slotUser{host: h.Name}
		if d := w.letters[h.Name]; d != nil {
			u.heard, u.named = true, d.Slot
		}
		if r := w.fresh(h.Name); r != nil {
			u.follows = r.Facts.Recovery && r.Facts.Silent == 0 && r.Facts.Upstream.File == w.name
		}
		s.others = append(s.others, u)
	}
	return s
}

// slotTask is one thing to do about the slots of a server.
type slotTask struct {
	what string
	do   func(context.Context) error
}

// tasks are what is not as it should be, what makes room first:
//   - the master keeps WAL for each standby that uses a slot, and not for one that follows it without;
//   - a standby has a slot for each of the others that keeps no WAL, so that they find it the moment it is promoted; what it kept as a master it lets go of,
//     for nobody reads it and the disk would fill;
//   - the files of the master name its own, for when it comes back as a standby. Those of a standby are left as they are: up to 12 it would have to be started again.
//
// A slot of the master that has lost WAL is left for the operator to see.
func (s slots) tasks(own *postgres.Own) []slotTask {
	if s.named == "" && !slices.ContainsFunc(s.others, func(u slotUser) bool { return u.named != "" }) {
		return nil
	}
	var drop, keep []slotTask
	for _, u := range s.others {
		name := u.slot()
		var it postgres.OwnSlot
		if i := slices.IndexFunc(s.here, func(h postgres.OwnSlot) bool { return h.Name == name }); i >= 0 {
			it = s.here[i]
		}
		switch has := it.Name != ""; {
		case has && (!it.Physical || it.Active || it.Lost && s.master):
		case !s.master && (it.Keeps || it.Lost):
			drop = append(drop, slotTask{"drop the slot " + name, func(ctx context.Context) error { return own.Server().DropSlotOfStandby(ctx, name) }})
		case s.master && it.Keeps && u.follows && u.named == "" && !slices.ContainsFunc(s.others, func(o slotUser) bool { return o.named == name }):
			drop = append(drop, slotTask{"drop the slot " + name, func(ctx context.Context) error { return own.Server().DropSlot(ctx, name) }})
		case s.master && u.follows && u.named != "" && (!has || !it.Keeps && s.settled):
			keep = append(keep, slotTask{"make the slot " + name, func(ctx context.Context) error { return own.Server().MakeSlot(ctx, name) }})
		case !s.master && !has && u.heard:
			keep = append(keep, slotTask{"have the slot " + name + " ready", func(ctx context.Context) error { return own.Server().ReadySlot(ctx, name) }})
		}
	}
	if s.master && s.named == "" && s.gated && s.mayName() {
		keep = append(keep, slotTask{"name a slot for when it is a standby", func(ctx context.Context) error { return own.NameSlot(ctx, cluster.SlotName(s.host)) }})
	}
	return append(drop, keep...)
}

// mayName: a standby whose slot is another's, or cannot be made, would not stream at all. How many the next master may have is not known: as many as this one, mostly.
func (s slots) mayName() bool {
	return s.room >= len(s.others) && !slices.ContainsFunc(s.others, func(u slotUser) bool { return u.slot() == cluster.SlotName(s.host) })
}
