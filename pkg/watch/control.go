package watch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/consensus"
)

// wish is what an operator wants of the quorum. It is given to any watcher, and goes to the executor.
type wish struct {
	Kind  cluster.CommandKind `json:"kind"` // PauseHA, ResumeHA, Adopt
	Pause *cluster.Pause      `json:"pause,omitempty"`
	Host  string              `json:"host,omitempty"`
	By    string              `json:"by"` // who wants it, for the record
}

// grantWish proposes what an operator wants, on the executor.
func (w *watcher) grantWish(q wish) error {
	if w.quorum == nil || !w.quorum.leads() {
		return consensus.ErrNotLeader
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		s := w.latest().State
		c := cluster.Command{Kind: q.Kind, Epoch: s.Epoch, Gen: s.Gen, Host: q.Host, Pause: q.Pause, Record: cluster.Record{Rule: "asked for by " + q.By}}
		switch q.Kind {
		case cluster.PauseHA, cluster.ResumeHA:
		default:
			return fmt.Errorf("nobody may wish for %q", q.Kind)
		}
		err := w.quorum.propose(ctx, c)
		if !errors.Is(err, cluster.ErrStale) {
			return err
		}
	}
	return ctx.Err()
}
