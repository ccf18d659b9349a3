package failover

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/plan"
	"github.com/pgctl/pgctl/pkg/postgres"
)

// isRenewed: its data has the mark of a copy of this master, or it streams from it already.
func (h *Servers) isRenewed(ctx context.Context, s plan.Step) (bool, error) {
	if h.streams(ctx, s) == nil {
		return true, nil
	}
	ctx, cancel := h.ask(ctx)
	defer cancel()
	facts, err := h.server(s).Facts(ctx)
	if err != nil || facts.Data == nil {
		return false, err
	}
	r, err := renewal(s, h.Stamp)
	if err != nil {
		return false, err
	}
	made := facts.Data.Renewed.Of(s.Host, r.Master, r.SystemID, r.Timeline)
	if s.Args["anew"] != "" { // what an earlier run copied does not count
		made = made && facts.Data.Renewed.Stamp == h.Stamp
	}
	return made, nil
}

// renew may take hours; it says how far it is every few seconds.
func (h *Servers) renew(ctx context.Context, s plan.Step) error {
	r, err := renewal(s, h.Stamp)
	if err != nil {
		return err
	}
	if r.Upstream, err = h.upstream(ctx, s); err != nil {
		return err
	}
	if err := h.recount(ctx, s); err != nil {
		return err
	}
	if err := h.gate(ctx, s); err != nil {
		return err
	}
	began, last := h.Now(), time.Time{}
	_, err = h.server(s).Renew(ctx, r, h.on(r.Master, ""), func(p postgres.Progress) {
		if now := h.Now(); p.Note != "" || now.Sub(last) >= 2*time.Second {
			last = now
			h.progress(s.Host, "%s", progressText(p, now.Sub(began)))
		}
	})
	return err
}

// gate has what is to be replaced start read-only, should anything start it while the copy is made.
func (h *Servers) gate(ctx context.Context, s plan.Step) error {
	ctx, cancel := h.ask(ctx)
	defer cancel()
	facts, err := h.server(s).Facts(ctx)
	if err != nil || facts.Data == nil || facts.Data.Missing || facts.Data.SystemID == 0 {
		return err
	}
	return h.server(s).Gate(ctx, s.Args["data_dir"])
}

// recount looks once more at what the stopped server alone has: one that ran as a master may have written since the plan was made.
func (h *Servers) recount(ctx context.Context, s plan.Step) error {
	known, err := strconv.Atoi(s.Args["known"])
	if err != nil {
		return nil // the operator gave up whatever there is
	}
	for _, from := range parseForks(s.Args["own"]) {
		tail, err := h.server(s).Tail(ctx, s.Args["data_dir"], from.Parent, from.At)
		if err != nil {
			return err
		}
		known -= tail.Transactions
	}
	if known < 0 {
		return fmt.Errorf("it made %d more transactions before it was stopped: run it again, it will say what would be lost", -known)
	}
	return nil
}

// forks writes positions on timelines as "2@0/5000 ...".
func forks(all []cluster.Fork) string {
	var parts []string
	for _, f := range all {
		parts = append(parts, fmt.Sprintf("%d@%s", f.Parent, f.At))
	}
	return strings.Join(parts, " ")
}

func parseForks(text string) []cluster.Fork {
	var all []cluster.Fork
	for field := range strings.FieldsSeq(text) {
		t, at, _ := strings.Cut(field, "@")
		timeline, err1 := strconv.ParseUint(t, 10, 32)
		lsn, err2 := cluster.ParseLSN(at)
		if err1 == nil && err2 == nil {
			all = append(all, cluster.Fork{Parent: cluster.Timeline(timeline), At: lsn})
		}
	}
	return all
}

// paceKnown is how long a renewal has to run before its pace says for how long it will.
const paceKnown = 5 * time.Second

// progressText is how much is done, how fast, and how long it will take at that pace.
func progressText(p postgres.Progress, since time.Duration) string {
	if p.Note != "" {
		return p.Note
	}
	text := cluster.Size(p.Done).String()
	if p.Total <= 0 {
		return text
	}
	percent := p.Done * 100 / p.Total
	text += fmt.Sprintf(" of %s, %d%%", cluster.Size(p.Total), percent)
	if since < paceKnown || percent < 1 { // the first moment is no pace
		return text
	}
	rate := float64(p.Done) / since.Seconds()
	left := time.Duration(float64(p.Total-p.Done) / rate * float64(time.Second)).Round(time.Second)
	return text + fmt.Sprintf(", %s/s, %s left", cluster.Size(int64(rate)), max(left, 0))
}

// renewal reads a step back.
func renewal(s plan.Step, stamp string) (postgres.Renewal, error) {
	timeline, err1 := timelineArg(s, "timeline")
	parent, err2 := timelineArg(s, "fork_timeline")
	fork, err3 := cluster.ParseLSN(s.Args["fork"])
	id, err4 := strconv.ParseUint(s.Args["system_id"], 10, 64)
	for _, err := range []error{err1, err2, err3, err4} {
		if err != nil {
			return postgres.Renewal{}, fmt.Errorf("step %s cannot be read: %w", s.ID, err)
		}
	}
	return postgres.Renewal{
		Method: s.Args["method"], DataDir: s.Args["data_dir"], Stamp: stamp, Master: s.Args["master"], SystemID: id, Timeline: timeline,
		Fork: fork, ForkTimeline: parent, ReuseSpace: s.Args["reuse_space"] == "true",
	}, nil
}
