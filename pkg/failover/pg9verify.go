package failover

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/pg9"
	"github.com/pgctl/pgctl/pkg/pgpool"
	"github.com/pgctl/pgctl/pkg/remote"
)

// Hosts9 asks both servers of a 9.x site, at once, for what they have beyond PostgreSQL; with files, for the scripts too.
func Hosts9(ctx context.Context, hosts func(name string) remote.Host, timeout time.Duration, snap cluster.Snapshot, files bool) map[string]pg9.Host {
	var names []string
	dir := ""
	for _, s := range snap.Servers {
		names = append(names, s.Host)
		if s.Data != nil && (dir == "" || s.SQL != nil && !s.SQL.InRecovery) {
			dir = s.Data.Path // both have theirs in the same place
		}
	}
	found := remote.Each(ctx, names, 0, timeout, func(ctx context.Context, name string) pg9.Host {
		own := dir
		for _, s := range snap.Servers {
			if s.Host == name && s.Data != nil {
				own = s.Data.Path
			}
		}
		if !files {
			return pg9.AskState(ctx, hosts(name), own, names...)
		}
		return pg9.Ask(ctx, hosts(name), own, names)
	})
	all := map[string]pg9.Host{}
	for i, name := range names {
		all[name] = found[i]
	}
	return all
}

// arrival is how long a write may take to arrive at the slave.
const arrival = 5 * time.Second

// Verify looks at what pg9.Verify judges: it writes through every pool (a transaction that is rolled back at once), and sees that this
// arrives at the slave.
func (h *PG9) Verify(ctx context.Context, snap cluster.Snapshot, pools *Pools) pg9.Sight {
	s := pg9.Sight{Snap: snap, Hosts: Hosts9(ctx, h.Hosts, h.Timeout, snap, false), Writes: map[string]pg9.Write{}}
	view := snap.View()
	var master, slave *cluster.Server
	for i := range snap.Servers {
		if srv := &snap.Servers[i]; srv.Host == view.Master {
			master = srv
		} else {
			slave = srv
		}
	}
	if master == nil || slave == nil {
		return s
	}
	if slave.SQL != nil {
		s.Before = slave.SQL.Position
	}
	for _, pool := range snap.Pools {
		if poolSilent(pool) == "" {
			s.Writes[pool.Host] = h.write9(ctx, snap, pools, pool.Host)
		}
	}
	if !slices.ContainsFunc(snap.Pools, func(p cluster.Pool) bool { return s.Writes[p.Host].By == master.Host }) {
		h.writeOn(ctx, master.Host) // the position has to move by something
	}
	h.arrives(ctx, &s, master.Host, slave)
	return s
}

// write9 writes through a pool and tells who took it.
func (h *PG9) write9(ctx context.Context, snap cluster.Snapshot, pools *Pools, name string) pg9.Write {
	ctx, cancel := h.ask(ctx)
	defer cancel()
	host := h.Hosts(name)
	_, conf, err := pools.read(ctx, host)
	if err != nil {
		return pg9.Write{Why: err.Error()}
	}
	passwords, err := pools.passwords(ctx, host)
	if err != nil {
		return pg9.Write{Why: err.Error()}
	}
	target, err := pgpool.Write(ctx, host, pools.Settings, conf, passwords)
	if err != nil {
		return pg9.Write{Why: pgpool.Explain(err)}
	}
	for i := range snap.Servers {
		if s := &snap.Servers[i]; s.IsBackend(cluster.Backend{Host: target.Address, Port: target.Port}) || target.Address == "" && s.Host == name {
			return pg9.Write{By: s.Host}
		}
	}
	return pg9.Write{Why: fmt.Sprintf("it was taken by %s:%d, which is no server of the site", target.Address, target.Port)}
}

// writeOn writes on the server itself; what comes of it is seen by the position.
func (h *PG9) writeOn(ctx context.Context, host string) {
	ctx, cancel := h.ask(ctx)
	defer cancel()
	if conn, err := h.on(host, "").Connect(ctx); err == nil {
		_, _ = conn.Exec(ctx, "BEGIN; SELECT txid_current(); ROLLBACK").ReadAll()
		_ = conn.Close(ctx)
	}
}

// arrives waits until the slave has replayed what the master has now.
func (h *PG9) arrives(ctx context.Context, s *pg9.Sight, master string, slave *cluster.Server) {
	if slave.SQL == nil {
		return
	}
	if in, err := h.probe9(ctx, master); err == nil {
		s.Want = in.Position
	}
	for began := h.Now(); ; pause(ctx, 100*time.Millisecond) {
		if in, err := h.probe9(ctx, slave.Host); err == nil {
			s.After = in.Position
		}
		if s.After >= s.Want && s.After > s.Before || h.Now().Sub(began) > arrival || ctx.Err() != nil {
			return
		}
	}
}

func (h *PG9) probe9(ctx context.Context, host string) (*cluster.Instance, error) {
	ctx, cancel := h.ask(ctx)
	defer cancel()
	return h.on(host, "").Probe(ctx)
}
