package failover

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/nodes"
	"github.com/pgctl/pgctl/pkg/plan"
	"github.com/pgctl/pgctl/pkg/remote"
)

//go:embed ha_run.sh
var haRunScript string

// backupDir keeps the zones' files as they were before an edit. Beside them they would be taken for files of more zones.
const backupDir = "/var/lib/pgctl/backup"

// rollOutLimit is how long one of the site's scripts may take. update.sh visits one node after the other.
const rollOutLimit = 30 * time.Minute

// HA does the steps of enable-ha and disable-ha.
type HA struct {
	Here    remote.Host // has the zones' files and the roll-out scripts
	Hosts   func(name string) remote.Host
	Timeout time.Duration // for one question; a roll-out takes longer
	Wish    HAWish
	Files   []ZoneFile                 // every zone's
	Now     func() time.Time           // for the limit of a script
	Say     func(line string)          // what the site's scripts print
	Warn    func(host, message string) // what could not be proven; may be told again
	built   bool                       // the package was built in this run,
	sent    bool                       // and brought to nodes, or was to be
}

// Handlers are the handlers by verb.
func (h *HA) Handlers() map[string]plan.Handler {
	return map[string]plan.Handler{verbHAEdit: haEdit{h}, verbHABuild: haBuild{h}, verbHARollOut: haRollOut{h}, verbHAProve: haProve{h}, verbHABack: haBack{h}}
}

// ReadZones reads the zones' files.
func (h *HA) ReadZones(ctx context.Context, inv *nodes.Inventory) ([]nodes.File, error) {
	var files []nodes.File
	for _, z := range inv.Zones {
		data, err := remote.ReadFile(ctx, h.Here, z.Path)
		if err != nil {
			return nil, err
		}
		files = append(files, nodes.File{Path: z.Path, Data: data})
	}
	return files, nil
}

// Recall takes over from a run that did not come to its end what the files were before it, so that they can be put back.
func (h *HA) Recall(ctx context.Context, unfinished *plan.Plan) error {
	if unfinished == nil {
		return nil
	}
	for _, s := range unfinished.Steps {
		i := slices.IndexFunc(h.Files, func(f ZoneFile) bool { return f.Path == s.Args["file"] && s.Verb == verbHAEdit })
		if i < 0 || sum(h.Files[i].Now) != s.Args["after"] || s.Args["before"] == s.Args["after"] {
			continue
		}
		old, err := remote.ReadFile(ctx, h.Here, s.Args["backup"])
		if err != nil || sum(old) != s.Args["before"] {
			return errors.Join(fmt.Errorf("%s: not the backup that an earlier %s made of %s", s.Args["backup"], unfinished.Name, s.Args["file"]), err)
		}
		h.Files[i].Old = old
	}
	return nil
}

// AskNodes asks all nodes at once.
func (h *HA) AskNodes(ctx context.Context, names []string) map[string]NodeFile {
	found := remote.Each(ctx, names, 0, h.Timeout, func(ctx context.Context, name string) NodeFile { return askNode(ctx, h.Hosts(name)) })
	seen := map[string]NodeFile{}
	for i, name := range names {
		seen[name] = found[i]
	}
	return seen
}

// haEdit changes one zone's file.
type haEdit struct{ *HA }

// Done: the file is what the plan wants. One that is neither that nor what the plan was made from was edited by somebody else.
func (h haEdit) Done(ctx context.Context, s plan.Step) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	data, err := remote.ReadFile(ctx, h.Here, s.Args["file"])
	if err != nil {
		return false, err
	}
	switch sum(data) {
	case s.Args["after"]:
		return true, nil
	case s.Args["before"]:
		return false, nil
	}
	return false, editedMeanwhile(s.Args["file"])
}

func editedMeanwhile(file string) error {
	return fmt.Errorf("%s was edited by somebody else since the plan was made; see what they want, then run it again", file)
}

// Do keeps a backup and replaces the file, when it is still what the plan was made from.
func (h haEdit) Do(ctx context.Context, s plan.Step) error {
	i := slices.IndexFunc(h.Files, func(f ZoneFile) bool { return f.Path == s.Args["file"] })
	if i < 0 {
		return fmt.Errorf("step %s names no file of a zone", s.ID)
	}
	f := h.Files[i]
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	if _, err := h.Here.Run(ctx, remote.Script(`mkdir -p -m 700 -- "$1"`, path.Dir(f.Backup))); err != nil {
		return err
	}
	if _, err := remote.WriteFile(ctx, h.Here, f.Backup, f.Now, remote.WriteOptions{Mode: 0o600}); err != nil {
		return err
	}
	return h.replace(ctx, f.Path, f.Now, f.After)
}

// replace writes a file when it is still what it was.
func (h *HA) replace(ctx context.Context, file string, was, data []byte) error {
	now, err := remote.ReadFile(ctx, h.Here, file)
	if err != nil {
		return err
	}
	if string(now) != string(was) {
		return editedMeanwhile(file)
	}
	_, err = remote.WriteFile(ctx, h.Here, file, data, remote.WriteOptions{})
	return err
}

// haBuild runs the script that builds the package.
type haBuild struct{ *HA }

// Done: the script has run to its end in this run, or every node has what it would build.
func (h haBuild) Done(ctx context.Context, s plan.Step) (bool, error) {
	if h.built {
		return true, nil
	}
	return haRollOut(h).Done(ctx, s)
}

// Do builds. The files must be the plan's, as everything that is in them goes to the nodes.
func (h haBuild) Do(ctx context.Context, s plan.Step) error {
	for _, f := range h.Files {
		if data, err := remote.ReadFile(ctx, h.Here, f.Path); err != nil {
			return err
		} else if string(data) != string(f.After) {
			return editedMeanwhile(f.Path)
		}
	}
	if err := h.run(ctx, buildScript); err != nil {
		return h.putBack(ctx, s, err)
	}
	h.built = true
	return nil
}

// haRollOut runs the script that brings the package to the nodes.
type haRollOut struct{ *HA }

// Done: every node of the plan has its zone's file.
func (h haRollOut) Done(ctx context.Context, s plan.Step) (bool, error) {
	d := h.delivered(ctx, s)
	if len(d.lack)+len(d.silent) > 0 {
		return false, &plan.NotYet{Reason: errors.New(d.String())}
	}
	return true, nil
}

// Do rolls out. What counts is whether the nodes have the file: update.sh fails for a node that is left out, too. Where it failed
// for a node of the plan, enable-ha puts everything back; disable-ha leaves what is switched off switched off.
func (h haRollOut) Do(ctx context.Context, s plan.Step) error {
	h.sent = true
	err := h.run(ctx, sendScript, "-f", "all", sendPackage)
	if err == nil {
		return nil
	}
	d := h.delivered(ctx, s)
	switch {
	case len(d.lack)+len(d.silent) == 0:
		h.Warn(h.Here.Name(), fmt.Sprintf("%s failed, but every node of the plan has its file: %v", sendScript, err))
		return nil
	case h.Wish.On:
		return h.putBack(ctx, s, err)
	}
	return fmt.Errorf("%w; %s", err, d)
}

// haProve is a proof and nothing else.
type haProve struct{ *HA }

// Done: the node has its zone's file, and its watcher goes by it. Where no watcher tells, that is a warning.
func (h haProve) Done(ctx context.Context, s plan.Step) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	n := askNode(ctx, h.Hosts(s.Host))
	switch {
	case n.Failure != "":
		return false, &plan.NotYet{Reason: errors.New(n.Failure)}
	case n.SHA256 != s.Args["sha256"]:
		return false, &plan.NotYet{Reason: fmt.Errorf("%s is not its zone's file", nodeFile)}
	}
	doubt, pending := n.took(s.Args["sha256"])
	if pending != "" && (h.Wish.On || n.Age <= writtenWithin) {
		return false, &plan.NotYet{Reason: errors.New(pending)}
	}
	if doubt = doubt + pending; doubt != "" {
		h.Warn(s.Host, doubt)
	}
	return true, nil
}

// Do has nothing to do: a watcher needs a moment to see a new file, and the proof is looked for until it comes.
func (h haProve) Do(context.Context, plan.Step) error { return nil }

// run runs one of the site's scripts on firstbox and passes on what it prints, as it prints it.
func (h *HA) run(ctx context.Context, script string, args ...string) error {
	conn, err := h.Here.Pipe(ctx, remote.Script(haRunScript, append([]string{script}, args...)...))
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(h.Now().Add(rollOutLimit)); err != nil {
		return err
	}
	last := ""
	for lines := bufio.NewReader(conn); ; {
		line, err := lines.ReadString('\n')
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			last = cluster.Printable(line)
			h.Say(last)
		}
		var exit *remote.ExitError
		switch {
		case err == nil:
		case errors.As(err, &exit):
			return fmt.Errorf("%s: exit code %d: %s", script, exit.Code, strings.TrimSpace(last+" "+cluster.Printable(strings.TrimSpace(string(exit.Stderr)))))
		case errors.Is(err, io.EOF):
			return nil
		default:
			return fmt.Errorf("%s: %w", script, err)
		}
	}
}
