package failover

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/nodes"
	"github.com/pgctl/pgctl/pkg/plan"
)

// builder puts the steps of a plan together. Its args go into every step.
type builder struct {
	plan *plan.Plan
	args map[string]string
}

// dirText is servers and their data directories for a step's Args.
func dirText(servers ...*cluster.Server) string {
	var all []string
	for _, s := range servers {
		all = append(all, s.Host+"="+s.Data.Path)
	}
	return strings.Join(all, " ")
}

// beside has the steps from the n-th on run side by side, those of one lane in order.
func (b builder) beside(n int, lane func(s plan.Step) string) {
	for i := n; i < len(b.plan.Steps); i++ {
		b.plan.Steps[i].Lane = lane(b.plan.Steps[i])
	}
}

// byHost and its pool are two lanes.
func byHost(s plan.Step) string {
	if strings.HasPrefix(s.Verb, "pool.") {
		return "pool on " + s.Host
	}
	return s.Host
}

// arg is one argument of a step of its own.
type arg struct{ key, value string }

func with(key, value string) arg { return arg{key, value} }

// step adds a step. Host and verb are its ID, and a number where that is done to the host again.
func (b builder) step(verb, host, text, why string, own ...arg) {
	args := maps.Clone(b.args)
	for _, a := range own {
		args[a.key] = a.value
	}
	id, n := host+"/"+verb, 1
	for slices.ContainsFunc(b.plan.Steps, func(s plan.Step) bool { return s.ID == id }) {
		n++
		id = fmt.Sprintf("%s/%s-%d", host, verb, n)
	}
	b.plan.Steps = append(b.plan.Steps, plan.Step{ID: id, Verb: verb, Host: host, Args: args, Text: text, Why: why})
}

// masterFiles has the file of every server that answers name the master, where the site keeps such a file.
func (b builder) masterFiles(snap cluster.Snapshot, master string) {
	if !slices.ContainsFunc(snap.Servers, func(s cluster.Server) bool { return s.MasterFile != nil }) {
		return
	}
	for _, s := range snap.Servers {
		if s.Reached() {
			b.step(verbMasterFile, s.Host, "write "+master+" into "+MasterFile, "", with("master", master))
		}
	}
}

// usesSlots tells whether any server that answers keeps WAL by a slot. One that waits for its first use may be left of long ago.
func usesSlots(snap cluster.Snapshot) bool {
	return slices.ContainsFunc(snap.Servers, func(s cluster.Server) bool {
		return s.SQL != nil && slices.ContainsFunc(s.SQL.Slots, func(slot cluster.Slot) bool { return slot.Physical && (slot.Active || slot.Retained > 0) })
	})
}

// slotOf is the slot that a server uses on its master, where the site uses slots: it is named for the host.
func slotOf(uses bool, host string) string {
	if !uses {
		return ""
	}
	return cluster.SlotName(host)
}

// foreignSlots are the slots that a server may have kept for the others while it was master, where the site uses slots.
func foreignSlots(uses bool, snap cluster.Snapshot, of string) string {
	var names []string
	for _, s := range snap.Servers {
		if s.Host != of && uses {
			names = append(names, cluster.SlotName(s.Host))
		}
	}
	return strings.Join(names, " ")
}

// syncNames reads the master's names; where there are none, they are to become what the site's sync_mode says.
func syncNames(text string, inv nodes.Inventory) cluster.SyncNames {
	names, err := cluster.ParseSyncNames(text)
	if err == nil && names.Needed > 0 {
		return names
	}
	for _, zone := range inv.Zones {
		if w := zone.Watcher; w != nil && w.SyncNeeded() > 0 {
			return cluster.SyncNames{Any: true, Needed: w.SyncNeeded()}
		}
	}
	return cluster.SyncNames{}
}
