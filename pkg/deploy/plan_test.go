package deploy

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/nodes"
	"github.com/pgctl/pgctl/pkg/plan"
)

const ownMachine = ownArch // goArch passes on what it does not know

// site is db1, the master, db2, an arbiter, and pools on db1 and on a host of its own; every host answered.
func site() (cluster.Snapshot, map[string]*Seen) {
	snap := cluster.Snapshot{
		Kind: nodes.KindPG10, HA: nodes.HADisabled,
		Servers: []cluster.Server{
			{Common: cluster.Common{Host: "db1"}, SQL: &cluster.Instance{Timeline: 1}},
			{Common: cluster.Common{Host: "db2"}, SQL: &cluster.Instance{Timeline: 1, InRecovery: true}},
		},
		Pools:    []cluster.Pool{{Common: cluster.Common{Host: "db1"}}, {Common: cluster.Common{Host: "pool2"}}},
		Arbiters: []cluster.Arbiter{{Common: cluster.Common{Host: "arb1"}}},
	}
	seen := map[string]*Seen{}
	for _, host := range []string{"db1", "db2", "pool2", "arb1"} {
		seen[host] = &Seen{facts: facts{"machine": {ownMachine}, "supervisor": {"/usr/bin/supervisorctl"}}}
	}
	return snap, seen
}

// certain is db1 as the certain master.
func certain() *cluster.Server {
	return &cluster.Server{Common: cluster.Common{Host: "db1"}, SQL: &cluster.Instance{Timeline: 1}, Data: &cluster.DataDir{Path: "/data"}}
}

// define puts a pg_watcher on a host.
func define(seen map[string]*Seen, host, path, text string) {
	seen[host].facts["definition"] = []string{base64.StdEncoding.EncodeToString([]byte(text)) + " " + path}
}

func newDeployer() *Deployer {
	d := &Deployer{Here: "firstbox", Version: "1.2", Now: func() time.Time { return jan }}
	d.SetBinary([]byte("binary"))
	return d
}

const foreignConf = "[program:pg_watcher]\ncommand=/opt/old\n"

func TestPlan(t *testing.T) {
	type world struct {
		snap *cluster.Snapshot
		seen map[string]*Seen
		d    *Deployer
	}
	const programs = "arb1 pool2 db2 db1"
	gone := &cluster.Failure{Message: "no answer within 5s"}
	tests := []struct {
		name    string
		change  func(world)
		opts    Options
		order   string // hosts that get the program
		left    string
		refused string
	}{
		{name: "arbiters, pools, standbys, the master", change: func(world) {}, order: programs},
		{name: "another master", change: func(w world) { w.snap.Servers[0].SQL.InRecovery, w.snap.Servers[1].SQL.InRecovery = true, false }, order: "arb1 pool2 db1 db2"},
		{name: "no master", change: func(w world) { w.snap.Servers[0].SQL = nil }, order: "arb1 pool2 db1 db2"},
		{name: "a host is gone", change: func(w world) { w.snap.Servers[1].Unreachable = gone }, order: "arb1 pool2 db1", left: "db2: no answer within 5s"},
		{name: "a host could not be looked at", change: func(w world) { w.seen["arb1"] = &Seen{Err: errors.New("it hangs")} }, order: "pool2 db2 db1", left: "arb1: it hangs"},
		{name: "no supervisor", change: func(w world) { delete(w.seen["pool2"].facts, "supervisor") }, order: "arb1 db2 db1", left: "pool2: supervisor is not installed: apt-get install supervisor"},
		{name: "another kind of machine", change: func(w world) { w.seen["db2"].facts["machine"] = []string{"s390x"} }, refused: "db2 is a machine of kind s390x"},
		{name: "another watcher", change: func(w world) { define(w.seen, "db2", confPath, foreignConf) }, refused: `db2 has a pg_watcher that is not pgctl's: ` + confPath + ` runs "/opt/old"`},
		{name: "another watcher, accepted", change: func(w world) { define(w.seen, "db2", confPath, foreignConf) }, opts: Options{Accept: []string{RiskReplaceWatcher}}, order: programs},
		{name: "another watcher whose configuration is gone", change: func(w world) { w.seen["db2"].facts["command"] = []string{"/opt/old --one "} }, refused: `runs "/opt/old --one"`},
		{name: "another watcher whose configuration is gone, accepted", change: func(w world) { w.seen["db2"].facts["command"] = []string{"/opt/old"} }, opts: Options{Accept: []string{RiskReplaceWatcher}}, order: programs},
		{name: "ours runs", change: func(w world) { w.seen["db2"].facts["command"] = []string{BinaryPath + " watch "} }, order: programs},
		{name: "ours is no other", change: func(w world) { define(w.seen, "db2", confPath, supervisorConf) }, order: programs},
		{name: "another watcher among other things, accepted", change: func(w world) { define(w.seen, "db2", confPath, foreignConf+"[program:x]\n") }, opts: Options{Accept: []string{RiskReplaceWatcher}}, refused: "defines other things beside pg_watcher"},
		{name: "another watcher, and a host that may have one", change: func(w world) {
			define(w.seen, "db2", confPath, foreignConf)
			w.snap.Arbiters[0].Unreachable = gone
		}, opts: Options{Accept: []string{RiskReplaceWatcher}}, refused: "arb1 is left out and may run the old pg_watcher"},
		{name: "a 9.x site", change: func(w world) { w.snap.Kind = nodes.KindPG9 }, refused: "this is a 9.x site"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			snap, seen := site()
			d := newDeployer()
			tt.opts.Master = certain()
			tt.change(world{&snap, seen, d})
			p, left, err := d.Plan(snap, seen, tt.opts)
			if tt.refused != "" {
				var refusal *cluster.Refusal
				if !errors.As(err, &refusal) || !strings.Contains(err.Error(), tt.refused) || len(p.Steps) > 0 {
					t.Errorf("got %v, expected a refusal: %s", err, tt.refused)
				}
				return
			}
			var out []string
			for host, why := range left {
				out = append(out, host+": "+why)
			}
			if err != nil || hostsOf(p, verbProgram) != tt.order || strings.Join(out, " ") != tt.left {
				t.Errorf("order %q, left %q, %v", hostsOf(p, verbProgram), out, err)
			}
			if err := p.Check(d.Handlers()); err != nil {
				t.Error(err)
			}
		})
	}
}

func hostsOf(p plan.Plan, verb string) string {
	var hosts []string
	for _, s := range p.Steps {
		if s.Verb == verb {
			hosts = append(hosts, s.Host)
		}
	}
	return strings.Join(hosts, " ")
}

// TestPlanSteps: what a host gets and in which order, and that every other watcher stops before the first of ours starts.
func TestPlanSteps(t *testing.T) {
	snap, seen := site()
	define(seen, "db1", "/etc/supervisor/conf.d/old.conf", foreignConf)
	seen["arb1"].facts["kept"] = []string{"yes"} // replaced by a run that was cut off
	d := newDeployer()
	d.Settings = &nodes.File{Path: settingsPath}
	p, _, err := d.Plan(snap, seen, Options{Rotate: true, Accept: []string{RiskReplaceWatcher}, Master: certain()})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, s := range p.Steps[:8] {
		ids = append(ids, s.ID)
	}
	want := []string{
		"firstbox/deploy.authority", "arb1/deploy.replace", "db1/deploy.replace",
		"arb1/deploy.folders", "arb1/deploy.binary", "arb1/deploy.settings", "arb1/deploy.certificate", "arb1/deploy.program",
	}
	if !slices.Equal(ids, want) {
		t.Errorf("got %q", ids)
	}
	if s := p.Steps[6]; s.Args["role"] != "arbiter" || s.Args["issued_after"] != "2026-01-02T03:04:05Z" {
		t.Errorf("%+v", s)
	}
	if p.Facts["ha"] != "disabled" || p.Facts["version"] != "1.2" {
		t.Errorf("%v", p.Facts)
	}
}

// TestPlanRole: the role is made on the master before the first server's watcher starts, the row comes last, and only where the master is certain.
func TestPlanRole(t *testing.T) {
	const both = "the role pgctl and the row of the timeline"
	tests := []struct {
		name               string
		settings           string // pgctl.yaml
		noMaster           bool
		role, users, signs string // hosts
		left               string // what
	}{
		{name: "a master", role: "db1", users: "db2 db1", signs: "db1"},
		{name: "no certain master", noMaster: true, users: "db2 db1", left: both},
		{name: "settings that name no login", settings: "postgres:\n  port: 5433\n", role: "db1", users: "db2 db1", signs: "db1"},
		{name: "a role of the site's own", settings: "postgres:\n  user: monitor\n", signs: "db1"},
		{name: "a user of the site's own", settings: "postgres:\n  os_user: pgsql\n", signs: "db1"},
		{name: "a role of the site's own, and no certain master", settings: "postgres:\n  user: monitor\n", noMaster: true, left: "the row of the timeline"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			snap, seen := site()
			d, o := newDeployer(), Options{Nonce: "n", NoMaster: "db2 is out of reach"}
			if tt.settings != "" {
				d.Settings = &nodes.File{Path: settingsPath, Data: []byte(tt.settings)}
			}
			if !tt.noMaster {
				o.Master = certain()
			}
			p, left, err := d.Plan(snap, seen, o)
			if err != nil || hostsOf(p, verbRole) != tt.role || hostsOf(p, verbUser) != tt.users || hostsOf(p, verbSign) != tt.signs || hostsOf(p, verbProgram) != "arb1 pool2 db2 db1" {
				t.Errorf("role %q, users %q, row %q, %v", hostsOf(p, verbRole), hostsOf(p, verbUser), hostsOf(p, verbSign), err)
			}
			if (tt.left == "") != (len(left) == 0) || tt.left != "" && left[tt.left] != "db2 is out of reach" {
				t.Errorf("left out: %v", left)
			}
			at := func(id string) int { return slices.IndexFunc(p.Steps, func(s plan.Step) bool { return s.ID == id }) }
			if role := at("db1/" + verbRole); role > at("db2/"+verbProgram) || role >= 0 && role < at("pool2/"+verbProgram) {
				t.Errorf("the role is step %d", role)
			}
			if s := p.Steps[len(p.Steps)-1]; !tt.noMaster && (s.Verb != verbSign || s.Args["data_dir"] != "/data" || s.Args["nonce"] != "n") {
				t.Errorf("the last step: %+v", s)
			}
			if err := p.Check(d.Handlers()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestPlanSaysWhatProtectsTheRegion(t *testing.T) {
	for ha, want := range map[nodes.HA][2]string{
		nodes.HADisabled: {"automatic failover is off", "automatic failover is off"},
		nodes.HAEnabled:  {"the others keep their majority", "every other watcher has reported"},
	} {
		snap, seen := site()
		snap.HA = ha
		p, _, err := newDeployer().Plan(snap, seen, Options{})
		if err != nil {
			t.Fatal(err)
		}
		var whys []string
		for _, s := range p.Steps {
			if s.Verb == verbProgram {
				whys = append(whys, s.Why)
			}
		}
		if !strings.Contains(whys[0], want[0]) || !strings.Contains(whys[3], want[1]) {
			t.Errorf("%s: %q", ha, whys)
		}
	}
}

func TestPlanRemove(t *testing.T) {
	snap, seen := site()
	seen["db2"].facts["kept"] = []string{"yes"}
	snap.Arbiters[0].Unreachable = &cluster.Failure{Message: "no answer"}
	d := newDeployer()
	p, left, err := d.PlanRemove(snap, seen, Options{Master: certain()})
	if err != nil || len(left) != 1 || left["arb1"] != "no answer" || hostsOf(p, verbDropRole) != "db1" || hostsOf(p, verbDropUser) != "db2 db1" || hostsOf(p, verbStop) != "pool2 db2 db1" || hostsOf(p, verbRestore) != "db2" || p.Steps[len(p.Steps)-1].Verb != verbRestore {
		t.Errorf("%+v, %v, %v", p, left, err)
	}
	if err := p.Check(d.Handlers()); err != nil {
		t.Error(err)
	}
	if at := func(id string) int { return slices.IndexFunc(p.Steps, func(s plan.Step) bool { return s.ID == id }) }; at("db1/"+verbDropRole) < at("db1/"+verbClear) || at("db2/"+verbDropUser) < at("db1/"+verbDropRole) {
		t.Errorf("the role and the users go while a watcher may ask: %+v", p.Steps)
	}
	if p, left, _ := d.PlanRemove(snap, seen, Options{NoMaster: "db1 and db2 are"}); left["the role pgctl"] != "db1 and db2 are" || hostsOf(p, verbDropRole) != "" || hostsOf(p, verbDropUser) != "db2 db1" {
		t.Errorf("without a master: %v, %+v", left, p.Steps)
	}
	snap.HA = nodes.HAEnabled
	var refusal *cluster.Refusal
	if _, _, err := d.PlanRemove(snap, seen, Options{}); !errors.As(err, &refusal) || refusal.Risks[0].Hint != "pgctl disable-ha" {
		t.Errorf("failover is on: %v", err)
	}
}

func TestHosts(t *testing.T) {
	inv := &nodes.Inventory{Servers: []nodes.Server{{Host: "db1"}, {Host: "db2"}}, Pools: []nodes.Pool{{Host: "db1"}, {Host: "pool2"}}, Arbiters: []nodes.Arbiter{{Host: "arb1"}}}
	if got := strings.Join(Hosts(inv), " "); got != "arb1 db1 db2 pool2" {
		t.Errorf("got %q", got)
	}
}
