package failover

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/pgpool"
	"github.com/pgctl/pgctl/pkg/plan"
	"github.com/pgctl/pgctl/pkg/remote"
)

//go:embed pool_restart.sh
var poolRestartScript string

//go:embed pool_started.sh
var poolStartedScript string

// Pools does the steps of pools.
type Pools struct {
	Hosts    func(name string) remote.Host
	Settings pgpool.Settings
	Timeout  time.Duration // for one question; a restart may take longer
	Stamp    string        // ends the name of a backup, such as "20060102T150405Z"
	// Warn is told what could not be proven. It may be called again for the same.
	Warn func(host, message string)
}

// Handlers are the handlers by verb.
func (p *Pools) Handlers() map[string]plan.Handler {
	return map[string]plan.Handler{
		verbPoolEdit: poolEdit{p}, verbPoolRestart: poolRestart{p}, verbPoolProve: poolProve{p},
		verbPool9Edit: pool9Edit{p}, verbPool9Restart: pool9Restart{p}, verbPool9Nodes: pool9Nodes{p},
	}
}

// wanted reads back what a step's pool shall point at.
func wanted(s plan.Step) (cluster.Backend, error) {
	port, err := strconv.Atoi(s.Args["port"])
	if err != nil || s.Args["master"] == "" {
		return cluster.Backend{}, fmt.Errorf("step %s names no master and port", s.ID)
	}
	return cluster.Backend{Host: s.Args["master"], Port: port}, nil
}

func (p *Pools) read(ctx context.Context, host remote.Host) ([]byte, *pgpool.Conf, error) {
	data, err := remote.ReadFile(ctx, host, p.Settings.ConfPath())
	if err != nil {
		return nil, nil, err
	}
	conf, err := pgpool.ParseConf(p.Settings.ConfPath(), data)
	return data, conf, err
}

// passwords is the pool_passwd file, "" when there is none.
func (p *Pools) passwords(ctx context.Context, host remote.Host) (string, error) {
	data, err := remote.ReadFile(ctx, host, path.Join(path.Dir(p.Settings.ConfPath()), "pool_passwd"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return string(data), err
}

func (p *Pools) warn(host, format string, args ...any) {
	if p.Warn != nil {
		p.Warn(host, fmt.Sprintf(format, args...))
	}
}

// poolEdit makes pgpool.conf right.
type poolEdit struct{ *Pools }

// Done: the edit would change no byte.
func (h poolEdit) Done(ctx context.Context, s plan.Step) (bool, error) {
	before, after, err := h.edit(ctx, s)
	return err == nil && bytes.Equal(before, after), err
}

// Do replaces the file atomically, a backup beside it.
func (h poolEdit) Do(ctx context.Context, s plan.Step) error {
	_, after, err := h.edit(ctx, s)
	if err != nil {
		return err
	}
	return h.put(ctx, s, after)
}

// put replaces the file.
func (h poolEdit) put(ctx context.Context, s plan.Step, after []byte) error {
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	if err := h.resolves(ctx, s); err != nil {
		return err
	}
	_, err := remote.WriteFile(ctx, h.Hosts(s.Host), h.Settings.ConfPath(), after, remote.WriteOptions{BackupSuffix: ".pgctl-" + h.Stamp})
	return err
}

// resolves: the pool's host must know the master's name as one of the master's addresses, before the name is written.
func (h poolEdit) resolves(ctx context.Context, s plan.Step) error {
	out, err := h.Hosts(s.Host).Run(ctx, remote.Script(`getent ahosts "$1" | awk '{ print $1 }'; exit 0`, s.Args["master"]))
	if err != nil {
		return err
	}
	for address := range strings.FieldsSeq(string(out.Stdout)) {
		if atMaster(s, address) {
			return nil
		}
	}
	return fmt.Errorf("%s takes the name %s for %q, which is no address of it: correct its /etc/hosts", s.Host, s.Args["master"], strings.Fields(string(out.Stdout)))
}

// atMaster tells whether an address is the master's; on its own host a loopback one is too.
func atMaster(s plan.Step, address string) bool {
	ip, err := netip.ParseAddr(address)
	return slices.Contains(strings.Fields(s.Args["addresses"]), address) || err == nil && ip.IsLoopback() && s.Host == s.Args["master"]
}

func (h poolEdit) edit(ctx context.Context, s plan.Step) (before, after []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	want, err := wanted(s)
	if err != nil {
		return nil, nil, err
	}
	before, _, err = h.read(ctx, h.Hosts(s.Host))
	if err != nil {
		return nil, nil, err
	}
	after, err = pgpool.WithMaster(h.Settings.ConfPath(), before, want.Host, want.Port)
	return before, after, err
}

// poolRestart makes the running pgpool have what the file says.
type poolRestart struct{ *Pools }

// Done: the running pgpool has the master as its only backend, in use, and does no failover of its own. Where it cannot be asked:
// its file has, and it started after that was put there.
func (h poolRestart) Done(ctx context.Context, s plan.Step) (bool, error) {
	want, err := wanted(s)
	if err != nil {
		return false, err
	}
	running, conf, err := h.running(ctx, s.Host)
	switch {
	case err == nil:
		return isOnly(running, want) && !running[0].Down && (running[0].Flag == "" || strings.Contains(running[0].Flag, pgpool.DisallowFailover)), nil
	case conf == nil:
		return false, err
	case !cannotAsk(err), !points(conf, want):
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	out, err := h.Hosts(s.Host).Run(ctx, remote.Script(poolStartedScript, h.Settings.ConfPath()))
	return strings.TrimSpace(string(out.Stdout)) == "yes", err
}

// cannotAsk tells whether an error is of pgctl's own way in (no login, no forwarding through sshd, no answer in time), and so
// says nothing of what clients of the pool meet.
func cannotAsk(err error) bool {
	var dial *remote.DialError
	return errors.Is(err, pgpool.ErrNoLogin) || errors.As(err, &dial) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
}

// running asks the running pgpool. conf is nil when not even its file could be read.
func (h poolRestart) running(ctx context.Context, name string) ([]cluster.Backend, *pgpool.Conf, error) {
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	host := h.Hosts(name)
	_, conf, err := h.read(ctx, host)
	if err != nil {
		return nil, nil, err
	}
	passwords, err := h.passwords(ctx, host)
	if err != nil {
		return nil, nil, err
	}
	running, err := pgpool.Running(ctx, host, h.Settings, conf, passwords)
	return running, conf, err
}

// points tells whether pgpool.conf has the wanted backend and no other.
func points(conf *pgpool.Conf, want cluster.Backend) bool {
	backends, err := conf.Backends()
	return err == nil && isOnly(backends, want)
}

func isOnly(backends []cluster.Backend, want cluster.Backend) bool {
	return len(backends) == 1 && backends[0].Host == want.Host && backends[0].Port == want.Port
}

// Do restarts it. What pgpool remembers of nodes that are down, by their position, is not true of the new backend.
func (h poolRestart) Do(ctx context.Context, s plan.Step) error { return h.restart(ctx, s.Host, false) }

// restart stops pgpool, clears what its last life left, and starts it: one command on the host, which goes on to the start even if
// the connection or pgctl dies meanwhile. Only pgpool is acted on, not the PostgreSQL that its unit wants. With keep, pgpool goes on to
// know which nodes were down.
func (h poolRestart) restart(ctx context.Context, name string, keep bool) error {
	_, conf, err := h.read(ctx, h.Hosts(name))
	if err != nil {
		return err
	}
	return h.restartBy(ctx, name, conf, keep)
}

// restartBy is restart of one whose file was just read, or written.
func (h poolRestart) restartBy(ctx context.Context, name string, conf *pgpool.Conf, keep bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	out, err := h.run(ctx, name, conf, keep, nil, 0)
	if strings.Contains(string(out.Stdout), "down") && err == nil {
		h.warn(name, "pgpool did not run on %s: it was started", name)
	}
	return err
}

// run runs the script. It is not broken off between the stop and the start.
func (h poolRestart) run(ctx context.Context, name string, conf *pgpool.Conf, keep bool, input io.Reader, wait time.Duration) (remote.Result, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.Timeout+2*time.Minute)
	defer cancel()
	// what the file does not set is compiled in, and differs between builds
	logs := conf.Get("work_dir", conf.Get("logdir", "/var/log/postgresql /var/log/pgpool /tmp"))
	if keep {
		logs = ""
	}
	sockets := strings.ReplaceAll(conf.Get("unix_socket_directories", conf.Get("socket_dir", "/var/run/postgresql,/tmp")), ",", " ")
	script := remote.Script(poolRestartScript, h.Settings.ConfPath(), h.Settings.Unit(), conf.Get("port", "9999"), logs, sockets, strconv.FormatFloat(wait.Seconds(), 'f', -1, 64))
	script.Stdin = input
	return h.Hosts(name).Run(ctx, script)
}

// poolProve is a proof and nothing else.
type poolProve struct{ *Pools }

// Done: a write through the pool was taken by the master. Where nobody can log in, that is a warning.
func (h poolProve) Done(ctx context.Context, s plan.Step) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	host := h.Hosts(s.Host)
	_, conf, err := h.read(ctx, host)
	if err != nil {
		return false, err
	}
	passwords, err := h.passwords(ctx, host)
	if err != nil {
		return false, err
	}
	target, err := pgpool.Write(ctx, host, h.Settings, conf, passwords)
	var dial *remote.DialError
	if errors.Is(err, pgpool.ErrNoLogin) || errors.As(err, &dial) {
		h.warn(s.Host, "the write path is unproven: %v", err)
		return true, nil
	}
	if err != nil {
		return false, &plan.NotYet{Reason: err}
	}
	if id := strconv.FormatUint(target.SystemID, 10); target.SystemID != 0 && id != s.Args["system_id"] || strconv.Itoa(target.Port) != s.Args["port"] ||
		target.Address != "" && !atMaster(s, target.Address) {
		return false, &plan.NotYet{Reason: fmt.Errorf("a write through the pool was taken by %s:%d, not by %s", target.Address, target.Port, s.Args["master"])}
	}
	return true, nil
}

// Do has nothing to do: pgpool needs a moment after its start, and the proof is looked for until it comes.
func (h poolProve) Do(context.Context, plan.Step) error { return nil }
