package deploy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/nodes"
	"github.com/pgctl/pgctl/pkg/plan"
	"github.com/pgctl/pgctl/pkg/postgres"
)

// Where things lie on a node. BinaryPath is where pgctl itself does.
const (
	BinaryPath   = "/usr/local/bin/pgctl"
	settingsPath = "/etc/pgctl/pgctl.yaml"
	tlsDir       = "/etc/pgctl/tls"
	confPath     = "/etc/supervisor/conf.d/pg_watcher.conf"
	keptDir      = "/var/lib/pgctl/replaced-watcher"
)

// The verbs of the steps.
const (
	verbAuthority   = "deploy.authority"
	verbReplace     = "deploy.replace"
	verbFolders     = "deploy.folders"
	verbBinary      = "deploy.binary"
	verbSettings    = "deploy.settings"
	verbCertificate = "deploy.certificate"
	verbUser        = "deploy.user"
	verbRole        = "deploy.role"
	verbSign        = "deploy.sign"
	verbProgram     = "deploy.program"
	verbStop        = "deploy.stop"
	verbClear       = "deploy.clear"
	verbRestore     = "deploy.restore"
	verbDropRole    = "deploy.drop_role"
	verbDropUser    = "deploy.drop_user"
)

// RiskReplaceWatcher is accepted by --accept=replace-watcher: a pg_watcher that is not pgctl's is stopped and replaced.
const RiskReplaceWatcher = "replace-watcher"

// Options are what a deployment is asked for.
type Options struct {
	Rotate bool
	Accept []string

	Master   *cluster.Server // who is master for certain; nil: nobody is
	NoMaster string          // why
	Nonce    string          // of the row of the master's timeline
}

// What a host is to the quorum, in its certificate too.
const (
	roleServer  = "server"
	roleArbiter = "arbiter"
	rolePool    = "pool"
)

// node is a host of the plan.
type node struct {
	host, role string
	why        string // it did not answer: its failure; "" it did
	seen       *Seen
}

// region lists the hosts in the order in which they are worked on: arbiters, pools' own hosts, standbys, the master's.
func region(snap cluster.Snapshot, seen map[string]*Seen) []node {
	master := cluster.Diagnose(snap).Master
	var arbiters, pools, servers, last []node
	known := map[string]bool{}
	add := func(to *[]node, c cluster.Common, role string) {
		if known[c.Host] {
			return
		}
		known[c.Host] = true
		n := node{host: c.Host, role: role, seen: seen[c.Host]}
		switch {
		case !c.Reached():
			n.why = c.Unreachable.Message
		case n.seen == nil:
			n.why = "it was not looked at"
		case n.seen.Err != nil:
			n.why = n.seen.Err.Error()
		}
		*to = append(*to, n)
	}
	for _, s := range snap.Servers {
		if s.Host == master {
			add(&last, s.Common, roleServer)
		}
		add(&servers, s.Common, roleServer)
	}
	for _, a := range snap.Arbiters {
		add(&arbiters, a.Common, roleArbiter)
	}
	for _, p := range snap.Pools {
		add(&pools, p.Common, rolePool)
	}
	return slices.Concat(arbiters, pools, servers, last)
}

// Hosts are all hosts that get a watcher.
func Hosts(inv *nodes.Inventory) []string {
	var all []string
	for _, s := range inv.Servers {
		all = append(all, s.Host)
	}
	for _, a := range inv.Arbiters {
		all = append(all, a.Host)
	}
	for _, p := range inv.Pools {
		all = append(all, p.Host)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Plan plans a deployment. Hosts that do not answer, or lack what a watcher needs, are left out with the reason.
func (d *Deployer) Plan(snap cluster.Snapshot, seen map[string]*Seen, o Options) (plan.Plan, map[string]string, error) {
	if snap.Kind == nodes.KindPG9 {
		return plan.Plan{}, nil, refuse("this is a 9.x site: its pools do the failover, and pgctl has no watcher for it", "")
	}
	all, left := answering(region(snap, seen))
	if err := refusal(all, left, o.Accept); err != nil {
		return plan.Plan{}, nil, err
	}
	p := plan.Plan{Name: "deploy", Facts: map[string]string{"ha": string(snap.HA), "version": d.Version}}
	p.Steps = append(p.Steps, plan.Step{
		ID: d.Here + "/" + verbAuthority, Verb: verbAuthority, Host: d.Here, Text: "make the site's authority for certificates in " + tlsDir, Why: "its key never leaves this host",
	})
	for _, n := range all {
		if f := n.seen.facts; len(f.foreign()) > 0 || f.stranger() != "" || f.has("kept") {
			p.Steps = append(p.Steps, plan.Step{
				ID: n.host + "/" + verbReplace, Verb: verbReplace, Host: n.host, Text: "stop the pg_watcher that is there, and keep its files in " + keptDir,
				Why: "on every host before the first of pgctl's starts, so that two kinds never act at once; deploy --remove puts it back",
			})
		}
	}
	rotated := ""
	if o.Rotate {
		rotated = d.Now().UTC().Format(time.RFC3339)
	}
	before, after := d.roleSteps(o, left)
	for i, n := range all {
		if n.role == roleServer {
			p.Steps, before = append(p.Steps, before...), nil
		}
		p.Steps = append(p.Steps, d.hostSteps(n, rotated, meanwhile(snap.HA, i == len(all)-1))...)
	}
	p.Steps = append(p.Steps, append(before, after...)...)
	return p, left, nil
}

// meanwhile is why a watcher may be started anew.
func meanwhile(ha nodes.HA, last bool) string {
	switch {
	case ha != nodes.HAEnabled:
		return "automatic failover is off, so nothing depends on it meanwhile"
	case last:
		return "the last one: every other watcher has reported again"
	}
	return "one at a time: the next host waits until this watcher reports again, and the others keep their majority"
}

// hostSteps are the steps of one host.
func (d *Deployer) hostSteps(n node, rotated, why string) []plan.Step {
	step := func(verb, text, why string, args map[string]string) plan.Step {
		return plan.Step{ID: n.host + "/" + verb, Verb: verb, Host: n.host, Text: text, Why: why, Args: args}
	}
	certificate := map[string]string{"role": n.role}
	text := "give it a key and a certificate as " + n.role
	if rotated != "" {
		certificate["issued_after"] = rotated
		text = "give it a new key and certificate as " + n.role
	}
	steps := []plan.Step{
		step(verbFolders, "make its folders for settings, keys, state and log", "", nil),
		step(verbBinary, fmt.Sprintf("put pgctl %s in %s", d.Version, BinaryPath), "", map[string]string{"sha256": d.sum}),
	}
	if d.Settings != nil {
		steps = append(steps, step(verbSettings, "give it the settings of "+d.Here+" in "+settingsPath, "", nil))
	}
	steps = append(steps, step(verbCertificate, text, "", certificate))
	if n.role == roleServer && !d.ownLogin() {
		steps = append(steps, step(verbUser, "make the system user "+postgres.WatcherRole+", without a shell, a home or a password", "peer authentication lets it in as the role of that name", nil))
	}
	return append(steps,
		step(verbProgram, "run pgctl watch as supervisor's program pg_watcher, and see that it reports", why, map[string]string{"sha256": d.sum}))
}

// answering parts the hosts that can be worked on from those that are left out.
func answering(all []node) (able []node, left map[string]string) {
	left = map[string]string{}
	for _, n := range all {
		switch {
		case n.why != "":
			left[n.host] = n.why
		case !n.seen.facts.has("supervisor"):
			left[n.host] = "supervisor is not installed: apt-get install supervisor"
		default:
			able = append(able, n)
		}
	}
	return able, left
}

// refusal names every reason at once.
func refusal(all []node, left map[string]string, accept []string) error {
	r := &cluster.Refusal{}
	foreign := false
	for _, n := range all {
		if arch := goArch(n.seen.facts.one("machine")); arch != ownArch {
			r.Risks = append(r.Risks, cluster.Risk{Evidence: fmt.Sprintf("%s is a machine of kind %s, this pgctl is built for %s", n.host, n.seen.facts.one("machine"), ownArch), Hint: "build pgctl for it"})
		}
		others := n.seen.facts.foreign()
		if command := n.seen.facts.stranger(); command != "" && len(others) == 0 {
			others = append(others, definition{path: "supervisor, from a configuration that is gone,", command: command})
		}
		for _, f := range others {
			foreign = true
			r.Risks = append(r.Risks, f.risks(n.host, accept)...)
		}
	}
	for _, host := range sortedKeys(left) {
		if foreign {
			r.Risks = append(r.Risks, cluster.Risk{
				Evidence: host + " is left out and may run the old pg_watcher, beside pgctl's on the others: " + left[host],
				Hint:     "bring it back first, or take it out of the inventory",
			})
		}
	}
	if len(r.Risks) > 0 {
		return r
	}
	return nil
}

// risks are what replacing a watcher means.
func (d definition) risks(host string, accept []string) []cluster.Risk {
	switch {
	case d.shared:
		return []cluster.Risk{{
			Evidence: fmt.Sprintf("%s: %s defines other things beside pg_watcher, which would be taken away with it", host, d.path),
			Hint:     "move [program:pg_watcher] into a file of its own",
		}}
	case slices.Contains(accept, RiskReplaceWatcher):
		return nil
	}
	return []cluster.Risk{{
		Name: RiskReplaceWatcher, Hint: "it would be stopped on every host, its configuration kept, and put back by pgctl deploy --remove",
		Evidence: fmt.Sprintf("%s has a pg_watcher that is not pgctl's: %s runs %q", host, d.path, cluster.Printable(d.command)),
	}}
}

func refuse(evidence, hint string) error {
	return &cluster.Refusal{Risks: []cluster.Risk{{Evidence: evidence, Hint: hint}}}
}

func sortedKeys(m map[string]string) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// goArch is Go's word for what uname -m says.
func goArch(machine string) string {
	known := map[string]string{"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
	if arch, ok := known[strings.TrimSpace(machine)]; ok {
		return arch
	}
	return machine
}
