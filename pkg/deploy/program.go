package deploy

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/plan"
	"github.com/pgctl/pgctl/pkg/remote"
)

//go:embed supervisor.conf
var supervisorConf string

//go:embed replace.sh
var replaceScript string

//go:embed start.sh
var startScript string

//go:embed stop.sh
var stopScript string

//go:embed clear.sh
var clearScript string

//go:embed restore.sh
var restoreScript string

// fresh is how old the watcher's report may be; it writes one every second.
const fresh = 5 * time.Second

// report is what a status file of the watcher says of itself.
type report struct {
	Program  string    `json:"program"`
	Time     time.Time `json:"time"`
	PID      int       `json:"pid"`
	Binary   string    `json:"binary_sha256"`
	Settings string    `json:"settings_sha256"`
}

// ownReport reads a status file; nil when it is not there or not pgctl's.
func (f facts) ownReport(name string) *report {
	text, _ := f.file(name)
	var r report
	if err := json.Unmarshal(text, &r); err != nil || r.Program != "pgctl" {
		return nil
	}
	return &r
}

// now is the host's own clock.
func (f facts) now() (time.Time, error) {
	seconds, err := strconv.ParseFloat(f.one("now"), 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("cannot read its clock %q", f.one("now"))
	}
	return time.UnixMicro(int64(seconds * 1e6)), nil
}

// programMissing: supervisor runs the wanted binary as the configuration says, and that very process has just reported.
func programMissing(s plan.Step, f facts) error {
	conf, _ := f.file("conf")
	status := cluster.Printable(f.one("status"))
	switch {
	case string(conf) != supervisorConf:
		return fmt.Errorf("%s is not as deploy writes it", confPath)
	case !strings.Contains(status, " RUNNING "):
		return fmt.Errorf("supervisor says: %s", status)
	case !runsOurs(f.one("command")):
		return fmt.Errorf("supervisor runs %q", cluster.Printable(f.one("command")))
	}
	r := f.ownReport("monitor")
	switch {
	case r == nil:
		return errors.New("its watcher has not reported")
	case strconv.Itoa(r.PID) != f.one("pid"):
		return errors.New("its watcher has not reported since it was started")
	case r.Binary != s.Args["sha256"]:
		return errors.New("its watcher runs another binary")
	case r.Settings != f.one("settings_sum"):
		return errors.New("its watcher runs with older settings")
	}
	return stale(f)
}

// stale: both reports are new by the host's own clock.
func stale(f facts) error {
	now, err := f.now()
	if err != nil {
		return err
	}
	for _, name := range []string{"monitor", "node"} {
		r := f.ownReport(name)
		if r == nil || now.Sub(r.Time).Abs() > fresh {
			return fmt.Errorf("its watcher has not written its report of the %s for more than %s", name, fresh)
		}
	}
	return nil
}

func (d *Deployer) startProgram(ctx context.Context, _ plan.Step, host remote.Host) error {
	if err := d.write(ctx, host, confPath, []byte(supervisorConf), remote.WriteOptions{Mode: 0o644, Owner: "root:root"}); err != nil {
		return err
	}
	return d.run(ctx, host, startScript)
}

// foreignLeft: no other pg_watcher is configured, and none runs.
func foreignLeft(_ plan.Step, f facts) error {
	if left := f.foreign(); len(left) > 0 {
		return fmt.Errorf("%s has a pg_watcher that is not pgctl's", left[0].path)
	}
	if command := f.stranger(); command != "" {
		return fmt.Errorf("supervisor runs %q", cluster.Printable(command))
	}
	return nil
}

func (d *Deployer) replace(ctx context.Context, _ plan.Step, host remote.Host) error {
	f, err := d.look(ctx, host, "definitions")
	if err != nil {
		return err
	}
	args := []string{keptDir}
	for _, foreign := range f.foreign() {
		if foreign.shared {
			return fmt.Errorf("%s: %s defines other things beside pg_watcher", host.Name(), foreign.path)
		}
		args = append(args, foreign.path)
	}
	return d.run(ctx, host, replaceScript, args...)
}

// ownConf tells whether supervisor's file is the one that deploy writes, of this version or another.
func (f facts) ownConf() bool {
	text, ok := f.file("conf")
	return ok && parseDefinition(confPath, string(text)).ours()
}

// programLeft: pgctl's watcher is gone. One that was put back may be there.
func programLeft(_ plan.Step, f facts) error {
	switch {
	case f.ownConf():
		return fmt.Errorf("%s is still there", confPath)
	case runsOurs(f.one("command")):
		return errors.New("its watcher still runs")
	case f.ownReport("monitor") != nil || f.ownReport("node") != nil:
		return errors.New("its status files are still there")
	}
	return nil
}

// stopProgram leaves alone what was put back in the place of ours.
func (d *Deployer) stopProgram(ctx context.Context, _ plan.Step, host remote.Host) error {
	f, err := d.look(ctx, host, "definitions", "program", "reports")
	if err != nil {
		return err
	}
	var files []string
	for name, path := range map[string]string{"monitor": "/var/run/pg_watcher.PGMonitor", "node": "/var/run/pg_watcher.PGNode"} {
		if f.ownReport(name) != nil {
			files = append(files, path)
		}
	}
	if len(f.foreign()) > 0 && !runsOurs(f.one("command")) {
		return d.run(ctx, host, `rm -f -- "$@"`, files...)
	}
	conf := ""
	if f.ownConf() {
		conf = confPath
	}
	return d.run(ctx, host, stopScript, append([]string{conf}, files...)...)
}

// filesLeft: nothing is left of what deploy brought, but for what stays on the host that pgctl runs on.
func (d *Deployer) filesLeft(s plan.Step, f facts) error {
	switch {
	case f.has("certificate") || f.mode(hostKey) != "":
		return fmt.Errorf("%s is still there", hostKey)
	case s.Host == d.Here:
		return nil
	case f.has("ca"):
		return fmt.Errorf("%s is still there", authorityCert)
	case f.has("binary"):
		return fmt.Errorf("%s is still there", BinaryPath)
	}
	return nil
}

func (d *Deployer) clear(ctx context.Context, s plan.Step, host remote.Host) error {
	where := "there"
	if s.Host == d.Here {
		where = "here"
	}
	return d.run(ctx, host, clearScript, where)
}

func keptLeft(_ plan.Step, f facts) error {
	if f.has("kept") {
		return fmt.Errorf("%s is still there", keptDir)
	}
	return nil
}

func (d *Deployer) restore(ctx context.Context, _ plan.Step, host remote.Host) error {
	return d.run(ctx, host, restoreScript, keptDir)
}
