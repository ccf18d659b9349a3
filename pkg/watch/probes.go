package watch

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"maps"
	"net"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/postgres"
)

// probes are this watcher's own trials to connect to every server, one at a time each. What counts as a sign of life is an answer to a startup
// packet that PostgreSQL itself gave: a socket that accepts is none, and neither is a session that is open already, which outlives a postmaster that
// is stopped.
type probes struct {
	mu     sync.Mutex
	asked  map[string]bool
	trials map[string]trial
	kept   map[string]time.Duration // when a host without a login was kept out last, by server
}

func newProbes() *probes {
	return &probes{asked: map[string]bool{}, trials: map[string]trial{}, kept: map[string]time.Duration{}}
}

// trial is what came of trying one server.
type trial struct {
	answer cluster.Answer // "" none yet
	full   time.Duration  // when it last said whether it is read-only
	plain  bool           // a knock is no use: it is let in without much work, or kept out for what the knock lacks
}

// fullEvery is how often a server is asked whether it is read-only while nothing is under way. In between it is enough that it asks for the password: to
// prove that one knows it costs thousands of hashes, and PostgreSQL a session.
const fullEvery = 5 * time.Second

// brief tells whether a knock is enough now.
func (t trial) brief(now time.Duration, settled bool) bool {
	said := t.answer == cluster.AnswerMaster || t.answer == cluster.AnswerStandby
	return settled && said && !t.plain && now-t.full < fullEvery
}

// next asks the server, by a knock where that is enough. The sign of life that it gives is of now, in either way.
func (t trial) next(brief bool, now time.Duration, knock func() (answer cluster.Answer, sasl bool), full func() cluster.Answer) (after trial, life cluster.Answer) {
	if brief {
		switch answer, sasl := knock(); {
		case sasl && t.answer == cluster.AnswerMaster:
			return t, cluster.AnswerAuth // it answers; that it is a master still is not known
		case sasl:
			return t, t.answer
		case answer != cluster.AnswerAuth:
			t.answer = answer
			return t, answer
		}
		t.plain = true
	}
	t.answer = full()
	if t.answer == cluster.AnswerMaster || t.answer == cluster.AnswerStandby {
		t.full = now
	}
	return t, t.answer
}

// probeTimeout is how long a server has for its answer.
const probeTimeout = 2 * time.Second

// probed is what is known now, and begins the next trials. A server that its own watcher says to be read-only shows no life as a master by
// answering; nor does one of which somebody else has seen that.
func (w *watcher) probed(now time.Duration) []cluster.Probe {
	var all []cluster.Probe
	login := w.directory.loginNow()
	if login != nil && login["passfile"] == "" && w.server != nil {
		login["passfile"] = w.server.own.PassFile()
	}
	for _, n := range w.config.watcher.Nodes {
		host := n.Host
		w.probe(host, login)
		w.probes.mu.Lock()
		answer := cmp.Or(w.probes.trials[host].answer, cluster.AnswerNone)
		w.probes.mu.Unlock()
		last, seen := w.memory.Life[host]
		if !seen {
			last = now
			w.memory.Life[host] = now
		}
		all = append(all, cluster.Probe{Host: host, Quiet: now - last, Answer: answer})
	}
	return all
}

// probe asks one server, unless the question before is still on its way.
func (w *watcher) probe(host string, login postgres.ConnInfo) {
	port := w.directory.portOf(host)
	p := w.probes
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asked[host] || port == 0 {
		return
	}
	p.asked[host] = true
	addresses := w.directory.addressesOf(host)
	before, now := p.trials[host], sinceBoot()
	brief := before.brief(now, w.settled()) && mayKnock(login)
	r := w.fresh(host)
	well := w.settled() && r != nil && r.Facts.Running && r.Facts.Silent == 0
	go func() {
		address := host
		if len(addresses) > 0 {
			address = addresses[0]
		}
		after, life := before.next(brief, now, func() (cluster.Answer, bool) {
			ctx, cancel := context.WithTimeout(context.Background(), probeTimeout)
			defer cancel()
			return knock(ctx, address, port, map[string]string{"user": login["user"], "replication": "true"})
		}, func() cluster.Answer {
			if login == nil {
				return p.stranger(host, address, port, now, well)
			}
			return tryServer(address, port, maps.Clone(login))
		})
		p.mu.Lock()
		p.asked[host], p.trials[host] = false, after
		p.mu.Unlock()
		w.post(func() { w.noteAnswer(host, life) })
	}()
}

// noteAnswer dates a sign of life.
func (w *watcher) noteAnswer(host string, answer cluster.Answer) {
	switch answer {
	case cluster.AnswerMaster, cluster.AnswerFull:
	case cluster.AnswerAuth:
		if w.knownReadOnly(host) {
			return
		}
	default:
		return
	}
	w.memory.Life[host] = sinceBoot()
}

// knownReadOnly: its own watcher has just said so, or somebody who could log in has.
func (w *watcher) knownReadOnly(host string) bool {
	now := sinceBoot()
	for _, h := range w.heard {
		if now-h.At > 3*round {
			continue
		}
		if f := h.Facts; h.Host == host && f != nil && (!f.Running || f.Recovery) {
			return true
		}
		for i := range h.Probes {
			if h.Probes[i].Host == host && h.Probes[i].Answer == cluster.AnswerStandby {
				return true
			}
		}
	}
	return false
}

// How often a server that keeps this host out is told who asks: each time leaves a line in its log.
const (
	strangerEvery = 10 * time.Second
	strangerWell  = time.Minute // all is well, and its own watcher says so of it
)

// stranger asks a server at which this host has no login, as an arbiter has none. One that has kept it out a moment ago is asked for encryption only, which
// its postmaster answers through a process of its own, as it does a startup packet, and without a word in the log.
func (p *probes) stranger(host, address string, port int, now time.Duration, well bool) cluster.Answer {
	ctx, cancel := context.WithTimeout(context.Background(), probeTimeout)
	defer cancel()
	p.mu.Lock()
	last, was := p.kept[host]
	p.mu.Unlock()
	every := strangerEvery
	if well {
		every = strangerWell
	}
	if was && now-last < every {
		return greet(ctx, address, port)
	}
	answer, sasl := knock(ctx, address, port, map[string]string{"user": postgres.WatcherRole, "database": "postgres"})
	if answer == cluster.AnswerAuth && !sasl {
		p.mu.Lock()
		p.kept[host] = now
		p.mu.Unlock()
	}
	return answer
}

// greet asks for encryption (manual, "SSL Session Encryption"), has it begin where it is there, and goes.
func greet(ctx context.Context, host string, port int) cluster.Answer {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return answerOf(err)
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	question, err := (&pgproto3.SSLRequest{}).Encode(nil)
	if err != nil {
		return cluster.AnswerNone
	}
	var answer [1]byte
	if _, err := conn.Write(question); err != nil {
		return cluster.AnswerNone
	}
	if _, err := io.ReadFull(conn, answer[:]); err != nil || answer[0] != 'S' && answer[0] != 'N' {
		return cluster.AnswerNone
	}
	if answer[0] == 'S' { // a server that was left here would log that (source: be_tls_open_server); one that is left after it says nothing (ProcessStartupPacket)
		encrypted := tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) // who it is does not matter: nothing is said
		if encrypted.HandshakeContext(ctx) == nil {
			_ = encrypted.Close()
		}
	}
	return cluster.AnswerAuth
}

// tryServer connects, as a standby would where it is known how: a replication connection can ask whether the server is read-only.
func tryServer(host string, port int, login postgres.ConnInfo) cluster.Answer {
	ctx, cancel := context.WithTimeout(context.Background(), probeTimeout)
	defer cancel()
	login["host"], login["port"], login["application_name"], login["replication"] = host, strconv.Itoa(port), "pgctl.probe", "true"
	login["dbname"] = "replication" // what a password file has for it
	config, err := pgconn.ParseConfig(login.String())
	if err != nil {
		answer, _ := knock(ctx, host, port, map[string]string{"user": postgres.WatcherRole, "database": "postgres"})
		return answer
	}
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return answerOf(err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	results, err := conn.Exec(ctx, "SHOW transaction_read_only").ReadAll()
	if err != nil || len(results) != 1 || len(results[0].Rows) != 1 {
		return cluster.AnswerAuth // it answers, and does not say what it is
	}
	if string(results[0].Rows[0][0]) == "on" {
		return cluster.AnswerStandby
	}
	return cluster.AnswerMaster
}

// answerOf reads what a failed login says of the server.
func answerOf(err error) cluster.Answer {
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &pg):
		return answerOfCode(pg.Code)
	case errors.Is(err, syscall.ECONNREFUSED):
		return cluster.AnswerRefused
	}
	return cluster.AnswerNone
}

// answerOfCode: 57P03 is a server that starts or stops and lets nobody in; 53300 is one that is full (PostgreSQL manual, "Error Codes").
func answerOfCode(code string) cluster.Answer {
	switch code {
	case "57P03":
		return cluster.AnswerRefused
	case "53300":
		return cluster.AnswerFull
	}
	return cluster.AnswerAuth
}

// mayKnock tells whether a startup packet without encryption is what the login would say too.
func mayKnock(login postgres.ConnInfo) bool {
	switch login["sslmode"] {
	case "", "disable", "allow", "prefer":
		return login["user"] != ""
	}
	return false
}

// knock says a startup packet and goes before it would have to log in: that leaves no line in PostgreSQL's log where pg_hba.conf asks for a password.
// sasl: it asks for one in the way that is dear to prove.
func knock(ctx context.Context, host string, port int, as map[string]string) (answer cluster.Answer, sasl bool) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return answerOf(err), false
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	front := pgproto3.NewFrontend(conn, conn)
	parameters := maps.Clone(as)
	parameters["application_name"] = "pgctl.probe"
	front.Send(&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersionNumber, Parameters: parameters})
	if err := front.Flush(); err != nil {
		return cluster.AnswerNone, false
	}
	switch message, err := front.Receive(); m := message.(type) {
	case *pgproto3.ErrorResponse:
		return answerOfCode(m.Code), false
	case *pgproto3.AuthenticationSASL:
		return cluster.AnswerAuth, true
	default:
		if err != nil {
			return cluster.AnswerNone, false
		}
	}
	return cluster.AnswerAuth, false
}
