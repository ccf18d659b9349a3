package failover

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/postgres"
)

// Rejoin is everything that is seen of a server that is to follow the master again, and of that master.
type Rejoin struct {
	Snap        cluster.Snapshot
	Diagnosis   cluster.Diagnosis
	Old, Master *cluster.Server // of Snap; nil: not known, or no one master beside Old
	DataDir     string          // of Old, also where there is none yet
	Kin         cluster.Kin
	Tail        cluster.Tail    // what Old has that the master lacks, as far as it could be read
	TailFailure string          // why it could not be read; ""
	OldRows     []cluster.Epoch // where Old does not answer, those that its files keep
	Rows        []cluster.Epoch
	Name        string // the application_name that Old had; "" none known
	Slots       bool   // the site uses replication slots
	OldestWAL   cluster.LSN
	Tools       postgres.Tools
	Room        postgres.Room
	NoLogin     string // why no login for replication is known; ""
	NoRoute     string // why the master cannot be reached from Old; ""
}

// LookRejoin looks at the two. It changes nothing. What cannot be seen is noted with its reason; only an interruption is an error.
func (h *Servers) LookRejoin(ctx context.Context, snap cluster.Snapshot, oldHost string) (Rejoin, error) {
	r := Rejoin{Snap: snap, Diagnosis: cluster.Diagnose(snap)}
	r.Old, r.Master = pick(&r.Snap, oldHost)
	if r.Old == nil || r.Master == nil || !r.Old.Reached() || r.Old.Host == r.Master.Host {
		return r, ctx.Err()
	}
	r.DataDir = r.Master.Data.Path
	if r.Old.Data != nil {
		r.DataDir = r.Old.Data.Path
	} else if h.Settings.DataDir != "" {
		r.DataDir = h.Settings.DataDir
	}
	old, master := h.on(r.Old.Host, r.DataDir), h.on(r.Master.Host, "")
	r.rows(ctx, h, old, master)
	r.Kin = r.Old.KinTo(r.Master, r.OldRows, r.Rows)
	r.tails(ctx, h, old)
	h.lookAround(ctx, &r, old, master)
	return r, ctx.Err()
}

// pick finds the server of that name, and the only other one that answers as master.
func pick(snap *cluster.Snapshot, host string) (old, master *cluster.Server) {
	masters := 0
	for i := range snap.Servers {
		switch s := &snap.Servers[i]; {
		case s.Host == host:
			old = s
		case s.SQL != nil && !s.SQL.InRecovery && s.Data != nil:
			masters++
			master = s
		}
	}
	if masters != 1 {
		return old, nil
	}
	return old, master
}

func (r *Rejoin) rows(ctx context.Context, h *Servers, old, master *postgres.Server) {
	ctx, cancel := h.ask(ctx)
	defer cancel()
	switch {
	case r.Old.SQL != nil:
		r.OldRows, _ = old.Epochs(ctx) // without them nothing is proven, and that is safe
	case r.Old.Data != nil:
		r.OldRows = r.Old.Data.Epochs
	}
	r.Rows, _ = master.Epochs(ctx)
	r.OldestWAL, _ = master.OldestWAL(ctx)
}

// tails adds up the WAL that is not the master's.
func (r *Rejoin) tails(ctx context.Context, h *Servers, old *postgres.Server) {
	for _, from := range r.Kin.Own {
		ctx, cancel := context.WithTimeout(ctx, 4*h.Timeout)
		tail, err := old.Tail(ctx, r.DataDir, from.Parent, from.At)
		cancel()
		if err != nil {
			r.TailFailure = err.Error()
			return
		}
		r.Tail = r.Tail.And(tail)
	}
	r.reachesFork(ctx, h, old)
}

// reachesFork: a master that was stopped has WAL up to where the other one left its timeline, or it is not what it was. Data that was put back from an
// older copy, by a snapshot of its volume say, has every row and file, and may have been written to since.
func (r *Rejoin) reachesFork(ctx context.Context, h *Servers, old *postgres.Server) {
	if r.Old.SQL != nil || r.Old.Data == nil || !r.wasMaster() {
		return
	}
	for _, from := range r.Kin.Own {
		if from.Parent != r.Old.Data.Newest() {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, 4*h.Timeout)
		last, err := old.Tail(ctx, r.DataDir, from.Parent, r.Old.Data.Checkpoint)
		cancel()
		r.TailFailure = endsBefore(last, err, from)
	}
}

// endsBefore says that WAL, read from its last checkpoint on, does not reach a position; "" when it does.
func endsBefore(last cluster.Tail, err error, fork cluster.Fork) string {
	switch {
	case err != nil:
		return err.Error()
	case last.End < fork.At && !last.More:
		return fmt.Sprintf("its WAL of timeline %d ends at %s, before %s, where that timeline was left: it is an older copy of its data, or ran on from one", fork.Parent, last.End, fork.At)
	}
	return ""
}

// lookAround sees to what a copy and its stream need.
func (h *Servers) lookAround(ctx context.Context, r *Rejoin, old, master *postgres.Server) {
	ctx, cancel := context.WithTimeout(ctx, 2*h.Timeout)
	defer cancel()
	r.Slots = usesSlots(r.Snap)
	if upstream, slot, err := old.UpstreamOf(ctx, r.DataDir); err == nil && cluster.IsMember(upstream["application_name"], r.Old.Host) {
		r.Name, r.Slots = upstream["application_name"], r.Slots || slot != ""
	}
	r.Tools, _ = old.Tools(ctx, r.DataDir)
	r.Room, _ = old.Needs(ctx, master, r.DataDir)
	if _, err := h.login(ctx, dirsOf(r.Snap)); err != nil {
		r.NoLogin = err.Error()
	}
	conn, err := h.Hosts(r.Old.Host).Dial(ctx, "tcp", net.JoinHostPort(r.Master.Host, strconv.Itoa(r.Master.Data.Port)))
	if err != nil {
		r.NoRoute = err.Error()
		return
	}
	_ = conn.Close()
}

// dirsOf are the data directories that are known, by host.
func dirsOf(snap cluster.Snapshot) map[string]string {
	dirs := map[string]string{}
	for _, s := range snap.Servers {
		if s.Data != nil {
			dirs[s.Host] = s.Data.Path
		}
	}
	return dirs
}

// dirsText is dirsOf for a step's Args.
func dirsText(snap cluster.Snapshot) string {
	var all []string
	for _, s := range snap.Servers {
		if s.Data != nil {
			all = append(all, fmt.Sprintf("%s=%s", s.Host, s.Data.Path))
		}
	}
	return strings.Join(all, " ")
}
