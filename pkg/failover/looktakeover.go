package failover

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/postgres"
)

// watched are the settings that a change of master looks at.
var watched = append([]string{"fsync", "full_page_writes", "synchronous_commit"}, atLeast...)

// LookTakeover looks at the servers for a change of master from one to another; to is "" for the best standby, from is "" unless an earlier
// run has stopped it. It changes nothing.
func (h *Servers) LookTakeover(ctx context.Context, snap cluster.Snapshot, from, to string) (Takeover, error) {
	t := Takeover{
		Snap: snap, Diagnosis: cluster.Diagnose(snap), Names: map[string]string{}, Settings: map[string]map[string]string{},
		Rows: map[string][]cluster.Epoch{}, NoRoute: map[string]string{},
	}
	t.From = find(&t.Snap, t.Diagnosis.Master)
	if from != "" && (t.From == nil || t.From.Host == to) {
		t.From, t.Resumed = find(&t.Snap, from), true
	}
	if t.To = find(&t.Snap, to); to == "" {
		t.To = t.best()
	}
	if _, err := h.login(ctx, dirsOf(snap)); err != nil {
		t.NoLogin = err.Error()
	}
	t.Slots = usesSlots(t.Snap)
	var wait sync.WaitGroup
	var mu sync.Mutex
	for i := range t.Snap.Servers {
		wait.Go(func() { h.lookServer(ctx, &t, &t.Snap.Servers[i], &mu) })
	}
	wait.Wait()
	h.lookOld(ctx, &t)
	return t, ctx.Err()
}

func find(snap *cluster.Snapshot, host string) *cluster.Server {
	for i := range snap.Servers {
		if host != "" && snap.Servers[i].Host == host {
			return &snap.Servers[i]
		}
	}
	return nil
}

// lookServer asks one server what a change of master needs to know of it.
func (h *Servers) lookServer(ctx context.Context, t *Takeover, s *cluster.Server, mu *sync.Mutex) {
	if !s.Reached() || s.Data == nil {
		return
	}
	ctx, cancel := h.ask(ctx)
	defer cancel()
	server := h.on(s.Host, s.Data.Path)
	name, hasSlot := s.Host, false
	if upstream, slot, err := server.UpstreamOf(ctx, s.Data.Path); err == nil && cluster.IsMember(upstream["application_name"], s.Host) {
		name, hasSlot = upstream["application_name"], slot != ""
	}
	var settings map[string]string
	var rows []cluster.Epoch
	if s.SQL != nil {
		settings, _ = server.Shows(ctx, watched...)
		rows, _ = server.Epochs(ctx)
	}
	why := ""
	if t.To != nil && s != t.To && t.To.Data != nil {
		why = h.route(ctx, s, t.To, dirsOf(t.Snap))
	}
	mu.Lock()
	defer mu.Unlock()
	t.Slots = t.Slots || hasSlot
	t.Names[s.Host], t.Settings[s.Host], t.Rows[s.Host] = name, settings, rows
	if why != "" {
		t.NoRoute[s.Host] = why
	}
}

// route says why a server could not connect to another one as its standby, "" when it could.
func (h *Servers) route(ctx context.Context, from, to *cluster.Server, dirs map[string]string) string {
	login, err := h.login(ctx, dirs)
	if err == nil {
		login["host"], login["port"] = to.Host, strconv.Itoa(to.Data.Port)
		err = h.on(from.Host, from.Data.Path).CanReplicate(ctx, login)
	}
	if err == nil {
		return ""
	}
	conn, errDial := h.Hosts(from.Host).Dial(ctx, "tcp", net.JoinHostPort(to.Host, strconv.Itoa(to.Data.Port)))
	if errDial != nil {
		return errDial.Error()
	}
	_ = conn.Close()
	if errors.Is(err, postgres.ErrUntested) {
		return ""
	}
	return err.Error()
}

// lookOld reads what a master that does not run any more has past the candidate.
func (h *Servers) lookOld(ctx context.Context, t *Takeover) {
	if t.To == nil || t.To.SQL == nil || t.Diagnosis.Master != "" {
		return
	}
	for i := range t.Snap.Servers {
		s := &t.Snap.Servers[i]
		if s == t.To || s.SQL != nil {
			continue
		}
		if !s.Reached() || s.Data == nil {
			t.Tail, t.TailWhy = nil, s.Host+" cannot be asked"
			return
		}
		tail, err := h.pastOf(ctx, hostDir{s.Host, s.Data.Path}, hostDir{t.To.Host, t.To.Data.Path}, t.To.SQL.Position)
		if err != nil {
			t.Tail, t.TailWhy = nil, err.Error()
			return
		}
		if t.Tail == nil || tail.Bytes() > t.Tail.Bytes() {
			t.Tail = &tail
		}
	}
}
