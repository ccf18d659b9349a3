package failover

import (
	"bytes"
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/nodes"
	"github.com/pgctl/pgctl/pkg/pg9"
	"github.com/pgctl/pgctl/pkg/plan"
	"github.com/pgctl/pgctl/pkg/remote"
)

// The verbs of the fixup of a 9.x site's scripts.
const (
	verb9Cron   = "pg9.cron"   // the robot is installed, for both hosts
	verb9Keep   = "pg9.keep"   // a script as it was is kept
	verb9Script = "pg9.script" // a script is what the plan wants
	verb9Mark   = "pg9.mark"   // the marker says that all is done
	verb9Unmark = "pg9.unmark" // the marker and the backups are gone
)

// Fixup does the steps of auto-failover.
type Fixup struct {
	*Servers
	texts map[string][]byte // what a script shall be, by SHA-256
}

// FixupNote is what the operator should know of what was found.
type FixupNote struct{ Host, Text string }

// AutoFailover plans what makes the site's robot survive more than one failover, on both servers: what the guide's auto_failover.sh does.
// It is refused, with every reason at once, where a file that it needs is missing or a script does not look as expected.
func (h *Fixup) AutoFailover(snap cluster.Snapshot, hosts map[string]pg9.Host) (p plan.Plan, notes []FixupNote, err error) {
	no := &refusals{}
	p = plan.Plan{Name: "pg9 auto-failover", Facts: map[string]string{"remove": "no"}}
	if !h.reached(snap, hosts, no) {
		return p, nil, no.err()
	}
	order := h.order(snap, hosts, no)
	b := builder{&p, map[string]string{}}
	for _, s := range snap.Servers {
		facts := hosts[s.Host]
		for _, need := range append([]string{pg9.Utils}, pg9.Edited...) {
			if !facts.Has(need) {
				no.add("", "put the site's own script there first", "%s: %s is not there", s.Host, need)
			}
		}
		if no.any() {
			continue
		}
		b.step(verb9Cron, s.Host, fmt.Sprintf("install the robot: install_failover_cron %s", strings.Join(order, " ")), "", with("hosts", strings.Join(order, " ")))
		for _, script := range pg9.Edited {
			h.edit(b, s.Host, script, &facts, no)
		}
		b.step(verb9Mark, s.Host, "note that it is done in "+pg9.Marker, "")
		if text, ok := facts.Files[pg9.Marker]; ok && pg9.ByOldScript(facts.Files[pg9.PostFailover]) && len(text) == 0 {
			notes = append(notes, FixupNote{s.Host, "this has been done by the old script auto_failover.sh"})
		}
	}
	if no.any() {
		return p, nil, no.err()
	}
	return p, notes, nil
}

// reached: both servers must tell what they have.
func (h *Fixup) reached(snap cluster.Snapshot, hosts map[string]pg9.Host, no *refusals) bool {
	if snap.Kind != nodes.KindPG9 || len(snap.Servers) != 2 {
		no.add("", "", "this is no site with a pgmaster and a pgslave in the inventory: it has no such scripts")
		return false
	}
	for _, s := range snap.Servers {
		switch {
		case !s.Reached():
			no.add("", s.Unreachable.Hint, "%s is out of reach: %s", s.Host, s.Unreachable.Message)
		case hosts[s.Host].Failure != nil:
			no.add("", "", "%s does not tell what it has: %s", s.Host, hosts[s.Host].Failure.Message)
		}
	}
	return !no.any()
}

// order are the hosts as install_failover_cron gets them, which must be the same on both servers.
func (h *Fixup) order(snap cluster.Snapshot, hosts map[string]pg9.Host, no *refusals) []string {
	var order []string
	for _, s := range snap.Servers {
		facts := hosts[s.Host]
		if !facts.Has(pg9.HostsFile) {
			no.add("", "the installer writes it: both servers, a line each", "%s: %s is not there", s.Host, pg9.HostsFile)
			continue
		}
		found, err := facts.Servers()
		switch {
		case err != nil:
			no.add("", "", "%s: %v", s.Host, err)
		case order != nil && !slices.Equal(order, found):
			no.add("", "make them agree", "%s differs between the servers: %s, and on %s %s", pg9.HostsFile, strings.Join(order, " "), s.Host, strings.Join(found, " "))
		}
		order = found
	}
	return order
}

// edit plans one script. Its backup is kept before, and is the script that the fixup was made from.
func (h *Fixup) edit(b builder, host, script string, facts *pg9.Host, no *refusals) {
	now := facts.Files[script]
	after, err := pg9.Fixed(script, now)
	if err != nil {
		no.add("", "", "%s: %v", host, err)
		return
	}
	backup, kept := facts.Files[script+pg9.BackupSuffix]
	if kept && !bytes.Equal(now, after) && !bytes.Equal(backup, now) {
		no.add("", "see which of the two is the site's, and move the backup away", "%s: %s%s is there already, and is another script than %s", host, script, pg9.BackupSuffix, script)
		return
	}
	args := []arg{with("file", script), with("before", h.keep(now)), with("after", h.keep(after))}
	if !bytes.Equal(now, after) {
		b.step(verb9Keep, host, "keep "+script+" as "+path.Base(script)+pg9.BackupSuffix, "", args...)
	}
	text := "take the calls of install_failover_cron out of " + script
	if script == pg9.PostFailover {
		text = "have " + script + " stop each pgpool fast and clear its sockets before it starts it"
	}
	b.step(verb9Script, host, text, "", args...)
}

// keep remembers what a script is or shall be.
func (h *Fixup) keep(text []byte) string {
	if h.texts == nil {
		h.texts = map[string][]byte{}
	}
	h.texts[sum(text)] = text
	return sum(text)
}

// RemoveAutoFailover plans the way back: the backups in the place of the scripts. A script that was changed since the fixup is not overwritten.
func (h *Fixup) RemoveAutoFailover(snap cluster.Snapshot, hosts map[string]pg9.Host) (plan.Plan, error) {
	no := &refusals{}
	p := plan.Plan{Name: "pg9 auto-failover", Facts: map[string]string{"remove": "yes"}}
	if !h.reached(snap, hosts, no) {
		return p, no.err()
	}
	b := builder{&p, map[string]string{}}
	for _, s := range snap.Servers {
		facts := hosts[s.Host]
		undone := !facts.Has(pg9.Marker)
		for _, script := range pg9.Edited {
			backup, kept := facts.Files[script+pg9.BackupSuffix]
			now := facts.Files[script]
			fixed, err := pg9.Fixed(script, backup)
			switch {
			case !kept && undone: // nothing to put back, or put back already
			case !kept && script != pg9.PostFailover && !pg9.Calls(now): // it may have had none
			case !kept:
				no.add("", "install the site's own script again", "%s: %s has no backup", s.Host, script)
			case bytes.Equal(now, backup):
			case err != nil || !bytes.Equal(fixed, now) && !sameButOld(script, fixed, now):
				no.add("", "see what it was changed to, and put the backup back by hand", "%s: %s was changed since the fixup: putting the backup back would lose that", s.Host, script)
				continue
			}
			if kept {
				b.step(verb9Script, s.Host, "put "+path.Base(script)+pg9.BackupSuffix+" back as "+script, "", with("file", script), with("before", h.keep(now)), with("after", h.keep(backup)))
			}
		}
		if !undone || slices.ContainsFunc(pg9.Edited, func(script string) bool { return facts.Has(script + pg9.BackupSuffix) }) {
			b.step(verb9Unmark, s.Host, "remove "+pg9.Marker+" and the backups", "")
		}
	}
	return p, no.err()
}

// sameButOld: what the old script made of a backup is what the fixup makes, but for the indent and rm's -f.
func sameButOld(script string, fixed, now []byte) bool {
	if script != pg9.PostFailover {
		return false
	}
	plain := func(text []byte) string {
		var all []string
		for line := range strings.Lines(string(text)) {
			all = append(all, strings.ReplaceAll(strings.TrimSpace(line), "rm -f ", "rm "))
		}
		return strings.Join(all, "\n")
	}
	return plain(fixed) == plain(now)
}

// Handlers are the handlers by verb.
func (h *Fixup) Handlers() map[string]plan.Handler {
	return map[string]plan.Handler{
		verb9Cron: handler{h.hasCron, h.installCron}, verb9Keep: handler{h.isKept, h.keepScript}, verb9Script: handler{h.isEdited, h.editScript},
		verb9Mark: handler{h.isMarked, h.mark}, verb9Unmark: handler{h.isUnmarked, h.unmark},
	}
}

func (h *Fixup) facts(ctx context.Context, host string) (pg9.Host, error) {
	return (&PG9{Servers: h.Servers}).facts9(ctx, host, "")
}

// hasCron: cron runs the robot, and for these hosts.
func (h *Fixup) hasCron(ctx context.Context, s plan.Step) (bool, error) {
	facts, err := h.facts(ctx, s.Host)
	if err != nil {
		return false, err
	}
	if len(facts.Cron) == 0 {
		return no(fmt.Errorf("no job of cron runs one of %s's scripts", pg9.BinDir))
	}
	return true, nil
}

func (h *Fixup) installCron(ctx context.Context, s plan.Step) error {
	ctx, cancel := context.WithTimeout(ctx, h.Timeout+stepLimit)
	defer cancel()
	cmd := remote.Command{Args: append([]string{"/bin/bash", "-c", `cd "${0%/*}" && . "$0" && install_failover_cron "$@"`, pg9.Utils}, strings.Fields(s.Args["hosts"])...)}
	_, err := h.Hosts(s.Host).Run(ctx, cmd)
	return err
}

func (h *Fixup) read(ctx context.Context, host string, files ...string) (map[string][]byte, error) {
	ctx, cancel := h.ask(ctx)
	defer cancel()
	return remote.ReadFiles(ctx, h.Hosts(host), files...)
}

// isKept: there is a backup, and it is what the script was; or nothing is to be kept, as the script is edited.
func (h *Fixup) isKept(ctx context.Context, s plan.Step) (bool, error) {
	found, err := h.read(ctx, s.Host, s.Args["file"]+pg9.BackupSuffix)
	return sum(found[s.Args["file"]+pg9.BackupSuffix]) == s.Args["before"], err
}

func (h *Fixup) keepScript(ctx context.Context, s plan.Step) error {
	ctx, cancel := h.ask(ctx)
	defer cancel()
	_, err := h.Hosts(s.Host).Run(ctx, remote.Script(`cp -p -- "$1" "$1$2.pgctl-new" && mv -f -- "$1$2.pgctl-new" "$1$2"`, s.Args["file"], pg9.BackupSuffix))
	return err
}

// isEdited: the script is what the plan wants. One that is neither that nor what the plan was made from was edited by somebody else.
func (h *Fixup) isEdited(ctx context.Context, s plan.Step) (bool, error) {
	found, err := h.read(ctx, s.Host, s.Args["file"])
	if err != nil {
		return false, err
	}
	switch sum(found[s.Args["file"]]) {
	case s.Args["after"]:
		return true, nil
	case s.Args["before"]:
		return false, nil
	}
	return false, editedMeanwhile(s.Host + ": " + s.Args["file"])
}

func (h *Fixup) editScript(ctx context.Context, s plan.Step) error {
	text, ok := h.texts[s.Args["after"]]
	if !ok {
		return fmt.Errorf("step %s: what %s shall be is not known", s.ID, s.Args["file"])
	}
	if edited, err := h.isEdited(ctx, s); err != nil || edited {
		return err
	}
	ctx, cancel := h.ask(ctx)
	defer cancel()
	_, err := remote.WriteFile(ctx, h.Hosts(s.Host), s.Args["file"], text, remote.WriteOptions{})
	return err
}

func (h *Fixup) isMarked(ctx context.Context, s plan.Step) (bool, error) {
	found, err := h.read(ctx, s.Host, pg9.Marker)
	_, there := found[pg9.Marker]
	return there, err
}

func (h *Fixup) mark(ctx context.Context, s plan.Step) error {
	ctx, cancel := h.ask(ctx)
	defer cancel()
	_, err := remote.WriteFile(ctx, h.Hosts(s.Host), pg9.Marker, []byte("pgctl pg9 auto-failover "+h.Stamp+"\n"), remote.WriteOptions{})
	return err
}

func unmarked() []string {
	files := []string{pg9.Marker}
	for _, script := range pg9.Edited {
		files = append(files, script+pg9.BackupSuffix)
	}
	return files
}

func (h *Fixup) isUnmarked(ctx context.Context, s plan.Step) (bool, error) {
	found, err := h.read(ctx, s.Host, unmarked()...)
	return err == nil && len(found) == 0, err
}

func (h *Fixup) unmark(ctx context.Context, s plan.Step) error {
	ctx, cancel := h.ask(ctx)
	defer cancel()
	_, err := h.Hosts(s.Host).Run(ctx, remote.Script(`rm -f -- "$@"`, unmarked()...))
	return err
}
