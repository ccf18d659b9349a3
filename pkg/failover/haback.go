package failover

import (
	"context"
	"errors"
	"strings"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/plan"
	"github.com/pgctl/pgctl/pkg/remote"
)

// BackSuffix ends the name of a plan that goes back, an enable-ha's or a switchover's.
const BackSuffix = " (back)"

// Back is the plan that takes back an enable-ha that stopped before anything went to the nodes, because the master is not certain any
// more, say: edited files that lie on firstbox would go out with the next roll-out of anybody. A script that failed has put
// them back itself; what has been sent is left for the next run. disable-ha leaves what is switched off switched off.
func (h *HA) Back(stopped *plan.Stopped) (plan.Plan, bool) {
	var putBack *PutBack
	if h.sent || !h.Wish.On || errors.As(stopped, &putBack) {
		return plan.Plan{}, false
	}
	return plan.Plan{Name: h.Wish.Command + BackSuffix, Steps: []plan.Step{{
		ID: verbHABack, Verb: verbHABack, Host: h.Here.Name(), Text: "put the old files back, and build them where the new ones were built",
	}}}, true
}

// Still is the guard of enable-ha. The way back does not need a master; and once the files are rolled out the watchers act, who restart a standby to make it
// theirs, and all that is left is to look.
func (h *HA) Still(snap cluster.Snapshot, p plan.Plan, accept []string) error {
	if strings.HasSuffix(p.Name, BackSuffix) || h.sent {
		return nil
	}
	return StillMaster(snap, p, accept)
}

// haBack puts the files back that this plan has edited.
type haBack struct{ *HA }

// Done: no file is as the plan wanted it, and none of that is built.
func (h haBack) Done(ctx context.Context, _ plan.Step) (bool, error) {
	files, err := h.ours(ctx)
	return len(files) == 0 && !h.built, err
}

// Do puts them back. A file that somebody else has edited meanwhile is theirs.
func (h haBack) Do(ctx context.Context, _ plan.Step) error {
	files, err := h.ours(ctx)
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := h.replace(ctx, f.Path, f.After, f.Old); err != nil {
			return err
		}
	}
	if h.built {
		if err := h.run(ctx, buildScript); err != nil {
			return err
		}
	}
	h.built = false
	return nil
}

// ours are the files as the plan wanted them, and not as they were.
func (h *HA) ours(ctx context.Context) ([]ZoneFile, error) {
	var files []ZoneFile
	for _, f := range h.Files {
		data, err := remote.ReadFile(ctx, h.Here, f.Path)
		if err != nil {
			return nil, err
		}
		if f.edited() && string(data) == string(f.After) {
			files = append(files, f)
		}
	}
	return files, nil
}
