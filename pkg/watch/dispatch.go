package watch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/consensus"
	"github.com/pgctl/pgctl/pkg/postgres"
)

// dispatch is what a watcher tells every other one: its report, and what the procedures around the decisions need.
type dispatch struct {
	Report    *cluster.Report   `json:"report"`
	Index     uint64            `json:"index"`     // of the state that it knows
	Inventory string            `json:"inventory"` // hash of the hosts in its server.yaml
	Inactive  bool              `json:"inactive"`  // its server.yaml says so
	Version   string            `json:"version"`
	Status    string            `json:"status"`
	Announced uint64            `json:"announced"`      // up to which index events of the region were told
	Up        time.Duration     `json:"up"`             // since this watcher began; 0: of a version that did not say it yet
	Port      int               `json:"port,omitempty"` // of its PostgreSQL
	Slot      string            `json:"slot,omitempty"` // that its standby uses on the master
	came      time.Duration     // since boot
	delay     time.Duration     // it may have been under way for so long by then
	Login     postgres.ConnInfo `json:"login,omitempty"` // how a standby logs in on its master; it is told to servers only
}

// token is a moment on the clock of one watcher's life. It gives one with each answer, and a report brings the last one along that its host was
// given: so it was made after that moment, however long it was under way.
type token struct {
	Life  string        `json:"life"`
	Clock time.Duration `json:"clock"`
}

// envelope is a dispatch on its way to one host.
type envelope struct {
	Token    token           `json:"token"`
	Dispatch json.RawMessage `json:"dispatch"`
}

// receipt is the answer to it.
type receipt struct {
	Token token `json:"token"`
	Again bool  `json:"again"` // the token was of an earlier life, or none: it is to be sent once more
}

// The limits of what peers say to each other.
const (
	bodyLimit  = 1 << 20
	sendLimit  = 2 * time.Second
	leaseLimit = 2 * time.Second
)

// The paths of a peer's port.
const (
	pathReport  = "/v1/report"
	pathLease   = "/v1/lease"
	pathState   = "/v1/state"
	pathPropose = "/v1/propose"
)

// leaseRequest asks the leader to confirm the master of an epoch; leaseGrant does so, as of a state.
type leaseRequest struct {
	Epoch int64 `json:"epoch"`
}

type leaseGrant struct {
	Epoch int64 `json:"epoch"`
	Gen   int64 `json:"gen"`
}

// peers speaks to the other hosts of the site through the port.
type peers struct {
	host   string
	client *http.Client
	log    *slog.Logger

	mu    sync.Mutex
	links map[string]*link
}

// link carries the newest dispatch to one host, one at a time: a host that does not answer holds up nobody.
type link struct {
	box chan []byte // of one
	end context.CancelFunc
}

func newPeers(host string, port *consensus.Port, log *slog.Logger) *peers {
	return &peers{host: host, client: port.Client(), log: log, links: map[string]*link{}}
}

// connect keeps a link to each of the hosts, and to no other.
func (p *peers) connect(hosts []consensus.Host) {
	p.mu.Lock()
	defer p.mu.Unlock()
	wanted := map[string]bool{}
	for _, h := range hosts {
		if h.Name == p.host {
			continue
		}
		wanted[h.Name] = true
		if p.links[h.Name] == nil {
			ctx, end := context.WithCancel(context.Background())
			l := &link{box: make(chan []byte, 1), end: end}
			p.links[h.Name] = l
			go p.carry(ctx, h.Name, l)
		}
	}
	for name, l := range p.links {
		if !wanted[name] {
			l.end()
			delete(p.links, name)
		}
	}
}

func (p *peers) close() { p.connect(nil) }

// text is a dispatch as it is told.
func (d *dispatch) text() []byte {
	text, err := json.Marshal(d)
	if err != nil {
		panic(err) // plain values
	}
	return text
}

// tell puts a dispatch on its way, in place of one that has not left yet.
func (p *peers) tell(host string, text []byte) {
	p.mu.Lock()
	l := p.links[host]
	p.mu.Unlock()
	if l == nil {
		return
	}
	select {
	case <-l.box:
	default:
	}
	select {
	case l.box <- text:
	default: // another one was quicker
	}
}

func (p *peers) carry(ctx context.Context, host string, l *link) {
	var now token // the last that the host gave
	for {
		select {
		case <-ctx.Done():
			return
		case text := <-l.box:
			for range 2 { // once more, where the host had to tell its clock first
				ctx, cancel := context.WithTimeout(ctx, sendLimit)
				var r receipt
				err := p.ask(ctx, host, pathReport, envelope{now, text}, &r)
				cancel()
				if err != nil {
					p.log.Debug("a report was not delivered", "to", host, "error", err)
					break
				}
				now = r.Token
				if !r.Again {
					break
				}
			}
		}
	}
}

// errAnswer is an answer that is a refusal.
type errAnswer struct {
	status int
	text   string
}

// Error is what the peer said.
func (e *errAnswer) Error() string { return e.text }

// ask sends a question to a host and reads its answer.
func (p *peers) ask(ctx context.Context, host, path string, question, answer any) error {
	text, err := json.Marshal(question)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+host+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	response, err := p.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, bodyLimit))
	switch {
	case err != nil:
		return err
	case response.StatusCode != http.StatusOK:
		return &errAnswer{response.StatusCode, fmt.Sprintf("%s: %s", host, body)}
	case answer == nil:
		return nil
	}
	return json.Unmarshal(body, answer)
}

// serve answers the other hosts until the port is closed.
func (w *watcher) serve() error {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+pathReport, w.fromPeer(func(host string, body []byte) (any, error) {
		came := sinceBoot()
		given := receipt{Token: token{w.mark, came}}
		var e struct { // an envelope, opened
			Token    token    `json:"token"`
			Dispatch dispatch `json:"dispatch"`
		}
		if err := json.Unmarshal(body, &e); err != nil || e.Dispatch.Report == nil || e.Dispatch.Report.Host != host {
			return nil, errors.Join(fmt.Errorf("no report of %s", host), err)
		}
		if e.Token.Life != w.mark {
			given.Again = true
			return given, nil
		}
		d := &e.Dispatch
		d.came, d.delay = came, max(0, came-e.Token.Clock)
		select {
		case w.arrived <- d:
		default: // the loop is behind: the next one is younger
		}
		return given, nil
	}))
	mux.HandleFunc("POST "+pathLease, w.fromPeer(func(host string, body []byte) (any, error) {
		var q leaseRequest
		if err := json.Unmarshal(body, &q); err != nil {
			return nil, err
		}
		return w.grant(host, q)
	}))
	mux.HandleFunc("POST "+pathState, w.fromPeer(func(string, []byte) (any, error) {
		if q := w.asked.Load(); q != nil {
			return *q.state.Load(), nil
		}
		return known{}, nil
	}))
	mux.HandleFunc("POST "+pathPropose, w.fromPeer(func(_ string, body []byte) (any, error) {
		var q Wish
		if err := json.Unmarshal(body, &q); err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(context.Background(), grantLimit)
		defer cancel()
		return w.grantWish(ctx, q), nil
	}, consensus.Server, consensus.Arbiter))
	mux.HandleFunc("POST "+pathPostgres, w.servePostgres)
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: sendLimit, ReadTimeout: 2 * sendLimit, IdleTimeout: time.Minute,
		ErrorLog: slog.NewLogLogger(w.Log.Handler(), slog.LevelDebug),
	}
	return server.Serve(w.port.Reports())
}

// fromPeer lets hosts of these roles ask, all where none is named, each under the name that its certificate proves.
func (w *watcher) fromPeer(answer func(host string, body []byte) (any, error), roles ...consensus.Role) http.HandlerFunc {
	return func(out http.ResponseWriter, in *http.Request) {
		host, role, err := consensus.Peer(in.TLS)
		if err == nil && len(roles) > 0 && !slices.Contains(roles, role) {
			err = fmt.Errorf("%s is no host that may ask this: its certificate says %s", host, role)
		}
		if err != nil {
			http.Error(out, err.Error(), http.StatusForbidden)
			return
		}
		body, err := io.ReadAll(io.LimitReader(in.Body, bodyLimit))
		if err != nil {
			http.Error(out, err.Error(), http.StatusBadRequest)
			return
		}
		value, err := answer(host, body)
		switch {
		case errors.Is(err, consensus.ErrNotLeader):
			http.Error(out, err.Error(), http.StatusConflict)
		case err != nil:
			http.Error(out, err.Error(), http.StatusUnprocessableEntity)
		default:
			_ = json.NewEncoder(out).Encode(value)
		}
	}
}
