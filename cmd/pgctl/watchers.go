package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strings"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/deploy"
	"github.com/pgctl/pgctl/pkg/nodes"
	"github.com/pgctl/pgctl/pkg/observe"
	"github.com/pgctl/pgctl/pkg/remote"
	"github.com/pgctl/pgctl/pkg/watch"
)

// How long a watcher may take beside the way to it: to have a wish granted, and all of them together.
const (
	wishTime  = 15 * time.Second
	wishTotal = 40 * time.Second
)

// toldBy is what one host's watcher told, or why it told nothing.
type toldBy struct {
	host string
	told watch.Told
	err  error
}

// askWatchers asks the watcher of every server and arbiter for its state, all at once. Those that take part in the quorum come first: the
// executor, then who knows the most.
func askWatchers(ctx context.Context, site *observe.Site) []toldBy {
	all := remote.Each(ctx, votersOf(site.Inventory), 0, site.Timeout, func(ctx context.Context, host string) toldBy {
		t := toldBy{host: host}
		t.err = askWatcher(ctx, site.Hosts(host), watch.AskState, nil, &t.told)
		return t
	})
	slices.SortStableFunc(all, func(a, b toldBy) int {
		return cmp.Or(-compareBool(a.knows(), b.knows()), -compareBool(a.told.Leads, b.told.Leads), -cmp.Compare(a.told.Index, b.told.Index))
	})
	return all
}

// knows tells whether it is worth to be listened to.
func (t toldBy) knows() bool { return t.err == nil && t.told.Quorum != nil }

// why says why it is not.
func (t toldBy) why() string {
	if t.err != nil {
		return t.host + ": " + strings.TrimPrefix(t.err.Error(), t.host+": ")
	}
	return fmt.Sprintf("%s: its watcher takes no part in a quorum: %s", t.host, cmp.Or(t.told.Problem, "it has no configuration yet"))
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// votersOf are the hosts whose watchers may have a vote.
func votersOf(inv *nodes.Inventory) []string {
	var all []string
	for _, s := range inv.Servers {
		all = append(all, s.Host)
	}
	for _, x := range inv.Arbiters {
		if !slices.Contains(all, x.Host) {
			all = append(all, x.Host)
		}
	}
	return all
}

// askWatcher puts a question to the watcher of a host, by the pgctl that is there.
func askWatcher(ctx context.Context, host remote.Host, what string, question, answer any) error {
	text, err := json.Marshal(question)
	if err != nil {
		return err
	}
	result, err := host.Run(ctx, remote.Command{Args: []string{deploy.BinaryPath, "ask", what}, Stdin: bytes.NewReader(text)})
	var exit *remote.ExitError
	switch {
	case errors.As(err, &exit):
		return errors.New(whyNoAnswer(exit))
	case err != nil:
		return err
	}
	return json.Unmarshal(result.Stdout, answer)
}

// whyNoAnswer is what the pgctl of a node said in place of an answer, in one line.
func whyNoAnswer(exit *remote.ExitError) string {
	said := string(exit.Stderr)
	switch exit.Code {
	case 126, 127:
		return "there is no pgctl on it: pgctl deploy"
	case exitUsage:
		return "its pgctl is an older one: pgctl deploy"
	}
	for line := range strings.Lines(said) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), "pgctl: error: "); ok {
			return cluster.Printable(text)
		}
	}
	return cluster.Printable(strings.TrimSpace(said))
}

// regime is the region's quorum as its watchers tell it, best first; an error when none does.
func (a *app) regime(ctx context.Context, site *observe.Site) ([]toldBy, error) {
	if site.Inventory.Kind == nodes.KindPG9 {
		return nil, &cluster.Refusal{Risks: []cluster.Risk{{Evidence: "this is a 9.x site: its pools do the failover, and there is no watcher to be asked"}}}
	}
	all := askWatchers(ctx, site)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(all) == 0 || !all[0].knows() {
		var why []string
		for _, t := range all {
			why = append(why, t.why())
		}
		return nil, &exitError{
			code: exitFailed, err: fmt.Errorf("no watcher that takes part in the quorum can be asked: %s", strings.Join(why, "; ")),
			hint: "pgctl status shows whether pg_watcher runs; pgctl overview what it says",
		}
	}
	return slices.DeleteFunc(all, func(t toldBy) bool { return !t.knows() }), nil
}

// wish has the executor grant a wish, by way of any watcher that can.
func (a *app) wish(ctx context.Context, site *observe.Site, by []toldBy, q watch.Wish) (watch.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, wishTotal)
	defer cancel()
	var failed []error
	hint := "pgctl overview"
	for _, t := range by {
		var answer watch.Answer
		err := func() error {
			ctx, cancel := context.WithTimeout(ctx, site.Timeout+wishTime)
			defer cancel()
			return askWatcher(ctx, site.Hosts(t.host), watch.AskWish, q, &answer)
		}()
		complaint := answer.Complaint
		switch {
		case err != nil:
			failed = append(failed, fmt.Errorf("%s: %w", t.host, err))
		case complaint == nil:
			return answer, nil
		case complaint.Kind == watch.Refused:
			return answer, &cluster.Refusal{Risks: []cluster.Risk{{Evidence: complaint.Message, Hint: complaint.Hint}}}
		case complaint.Kind == watch.Undecided:
			return answer, &exitError{code: exitFailed, err: errors.New(complaint.Message), hint: complaint.Hint}
		default:
			failed, hint = append(failed, fmt.Errorf("%s: %s", t.host, complaint.Message)), complaint.Hint
		}
		if ctx.Err() != nil {
			break
		}
	}
	var text []string
	for _, err := range failed {
		text = append(text, err.Error())
	}
	return watch.Answer{}, &exitError{code: exitFailed, err: fmt.Errorf("nothing was changed: %s", strings.Join(text, "; ")), hint: hint}
}

// operator is who runs this pgctl, and where: behind sudo, who called it.
func operator() (string, error) {
	host, err := os.Hostname()
	if err != nil {
		return "", err
	}
	who := os.Getenv("SUDO_USER")
	if who == "" {
		who = "somebody"
		if u, err := user.Current(); err == nil {
			who = u.Username
		}
	}
	return who + "@" + host, nil
}
