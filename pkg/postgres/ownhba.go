package postgres

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// run is one run of a postmaster.
type run struct {
	pid     int
	started time.Time
}

func (pm postmaster) run() run { return run{pm.pid, pm.started} }

// hbaState is a server, and what pg_hba.conf holds.
type hbaState struct {
	run
	sum [sha256.Size]byte
}

// hbaSight is what is known of the gate in pg_hba.conf.
type hbaSight struct {
	path  string
	state hbaState
	there bool // the whole block heads the file
}

// lookHBA reads the file.
func (o *Own) lookHBA(pm postmaster) (hbaSight, error) {
	name, err := o.hbaPath(pm.dataDir)
	if err != nil {
		return hbaSight{}, err
	}
	data, err := os.ReadFile(name)
	return hbaSight{name, hbaState{pm.run(), sha256.Sum256(data)}, hasGate(data, o.block())}, err
}

// block is the block for this server.
func (o *Own) block() []byte { return hbaGate(o.watcher(), o.site()) }

// reads tells whether the server is known to go by this very file: it was proven to, or the file is as it was before its start.
func (o *Own) reads(h hbaSight) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.hbaOff != nil && h.state.pid != 0 {
		if o.hbaOff.sum == h.state.sum {
			o.hbaKnown = h.state
		}
		o.hbaOff = nil
	}
	return o.hbaKnown == h.state
}

// noteOff keeps what the file holds while no server runs.
func (o *Own) noteOff(h hbaSight) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.hbaOff = &h.state
}

// CloseClients keeps clients out: the block heads pg_hba.conf, the running server is seen to have read it, and the sessions that came in before are
// ended, those too that were still being let in. Walsenders and the watcher's own sessions stay. Of a server that does not run it writes the file.
func (o *Own) CloseClients(ctx context.Context) error {
	pm, err := o.writeGate(ctx, true)
	if err != nil || !pm.running() {
		return err
	}
	if err := o.loadHBA(ctx, pm); err != nil {
		return err
	}
	if err := o.endEntering(ctx, pm); err != nil {
		return err
	}
	return o.endClients(ctx)
}

// OpenClients takes the block away, and returns when the running server is seen to have read the file without it.
func (o *Own) OpenClients(ctx context.Context) error {
	pm, err := o.writeGate(ctx, false)
	if err != nil || !pm.running() {
		return err
	}
	return o.loadHBA(ctx, pm)
}

// writeGate writes pg_hba.conf with or without the block, unless it is so.
func (o *Own) writeGate(ctx context.Context, closed bool) (postmaster, error) {
	dir, err := o.dataDir()
	if err != nil {
		return postmaster{}, err
	}
	pm, err := readPostmaster(dir)
	if err != nil {
		return pm, err
	}
	if pm.running() && !o.hasSaid(pm) { // which file it reads, it knows best
		rows, err := o.do(ctx, "SELECT current_setting('hba_file')")
		if err != nil {
			return pm, err
		}
		o.says(pm, rows[0][0])
	}
	name, err := o.hbaPath(dir)
	if err != nil {
		return pm, err
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return pm, err
	}
	want := withoutGate(data)
	if closed {
		want = withGate(data, o.block())
	}
	if bytes.Equal(data, want) {
		return pm, nil
	}
	return pm, o.write(name, want, 0o640)
}

// says keeps which pg_hba.conf a running server reads. That cannot change before its next start (manual, "hba_file").
func (o *Own) says(pm postmaster, hbaFile string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.hbaFile, o.hbaOf = hbaFile, pm.run()
}

func (o *Own) hasSaid(pm postmaster) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.hbaOf == pm.run()
}

// LoadHBA has the running server read its configuration, unless it is known to go by pg_hba.conf as it is: a watcher that has just started does not know
// whether the one before came to that (OwnSight.HBAStale).
func (o *Own) LoadHBA(ctx context.Context) error {
	pm, err := o.postmaster()
	if err != nil {
		return err
	}
	return o.loadHBA(ctx, pm)
}

// loadHBA proves that the server has read pg_hba.conf as it is, by a SIGHUP. The postmaster notes the moment in which it has read postgresql.conf, and then
// reads pg_hba.conf, before it lets anybody in again (SIGHUP_handler, since 16 process_pm_reload_request, in postmaster.c). So a moment that differs from one that was seen
// after the file had been written, in a session that connected after the signal was sent, is the proof; which of two moments is the later one, a clock that was set may
// belie. A file with an error is not taken at all, and changes nothing.
func (o *Own) loadHBA(ctx context.Context, pm postmaster) error {
	h, err := o.lookHBA(pm)
	if err != nil || o.reads(h) {
		return err
	}
	const loaded = "SELECT pg_conf_load_time()"
	before, err := o.do(ctx, loaded)
	if err != nil {
		return err
	}
	for tries := 0; ; tries++ {
		if tries%20 == 0 {
			if err := unix.Kill(pm.pid, unix.SIGHUP); err != nil {
				return fmt.Errorf("the postmaster %d: %w", pm.pid, err)
			}
		}
		wait := sleep(ctx, reloadStep(tries))
		now, err := o.do(ctx, loaded+", e.line_number, e.error FROM (VALUES (1)) one LEFT JOIN (SELECT line_number, error FROM pg_hba_file_rules WHERE error IS NOT NULL ORDER BY 1 LIMIT 1) e ON true")
		switch {
		case err == nil && now[0][0] != before[0][0]:
			return o.confirm(pm, h, now[0][1], now[0][2])
		case wait != nil:
			return errors.Join(fmt.Errorf("%s: PostgreSQL does not read its configuration", o.host.Name()), o.confFault(ctx), wait)
		}
	}
}

// reloadStep is how long a reload is waited for until it is asked for again: mostly it is a matter of milliseconds.
func reloadStep(tries int) time.Duration {
	return min(50*time.Millisecond, 5*time.Millisecond<<min(tries, 4))
}

// confirm takes the file for read when a session that began after the reload saw no error in it.
func (o *Own) confirm(pm postmaster, h hbaSight, line, fault string) error {
	if fault != "" {
		return fmt.Errorf("%s: %s: line %s: %s; so PostgreSQL goes by what it read before", o.host.Name(), h.path, line, fault)
	}
	if now, err := o.lookHBA(pm); err != nil || now != h {
		return errors.Join(fmt.Errorf("%s: %s was changed meanwhile", o.host.Name(), h.path), err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.hbaKnown = h.state
	return nil
}

// confFault says which error in a configuration file keeps all of them from being read; nil none, or it cannot be told any more.
func (o *Own) confFault(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	rows, err := o.do(ctx, "SELECT sourcefile, sourceline, error FROM pg_file_settings WHERE error IS NOT NULL ORDER BY seqno LIMIT 1")
	if err != nil || len(rows) == 0 {
		return nil
	}
	return fmt.Errorf("%s: line %s: %s", rows[0][0], rows[0][1], rows[0][2])
}

// endEntering ends the processes that were being let in by the rules of before: a process has those that the postmaster had when it began it, and a
// client may take its time to answer. They are in no view yet; their title tells (source: BackendInitialize, PerformAuthentication). What waits for its first
// packet still has the postmaster's own.
func (o *Own) endEntering(ctx context.Context, pm postmaster) error {
	shown, err := o.shownPIDs(ctx)
	if err != nil {
		return err
	}
	title := titleOf(pm.pid)
	var entering []int
	for _, c := range pm.children() {
		if !shown[c.pid] && (c.title == title || entersBy(c.title)) {
			entering = append(entering, c.pid)
		}
	}
	for _, pid := range entering {
		_ = unix.Kill(pid, unix.SIGTERM)
	}
	for _, pid := range entering {
		for stat(pid).parent == pm.pid && lives(pid) {
			if shown, err = o.shownPIDs(ctx); err != nil {
				return err
			}
			if shown[pid] { // it is in, and endClients ends it
				break
			}
			if err := sleep(ctx, 50*time.Millisecond); err != nil {
				return fmt.Errorf("process %d, which was being let in, does not end: %w", pid, err)
			}
		}
	}
	return nil
}

// entersBy tells by its title whether a process is letting a client in.
func entersBy(title string) bool {
	for _, phase := range []string{" authentication", " initializing", " startup"} {
		if strings.HasSuffix(title, phase) {
			return true
		}
	}
	return false
}

// shownPIDs are the processes that pg_stat_activity shows.
func (o *Own) shownPIDs(ctx context.Context) (map[int]bool, error) {
	rows, err := o.do(ctx, "SELECT pid FROM pg_stat_activity")
	if err != nil {
		return nil, err
	}
	shown := map[int]bool{}
	for _, row := range rows {
		if pid, err := strconv.Atoi(row[0]); err == nil {
			shown[pid] = true
		}
	}
	return shown, nil
}

// endClients ends the client sessions that are there now, but for the watcher's own, and returns when they are gone.
func (o *Own) endClients(ctx context.Context) error {
	rows, err := o.do(ctx, "SELECT extract(epoch FROM clock_timestamp())")
	if err != nil {
		return err
	}
	since := rows[0][0]
	for {
		rows, err := o.do(ctx, `SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
  AND pid <> ALL ($1::int[]) AND extract(epoch FROM backend_start) <= $2::float8`, o.pids(), since)
		if err != nil || len(rows) == 0 {
			return err
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("%s: %d sessions do not end, the first is %s: %w", o.host.Name(), len(rows), rows[0][0], err)
		}
	}
}
