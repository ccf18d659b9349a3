package failover

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pgctl/pgctl/pkg/plan"
	"github.com/pgctl/pgctl/pkg/remote"
)

// The verbs of what is done to watchers and to what they know.
const (
	verbStopWatcher  = "watcher.stop"
	verbStartWatcher = "watcher.start"
	verbReset        = "quorum.reset"
	verbAside        = "quorum.aside"
)

// Watchers work on the watchers of hosts, and on their part in the quorum, by the pgctl that is there.
type Watchers struct {
	Hosts   func(name string) remote.Host
	Timeout time.Duration
	Binary  string // where pgctl is on a node
}

// Look looks at all hosts at once.
func (w *Watchers) Look(ctx context.Context, hosts []string) []Survivor {
	return remote.Each(ctx, hosts, 0, w.Timeout, func(ctx context.Context, host string) Survivor {
		s := Survivor{Host: host}
		shelf, err := w.look(ctx, host)
		var exit *remote.ExitError
		switch {
		case err == nil:
			s.Shelf = shelf
		case errors.As(err, &exit):
			s.Why = strings.TrimSpace(string(exit.Stderr))
		case errors.Is(err, errGarbled):
			s.Why = err.Error()
		default:
			s.Lost, s.Why = true, err.Error()
		}
		return s
	})
}

// errGarbled is returned for a host that answers, with something else than a Shelf.
var errGarbled = errors.New("what it says of its part in the quorum cannot be read")

func (w *Watchers) look(ctx context.Context, host string) (*Shelf, error) {
	out, err := w.Hosts(host).Run(ctx, remote.Command{Args: []string{w.Binary, "store", "look"}})
	if err != nil {
		return nil, err
	}
	var s Shelf
	if err := json.Unmarshal(out.Stdout, &s); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", host, errGarbled, err)
	}
	return &s, nil
}

// Handlers are the handlers by verb.
func (w *Watchers) Handlers() map[string]plan.Handler {
	return map[string]plan.Handler{
		verbStopWatcher:  handler{w.seen(isOut), w.supervisor("stop")},
		verbStartWatcher: handler{w.seen(isIn), w.supervisor("start")},
		verbReset: handler{w.seen(func(s plan.Step, shelf *Shelf) error {
			return unless(shelf.has(s.Args["reset"]), "its quorum is the old one")
		}), w.reset},
		verbAside: handler{w.seen(isAside), w.aside},
	}
}

// seen is whether a step is done, by what the host has.
func (w *Watchers) seen(missing func(s plan.Step, shelf *Shelf) error) func(context.Context, plan.Step) (bool, error) {
	return func(ctx context.Context, s plan.Step) (bool, error) {
		ctx, cancel := context.WithTimeout(ctx, w.Timeout)
		defer cancel()
		shelf, err := w.look(ctx, s.Host)
		if err != nil {
			return false, err
		}
		if reason := missing(s, shelf); reason != nil {
			return no(reason)
		}
		return true, nil
	}
}

func unless(is bool, missing string) error {
	if is {
		return nil
	}
	return errors.New(missing)
}

// isOut: its watcher does not run, or runs in the new quorum already, or is about to.
func isOut(s plan.Step, shelf *Shelf) error {
	reset := s.Args["reset"]
	begins := reset != "" && slices.Contains(shelf.Aside, reset) && shelf.Store == nil && !shelf.Secret()
	return unless(!shelf.Running || begins || reset != "" && shelf.has(reset), "its watcher runs")
}

// isAside: it has nothing of the old quorum in its place. A lost host that came back set that aside itself, under another name, and was taken in.
func isAside(s plan.Step, shelf *Shelf) error {
	nothing := shelf.Store == nil && shelf.Problem == ""
	return unless(nothing || shelf.has(s.Args["reset"]), "what it has of the old quorum is in its place")
}

// isIn: its watcher takes part in the new quorum.
func isIn(s plan.Step, shelf *Shelf) error {
	switch {
	case !shelf.Running:
		return errors.New("its watcher does not run")
	case !shelf.has(s.Args["reset"]):
		return errors.New("it has not been taken in")
	case shelf.Executor == "":
		return errors.New("it knows of no executor")
	}
	return nil
}

// supervisor has supervisor start or stop the watcher. It says no when that is so already, which is as good.
func (w *Watchers) supervisor(verb string) func(context.Context, plan.Step) error {
	return func(ctx context.Context, s plan.Step) error {
		ctx, cancel := context.WithTimeout(ctx, w.Timeout+time.Minute)
		defer cancel()
		_, err := w.Hosts(s.Host).Run(ctx, remote.Script(`said=$(supervisorctl "$1" pg_watcher 2>&1) && exit 0
case $said in *already\ started*|*not\ running*) exit 0 ;; esac
echo "$said" >&2; exit 1`, verb))
		return err
	}
}

// reset makes the quorum, if no watcher runs and no other host knows more: what was seen of those that ran may have changed until they were stopped.
func (w *Watchers) reset(ctx context.Context, s plan.Step) error {
	hosts, lost := strings.Fields(s.Args["hosts"]), strings.Fields(s.Args["lost"])
	all := w.Look(ctx, slices.Concat(hosts, lost))
	if err := stillLost(all[len(hosts):]); err != nil {
		return err
	}
	if err := knowsTheMost(s.Host, all[:len(hosts)]); err != nil {
		return err
	}
	args := []string{"reset", "--id", s.Args["reset"], "--host", s.Host, "--by", s.Args["by"]}
	for _, host := range lost {
		args = append(args, "--lost", host)
	}
	return w.store(ctx, s.Host, args...)
}

// stillLost: who came back since may know more, and may be what the old quorum lacked. One that has nothing of it, and does nothing, is as good as lost.
func stillLost(lost []Survivor) error {
	for _, s := range lost {
		if !s.Lost && (s.Shelf == nil || s.Shelf.Running || s.Shelf.Store != nil || s.Shelf.Problem != "") {
			return fmt.Errorf("%s answers by now: run it again, it goes by what that one knows too; or start the watchers, if the quorum has its majority with it. "+
				"If the inventory does not have it any more: stop its watcher, and pgctl store aside --id retired, there", s.Host)
		}
	}
	return nil
}

// knowsTheMost tells whether the quorum may be made of this one.
func knowsTheMost(host string, all []Survivor) error {
	i := slices.IndexFunc(all, func(s Survivor) bool { return s.Host == host })
	for _, other := range all {
		switch {
		case other.Shelf == nil:
			return fmt.Errorf("%s: %s", other.Host, other.Why)
		case other.Shelf.Running:
			return fmt.Errorf("the watcher of %s runs", other.Host)
		case other.Shelf.Broken():
			return fmt.Errorf("what %s has of the quorum cannot be read: %s", other.Host, other.Shelf.Problem)
		case i < 0 || all[i].Shelf == nil || all[i].Shelf.Store == nil:
			return fmt.Errorf("%s has nothing of a quorum", host)
		case other.Shelf.Store != nil && compareStores(other.Shelf.Store, all[i].Shelf.Store) > 0:
			return fmt.Errorf("%s knows more than %s: run it again, it makes the quorum of that one", other.Host, host)
		}
	}
	return nil
}

func (w *Watchers) aside(ctx context.Context, s plan.Step) error {
	return w.store(ctx, s.Host, "aside", "--id", s.Args["reset"])
}

func (w *Watchers) store(ctx context.Context, host string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, w.Timeout+time.Minute)
	defer cancel()
	_, err := w.Hosts(host).Run(ctx, remote.Command{Args: append([]string{w.Binary, "store"}, args...)})
	return err
}
