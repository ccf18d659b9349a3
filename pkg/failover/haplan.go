package failover

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/nodes"
	"github.com/pgctl/pgctl/pkg/plan"
)

// The verbs of the steps of enable-ha and disable-ha.
const (
	verbHAEdit    = "ha.edit"
	verbHABuild   = "ha.build"
	verbHARollOut = "ha.rollout"
	verbHAProve   = "ha.prove"
	verbHABack    = "ha.back"
)

// The site's roll-out, and where a node has what it brings.
const (
	buildScript = "/pitrix/upgrade/build_global_conf.sh"
	sendScript  = "/pitrix/upgrade/update.sh"
	sendPackage = "pitrix-global-conf"
	nodeFile    = "/pitrix/conf/global/server.yaml"
)

// HAWish is what enable-ha and disable-ha want of the zones' server.yaml.
type HAWish struct {
	Command string
	On      bool
	ByTS    string // using_master_by_ts: "0", "1", or "" for as it is
	Zone    string // only this zone's file; "" every zone's
}

// values are the keys to set, in their order.
func (w HAWish) values() [][2]string {
	inactive := "1"
	if w.On {
		inactive = "0"
	}
	set := [][2]string{{"inactive_failover", inactive}}
	if w.ByTS != "" {
		set = append(set, [2]string{"using_master_by_ts", w.ByTS})
	}
	return set
}

// ZoneFile is one zone's server.yaml on firstbox.
type ZoneFile struct {
	Zone, Path string
	Now, After []byte // as it is, and as it is wanted; the same where the wish leaves the zone alone
	Old        []byte // as it was before pgctl began, which may have been in a run that did not come to its end
	Backup     string // where the bytes before the edit are kept
	Text       string // what the edit does, for the operator
}

// edited tells whether pgctl makes, or has made, a change to the file.
func (f ZoneFile) edited() bool { return string(f.Old) != string(f.After) }

// EditZones makes of the zones' files as they are what the wish wants: a value changes and no other byte. What cannot be edited is
// an error of type nodes.Problems.
func EditZones(w HAWish, files []nodes.File, stamp string) ([]ZoneFile, error) {
	var all []ZoneFile
	var problems nodes.Problems
	for _, file := range files {
		zone, _ := nodes.ZoneOfFile(path.Base(file.Path))
		f := ZoneFile{Zone: zone, Path: file.Path, Now: file.Data, After: file.Data, Old: file.Data}
		f.Backup = path.Join(backupDir, fmt.Sprintf("%s.%s", path.Base(file.Path), stamp))
		if w.Zone == "" || w.Zone == zone {
			err := f.edit(w)
			var ps nodes.Problems
			if errors.As(err, &ps) {
				problems = append(problems, ps...)
			} else if err != nil {
				return nil, err
			}
		}
		all = append(all, f)
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return all, nil
}

func (f *ZoneFile) edit(w HAWish) error {
	var what []string
	for _, set := range w.values() {
		before := f.After
		after, err := nodes.EditWatcherValue(nodes.File{Path: f.Path, Data: before}, set[0], set[1])
		if err != nil {
			return err
		}
		f.After = after
		if string(before) == string(after) {
			what = append(what, fmt.Sprintf("%s %s", set[0], set[1]))
		} else {
			what = append(what, fmt.Sprintf("%s %s -> %s", set[0], f.value(set[0]), set[1]))
		}
	}
	f.Text = fmt.Sprintf("set %s in %s", strings.Join(what, ", "), f.Path)
	return nil
}

// value is what the file says of a key now: 0 or 1.
func (f *ZoneFile) value(key string) string {
	w, _, err := nodes.ParseServerYAML(f.Zone, nodes.File{Path: f.Path, Data: f.Now})
	on := map[bool]string{true: "1", false: "0"}
	switch {
	case err != nil || w == nil:
		return "?"
	case key == "inactive_failover":
		return on[w.InactiveFailover]
	}
	return on[w.UsingMasterByTS]
}

// sum is the SHA-256 of a file, as sha256sum(1) prints it.
func sum(data []byte) string {
	s := sha256.Sum256(data)
	return hex.EncodeToString(s[:])
}

// zoneOf is the zone whose file a node gets: a server its own, anybody else the first by name.
func zoneOf(inv *nodes.Inventory, host string) string {
	for _, s := range inv.Servers {
		if s.Host == host && slices.ContainsFunc(inv.Zones, func(z nodes.Zone) bool { return z.ID == s.Zone }) {
			return s.Zone
		}
	}
	return inv.Zones[0].ID
}

// HANodes are the hosts that get a zone's file: servers, then arbiters.
func HANodes(inv *nodes.Inventory) []string {
	var all []string
	for _, s := range inv.Servers {
		all = append(all, s.Host)
	}
	for _, a := range inv.Arbiters {
		all = append(all, a.Host)
	}
	return all
}

// HAPlan plans edit, build, roll-out and the proof on every node. here is the name of the host with the files. Nodes that do not
// answer are left out and returned with the reason; notes are what the operator should know before confirming.
func HAPlan(w HAWish, inv *nodes.Inventory, files []ZoneFile, here string, seen map[string]NodeFile) (p plan.Plan, left map[string]string, notes []string) {
	p = plan.Plan{Name: w.Command, Facts: map[string]string{w.values()[0][0]: w.values()[0][1]}}
	left = map[string]string{}
	byZone := map[string]ZoneFile{}
	for _, f := range files {
		byZone[f.Zone] = f
		if f.Text != "" {
			p.Steps = append(p.Steps, plan.Step{
				ID: f.Zone + "/" + verbHAEdit, Verb: verbHAEdit, Host: here, Text: f.Text,
				Args: map[string]string{"file": f.Path, "before": sum(f.Now), "after": sum(f.After), "backup": f.Backup},
			})
		}
	}
	var want []string
	var proofs []plan.Step
	for _, host := range HANodes(inv) {
		zone, state := byZone[zoneOf(inv, host)], seen[host]
		if state.Failure == "" && state.SHA256 != sum(zone.Now) && state.SHA256 != sum(zone.After) {
			notes = append(notes, fmt.Sprintf("%s: its %s is not what %s is now: the roll-out replaces it", host, nodeFile, zone.Path))
		}
		switch {
		case w.Zone != "" && w.Zone != zone.Zone:
		case state.Failure != "":
			left[host] = state.Failure
		default:
			want = append(want, host+"="+sum(zone.After))
			proofs = append(proofs, plan.Step{
				ID: host + "/" + verbHAProve, Verb: verbHAProve, Host: host, Args: map[string]string{"sha256": sum(zone.After)},
				Text: fmt.Sprintf("see that it has the file of %s, and that its watcher took it", zone.Zone),
			})
		}
	}
	args := map[string]string{"want": strings.Join(want, " ")}
	p.Steps = append(p.Steps,
		plan.Step{ID: verbHABuild, Verb: verbHABuild, Host: here, Args: args, Text: "run " + buildScript},
		plan.Step{ID: verbHARollOut, Verb: verbHARollOut, Host: here, Args: args, Text: fmt.Sprintf("run %s -f all %s", sendScript, sendPackage)})
	p.Steps = append(p.Steps, proofs...)
	return p, left, append(notes, stillOff(w, files)...)
}

// stillOff: HA is on only when every zone says so.
func stillOff(w HAWish, files []ZoneFile) []string {
	var notes []string
	for _, f := range files {
		if w.On && f.Zone != w.Zone && w.Zone != "" && f.value("inactive_failover") != "0" {
			notes = append(notes, fmt.Sprintf("%s still says inactive_failover 1: HA stays off until every zone says 0", f.Path))
		}
	}
	return notes
}

// MayEnableHA refuses where a critical finding of cluster.Examine says that a failover would not work, with every reason at once,
// and gives the facts that the plan is held to.
func MayEnableHA(snap cluster.Snapshot, d cluster.Diagnosis) (map[string]string, error) {
	refusal := &cluster.Refusal{}
	for _, f := range d.Findings {
		if f.Severity == cluster.Critical {
			refusal.Risks = append(refusal.Risks, cluster.Risk{Evidence: strings.TrimSpace(fmt.Sprintf("%s %s", f.Code, f.Host)) + ": " + f.Message, Hint: f.Hint})
		}
	}
	if len(refusal.Risks) > 0 {
		return nil, refusal
	}
	master, err := CertainMaster(snap, d, nil)
	if err != nil {
		return nil, err
	}
	return facts(master), nil
}
