package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/olekukonko/tablewriter/pkg/twwidth"
	"go.yaml.in/yaml/v3"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/nodes"
)

// sample is a region with one standby that lags, one host that is gone, and an arbiter.
func sample(name func(string) string) cluster.Snapshot {
	master := cluster.Server{
		Common: cluster.Common{Host: name("db1"), Addresses: []string{"198.51.100.11"}}, Zone: name("zone1a"), MasterFile: new(name("db1")),
		Service: cluster.Service{Unit: "postgresql@15-main.service", Manager: "systemd", State: cluster.ServiceActive},
		Disk:    &cluster.Disk{Total: 100 << 30, Free: 42 << 30},
		Data:    &cluster.DataDir{Path: "/opt/postgresql/data", Port: 5433, SystemID: 7711232911170379789, State: "in production", Timeline: 3, Checkpoint: 0x1A2000028},
		SQL: &cluster.Instance{Version: "10.23", Position: 0x1A2345678, Timeline: 3, SyncNames: "2 (" + name("db2") + ", " + name("db3") + ")", Standbys: []cluster.Walsender{
			{ApplicationName: name("db2"), ClientAddress: "198.51.100.12", State: "streaming", SyncState: "sync"},
		}},
	}
	standby := master
	standby.Common = cluster.Common{Host: name("db2"), Addresses: []string{"198.51.100.12"}}
	standby.Zone, standby.MasterFile = name("zone1b"), new(name("db3"))
	standby.SQL = &cluster.Instance{
		Version: "10.23", InRecovery: true, Position: 0x1A0000000, Received: 0x1A2345678, Timeline: 3, ReplayAge: new(95 * time.Second),
		Receiver: &cluster.Receiver{Status: "streaming", SenderHost: name("db1"), ApplicationName: name("db2")},
	}
	standby.Asides = []cluster.Aside{{Path: "/opt/postgresql/data.pgctl-20260102T030405Z", Made: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), What: "data"}}
	gone := cluster.Common{Host: name("db3"), Unreachable: &cluster.Failure{
		Message: "no answer from 198.51.100.13:22 within 5s", Hint: "is the host up, and does a firewall drop the packets? try ping and the console",
	}}
	backend := []cluster.Backend{{Host: name("db1"), Port: 5433, Flag: "DISALLOW_TO_FAILOVER"}}
	return cluster.Snapshot{
		Kind: nodes.KindPG10, HA: nodes.HADisabled, Zones: 2,
		Servers: []cluster.Server{master, standby, {Common: gone, Zone: name("zone1b")}},
		Pools: []cluster.Pool{
			{Common: master.Common, Service: master.Service, Listening: new(true), Backends: backend, Running: backend},
			{Common: gone},
		},
		Arbiters: []cluster.Arbiter{{Common: cluster.Common{Host: name("arb1")}, Zone: "global"}},
	}
}

// ruled is sample with HA on: db1 leads and serves, db2 is in sync with it, db3 is gone with its vote.
func ruled(name func(string) string) cluster.Snapshot {
	snap := sample(name)
	snap.HA = nodes.HAEnabled
	quorum := cluster.Quorum{
		Executor: new(name("db1")), Index: 40, Epoch: 3, Phase: cluster.Serving, Master: new(name("db1")), Opened: true,
		Configs: []cluster.SyncConfig{{Gen: 5, K: 1, Members: []string{name("db2") + "_x"}, Pad: 1}},
		Members: []cluster.Member{{Host: name("db1"), Name: name("db1") + "_x"}, {Host: name("db2"), Name: name("db2") + "_x"}},
		Voters:  []string{name("arb1"), name("db1"), name("db2"), name("db3")}, Silent: []string{name("db3")}, Pools: []string{name("db3")},
		Paused:     &cluster.Pause{Owner: "anna@firstbox", Reason: "new switches", Until: "2026-01-02T05:00:00Z"},
		Judgements: []cluster.Judgement{{Code: cluster.JudgedPaused}},
	}
	for _, c := range []*cluster.Common{&snap.Servers[0].Common, &snap.Servers[1].Common, &snap.Arbiters[0].Common} {
		own := quorum
		c.Watcher = cluster.Watcher{
			Service: cluster.Service{Unit: "pg_watcher", Manager: "supervisor", State: cluster.ServiceActive}, Monitor: new("available"), Node: new("available"),
			Own: true, Version: "v1.2.0-34-gabcdef0", Inactive: new(false), Quorum: &own,
		}
	}
	snap.Servers[0].Watcher.Monitor, snap.Servers[0].Watcher.Node = new("active"), new("active")
	snap.Servers[1].Watcher.Node = new("replay is paused")
	return snap
}

func render(t *testing.T, snap cluster.Snapshot, p painter, wide bool) string {
	t.Helper()
	var b bytes.Buffer
	if err := overviewTables(snap, cluster.Diagnose(snap), p, wide).write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestOverviewTables(t *testing.T) {
	plain := func(s string) string { return s }
	guide := func(s string) string { // names as long as the guide's
		return strings.NewReplacer("db", "devopsar01n0", "arb", "devopsar01n1", "zone", "devops").Replace(s)
	}
	chinese := func(s string) string { return strings.Replace(s, "zone", "北京区", 1) }
	for name, text := range map[string]string{
		"plain":   render(t, sample(plain), painter{}, false),
		"guide":   render(t, sample(guide), painter{}, false),
		"chinese": render(t, sample(chinese), painter{}, false),
		"colour":  render(t, sample(plain), painter{on: true}, false),
		"wide":    render(t, sample(plain), painter{}, true),
		"ha":      render(t, ruled(guide), painter{}, false),
	} {
		golden(t, name, text)
		for line := range strings.Lines(text) {
			if n := twwidth.Width(strings.TrimRight(line, "\n")); n > pageWidth && name != "wide" && !strings.HasPrefix(line, "          -> ") {
				t.Errorf("%s: %d columns: %s", name, n, line)
			}
		}
	}
}

// TestOverviewDocument: the fields of the contract are all there, and what is not known is null.
func TestOverviewDocument(t *testing.T) {
	snap := sample(func(s string) string { return s })
	text, err := encodeJSON(overviewDocument(snap, cluster.Diagnose(snap)))
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "document", string(text))
	var doc map[string]any
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	for path, fields := range map[string]string{
		"":         "region servers pools arbiters findings",
		"region":   "master ha epoch executor status",
		"servers":  "host zone reachable role service version timeline lsn lag_bytes sync_state upstream pg_master_file watcher",
		"pools":    "host reachable service backends",
		"arbiters": "host reachable watcher",
		"findings": "severity code host message hint",
	} {
		object := doc
		switch v := doc[path].(type) {
		case map[string]any:
			object = v
		case []any:
			object = v[0].(map[string]any)
		}
		for _, f := range strings.Fields(fields) {
			if _, ok := object[f]; !ok {
				t.Errorf("%s.%s is missing", path, f)
			}
		}
	}
	gone := doc["servers"].([]any)[2].(map[string]any)
	for _, f := range []string{"version", "timeline", "lsn", "lag_bytes", "sync_state", "upstream", "pg_master_file"} {
		if gone[f] != nil {
			t.Errorf("%s of a host that is gone is %v, expected null", f, gone[f])
		}
	}
}

// TestRegionWithHA: what the quorum knows is in the region, and a pause in what HA is.
func TestRegionWithHA(t *testing.T) {
	snap := ruled(func(s string) string { return s })
	text, err := encodeJSON(overviewDocument(snap, cluster.Diagnose(snap)).Region)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "ha-region", string(text))
	snap.HA = nodes.HADisabled
	for _, c := range []*cluster.Common{&snap.Servers[0].Common, &snap.Servers[1].Common, &snap.Arbiters[0].Common} {
		c.Watcher.Quorum.Paused = nil
	}
	off := render(t, snap, painter{}, false)
	for _, c := range []*cluster.Common{&snap.Servers[0].Common, &snap.Servers[1].Common, &snap.Arbiters[0].Common} {
		c.Watcher.Quorum = nil
	}
	if without := render(t, snap, painter{}, false); off != without {
		t.Errorf("with HA off a quorum is shown:\n%s", off)
	}
}

// TestNothingIsTheMatter: that all is well is no judgement of a region that something is wrong with.
func TestNothingIsTheMatter(t *testing.T) {
	q := &cluster.QuorumView{Quorum: cluster.Quorum{Judgements: []cluster.Judgement{{Code: cluster.JudgedOK, Host: "db1"}}}}
	if doc := quorumDocument(q); doc.Judgements == nil || len(doc.Judgements) > 0 {
		t.Errorf("%+v, expected an empty list", doc.Judgements)
	}
}

// TestYAMLSaysTheSame: both forms hold the same document.
func TestYAMLSaysTheSame(t *testing.T) {
	snap := sample(func(s string) string { return s })
	doc := overviewDocument(snap, cluster.Diagnose(snap))
	asJSON, err := encodeJSON(doc)
	if err != nil {
		t.Fatal(err)
	}
	asYAML, err := encodeYAML(doc)
	if err != nil {
		t.Fatal(err)
	}
	var a, b any
	if err := yaml.Unmarshal(asJSON, &a); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(asYAML, &b); err != nil {
		t.Fatal(err)
	}
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	if errX != nil || errY != nil || !bytes.Equal(x, y) {
		t.Errorf("YAML:\n%s\n%v %v", asYAML, errX, errY)
	}
}

// TestCodesAreDocumented: docs/findings.md has every code, and no other.
func TestCodesAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/findings.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		if code, ok := strings.CutPrefix(line, "| `"); ok {
			code, _, _ = strings.Cut(code, "`")
			documented[code] = true
		}
	}
	codes := append(cluster.JudgedCodes(),
		cluster.NoMaster, cluster.SplitBrain, cluster.HostUnreachable, cluster.PostgresDown, cluster.PgpoolDown, cluster.PgpoolWrongBackend,
		cluster.StandbyNotStreaming, cluster.StandbyLagging, cluster.NotSynchronous, cluster.Diverged, cluster.MasterFileStale, cluster.WatcherDown,
		cluster.WatcherUnhealthy, cluster.NoQuorum, cluster.HAConfigMismatch, cluster.ArbiterMissing, cluster.SlotRetainsWAL, cluster.DiskLow,
		cluster.VersionMismatch, cluster.SystemIDMismatch, cluster.ClockSkew, cluster.ChangeUnfinished, cluster.FailoverImpossible, cluster.FailoverDiffers,
	)
	for _, code := range codes {
		if !documented[string(code)] {
			t.Errorf("%s is not in docs/findings.md", code)
		}
		delete(documented, string(code))
	}
	if len(documented) > 0 {
		t.Errorf("docs/findings.md has %v, which no code is", slices.Sorted(maps.Keys(documented)))
	}
}
