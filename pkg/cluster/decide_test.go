package cluster_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
)

var update = flag.Bool("update", false, "write the decisions of testdata/decide anew")

const decideCases = "../../testdata/decide"

// inputs is one case: what differs from a region of three in which all is well (wellRegion). Times are written "13s".
type inputs struct {
	About    string                                // what the case shows
	Commands []cluster.Command                     // that the quorum has committed since
	Silent   map[string]time.Duration              // watchers that have said nothing for so long
	Facts    map[string]json.RawMessage            // of a server, by host
	Probes   map[string]map[string]json.RawMessage // of whom ("*" everybody), by host that was asked
	Reports  map[string]json.RawMessage            // of a watcher
	Policy   json.RawMessage
}

// decision is what comes of it.
type decision struct {
	Decide    cluster.Decision            `json:"decide"`
	Reconcile map[string][]cluster.Action `json:"reconcile"`
}

// TestDecide runs the folders of testdata/decide. They are meant to be read, see the README.md there.
func TestDecide(t *testing.T) {
	dirs, err := filepath.Glob(filepath.Join(decideCases, "*", "inputs.json"))
	if err != nil || len(dirs) < 20 {
		t.Fatalf("%d cases, %v", len(dirs), err)
	}
	for _, path := range dirs {
		dir := filepath.Dir(path)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var in inputs
			dec := json.NewDecoder(bytes.NewReader(nanoseconds(t, text)))
			dec.DisallowUnknownFields()
			if err := dec.Decode(&in); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			got, err := json.MarshalIndent(in.decide(t), "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			got = took.ReplaceAllFunc(got, func(m []byte) []byte {
				ns, _ := strconv.ParseInt(string(took.FindSubmatch(m)[1]), 10, 64)
				return fmt.Appendf(nil, `"took": %q`, time.Duration(ns))
			})
			got = append(bytes.ReplaceAll(got, []byte(`\u003e`), []byte(">")), '\n')
			golden := filepath.Join(dir, "decision.json")
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want, _ := os.ReadFile(golden); !bytes.Equal(got, want) {
				t.Errorf("%s\nthe decision is not that of %s (go test ./pkg/cluster -update writes it anew), got\n%s", in.About, golden, got)
			}
		})
	}
}

var took = regexp.MustCompile(`"took": ([0-9]+)`)

// nanoseconds turns the times of a case into what encoding/json takes for a time.Duration.
func nanoseconds(t *testing.T, text []byte) []byte {
	t.Helper()
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(times(v))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func times(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = times(v[k])
		}
	case []any:
		for i := range v {
			v[i] = times(v[i])
		}
	case string:
		if d, err := time.ParseDuration(v); err == nil && strings.HasSuffix(v, "s") {
			return int64(d)
		}
	}
	return v
}

// wellRegion is a, master of epoch 1, with b and c in sync with it. Everybody is heard and sees everybody.
func wellRegion(t *testing.T) (cluster.State, map[string]*cluster.Report, cluster.Policy) {
	s := serving(t)
	for _, pool := range []string{"p1", "p2"} {
		s = script2(t, s, cluster.Command{Kind: cluster.PoolMoved, Host: pool})
	}
	n, _ := s.Newest()
	p := cluster.Policy{
		Servers: []string{"a", "b", "c"}, Voters: []string{"a", "b", "c"}, DownAfter: 12 * time.Second, StandbyDownAfter: 4 * time.Second,
		SpareAfter: time.Minute, Lease: 4 * time.Second, StopTime: 2 * time.Second, Drift: 500 * time.Millisecond, Fresh: 3 * time.Second,
		RetryInterval: 5 * time.Second, PromoteTimeout: 30 * time.Second, JoinDeadline: 10 * time.Second, JoinDamping: 2 * time.Second, JoinLag: 16,
		AntiFlap: time.Minute, MaxStarts: 3, StartRetry: 10 * time.Second, Pools: []string{"p1", "p2"},
	}
	reports := map[string]*cluster.Report{}
	for _, host := range p.Servers {
		f := &cluster.Facts{
			Host: host, Name: host + "_1", System: 42, Running: true, Recovery: host != "a", Gate: true, Timeline: 1, Rows: []cluster.Epoch{rowOfA},
			Received: 200, Replayed: 200, Clients: true, MasterFile: "a", Saved: true, Lease: cluster.Never, Canary: cluster.Canary{Age: cluster.Never},
		}
		f.Names = cluster.NamesFacts{Shown: cluster.ClosedNames, ShownFor: time.Hour}
		f.Upstream = cluster.Upstream{File: "a", FileEpoch: 1, Receiver: "a", Name: host + "_1", Streaming: true, For: time.Hour}
		if host == "a" {
			f.Upstream, f.Received, f.Current, f.Recovered = cluster.Upstream{}, 0, 200, 10
			f.Lease, f.Canary = time.Second, cluster.Canary{Age: time.Second, Names: n.Names(1)}
			f.Names = cluster.NamesFacts{Shown: n.Names(1), ShownFor: time.Hour, Waited: true, Proof: &cluster.Proof{Epoch: 1, Gen: n.Gen, At: 100}}
			for i, m := range n.Members {
				f.Senders = append(f.Senders, cluster.Sender{PID: 100 + i, Name: m, Host: m[:1], Stream: true, Priority: n.Priority(m), Sync: "sync", Flush: 200, Older: true})
				f.Stalls = append(f.Stalls, cluster.Stall{Member: m})
			}
		}
		r := &cluster.Report{Host: host, Features: cluster.Features, Epoch: s.Epoch, Phase: s.Phase, EpochAge: time.Hour, PhaseAge: time.Hour, Facts: f}
		for _, asked := range p.Servers {
			answer := cluster.AnswerStandby
			if asked == "a" {
				answer = cluster.AnswerMaster
			}
			r.Probes = append(r.Probes, cluster.Probe{Host: asked, Answer: answer})
		}
		reports[host] = r
	}
	return s, reports, p
}

// decide makes the region of the case and asks what is to be done.
func (in *inputs) decide(t *testing.T) decision {
	t.Helper()
	s, reports, p := wellRegion(t)
	for _, c := range in.Commands {
		s = script2(t, s, c)
	}
	set := func(text json.RawMessage, into any) {
		if len(text) > 0 {
			if err := json.Unmarshal(text, into); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
		}
	}
	set(in.Policy, &p)
	sight := cluster.Sight{Now: time.Hour}
	for _, host := range p.Servers {
		r := reports[host]
		r.Epoch, r.Phase = s.Epoch, s.Phase
		set(in.Reports[host], r)
		set(in.Facts[host], r.Facts)
		for i := range r.Probes {
			set(in.Probes["*"][r.Probes[i].Host], &r.Probes[i])
			set(in.Probes[host][r.Probes[i].Host], &r.Probes[i])
		}
		sight.Heard = append(sight.Heard, cluster.Heard{Report: r, At: sight.Now - in.Silent[host]})
	}
	out := decision{Decide: cluster.Decide(&s, &sight, &p, "nonce"), Reconcile: map[string][]cluster.Action{}}
	for _, host := range p.Servers {
		if acts := cluster.Reconcile(&s, reports[host].Facts, &sight, &p); len(acts) > 0 && in.Silent[host] == 0 {
			out.Reconcile[host] = acts
		}
	}
	return out
}
