package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/failover"
	"github.com/pgctl/pgctl/pkg/observe"
	"github.com/pgctl/pgctl/pkg/plan"
	"github.com/pgctl/pgctl/pkg/watch"
)

// handOver does the steps of a switchover that the quorum carries out: it wishes, and then looks on.
type handOver struct {
	app  *app
	site *observe.Site
}

// How long each part is waited for, and how often it is looked at.
const (
	serveLimit  = 2 * time.Minute
	followLimit = 2 * time.Minute
	handOverGap = 200 * time.Millisecond
)

func (h *handOver) handlers() map[string]plan.Handler {
	return map[string]plan.Handler{
		failover.VerbHandOver:      quorumStep{h, h.told, h.wish},
		failover.VerbQuorumServes:  quorumStep{h, serves, h.wait(serveLimit, serves)},
		failover.VerbQuorumPools:   quorumStep{h, poolsMoved, h.wait(serveLimit, poolsMoved)},
		failover.VerbQuorumFollows: quorumStep{h, follows, h.wait(followLimit, follows)},
	}
}

// quorumStep is a step whose effect shows in the state of the quorum.
type quorumStep struct {
	*handOver
	done func(s *cluster.State, from, to string) (bool, error)
	do   func(ctx context.Context, s plan.Step) error
}

// Done looks at the state that the best informed watcher tells.
func (q quorumStep) Done(ctx context.Context, s plan.Step) (bool, error) {
	state, err := q.state(ctx)
	if err != nil {
		return false, err
	}
	return q.done(state, s.Args["from"], s.Args["to"])
}

// Do does it, or waits for it.
func (q quorumStep) Do(ctx context.Context, s plan.Step) error { return q.do(ctx, s) }

func (h *handOver) state(ctx context.Context) (*cluster.State, error) {
	told, err := h.app.regime(ctx, h.site)
	if err != nil {
		return nil, err
	}
	return &told[0].told.State, nil
}

// told: the quorum has agreed on it, or it has come about.
func (h *handOver) told(s *cluster.State, _, to string) (bool, error) {
	return s.Master == to || s.Wanted == to || s.Election != nil && s.Election.Wanted == to, nil
}

func (h *handOver) wish(ctx context.Context, s plan.Step) error {
	by, err := operator()
	if err != nil {
		return err
	}
	told, err := h.app.regime(ctx, h.site)
	if err != nil {
		return err
	}
	_, err = h.app.wish(ctx, h.site, told, watch.Wish{Kind: cluster.HandOver, Host: s.Args["to"], By: by})
	return err
}

// serves: it is master, and clients may come. That another one is says that it cannot come about any more.
func serves(s *cluster.State, from, to string) (bool, error) {
	switch {
	case s.Phase != cluster.Serving || s.Wanted == to:
		return false, nil
	case s.Master == to:
		return s.Opened, nil
	case s.Master == from && len(s.History) > 0 && s.History[len(s.History)-1].Command == cluster.KeepMaster:
		return false, fmt.Errorf("%s goes on as master: %s", from, s.History[len(s.History)-1].Rule)
	case s.Master == from:
		return false, nil
	}
	return false, fmt.Errorf("%s was elected: pgctl history says why", s.Master)
}

func poolsMoved(s *cluster.State, _, to string) (bool, error) {
	return s.Master == to && s.Opened && len(s.Pools) == 0, nil
}

// follows: the server that made way is counted on.
func follows(s *cluster.State, from, _ string) (bool, error) {
	n, _ := s.Newest()
	return len(s.Configs) == 1 && n.Has(s.MemberOf(from)), nil
}

// wait looks on until it is so.
func (h *handOver) wait(limit time.Duration, done func(s *cluster.State, from, to string) (bool, error)) func(context.Context, plan.Step) error {
	return func(ctx context.Context, s plan.Step) error {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		hint := "pgctl overview says what is waited for"
		for {
			state, err := h.state(ctx)
			if err == nil {
				var is bool
				if is, err = done(state, s.Args["from"], s.Args["to"]); is || err != nil {
					return err
				}
				if state.Opened && len(state.Pools) > 0 {
					hint = fmt.Sprintf("the pool of %s does not write to %s: pgctl logs --host %s says why", strings.Join(state.Pools, ", "), state.Master, strings.Join(state.Pools, " --host "))
				}
			}
			select {
			case <-ctx.Done():
				if errors.Is(err, ctx.Err()) {
					err = nil // the time is over, that is all
				}
				return errors.Join(fmt.Errorf("not within %s; %s", limit, hint), err)
			case <-time.After(handOverGap):
			}
		}
	}
}

// viaExecutor is a switchover of a region whose master the quorum decides; begun is one that was broken off, or nil.
func (a *app) viaExecutor(site *observe.Site, q *cluster.QuorumView, begun *plan.Plan, to string) (change, error) {
	var servers []string
	for _, s := range site.Inventory.Servers {
		servers = append(servers, s.Host)
	}
	now := masterAt{fact: failover.FactEpoch, since: int(q.Epoch)}
	if q.Master != nil {
		now.host = *q.Master
	}
	from, to, again := resume(begun, now, to)
	p, err := failover.HandOver(q, servers, from, to)
	if err != nil {
		return change{}, err
	}
	if again != nil {
		p.Facts[now.fact] = again[now.fact] // the one before the promotion: by it a run after this one knows the journal
	}
	c := change{quorum: true, plan: p, handlers: (&handOver{a, site}).handlers(), still: func(context.Context, plan.Plan) error { return nil }}
	if len(p.Steps) == 0 {
		c.preface = a.already(to)
	}
	return c, nil
}
