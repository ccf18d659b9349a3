package watch

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/consensus"
	"github.com/pgctl/pgctl/pkg/failover"
)

// The limits of a wish: for the executor to have a majority agree, for a watcher to find an executor that does, and for whoever asks.
const (
	grantLimit = 5 * time.Second
	wishLimit  = 12 * time.Second
	askLimit   = 15 * time.Second
	wishAgain  = 250 * time.Millisecond
)

// recordLayout is RFC 3339 with milliseconds.
const recordLayout = "2006-01-02T15:04:05.000Z07:00"

// recordTime is now, for a record.
func (w *watcher) recordTime() string { return w.Now().UTC().Format(recordLayout) }

// Wish is what an operator wants of the quorum. It is given to any watcher that votes, and goes to the executor.
type Wish struct {
	Kind  cluster.CommandKind `json:"kind"`  // cluster.PauseHA, cluster.ResumeHA, cluster.HandOver or cluster.Adopt
	Pause *cluster.Pause      `json:"pause"` // of PauseHA; its end is what the executor makes of For
	For   time.Duration       `json:"for"`   // of PauseHA; 0: until it is resumed
	Host  string              `json:"host"`  // of HandOver: who shall be master
	Dead  bool                `json:"dead"`  // of Adopt: the operator says that servers which are not heard are dead
	By    string              `json:"by"`    // who wants it, for the record
}

// Answer is what came of a wish.
type Answer struct {
	Complaint *Complaint     `json:"complaint"` // nil: it is granted
	Executor  string         `json:"executor"`  // who granted it
	Before    *cluster.Pause `json:"before"`    // the pause that there was
	Now       *cluster.Pause `json:"now"`       // and the one that there is
}

// The kinds of complaints.
const (
	Refused    = "refused"     // as the wish is, it is not granted
	NoExecutor = "no-executor" // nobody could grant it; nothing was done
	Undecided  = "undecided"   // it was proposed, and nobody knows yet what becomes of it
)

// Complaint is why a wish was not granted: a sentence, and what to do about it.
type Complaint struct {
	Kind    string `json:"kind"`
	Message string `json:"message"`
	Hint    string `json:"hint"`
}

func complain(kind, hint, format string, args ...any) Answer {
	return Answer{Complaint: &Complaint{Kind: kind, Message: fmt.Sprintf(format, args...), Hint: hint}}
}

// Told is what a watcher tells an operator: the whole state, and what it knows of the other watchers.
type Told struct {
	Host    string          `json:"host"`
	Version string          `json:"version"`
	Leads   bool            `json:"leads"` // it is the executor
	Index   uint64          `json:"index"` // of the state; of two watchers the higher one knows more
	State   cluster.State   `json:"state"`
	Quorum  *cluster.Quorum `json:"quorum"` // null: it takes no part in one, and Problem says why
	Store   *failover.Store `json:"store"`  // of its replica; null: it has none
	Problem string          `json:"problem"`
	Letters []Letter        `json:"letters"`
}

// Letter is what was heard of another watcher last.
type Letter struct {
	Host    string  `json:"host"`
	Version string  `json:"version"`
	Status  string  `json:"status"`
	Index   uint64  `json:"index"`
	Age     float64 `json:"age_seconds"`
}

// listen opens the socket, unless it is open. Only one watcher runs on a host, so a socket that is there is nobody's.
func (w *watcher) listen() error {
	if w.control != nil {
		return nil
	}
	dir := filepath.Dir(w.ControlPath)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return err
	}
	if err := os.Remove(w.ControlPath); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	listener, err := net.Listen("unix", w.ControlPath)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/state", w.serveState)
	mux.HandleFunc("POST /v1/wish", w.serveWish)
	w.control = &http.Server{
		Handler: mux, ReadHeaderTimeout: sendLimit, ReadTimeout: 2 * sendLimit,
		ErrorLog: slog.NewLogLogger(w.Log.Handler(), slog.LevelDebug),
	}
	go func(s *http.Server) { w.Log.Debug("the socket is closed", "reason", s.Serve(listener)) }(w.control)
	return nil
}

// inLoop has the loop do something, and waits until it is done.
func (w *watcher) inLoop(ctx context.Context, f func()) error {
	done := make(chan struct{})
	select {
	case w.events <- func() { f(); close(done) }:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *watcher) serveState(out http.ResponseWriter, in *http.Request) {
	ctx, cancel := context.WithTimeout(in.Context(), grantLimit)
	defer cancel()
	told := make(chan Told, 1)
	if err := w.inLoop(ctx, func() { told <- w.toldNow() }); err != nil {
		http.Error(out, fmt.Sprintf("the watcher of %s does not answer: it hangs", w.Host), http.StatusServiceUnavailable)
		return
	}
	_ = json.NewEncoder(out).Encode(<-told)
}

// toldNow is what an operator is told. It is the loop's.
func (w *watcher) toldNow() Told {
	k := w.latest()
	t := Told{Host: w.name, Version: w.Version, Leads: w.quorum.leads(), Index: k.Index, State: k.State, Problem: w.problem, Letters: []Letter{}}
	if w.quorum != nil {
		t.Quorum = w.quorumNow()
		t.Store = w.quorum.storeNow()
	}
	for host, d := range w.letters {
		t.Letters = append(t.Letters, Letter{
			Host: host, Version: d.Version, Status: d.Status, Index: d.Index, Age: (sinceBoot() - w.heard[host].At).Round(time.Millisecond).Seconds(),
		})
	}
	slices.SortFunc(t.Letters, func(a, b Letter) int { return strings.Compare(a.Host, b.Host) })
	return t
}

func (w *watcher) serveWish(out http.ResponseWriter, in *http.Request) {
	var q Wish
	body, err := io.ReadAll(io.LimitReader(in.Body, bodyLimit))
	if err == nil {
		err = json.Unmarshal(body, &q)
	}
	if err != nil {
		http.Error(out, "this is no wish: "+err.Error(), http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(in.Context(), wishLimit)
	defer cancel()
	_ = json.NewEncoder(out).Encode(w.wish(ctx, q))
}

// party is what of the loop's it takes to pass a wish on, or to grant it.
type party struct {
	name    string
	quorum  *quorum
	peers   *peers
	problem string
	servers []string
	seen    map[string]*cluster.Facts // by host, of the servers that are heard
}

func (w *watcher) party(ctx context.Context) (party, error) {
	found := make(chan party, 1)
	err := w.inLoop(ctx, func() {
		p := party{name: w.name, quorum: w.quorum, peers: w.peers, problem: w.problem}
		if section := w.config.watcher; section != nil {
			p.servers = cluster.PolicyOf(section).Servers
		}
		p.seen = w.factsHeard()
		found <- p
	})
	if err != nil {
		return party{}, err
	}
	return <-found, nil
}

// wish has the executor grant a wish, and waits for a moment where there is none.
func (w *watcher) wish(ctx context.Context, q Wish) Answer {
	for {
		a, again := w.wishOnce(ctx, q)
		if !again || a.Complaint == nil || a.Complaint.Kind != NoExecutor {
			return a
		}
		select {
		case <-ctx.Done():
			return a
		case <-time.After(wishAgain):
		}
	}
}

// wishOnce tries once. Again: what stands against it may pass by itself.
func (w *watcher) wishOnce(ctx context.Context, q Wish) (a Answer, again bool) {
	p, err := w.party(ctx)
	switch {
	case err != nil:
		return complain(NoExecutor, "pgctl logs says what it does", "the watcher of %s does not answer: it hangs", w.Host), false
	case p.quorum == nil:
		return complain(NoExecutor, "pgctl overview says what is missing", "the watcher of %s takes no part in a quorum: %s", w.Host, p.problem), false
	case p.quorum.node == nil:
		return complain(Refused, "ask the watcher of a server or an arbiter", "%s only has a pool: its watcher has no say", w.Host), false
	}
	switch leader := p.quorum.leader(); leader {
	case "":
		return complain(NoExecutor, "pgctl overview names the watchers that are missing", "there is no executor now: less than a majority of the watchers reach each other, or they are about to choose one"), true
	case p.name:
		return w.grantWish(ctx, q), true
	default:
		return passOn(ctx, p.peers, leader, q), true
	}
}

// passOn gives a wish to the executor.
func passOn(ctx context.Context, p *peers, leader string, q Wish) Answer {
	var a Answer
	err := p.ask(ctx, leader, pathPropose, q, &a)
	var no *errAnswer
	var network *net.OpError
	switch {
	case err == nil:
		return a
	case errors.As(err, &no) && no.status != http.StatusConflict:
		return complain(Refused, "", "the executor does not take it: %s", no.text)
	case no != nil, errors.As(err, &network) && network.Op == "dial":
		return complain(NoExecutor, "pgctl overview names the watchers that are missing", "the executor, %s, cannot be asked: %v", leader, err)
	}
	return complain(Undecided, "pgctl overview shows whether it was; to wish again does no harm", "the executor, %s, gave no answer, so whether it was done is not known: %v", leader, err)
}

// grantWish proposes what an operator wants, on the executor.
func (w *watcher) grantWish(ctx context.Context, q Wish) Answer {
	ctx, cancel := context.WithTimeout(ctx, grantLimit)
	defer cancel()
	p, err := w.party(ctx)
	if err != nil || !p.quorum.leads() {
		return complain(NoExecutor, "pgctl overview names the executor", "%s is not the executor any more, or not yet", w.Host)
	}
	for {
		s := p.quorum.state.Load().State
		c, why := q.command(&s, w.Now(), p.servers)
		if q.Kind == cluster.Adopt {
			c, why = q.adopt(&s, p.servers, p.seen, rand.Text()[:16])
		}
		if why != "" {
			return complain(Refused, "", "%s", why)
		}
		a := Answer{Executor: p.name, Before: s.Paused}
		if c == nil {
			return a
		}
		a.Now = c.Pause
		c.Record.At = w.recordTime()
		err := p.quorum.propose(ctx, *c)
		switch {
		case errors.Is(err, cluster.ErrStale) && ctx.Err() == nil: // the region has gone on meanwhile
		case err == nil:
			w.Log.Info("wish", "kind", q.Kind, "by", q.By)
			return a
		default:
			return notGranted(w.Host, err)
		}
	}
}

// notGranted says what an error of a proposal means for whoever wished.
func notGranted(host string, err error) Answer {
	switch {
	case errors.Is(err, consensus.ErrNotLeader), errors.Is(err, consensus.ErrStopped):
		return complain(NoExecutor, "pgctl overview names the executor", "%s is not the executor any more", host)
	case errors.Is(err, consensus.ErrUnknown):
		return complain(Undecided, "pgctl overview shows whether it was, once there is a majority; to wish again does no harm",
			"the executor, %s, had no majority agree within %s: whether it is done is not known", host, grantLimit)
	case errors.Is(err, cluster.ErrRefused):
		return complain(Refused, "", "%s", strings.TrimPrefix(err.Error(), cluster.ErrRefused.Error()+": "))
	}
	return complain(NoExecutor, "wish again", "the executor, %s, could not propose it: %v", host, err)
}

// command is what is to be proposed for a wish; nil: all is so already. Or why it is not granted.
func (q *Wish) command(s *cluster.State, now time.Time, servers []string) (c *cluster.Command, why string) {
	c = &cluster.Command{Kind: q.Kind, Epoch: s.Epoch, Gen: s.Gen, Record: cluster.Record{Rule: "as " + q.By + " wished"}}
	switch q.Kind {
	case cluster.PauseHA:
		switch {
		case q.Pause == nil || q.Pause.Owner == "":
			return nil, "a pause has an owner"
		case q.For < 0:
			return nil, fmt.Sprintf("a pause of %s is none", q.For)
		case q.Pause.Host != "" && !slices.Contains(servers, q.Pause.Host):
			return nil, fmt.Sprintf("%s is no server of server.yaml (%s): only a server's failure begins a failover", q.Pause.Host, strings.Join(servers, ", "))
		}
		pause := *q.Pause
		pause.Until = ""
		if q.For > 0 {
			pause.Until = now.Add(q.For).UTC().Format(time.RFC3339)
		}
		c.Pause, c.Host = &pause, pause.Host
		if pause.Reason != "" {
			c.Record.Evidence = []string{"the reason: " + pause.Reason}
		}
		return c, ""
	case cluster.HandOver:
		if s.Wanted == q.Host || s.Master == q.Host {
			return nil, ""
		}
		c.Host = q.Host
		return c, ""
	case cluster.ResumeHA:
		if s.Paused == nil {
			return nil, ""
		}
		return c, ""
	}
	return nil, fmt.Sprintf("nobody may wish for %q", q.Kind)
}
