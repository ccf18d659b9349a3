package watch

import (
	"context"
	"slices"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/consensus"
	"github.com/pgctl/pgctl/pkg/postgres"
)

// slots are what is known of the replication slots of a site, as one server sees them. A site uses slots where the files of one of its servers name one; every
// server has its own then, named for its host where its files name none.
type slots struct {
	host    string
	master  bool   // it is the master
	settled bool   // ... and has been for long enough that its standbys have come
	gated   bool   // its files make its next start a standby's
	named   string // the slot that they name for that; "" none
	here    []postgres.OwnSlot
	others  []slotUser // by host
}

// slotUser is another server.
type slotUser struct {
	host    string
	named   string // the slot that its files name; "" none
	standby bool
}

// slotsSettled is how long after it became master a slot that nobody has come for is made to keep WAL. It is not done at once: whoever comes at that moment
// would find none.
const slotsSettled = 10 * time.Second

func (w *watcher) slots(seen *postgres.OwnSight) slots {
	s := slots{host: w.name, master: !seen.SQL.Recovery, settled: sinceBoot()-w.memory.EpochAt > slotsSettled, gated: seen.Gate, named: seen.Slot, here: seen.SQL.Slots}
	for _, h := range w.hosts {
		if d := w.letters[h.Name]; d != nil && h.Name != w.name && h.Role == consensus.Server {
			f := d.Report.Facts
			s.others = append(s.others, slotUser{h.Name, d.Slot, f != nil && f.Recovery})
		}
	}
	return s
}

// next is the first thing that is not as it should be, and what does it:
//   - the master keeps WAL for each standby that uses a slot;
//   - a standby has a slot for each of the others that keeps no WAL, so that they find it the moment it is promoted; what it kept as a master it lets go of,
//     for nobody reads it and the disk would fill;
//   - the files of the master name its own, for when it comes back as a standby. Those of a standby are left as they are: up to 12 it would have to be started again.
func (s slots) next(own *postgres.Own) (what string, do func(context.Context) error) {
	if s.named == "" && !slices.ContainsFunc(s.others, func(o slotUser) bool { return o.named != "" }) {
		return "", nil
	}
	for _, o := range s.others {
		name := o.named
		if name == "" {
			name = cluster.SlotName(o.host)
		}
		var it postgres.OwnSlot
		if i := slices.IndexFunc(s.here, func(h postgres.OwnSlot) bool { return h.Name == name }); i >= 0 {
			it = s.here[i]
		}
		switch has := it.Name != ""; {
		case has && (!it.Physical || it.Active):
		case s.master && o.standby && o.named != "" && (!has || !it.Keeps && s.settled):
			return "make the slot " + name, func(ctx context.Context) error { return own.Server().MakeSlot(ctx, name) }
		case !s.master && it.Keeps:
			return "drop the slot " + name, func(ctx context.Context) error { return own.Server().DropSlot(ctx, name) }
		case !s.master && !has:
			return "have the slot " + name + " ready", func(ctx context.Context) error { return own.Server().ReadySlot(ctx, name) }
		}
	}
	if s.master && s.named == "" && s.gated {
		return "name a slot for when it is a standby", func(context.Context) error { return own.NameSlot(cluster.SlotName(s.host)) }
	}
	return "", nil
}
