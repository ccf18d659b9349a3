package failover

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/nodes"
	"github.com/pgctl/pgctl/pkg/plan"
	"github.com/pgctl/pgctl/pkg/postgres"
	"github.com/pgctl/pgctl/pkg/remote"
)

// Servers does the steps of servers. What a step needs to know is in its Args:
//
//	data_dir           the data directory of the step's host
//	master, addresses  whom it follows: a host of the inventory, and the addresses of that host
//	port               where the master listens
//	name, slot         the standby's application_name, and its slot on the master; slot may be ""
//	own_addresses      the standby's addresses
//	names              a synchronous_standby_names
type Servers struct {
	Hosts       func(name string) remote.Host
	Settings    postgres.Settings
	Replication nodes.ReplicationConfig
	Inventory   []string      // all servers: where a login for replication is looked for
	Timeout     time.Duration // for one question
	Stamp       string        // names what is set aside, such as "20060102T150405Z"
	Now         func() time.Time
	// Progress is told how far a long step is. Warn is told what the operator must know and stops nothing.
	Progress, Warn func(host, message string)

	mu    sync.Mutex
	known postgres.ConnInfo // the login, once it is found
}

// handler is a plan.Handler of two functions.
type handler struct {
	done func(ctx context.Context, s plan.Step) (bool, error)
	do   func(ctx context.Context, s plan.Step) error
}

// Done asks the first.
func (h handler) Done(ctx context.Context, s plan.Step) (bool, error) { return h.done(ctx, s) }

// Do calls the second.
func (h handler) Do(ctx context.Context, s plan.Step) error { return h.do(ctx, s) }

// server is the server of a step's host.
func (h *Servers) server(s plan.Step) *postgres.Server { return h.on(s.Host, s.Args["data_dir"]) }

func (h *Servers) on(host, dataDir string) *postgres.Server {
	settings := h.Settings
	if dataDir != "" {
		settings.DataDir = dataDir
	}
	return postgres.On(h.Hosts(host), settings)
}

// ask bounds one question.
func (h *Servers) ask(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, h.Timeout)
}

func (h *Servers) progress(host, format string, args ...any) {
	if h.Progress != nil {
		h.Progress(host, fmt.Sprintf(format, args...))
	}
}

// login is how a standby logs in on its master for replication: as pgctl.yaml says; else as the first server does whose files or, up to
// 11, left-over files say so. dirs are the data directories that are known, by host.
func (h *Servers) login(ctx context.Context, dirs map[string]string) (postgres.ConnInfo, error) {
	if user := h.Replication.User; user != "" {
		login := postgres.ConnInfo{"user": user}
		if h.Replication.PassFile != "" {
			login["passfile"] = h.Replication.PassFile
		}
		return login, nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.known != nil {
		return maps.Clone(h.known), nil
	}
	var errs []error
	for _, host := range h.Inventory {
		if dirs[host] == "" {
			continue
		}
		ctx, cancel := h.ask(ctx)
		found, _, err := h.on(host, dirs[host]).UpstreamOf(ctx, dirs[host])
		cancel()
		if login := found.Login(); login != nil {
			h.known = login
			return maps.Clone(login), nil
		}
		errs = append(errs, err)
	}
	if login := h.keptLogin(ctx, dirs); login != nil {
		h.known = login
		return maps.Clone(login), nil
	}
	return nil, errors.Join(append([]error{errors.New("no server says how a standby logs in on its master (primary_conninfo); set replication.user in pgctl.yaml")}, errs...)...)
}

// keptByWatchers is where a server's watcher keeps how a standby logs in: what it has frozen or promoted does not say it any more.
const keptByWatchers = "/var/lib/pgctl/replication.json"

// keptLogin is how a standby logs in by what the watchers have kept; nil where no server that answers has it.
func (h *Servers) keptLogin(ctx context.Context, dirs map[string]string) postgres.ConnInfo {
	for _, host := range h.Inventory {
		if dirs[host] == "" {
			continue
		}
		ctx, cancel := h.ask(ctx)
		text, err := remote.ReadFile(ctx, h.Hosts(host), keptByWatchers)
		cancel()
		var login postgres.ConnInfo
		if err == nil && json.Unmarshal(text, &login) == nil && login["user"] != "" {
			return login
		}
	}
	return nil
}

// upstream is how the step's host reaches its master.
func (h *Servers) upstream(ctx context.Context, s plan.Step) (postgres.ConnInfo, error) {
	login, err := h.login(ctx, dataDirs(s))
	if err != nil {
		return nil, err
	}
	login["host"], login["port"], login["application_name"] = s.Args["master"], s.Args["port"], s.Args["name"]
	return login, nil
}

// dataDirs reads the data directories of all servers that the plan knows back out of a step: "HOST=DIR ...".
func dataDirs(s plan.Step) map[string]string {
	dirs := map[string]string{}
	for field := range strings.FieldsSeq(s.Args["data_dirs"]) {
		host, dir, _ := strings.Cut(field, "=")
		dirs[host] = dir
	}
	return dirs
}

func following(s plan.Step) postgres.Following {
	return postgres.Following{Slot: s.Args["slot"], SyncNames: s.Args["names"]}
}

// streams says why the step's server does not stream from its master under its name, nil when it does.
func (h *Servers) streams(ctx context.Context, s plan.Step) error {
	ctx, cancel := h.ask(ctx)
	defer cancel()
	in, err := h.server(s).Probe(ctx)
	switch {
	case err != nil:
		return err
	case !in.InRecovery:
		return errors.New("it is no standby")
	case in.Receiver == nil:
		return errors.New("it has no WAL receiver")
	case in.Receiver.Status != "streaming":
		return fmt.Errorf("its WAL receiver is %s", in.Receiver.Status)
	case in.Receiver.ApplicationName == "" || in.Receiver.SenderHost == "": // 10 does not show what a service stands for
		return h.feeds(ctx, s)
	case !strings.EqualFold(in.Receiver.ApplicationName, s.Args["name"]):
		return fmt.Errorf("it streams under the name %q, not %q", in.Receiver.ApplicationName, s.Args["name"])
	case in.Receiver.SenderHost != s.Args["master"] && !slices.Contains(strings.Fields(s.Args["addresses"]), in.Receiver.SenderHost):
		return fmt.Errorf("it streams from %s, not from %s", in.Receiver.SenderHost, s.Args["master"])
	}
	return nil
}

// feeds says why the master does not feed the step's server under its name, nil when it does: by one walsender of that name, from one of
// the server's addresses.
func (h *Servers) feeds(ctx context.Context, s plan.Step) error {
	in, err := h.on(s.Args["master"], "").Probe(ctx)
	if err != nil {
		return err
	}
	found := 0
	for _, w := range in.Standbys {
		if strings.EqualFold(w.ApplicationName, s.Args["name"]) && w.State == "streaming" && slices.Contains(strings.Fields(s.Args["own_addresses"]), w.ClientAddress) {
			found++
		}
	}
	if found != 1 {
		return fmt.Errorf("%s has %d streaming walsenders named %s for it", s.Args["master"], found, s.Args["name"])
	}
	return nil
}

// no is a no with its reason.
func no(reason error) (bool, error) { return false, &plan.NotYet{Reason: reason} }

// seen is an answer, or a no with the reason why there is none: what cannot be asked yet is not done, and Do will say so.
func seen(is bool, err error) (bool, error) {
	if err != nil {
		return no(err)
	}
	return is, nil
}

func timelineArg(s plan.Step, key string) (cluster.Timeline, error) {
	n, err := strconv.ParseUint(s.Args[key], 10, 32)
	if err != nil {
		return 0, fmt.Errorf("step %s: %s is %q, expected a timeline", s.ID, key, s.Args[key])
	}
	return cluster.Timeline(n), nil
}
