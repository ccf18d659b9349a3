package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/nodes"
	"github.com/pgctl/pgctl/pkg/observe"
	"github.com/pgctl/pgctl/pkg/remote"
)

// defaultConfig is read when it exists; a file named by --config must exist.
const defaultConfig = "/etc/pgctl/pgctl.yaml"

// app is what every command stands on: the streams, the flags that all commands share, and the way to the region.
type app struct {
	in       io.Reader
	out, err io.Writer // results; all else
	now      func() time.Time

	output     string
	confDir    string
	configFile string
	settings   []string
	timeout    time.Duration
	noColor    bool
	verbose    bool
	acceptNew  bool

	logging sync.Mutex // one line of the log at a time
}

// bind adds the shared flags.
func (a *app) bind(flags *pflag.FlagSet) {
	flags.StringVarP(&a.output, "output", "o", "table", "`FORMAT` of the result: table, wide, json or yaml")
	flags.StringVar(&a.confDir, "conf-dir", "/pitrix/conf", "the inventory's `DIR`")
	flags.StringVar(&a.configFile, "config", defaultConfig, "pgctl's own settings, optional `FILE`")
	flags.StringArrayVar(&a.settings, "set", nil, "one setting of that file as `KEY=VALUE`, such as postgres.port=5433; may be repeated")
	a.timeout = 5 * time.Second
	flags.Var((*span)(&a.timeout), "timeout", "how long each host may take to answer, a `DURATION`")
	flags.BoolVar(&a.noColor, "no-color", false, "no colours (also by the environment variable NO_COLOR)")
	flags.BoolVarP(&a.verbose, "verbose", "v", false, "log every command run on a host to stderr, as it is run")
	flags.BoolVar(&a.acceptNew, "accept-new-host-keys", false, "remember the key of a host never seen before (a changed key is never accepted)")
}

// check refuses shared flags that make no sense.
func (a *app) check() error {
	switch a.output {
	case "table", "wide", "json", "yaml":
	default:
		return fmt.Errorf("--output is %q, expected table, wide, json or yaml", a.output)
	}
	if a.timeout <= 0 {
		return fmt.Errorf("--timeout is %s, expected a duration above zero such as 5s", a.timeout)
	}
	return nil
}

// config reads pgctl.yaml and applies --set.
func (a *app) config() (nodes.Config, error) {
	data, err := os.ReadFile(a.configFile)
	if errors.Is(err, fs.ErrNotExist) && a.configFile == defaultConfig {
		data, err = nil, nil
	}
	if err != nil {
		return nodes.Config{}, &exitError{code: exitUsage, err: fmt.Errorf("cannot read the settings: %w", err), hint: "name another file by --config"}
	}
	cfg, err := nodes.ParseConfig(nodes.File{Path: a.configFile, Data: data})
	if err != nil {
		return nodes.Config{}, err
	}
	for _, setting := range a.settings {
		if err := cfg.Set(setting); err != nil {
			return nodes.Config{}, &exitError{code: exitUsage, err: fmt.Errorf("--set: %w", err)}
		}
	}
	return cfg, nil
}

// site reads the inventory and opens the way to its hosts. The caller calls the function to close the connections.
func (a *app) site(ctx context.Context) (*observe.Site, func(), error) {
	cfg, err := a.config()
	if err != nil {
		return nil, nil, err
	}
	opts := remote.Options{
		User: cfg.SSH.User, Port: cfg.SSH.Port, IdentityFiles: cfg.SSH.IdentityFiles, AcceptNewHostKeys: a.acceptNew,
	}
	if a.verbose {
		opts.Log = a.log
	}
	here := remote.NewPool(remote.Options{LocalName: "localhost", NoSudo: true, Log: opts.Log})
	inventory, err := observe.Inventory(ctx, here.Host("localhost"), a.confDir, cfg)
	if err != nil {
		return nil, nil, err
	}
	pool := remote.NewPool(opts)
	site := &observe.Site{Inventory: inventory, Config: cfg, Hosts: pool.Host, Timeout: a.timeout, Now: a.now}
	return site, func() { _ = pool.Close() }, nil
}

// ask takes a snapshot. Interrupted, it is an error: what was not asked must not look like an answer.
func ask(ctx context.Context, site *observe.Site, scope observe.Scope) (cluster.Snapshot, error) {
	snap := site.Snapshot(ctx, scope)
	return snap, ctx.Err()
}

// log is the verbose log: one line for every command, as it is run.
func (a *app) log(host, command string) {
	a.logging.Lock()
	defer a.logging.Unlock()
	fmt.Fprintf(a.err, "pgctl: %s: %s\n", host, command)
}

// terminal tells whether standard output is a terminal, and how many lines it has.
func (a *app) terminal() (height int, ok bool) {
	file, isFile := a.out.(*os.File)
	if !isFile || !term.IsTerminal(int(file.Fd())) {
		return 0, false
	}
	_, height, err := term.GetSize(int(file.Fd()))
	return height, err == nil
}

// painter colours when standard output is a terminal that shows colours and nobody said no (no-color.org).
func (a *app) painter() painter {
	_, isTerminal := a.terminal()
	return painter{on: isTerminal && !a.noColor && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}
