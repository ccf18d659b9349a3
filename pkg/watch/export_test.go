package watch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/consensus"
	"github.com/pgctl/pgctl/pkg/nodes"
)

// onMaster is what the watcher of a serving master knows, onStandby that of its standby, onArbiter that of a host without a server.
func onMaster() *snapshot {
	return &snapshot{
		at: time.Hour, host: "db1", version: "1.2", part: true, leader: "db1", leads: true, guarded: true, serves: true, postgres: "15.18",
		voters: []string{"arb1", "db1", "db2"}, raft: &consensus.Stats{Term: 3}, heard: map[string]time.Duration{"db2": time.Hour - time.Second},
		state: cluster.State{
			Epoch: 4, Phase: cluster.Serving, Master: "db1", Opened: true, Members: []cluster.Member{{Host: "db2", Name: "db2.bbbbbb"}},
			Configs: []cluster.SyncConfig{{K: 1, Members: []string{"db2.bbbbbb"}}},
		},
		facts:    &cluster.Facts{Running: true, Clients: true, Timeline: 2, Current: 100 << 20, Lease: time.Second, Canary: cluster.Canary{Age: cluster.Never}},
		counters: newCounters(),
	}
}

func onStandby() *snapshot {
	s := onMaster()
	s.host, s.leads, s.serves, s.current, s.knows = "db2", false, false, 100<<20, true
	s.facts = &cluster.Facts{Running: true, Recovery: true, Clients: true, Replayed: 90 << 20, Upstream: cluster.Upstream{Streaming: true}}
	return s
}

func onArbiter() *snapshot {
	s := onMaster()
	s.host, s.facts = "arb1", nil
	return s
}

func changed(s *snapshot, change func(*snapshot)) *snapshot {
	change(s)
	return s
}

func TestHealth(t *testing.T) {
	const all = "/ /primary /master /read-write /replica /read-only /health /readiness /liveness"
	const masters = "/ /primary /master /read-write /read-only /health /readiness /liveness"
	const standbys = "/replica /read-only /health /readiness /liveness"
	tests := []struct {
		name string
		s    *snapshot
		want string // the paths that give 200
	}{
		{"master", onMaster(), masters},
		{"standby", onStandby(), standbys},
		{"arbiter", onArbiter(), "/readiness /liveness"},
		{"arbiter without an executor", changed(onArbiter(), func(s *snapshot) { s.leader = "" }), "/liveness"},
		{"not looked yet", nil, ""},
		{"the watcher is late", changed(onMaster(), func(s *snapshot) { s.at = time.Hour - healthLimit - 1 }), "/liveness"},
		{"within a short hand-over", changed(onMaster(), func(s *snapshot) { s.handover, s.at = 3*time.Second, time.Hour-3*time.Second }), masters},
		{"later than a short hand-over", changed(onMaster(), func(s *snapshot) { s.handover, s.at = 3*time.Second, time.Hour-3*time.Second-1 }), "/liveness"},
		{"the watcher hangs", changed(onMaster(), func(s *snapshot) { s.at = time.Hour - lifeLimit - 1 }), ""},
		{"another one is master", changed(onMaster(), func(s *snapshot) { s.state.Master = "db2" }), "/health /liveness"},
		{"an election", changed(onMaster(), func(s *snapshot) { s.state.Phase, s.state.Master = cluster.Electing, "" }), "/health /liveness"},
		{"elected", changed(onMaster(), func(s *snapshot) { s.state.Phase = cluster.Elected }), "/health /liveness"},
		{"not opened", changed(onMaster(), func(s *snapshot) { s.state.Opened = false }), "/health /liveness"},
		{"no sign of the quorum", changed(onMaster(), func(s *snapshot) { s.serves = false }), "/health /liveness"},
		{"clients are kept out", changed(onMaster(), func(s *snapshot) { s.facts.Clients = false }), "/health /liveness"},
		{"silent", changed(onMaster(), func(s *snapshot) { s.facts.Silent = patience + 1 }), "/liveness"},
		{"down", changed(onMaster(), func(s *snapshot) { s.facts.Running = false }), "/liveness"},
		{"HA is off: its own word", changed(onMaster(), func(s *snapshot) { s.guarded, s.state, s.serves = false, cluster.State{}, false }), masters},
		{"HA is off, and it is a standby", changed(onStandby(), func(s *snapshot) { s.guarded, s.state = false, cluster.State{} }), standbys},
		{"a standby that does not stream", changed(onStandby(), func(s *snapshot) { s.facts.Upstream.Streaming = false }), "/health /readiness /liveness"},
		{"a quarantined standby", changed(onStandby(), func(s *snapshot) { s.state.Quarantined = []cluster.Quarantine{{Host: "db2", Why: "forked"}} }), "/health /readiness /liveness"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := newExporter(func() time.Duration { return time.Hour }, slog.New(slog.DiscardHandler))
			e.latest.Store(tt.s)
			for path := range strings.FieldsSeq(all) {
				want := http.StatusServiceUnavailable
				if strings.Contains(" "+tt.want+" ", " "+path+" ") {
					want = http.StatusOK
				}
				for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodOptions} {
					out := httptest.NewRecorder()
					e.handler().ServeHTTP(out, httptest.NewRequest(method, path, nil))
					if out.Code != want {
						t.Errorf("%s %s: got %d, expected %d: %s", method, path, out.Code, want, out.Body)
					}
					var d healthDocument
					if err := json.Unmarshal(out.Body.Bytes(), &d); method == http.MethodGet && (err != nil || (d.Reason == nil) != (want == http.StatusOK)) {
						t.Errorf("%s: got %s, %v", path, out.Body, err)
					}
					if method != http.MethodGet && out.Body.Len() > 0 {
						t.Errorf("%s %s has a body: %s", method, path, out.Body)
					}
				}
			}
		})
	}
}

func TestHealthLag(t *testing.T) { // the standby is 10 MiB behind
	tests := []struct {
		query string
		knows bool
		want  int
	}{
		{"?lag=10MB", true, 200},
		{"?lag=10485760", true, 200},
		{"?lag=10485760B", true, 200},
		{"?lag=10240kB", true, 200},
		{"?lag=1%20GB", true, 200},
		{"?lag=1TB", true, 200},
		{"?lag=", true, 200},
		{"?lag=9MB", true, 503},
		{"?lag=0", true, 503},
		{"?lag=1TB", false, 503},
		{"", false, 200},
		{"?lag=x", true, 400},
		{"?lag=MB", true, 400},
		{"?lag=-1", true, 400},
		{"?lag=16QB", true, 400},
		{"?lag=99999999TB", true, 400},
	}
	for _, tt := range tests {
		e := newExporter(func() time.Duration { return time.Hour }, slog.New(slog.DiscardHandler))
		e.latest.Store(changed(onStandby(), func(s *snapshot) { s.knows = tt.knows }))
		out := httptest.NewRecorder()
		e.handler().ServeHTTP(out, httptest.NewRequest(http.MethodGet, "/replica"+tt.query, nil))
		if out.Code != tt.want {
			t.Errorf("%q: got %d %s, expected %d", tt.query, out.Code, out.Body, tt.want)
		}
	}
}

// TestHealthLimit: an old master's watcher that hangs must not send clients to it when another one may have them.
func TestHealthLimit(t *testing.T) {
	if late := lookLimit + 2*round; healthLimit < late {
		t.Errorf("a round comes at least every %s, and one is stale after %s", late, healthLimit)
	}
	for stop := nodes.MinStopTime; stop <= nodes.MaxStopTime; stop += time.Second {
		s := &snapshot{handover: stop + nodes.ClockDrift}
		if got := s.lasts(); got > stop+nodes.ClockDrift || got < 3*round {
			t.Errorf("%s is longer than a hand-over without its lease, or too short for one look that hangs", got)
		}
	}
}

// parseExposition reads the text format, and fails where it is not as its definition says.
func parseExposition(t *testing.T, text string) map[string]string {
	t.Helper()
	line := regexp.MustCompile(`^(pgctl_[a-z_]+(?:\{[a-z]+="(?:[^"\\]|\\.)*"(?:,[a-z]+="(?:[^"\\]|\\.)*")*\})?) (-?[0-9.e+-]+)$`)
	kinds, samples, family := map[string]string{}, map[string]string{}, ""
	for l := range strings.Lines(text) {
		l = strings.TrimSuffix(l, "\n")
		fields := strings.Fields(l)
		switch {
		case strings.HasPrefix(l, "# HELP "):
			family = fields[2]
			if kinds[family] != "" {
				t.Errorf("%s is there twice", family)
			}
		case strings.HasPrefix(l, "# TYPE "):
			if fields[2] != family {
				t.Errorf("%q follows the help of %s", l, family)
			}
			kinds[family] = fields[3]
		default:
			m := line.FindStringSubmatch(l)
			if m == nil {
				t.Errorf("%q is no sample", l)
				continue
			}
			name, _, _ := strings.Cut(m[1], "{")
			if kinds[family] == "summary" {
				name = strings.TrimSuffix(strings.TrimSuffix(name, "_sum"), "_count")
			}
			if name != family || (kinds[family] == "counter") != strings.HasSuffix(name, "_total") || samples[m[1]] != "" {
				t.Errorf("%q in the family %s, a %s", l, family, kinds[family])
			}
			samples[m[1]] = m[2]
		}
	}
	return samples
}

func TestMetrics(t *testing.T) {
	master := onMaster()
	master.acted(cluster.DoSetNames, nil)
	master.acted(cluster.DoSetNames, nil)
	master.acted(cluster.DoPutGate, io.EOF)
	master.decided(cluster.Change, resultDone)
	master.looked(250 * time.Millisecond)
	master.looked(750 * time.Millisecond)
	master.dropped, master.state.Pools = 2, []string{"db1", "db2"}
	master.judged = []cluster.Judgement{{Code: cluster.JudgedOK}, {Code: cluster.JudgedAlone, Host: "a\"b\\c\nd"}}
	tests := []struct {
		name string
		s    *snapshot
		want map[string]string // "": no such sample
	}{
		{"master", master, map[string]string{
			`pgctl_info{host="db1",version="1.2"}`: "1", `pgctl_epoch`: "4", `pgctl_phase{phase="serving"}`: "1", `pgctl_phase{phase="electing"}`: "0",
			`pgctl_master{host="db1"}`: "1", `pgctl_quorum_leads`: "1", `pgctl_quorum_voters`: "3", `pgctl_quorum_term`: "3", `pgctl_sync_needed`: "1",
			`pgctl_sync_member{host="db2"}`: "1", `pgctl_peer_report_age_seconds{host="db2"}`: "1", `pgctl_lease_age_seconds`: "1", `pgctl_canary_age_seconds`: "",
			`pgctl_write_age_seconds`: "0", `pgctl_actions_total{do="set-names",result="done"}`: "2", `pgctl_actions_total{do="put-gate",result="failed"}`: "1",
			`pgctl_decisions_total{command="change",result="done"}`: "1", `pgctl_look_duration_seconds_sum`: "1", `pgctl_look_duration_seconds_count`: "2",
			`pgctl_look_last_seconds`: "0.75", `pgctl_notify_dropped_total`: "2", `pgctl_pools_to_move`: "2", `pgctl_paused`: "0", `pgctl_halted`: "0",
			`pgctl_judgement{code="no-failover-target",host="a\"b\\c\nd"}`: "1", `pgctl_judgement{code="ok",host=""}`: "", `pgctl_postgres_lag_bytes`: "",
			`pgctl_postgres_position_bytes`: "1.048576e+08", `pgctl_sync_survives`: "1",
		}},
		{"standby", onStandby(), map[string]string{
			`pgctl_postgres_lag_bytes`: "1.048576e+07", `pgctl_postgres_streaming`: "1", `pgctl_lease_age_seconds`: "", `pgctl_write_age_seconds`: "",
		}},
		{"a standby that is down", changed(onStandby(), func(s *snapshot) { s.facts.Running = false }), map[string]string{
			`pgctl_postgres_up`: "0", `pgctl_postgres_lag_bytes`: "", `pgctl_postgres_streaming`: "",
		}},
		{"arbiter", onArbiter(), map[string]string{`pgctl_postgres_up`: "", `pgctl_epoch`: "4"}},
		{"without a quorum", &snapshot{counters: newCounters()}, map[string]string{`pgctl_epoch`: "", `pgctl_round_age_seconds`: "3600"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var text bytes.Buffer
			(&exposition{out: &text}).all(tt.s, time.Hour)
			samples := parseExposition(t, text.String())
			for name, want := range tt.want {
				if got := samples[name]; got != want {
					t.Errorf("%s: got %q, expected %q", name, got, want)
				}
			}
		})
	}
}

func TestCountersAreCopied(t *testing.T) {
	c := newCounters()
	kept := c.clone()
	c.acted(cluster.DoStop, nil)
	c.decided(cluster.Form, resultDone)
	if len(kept.actions)+len(kept.decisions) != 0 {
		t.Error("what was published has changed")
	}
}

func TestMetricsAddress(t *testing.T) {
	for setting, want := range map[string]string{"": "", "off": "", ":9188": "127.0.0.1:9188", "10.0.0.1:9188": "10.0.0.1:9188", "[::1]:9188": "[::1]:9188"} {
		if got := metricsAddress(setting); got != want {
			t.Errorf("%q: got %q, expected %q", setting, got, want)
		}
	}
}

func TestExporterIsBounded(t *testing.T) {
	w := newWatcher(Options{ServerYAML: "testdata/none", Metrics: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler), Now: time.Now})
	e := newExporter(sinceBoot, w.Log)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	go func() { _ = e.server.Serve(&fewConns{Listener: listener}) }()
	defer e.server.Close()
	w.exporter = e
	w.show(sinceBoot())

	post, err := http.Post("http://"+address+"/primary", "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	post.Body.Close()
	if post.StatusCode != http.StatusMethodNotAllowed || post.Header.Get("Allow") != "GET, HEAD, OPTIONS" {
		t.Errorf("got %s, allow %q", post.Status, post.Header.Get("Allow"))
	}
	long, err := http.Get("http://" + address + "/metrics?" + strings.Repeat("x", 16<<10))
	if err != nil {
		t.Fatal(err)
	}
	long.Body.Close()
	if long.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("got %s for a long head", long.Status)
	}
	metrics, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(metrics.Body)
	metrics.Body.Close()
	if parseExposition(t, string(text)); metrics.StatusCode != http.StatusOK {
		t.Errorf("got %s", metrics.Status)
	}
	http.DefaultClient.CloseIdleConnections()
	full(t, address)
}

// full fills the exporter with connections: the next one is closed at once, and one that ends makes room.
func full(t *testing.T, address string) {
	t.Helper()
	ask := func() (net.Conn, error) {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(4 * time.Second))
		fmt.Fprint(conn, "HEAD /liveness HTTP/1.1\r\nHost: x\r\n\r\n")
		_, err = conn.Read(make([]byte, 1))
		return conn, err
	}
	var open []net.Conn
	for {
		conn, err := ask()
		if err != nil {
			conn.Close()
			break
		}
		open = append(open, conn)
		defer conn.Close()
		if len(open) > exportConns {
			t.Fatalf("%d connections at a time", len(open))
		}
	}
	if len(open) < exportConns-2 { // those of before may not have ended yet
		t.Errorf("the %dth connection was refused", len(open)+1)
	}
	open[0].Close()
	for range 300 {
		conn, err := ask()
		conn.Close()
		if err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("a connection that has ended makes no room")
}

func TestMetricsThatCannotBeServed(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	w := newWatcher(Options{ServerYAML: "testdata/none", Metrics: taken.Addr().String(), Log: slog.New(slog.DiscardHandler), Now: time.Now})
	w.config.taken, w.config.watcher = true, &nodes.Watcher{InactiveFailover: true}
	w.unheard = problem(w.export())
	if got := monitorStatus(w); !strings.HasPrefix(got, "metrics are not served (watch.metrics): listen tcp 127.0.0.1:") || !strings.HasSuffix(got, "address already in use") {
		t.Errorf("got %q", got)
	}
	taken.Close()
	if err := w.export(); err != nil || w.exporter == nil {
		t.Errorf("it is tried again: %v", err)
	}
	_ = w.exporter.server.Close()
}
