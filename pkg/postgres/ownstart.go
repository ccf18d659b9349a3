package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// stopPatience is how long a stop may take before what is left is killed, until GiveStop says otherwise; tellLimit ends the service manager's client.
const (
	stopPatience = 4 * time.Second
	tellLimit    = 5 * time.Second
)

// GiveStop says how long a stop that begins from now on may take before what is left is killed.
func (o *Own) GiveStop(patience time.Duration) { o.stopFor.Store(int64(patience)) }

// Stop stops the server at once, without a last checkpoint, and kills what is left of it in time (GiveStop), as a stopped process heeds nothing else. That costs
// no data: either way the next start recovers from the WAL (manual, "Shutting Down the Server"). No process of it is left then. It starts none but the service
// manager's client, which is told, and not waited for before the server is stopped.
func (o *Own) Stop(ctx context.Context) error {
	dir, err := o.dataDir()
	if err != nil {
		return err
	}
	told := make(chan struct{})
	go func() {
		defer close(told)
		ctx, cancel := context.WithTimeout(ctx, tellLimit)
		defer cancel()
		o.stopUnit(ctx, dir)
	}()
	err = o.quit(ctx, dir)
	<-told // not later, when it may run again
	if err == nil && len(processes(dir)) > 0 {
		err = o.Kill(ctx) // it was started again meanwhile
	}
	return err
}

// quit ends the processes by signals.
func (o *Own) quit(ctx context.Context, dir string) error {
	const step = 20 * time.Millisecond
	pm, err := readPostmaster(dir)
	if err != nil || !pm.running() {
		return errors.Join(err, o.Kill(ctx))
	}
	if err := unix.Kill(pm.pid, unix.SIGQUIT); err != nil {
		return errors.Join(err, o.Kill(ctx))
	}
	patient, end := context.WithTimeout(ctx, time.Duration(o.stopFor.Load())) // to see who is left takes its time too
	defer end()
	for len(processes(dir)) > 0 {
		if err := sleep(patient, step); err != nil {
			return o.Kill(ctx)
		}
	}
	return nil
}

// Kill kills every process of the server, those too that are stopped by a signal, and returns when none is left: one that waits for its disk ends when that
// answers. It starts no process.
func (o *Own) Kill(ctx context.Context) error {
	dir, err := o.dataDir()
	if err != nil {
		return err
	}
	pm, err := readPostmaster(dir)
	if err != nil {
		return err
	}
	if pm.running() { // first, as it would start them again
		_ = unix.Kill(pm.pid, unix.SIGKILL)
	}
	for {
		left := processes(dir)
		for _, pid := range left {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		if len(left) == 0 {
			return nil
		}
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return fmt.Errorf("%s: PostgreSQL in %s cannot be killed: processes %v: %w", o.host.Name(), dir, left, err)
		}
	}
}

// StartReadOnly starts the server as a standby of whom the service file names, which it does not change, and closed: its names match nobody, and it does
// not start again by itself after a crash. It returns when the server answers. One that is up as a standby already is left as it is.
func (o *Own) StartReadOnly(ctx context.Context) error {
	h, err := o.place()
	if err != nil {
		return err
	}
	if h.runs {
		return o.isReadOnly(ctx)
	}
	files, err := o.following(h)
	if err != nil {
		return err
	}
	files = append(files, h.auto(Setting{"synchronous_standby_names", new(cluster.ClosedNames)}, Setting{"restart_after_crash", new("off")}))
	if _, err := o.put(files...); err != nil {
		return err
	}
	if err := o.startClean(ctx, h); err != nil {
		return err
	}
	return o.await(ctx, h.dataDir, func(pm postmaster) bool {
		return pm.status == "standby" || pm.status == "ready" && o.isReadOnly(ctx) == nil
	})
}

// isReadOnly asks the server that runs.
func (o *Own) isReadOnly(ctx context.Context) error {
	rows, err := o.do(ctx, "SELECT pg_is_in_recovery()")
	if err == nil && rows[0][0] != "t" {
		err = fmt.Errorf("%s: it runs as master", o.host.Name())
	}
	return err
}

// startClean starts the server after what an earlier one left.
func (o *Own) startClean(ctx context.Context, h place) error {
	if len(processes(h.dataDir)) > 0 {
		if err := o.Kill(ctx); err != nil {
			return err
		}
	}
	return o.begin(ctx, h)
}

// begin starts the server of which no process is left.
func (o *Own) begin(ctx context.Context, h place) error {
	if sight, err := o.lookHBA(postmaster{dataDir: h.dataDir}); err == nil {
		o.noteOff(sight)
	}
	return o.start(ctx, h.dataDir)
}

// await waits until the server that was just started is as done says. It ends when the process is gone.
func (o *Own) await(ctx context.Context, dir string, done func(postmaster) bool) error {
	const step = 20 * time.Millisecond
	seen := false
	for waited := time.Duration(0); ; waited += step {
		pm, err := readPostmaster(dir)
		switch runs := err == nil && pm.running(); {
		case runs && done(pm):
			return nil
		case runs:
			seen = true
		case seen:
			return o.diedOf(ctx, dir, "PostgreSQL has ended")
		case waited > o.patience:
			return o.diedOf(ctx, dir, "PostgreSQL was not started")
		}
		if err := sleep(ctx, step); err != nil {
			return o.diedOf(ctx, dir, "PostgreSQL has not come up: "+err.Error())
		}
	}
}

// diedOf says why a start came to nothing, by PostgreSQL's log.
func (o *Own) diedOf(ctx context.Context, dir, what string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if words := o.server.LastWords(ctx, dir); words != "" {
		what += ": " + strings.Join(strings.Split(words, "\n"), " / ")
	}
	return fmt.Errorf("%s: %s", o.host.Name(), what)
}

// StartMaster starts the server as master, closed to clients: it is stopped first if it runs, pg_hba.conf keeps clients out, and the gate is away until the
// startup process has read the files; then it is there again, whatever came of it. It does not wait for the end of a crash's recovery.
func (o *Own) StartMaster(ctx context.Context) (err error) {
	if err := o.Stop(ctx); err != nil {
		return err
	}
	h, err := o.place()
	if err != nil {
		return err
	}
	if _, err := o.writeGate(ctx, true); err != nil {
		return err
	}
	if _, err := o.put(h.auto(Setting{"restart_after_crash", new("off")})); err != nil {
		return err
	}
	gate, err := o.following(h) // up to 11 the slot is in the file that goes away
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.putGate(gate)) }()
	for _, name := range []string{signalFile(h.dataDir, h.major), path.Join(h.dataDir, "recovery.signal")} {
		if err := remove(name); err != nil {
			return err
		}
	}
	if err := o.begin(ctx, h); err != nil {
		return err
	}
	return o.await(ctx, h.dataDir, hasReadFiles)
}

// hasReadFiles tells whether the startup process has looked for the file that makes a standby: it does so before it reads WAL (source: StartupXLOG,
// readRecoverySignalFile, up to 11 readRecoveryCommandFile). After that the file is not looked at any more.
func hasReadFiles(pm postmaster) bool {
	if pm.status == "ready" || pm.status == "standby" {
		return true
	}
	return slices.ContainsFunc(pm.children(), func(c child) bool {
		return startupTitle.MatchString(c.title) && strings.Contains(c.title, " recovering ")
	})
}

// PutGate makes the next start of the server read-only and of nobody: the file is there, beside a running master too, and the service file names no upstream (M9).
func (o *Own) PutGate(context.Context) error {
	h, err := o.place()
	if err != nil {
		return err
	}
	gate, err := o.following(h)
	if err != nil {
		return err
	}
	return o.putGate(gate)
}

func (o *Own) putGate(gate []file) error {
	_, errService := o.writeService(nil, 0)
	_, err := o.put(gate...)
	return errors.Join(errService, err)
}

// modified is when a file was written last; the zero time where there is none.
func modified(name string) time.Time {
	info, err := os.Stat(name)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}
