package watch

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/consensus"
	"github.com/pgctl/pgctl/pkg/postgres"
)

// renew makes the data here a copy of the master's, under a new name, started read-only and following nobody: that it is a copy is for the
// quorum to see. What it replaces stays aside, and what it alone has is counted first, for the log. It is a clone: a rewind needs more rights on the
// master than a watcher has; `pgctl upmaster` can do that.
//
// What keeps it safe: nobody counts on this data under its present name (Reconcile asks for that), the new data has another one before it is
// started, and postgres.Renew leaves at every moment the old data whole or the new.
func (w *watcher) renew(ctx context.Context, a cluster.Action) error {
	seen, state := w.server.seenNow(), w.state()
	upstream, err := w.upstream(a.Host)
	if err != nil {
		return err
	}
	master := postgres.Via(a.Host, w.Postgres, func(ctx context.Context) (net.Conn, error) { return w.peers.postgres(ctx, a.Host) })
	in, err := master.Probe(ctx)
	if err != nil {
		return fmt.Errorf("the master cannot be asked: %w", err)
	}
	if in.InRecovery {
		return fmt.Errorf("%s is no master", a.Host)
	}
	own := w.server.own
	if err := w.stop(ctx, own.Stop); err != nil {
		return err
	}
	if err := w.freeze(ctx, state.Epoch-1); err != nil {
		return err
	}
	began, last := w.Now(), time.Time{}
	_, err = own.Server().Renew(ctx, postgres.Renewal{
		Method: postgres.MethodClone, DataDir: seen.DataDir, Stamp: began.UTC().Format("20060102T150405Z"), Upstream: upstream, Master: a.Host,
		SystemID: state.System, Timeline: in.Timeline,
	}, master, func(p postgres.Progress) {
		if now := w.Now(); p.Note != "" || now.Sub(last) >= 10*time.Second {
			last = now
			w.Log.Info("renews", "bytes", p.Done, "of", p.Total, "note", p.Note)
		}
	})
	if err != nil {
		return err
	}
	if err := own.SetMember(ctx, cluster.MemberName(w.name, newIncarnation())); err != nil {
		return err
	}
	if seen.Slot != "" { // the copy names none
		if err := own.NameSlot(ctx, seen.Slot); err != nil {
			return err
		}
	}
	return own.StartReadOnly(ctx)
}

// pathPostgres is where a server gets a session on another server's PostgreSQL, as the watcher's role, which may look and nothing more.
const pathPostgres = "/v1/postgres"

// postgres opens a connection to the PostgreSQL of another host, through its watcher.
func (p *peers) postgres(ctx context.Context, host string) (net.Conn, error) {
	reader, writer := io.Pipe()
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	request, err := http.NewRequestWithContext(life, http.MethodPost, "https://"+host+pathPostgres, reader)
	if err != nil {
		end()
		return nil, err
	}
	stop := context.AfterFunc(ctx, end)
	response, err := p.client.Do(request) //nolint:bodyclose // it lives as long as the connection, which closes it
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		end()
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, bodyLimit))
		end()
		return nil, &errAnswer{response.StatusCode, fmt.Sprintf("%s: %s", host, text)}
	}
	near, far := net.Pipe() // it has deadlines, which a stream of HTTP has not
	go func() { _, _ = io.Copy(writer, far); _ = writer.Close() }()
	go func() { _, _ = io.Copy(far, response.Body); _ = far.Close(); _ = response.Body.Close(); end() }()
	return near, nil
}

// servePostgres joins another server's watcher to this host's PostgreSQL.
func (w *watcher) servePostgres(out http.ResponseWriter, in *http.Request) {
	if err := w.mayAskPostgres(in.TLS); err != nil {
		http.Error(out, err.Error(), http.StatusForbidden)
		return
	}
	conn, err := w.server.own.DialWatcher(in.Context())
	if err != nil {
		http.Error(out, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	defer conn.Close()
	control := http.NewResponseController(out)
	_ = control.SetReadDeadline(time.Time{})
	out.WriteHeader(http.StatusOK)
	_ = control.Flush()
	go func() { _, _ = io.Copy(conn, in.Body); _ = conn.Close() }()
	buffer := make([]byte, 32<<10)
	for {
		n, err := conn.Read(buffer)
		if n > 0 {
			if _, err := out.Write(buffer[:n]); err != nil {
				return
			}
			_ = control.Flush()
		}
		if err != nil {
			return
		}
	}
}

func (w *watcher) mayAskPostgres(state *tls.ConnectionState) error {
	_, role, err := consensus.Peer(state)
	switch {
	case err != nil:
		return err
	case role != consensus.Server:
		return fmt.Errorf("a host of role %s has no business with PostgreSQL", role)
	case w.server == nil:
		return errors.New("there is no PostgreSQL here")
	}
	return nil
}
