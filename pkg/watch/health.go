package watch

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// A round that is older than healthLimit says nothing about the server any more (lasts). One older than lifeLimit says that the watcher hangs.
const (
	healthLimit = 5 * time.Second
	lifeLimit   = 10 * time.Second
)

// lasts is for how long a round says something about the server: no longer than what is left of the hand-over after the lease, in which an old master stops before
// another one has clients.
func (s *snapshot) lasts() time.Duration {
	if s.handover == 0 {
		return healthLimit
	}
	return min(healthLimit, s.handover)
}

func lives(*snapshot) time.Duration { return lifeLimit }

// check is one question of a load balancer: why the answer is no; "" it is yes.
type check func(s *snapshot, lagLimit int64) string

// checks are the paths, named as Patroni names them, so that what is configured for it works.
var checks = map[string]check{
	"/{$}": primary, "/primary": primary, "/master": primary, "/read-write": primary,
	"/replica": replica, "/read-only": readOnly, "/health": answers, "/readiness": ready,
}

// answers: PostgreSQL runs and answers.
func answers(s *snapshot, _ int64) string {
	switch f := s.facts; {
	case f == nil:
		return "there is no server here"
	case !f.Running:
		return "PostgreSQL does not run"
	case f.Silent > patience:
		return "PostgreSQL gives no answer"
	}
	return ""
}

// lets: it lets clients in.
func lets(s *snapshot) string {
	if why := answers(s, 0); why != "" {
		return why
	}
	if !s.facts.Clients {
		return "PostgreSQL lets no clients in now"
	}
	return ""
}

// primary: it is the one serving master. While nobody guards that (HA is off, or the region was never formed), its own word counts.
func primary(s *snapshot, _ int64) string {
	why := lets(s)
	switch {
	case why != "":
		return why
	case s.facts.Recovery:
		return "it is a standby"
	case !s.guarded:
		return ""
	case s.state.Phase != cluster.Serving:
		return "nobody serves as master: an election is under way"
	case s.state.Master != s.host:
		return s.state.Master + " is the master"
	case !s.state.Opened:
		return "it waits for its standbys and for the old master's time to run out"
	case !s.serves:
		return "no sign of the quorum within the lease"
	}
	return ""
}

// replica: it is a standby that streams, and is not further behind than was asked for; negative: however far.
func replica(s *snapshot, lagLimit int64) string {
	why := lets(s)
	switch {
	case why != "":
		return why
	case !s.facts.Recovery:
		return "it is no standby"
	case s.state.QuarantineOf(s.host) != "":
		return "its data is no copy of the master's"
	case !s.facts.Upstream.Streaming:
		return "the standby does not stream"
	case lagLimit < 0:
		return ""
	}
	lag, known := s.lag()
	switch {
	case !known:
		return "how far it is behind is not known"
	case lag > lagLimit:
		return fmt.Sprintf("it is %s behind", cluster.Size(lag))
	}
	return ""
}

// readOnly: it is either.
func readOnly(s *snapshot, lagLimit int64) string {
	if primary(s, 0) == "" {
		return ""
	}
	return replica(s, lagLimit)
}

// ready: clients may come, whatever it is; without a server, the watcher knows an executor.
func ready(s *snapshot, _ int64) string {
	switch {
	case s.facts == nil && !s.part:
		return "it takes no part in the quorum"
	case s.facts == nil && s.raft != nil && s.leader == "":
		return "there is no executor"
	case s.facts == nil:
		return ""
	case s.facts.Recovery:
		return lets(s)
	}
	return primary(s, 0)
}

// fresh says why a snapshot is too old to say anything.
func (s *snapshot) fresh(now time.Duration, limit func(*snapshot) time.Duration) string {
	switch {
	case s == nil:
		return "the watcher has not looked yet"
	case now-s.at > limit(s):
		return fmt.Sprintf("the watcher hangs: its last look was %s ago", (now - s.at).Round(time.Second))
	}
	return ""
}

// lagLimit reads the parameter lag: bytes, or with a unit of PostgreSQL's; -1 where there is none.
func lagLimit(text string) (int64, error) {
	if text == "" {
		return -1, nil
	}
	digits := text[:len(text)-len(strings.TrimLeft(text, "0123456789"))]
	shift, known := map[string]uint{"": 0, "b": 0, "kb": 10, "mb": 20, "gb": 30, "tb": 40}[strings.ToLower(strings.TrimSpace(text[len(digits):]))]
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || !known || n > math.MaxInt64>>shift {
		return 0, fmt.Errorf("lag=%s is no size: expected bytes, or such as 16MB", text)
	}
	return n << shift, nil
}

// healthDocument is the body of an answer.
type healthDocument struct {
	Host     string  `json:"host"`
	State    string  `json:"state"` // of PostgreSQL: "running", "stopped", "silent", "none"
	Role     *string `json:"role"`  // "primary", "replica"; null while it does not answer
	Epoch    int64   `json:"epoch"`
	Master   *string `json:"master"`
	Timeline *int    `json:"timeline"`
	Version  *string `json:"server_version"`
	Lag      *int64  `json:"lag_bytes"`
	Reason   *string `json:"reason"` // why the answer is no
}

func (s *snapshot) document(why string) healthDocument {
	if s == nil {
		return healthDocument{State: "none", Reason: orNull(why)}
	}
	d := healthDocument{Host: s.host, State: "none", Epoch: s.state.Epoch, Master: orNull(s.state.Master), Version: orNull(s.postgres), Reason: orNull(why)}
	f := s.facts
	switch {
	case f == nil:
		return d
	case !f.Running:
		d.State = "stopped"
		return d
	case f.Silent > patience:
		d.State = "silent"
		return d
	}
	d.State, d.Role, d.Timeline = "running", new("primary"), new(int(f.Timeline))
	if f.Recovery {
		d.Role = new("replica")
	}
	if lag, known := s.lag(); known {
		d.Lag = &lag
	}
	return d
}

// serveHealth answers with 200 for yes and 503 for no.
func (e *exporter) serveHealth(ask check, limit func(*snapshot) time.Duration) http.HandlerFunc {
	return func(out http.ResponseWriter, in *http.Request) {
		if !readOnlyMethod(out, in) {
			return
		}
		lag, err := lagLimit(in.URL.Query().Get("lag"))
		if err != nil {
			http.Error(out, err.Error(), http.StatusBadRequest)
			return
		}
		s := e.latest.Load()
		why := s.fresh(e.now(), limit)
		if why == "" {
			why = ask(s, lag)
		}
		text, err := json.Marshal(s.document(why))
		if err != nil {
			panic(err) // plain values
		}
		out.Header().Set("Content-Type", "application/json")
		out.Header().Set("Cache-Control", "no-store")
		if why != "" {
			out.WriteHeader(http.StatusServiceUnavailable)
		}
		if in.Method == http.MethodGet {
			_, _ = out.Write(append(text, '\n'))
		}
	}
}

// readOnlyMethod refuses whatever asks for more than an answer.
func readOnlyMethod(out http.ResponseWriter, in *http.Request) bool {
	switch in.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return true
	}
	out.Header().Set("Allow", "GET, HEAD, OPTIONS")
	http.Error(out, cmp.Or(in.Method, "this")+" is nothing that is answered here: ask with GET, HEAD or OPTIONS", http.StatusMethodNotAllowed)
	return false
}
