package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pgctl/pgctl/pkg/remote"
)

// hbaState is one pg_hba.conf on disk and the server that is to read it.
type hbaState struct {
	pid     int
	started time.Time
	inode   uint64
	size    int64
	written time.Time
}

// stampSlack is by how much a load must be later than a file to have read it: the kernel stamps files by a clock that is up to a tick behind.
const stampSlack = 20 * time.Millisecond

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
	h := hbaSight{path: name, state: hbaState{pid: pm.pid, started: pm.started}}
	info, err := os.Stat(name)
	if err != nil {
		return h, err
	}
	h.state.size, h.state.written = info.Size(), info.ModTime()
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		h.state.inode = st.Ino
	}
	data, err := readIfThere(name)
	h.there = hasGate(data, hbaGate(o.settings))
	return h, err
}

// loadedAfter tells whether a configuration that was loaded then was loaded after the file had been written.
func (h hbaSight) loadedAfter(loaded time.Time) bool {
	return loaded.After(h.state.written.Add(stampSlack))
}

// readWell tells whether the server is known to have read this very file without an error, and finds it out if need be. It asks in a session that began
// after loaded was seen, so the postmaster has come to its end with that reload by then: it reads postgresql.conf first (SIGHUP_handler, since 16
// process_pm_reload_request, in postmaster.c). A file with an error is not loaded at all.
func (o *Own) readWell(ctx context.Context, h hbaSight) error {
	o.mu.Lock()
	known := o.hbaKnown == h.state
	o.mu.Unlock()
	if known {
		return nil
	}
	s, err := o.act(ctx, nil)
	if err != nil {
		return err
	}
	defer s.close()
	rows, err := queryOn(ctx, s.PgConn, "SELECT line_number, error FROM pg_hba_file_rules WHERE error IS NOT NULL ORDER BY 1 LIMIT 1")
	if err != nil {
		return err
	}
	if len(rows) > 0 {
		return fmt.Errorf("%s: line %s: %s, so PostgreSQL goes by what it read before", h.path, rows[0][0], rows[0][1])
	}
	loaded, err := loadTime(ctx, s)
	if err != nil {
		return err
	}
	if !h.loadedAfter(loaded) {
		return errNotLoaded
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.hbaKnown = h.state
	return nil
}

// errNotLoaded is returned as long as the server has not read pg_hba.conf since it was written.
var errNotLoaded = errors.New("PostgreSQL has not read pg_hba.conf since it was written")

// loadTime is when a new session's server loaded its configuration last.
func loadTime(ctx context.Context, s *session) (time.Time, error) {
	rows, err := queryOn(ctx, s.PgConn, "SELECT (extract(epoch FROM pg_conf_load_time()) * 1000000)::bigint")
	if err != nil {
		return time.Time{}, err
	}
	micros, err := strconv.ParseInt(rows[0][0], 10, 64)
	return time.UnixMicro(micros), err
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
	if pm.running() { // which file it reads, it knows best
		rows, err := o.do(ctx, "SELECT current_setting('hba_file')")
		if err != nil {
			return pm, err
		}
		o.mu.Lock()
		o.hbaFile = rows[0][0]
		o.mu.Unlock()
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
		want = withGate(data, hbaGate(o.settings))
	}
	if bytes.Equal(data, want) {
		return pm, nil
	}
	if _, err := remote.WriteFile(ctx, o.host, name, want, remote.WriteOptions{Mode: 0o640, Owner: o.server.owner()}); err != nil {
		return pm, err
	}
	return pm, sleep(ctx, 2*stampSlack) // so that a load after this is told from one before
}

// loadHBA has the server read its configuration until it is seen to have read pg_hba.conf.
func (o *Own) loadHBA(ctx context.Context, pm postmaster) error {
	h, err := o.lookHBA(pm)
	if err != nil {
		return err
	}
	for tries := 0; ; tries++ {
		s, err := o.act(ctx, nil)
		if err != nil {
			return err
		}
		loaded, err := loadTime(ctx, s)
		s.close()
		switch {
		case err != nil:
			return err
		case h.loadedAfter(loaded):
			if err := o.readWell(ctx, h); !errors.Is(err, errNotLoaded) {
				return err
			}
		case tries%10 == 0:
			if err := unix.Kill(pm.pid, unix.SIGHUP); err != nil {
				return fmt.Errorf("the postmaster %d: %w", pm.pid, err)
			}
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return errors.Join(errNotLoaded, err)
		}
	}
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
