package failover_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/failover"
	"github.com/pgctl/pgctl/pkg/nodes"
)

// haSite are two zones with a server each, and an arbiter.
func haSite() *nodes.Inventory {
	return &nodes.Inventory{
		Servers:  []nodes.Server{{Host: "db1", Zone: "za"}, {Host: "db2", Zone: "zb"}},
		Arbiters: []nodes.Arbiter{{Host: "arb1", Zone: "global"}},
		Zones:    []nodes.Zone{{ID: "za", Path: "/v/server.yaml.za"}, {ID: "zb", Path: "/v/server.yaml.zb"}},
	}
}

func zoneFiles(a, b string) []nodes.File {
	text := func(zone, inactive string) []byte {
		return []byte("# " + zone + "\npg_watcher:\n  inactive_failover: " + inactive + "\n  using_master_by_ts: 0\n")
	}
	return []nodes.File{{Path: "/v/server.yaml.za", Data: text("za", a)}, {Path: "/v/server.yaml.zb", Data: text("zb", b)}}
}

func TestEditZones(t *testing.T) {
	for _, tt := range []struct {
		name  string
		wish  failover.HAWish
		texts string // of the steps
	}{
		{"all", failover.HAWish{On: true}, "set inactive_failover 1 -> 0 in /v/server.yaml.za|set inactive_failover 0 in /v/server.yaml.zb"},
		{"off", failover.HAWish{}, "set inactive_failover 1 in /v/server.yaml.za|set inactive_failover 0 -> 1 in /v/server.yaml.zb"},
		{"two values", failover.HAWish{On: true, ByTS: "1"}, "set inactive_failover 1 -> 0, using_master_by_ts 0 -> 1 in /v/server.yaml.za|set inactive_failover 0, using_master_by_ts 0 -> 1 in /v/server.yaml.zb"},
		{"one zone", failover.HAWish{On: true, Zone: "za"}, "set inactive_failover 1 -> 0 in /v/server.yaml.za|"},
	} {
		files := zoneFiles("1", "0")
		got, err := failover.EditZones(tt.wish, files, "STAMP")
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		var texts []string
		for i, f := range got {
			texts = append(texts, f.Text)
			if string(f.Now) != string(files[i].Data) || string(f.Old) != string(f.Now) || len(f.After) != len(f.Now) || f.Backup != "/var/lib/pgctl/backup/server.yaml."+f.Zone+".STAMP" {
				t.Errorf("%s: %+v", tt.name, f)
			}
			if strings.Contains(f.Text, "->") == (string(f.After) == string(f.Now)) {
				t.Errorf("%s: the text is not what happens: %+v", tt.name, f)
			}
		}
		if strings.Join(texts, "|") != tt.texts {
			t.Errorf("%s: %q", tt.name, texts)
		}
	}
	files := zoneFiles("1", "0")
	files[0].Data, files[1].Data = []byte("a: 1\n"), []byte("pg_watcher:\n  x: 1\n")
	var problems nodes.Problems
	if _, err := failover.EditZones(failover.HAWish{On: true}, files, ""); !errors.As(err, &problems) || len(problems) != 2 {
		t.Errorf("every file that cannot be edited is named: %v", err)
	}
}

func TestHAPlan(t *testing.T) {
	files := zoneFiles("1", "1")
	asIs := map[string]failover.NodeFile{}
	zones, err := failover.EditZones(failover.HAWish{}, files, "")
	if err != nil {
		t.Fatal(err)
	}
	p, _, _ := failover.HAPlan(failover.HAWish{Command: "disable-ha"}, haSite(), zones, "firstbox", asIs)
	hash := map[string]string{}
	for _, s := range p.Steps {
		if s.Args["sha256"] != "" {
			hash[s.Host] = s.Args["sha256"] // nothing is changed, so it is the file's as it is
		}
	}
	asIs = map[string]failover.NodeFile{"db1": {SHA256: hash["db1"]}, "db2": {SHA256: hash["db2"]}, "arb1": {SHA256: hash["db1"]}}
	for _, tt := range []struct {
		name  string
		wish  failover.HAWish
		seen  func(map[string]failover.NodeFile)
		steps string
		want  string // hosts of the roll-out
		left  string
		notes string
	}{
		{name: "all", wish: failover.HAWish{On: true}, steps: "za/ha.edit zb/ha.edit ha.build ha.rollout db1/ha.prove db2/ha.prove arb1/ha.prove", want: "db1 db2 arb1"},
		{name: "the first zone has the arbiters", wish: failover.HAWish{Zone: "za"}, steps: "za/ha.edit ha.build ha.rollout db1/ha.prove arb1/ha.prove", want: "db1 arb1"},
		{name: "another zone has not", wish: failover.HAWish{On: true, Zone: "zb"}, steps: "zb/ha.edit ha.build ha.rollout db2/ha.prove", want: "db2", notes: "/v/server.yaml.za still says inactive_failover 1"},
		{name: "a node that does not answer", seen: func(s map[string]failover.NodeFile) { s["db2"] = failover.NodeFile{Failure: "gone"} }, steps: "za/ha.edit zb/ha.edit ha.build ha.rollout db1/ha.prove arb1/ha.prove", want: "db1 arb1", left: "db2"},
		{name: "one of another zone is not missed", wish: failover.HAWish{Zone: "za"}, seen: func(s map[string]failover.NodeFile) { s["db2"] = failover.NodeFile{Failure: "gone"} }, steps: "za/ha.edit ha.build ha.rollout db1/ha.prove arb1/ha.prove", want: "db1 arb1"},
		{name: "what somebody has not rolled out", wish: failover.HAWish{On: true, Zone: "za"}, seen: func(s map[string]failover.NodeFile) { s["db2"] = failover.NodeFile{SHA256: "other"} }, steps: "za/ha.edit ha.build ha.rollout db1/ha.prove arb1/ha.prove", want: "db1 arb1", notes: "db2: its /pitrix/conf/global/server.yaml is not what /v/server.yaml.zb is now|/v/server.yaml.zb still says"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			zones, err := failover.EditZones(tt.wish, files, "")
			if err != nil {
				t.Fatal(err)
			}
			seen := map[string]failover.NodeFile{"db1": asIs["db1"], "db2": asIs["db2"], "arb1": asIs["arb1"]}
			if tt.seen != nil {
				tt.seen(seen)
			}
			p, left, notes := failover.HAPlan(tt.wish, haSite(), zones, "firstbox", seen)
			var steps, hosts, out []string
			for _, s := range p.Steps {
				steps = append(steps, s.ID)
				if s.ID == "ha.rollout" {
					for pair := range strings.FieldsSeq(s.Args["want"]) {
						host, _, _ := strings.Cut(pair, "=")
						hosts = append(hosts, host)
					}
				}
			}
			for host := range left {
				out = append(out, host)
			}
			if strings.Join(steps, " ") != tt.steps || strings.Join(hosts, " ") != tt.want || strings.Join(out, " ") != tt.left {
				t.Errorf("steps %q for %q, left %q", steps, hosts, left)
			}
			wanted := strings.Split(tt.notes, "|")
			if tt.notes == "" {
				wanted = nil
			}
			if len(notes) != len(wanted) {
				t.Fatalf("notes %q", notes)
			}
			for i, note := range wanted {
				if !strings.HasPrefix(notes[i], note) {
					t.Errorf("note %q, expected %q", notes[i], note)
				}
			}
		})
	}
}

func TestMayEnableHA(t *testing.T) {
	snap := site()
	d := cluster.Diagnosis{View: cluster.View{Master: "db1"}, Findings: []cluster.Finding{{Severity: cluster.Warning, Code: "old-script", Message: "w"}}}
	facts, err := failover.MayEnableHA(snap, d)
	if err != nil || facts["master"] != "db1" {
		t.Errorf("a warning stops nothing: %v, %v", facts, err)
	}
	d.Findings = append(d.Findings, cluster.Finding{Severity: cluster.Critical, Code: "no-quorum", Message: "m1", Hint: "h"}, cluster.Finding{Severity: cluster.Critical, Code: "watcher-down", Host: "db2", Message: "m2"})
	var refusal *cluster.Refusal
	if _, err := failover.MayEnableHA(snap, d); !errors.As(err, &refusal) || err.Error() != "no-quorum: m1; watcher-down db2: m2" || refusal.Risks[0].Hint != "h" || refusal.Risks[0].Name != "" {
		t.Errorf("%v", err)
	}
	d.Findings = nil
	snap.Servers[1].SQL = nil // it runs and does not answer: it may be a master too
	if _, err := failover.MayEnableHA(snap, d); !errors.As(err, &refusal) {
		t.Errorf("the master is not certain: %v", err)
	}
}
