package postgres

import (
	"bytes"
	"context"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// byService is the primary_conninfo of every server that a watcher keeps.
const byService = "service=" + upstreamService

// following are the files by which the next start is a standby's of whom the service file names. The slot stays as it is; up to 11 that of a
// server that was promoted is in recovery.done.
func (o *Own) following(h place) ([]file, error) {
	latest := []Setting{{"primary_conninfo", new(byService)}, {"recovery_target_timeline", new("latest")}}
	signal := file{path: signalFile(h.dataDir, h.major), head: watchComment}
	if h.major >= 12 {
		return []file{h.auto(latest...), signal, {path: path.Join(h.dataDir, "recovery.signal"), gone: true}}, nil
	}
	signal.settings = append([]Setting{{"standby_mode", new("on")}}, latest...)
	from := signal.path
	if !isFile(from) {
		from = path.Join(h.dataDir, "recovery.done")
	}
	text, err := readIfThere(from)
	if err != nil {
		return nil, err
	}
	if slot, ok := SettingOf(text, "primary_slot_name"); ok && slot != "" {
		signal.settings = append(signal.settings, Setting{"primary_slot_name", &slot})
	}
	return []file{signal}, nil
}

// NameSlot has the files of a server name the slot that it uses on its master, for its next start as a standby. Up to 11 it has to have a recovery.conf. Beside a running server
// postgresql.auto.conf is PostgreSQL's to write: something else may be setting the names there.
func (o *Own) NameSlot(ctx context.Context, name string) error {
	h, err := o.place()
	switch {
	case err != nil:
		return err
	case h.major >= 12:
		return o.EnsureSettings(ctx, map[string]string{"primary_slot_name": name})
	case !isFile(signalFile(h.dataDir, h.major)):
		return nil
	}
	_, err = o.put(file{path: signalFile(h.dataDir, h.major), head: watchComment, settings: []Setting{{"standby_mode", new("on")}, {"primary_slot_name", &name}}})
	return err
}

// Freeze makes the server a standby that can receive from nobody: the service file has no section for its primary_conninfo, without which libpq refuses to
// connect (fe-connect.c, parseServiceInfo: "definition of service not found"; an empty section would lead to the local socket), and its
// receiver gets a SIGTERM, for which PostgreSQL need not answer. A standby whose primary_conninfo names a host is made to go by the service file: by a reload from
// 13 on, up to 12 by a restart, which is read-only. Whether it is frozen is for the looks after it to say.
func (o *Own) Freeze(ctx context.Context) error {
	wrote, err := o.writeService(nil, 0)
	if err != nil {
		return err
	}
	h, err := o.place()
	if err != nil {
		return err
	}
	ended := h.endReceivers()
	changed, err := o.goByService(ctx, h)
	if err != nil {
		return err
	}
	ended = append(ended, h.endReceivers()...)
	return o.outlives(ctx, h, !wrote && !changed, ended)
}

// outlives restarts a standby that keeps coming back with a receiver that streams although its files lead to nobody: up to 11 it has read another
// primary_conninfo than its file has now.
func (o *Own) outlives(ctx context.Context, h place, settled bool, ended []int) error {
	if h.major >= 12 || !settled || len(ended) == 0 {
		o.unheeded = 0
		return nil
	}
	if o.unheeded++; o.unheeded < 3 {
		return nil
	}
	o.unheeded = 0
	return o.restartReadOnly(ctx)
}

// Follow makes the server a standby of the upstream, for an epoch, running or not: the service file names it, and a running standby's receiver is ended
// and its startup process woken, so that it comes back at once. Whether it streams is for the looks after it to say.
func (o *Own) Follow(ctx context.Context, upstream ConnInfo, epoch int64) error {
	if upstream["host"] == "" && upstream["hostaddr"] == "" {
		return fmt.Errorf("%s: to follow nobody: its way to the master names no host", o.host.Name())
	}
	h, err := o.place()
	if err != nil {
		return err
	}
	files, err := o.following(h)
	if err != nil {
		return err
	}
	if !h.runs || isFile(signalFile(h.dataDir, h.major)) { // beside a running master the gate is for PutGate
		changed, err := o.put(files...)
		if err != nil {
			return err
		}
		h.reread = h.reread || changed
	}
	if _, err := o.goByService(ctx, h); err != nil {
		return err
	}
	if _, err := o.writeService(upstream, epoch); err != nil {
		return err
	}
	return o.Reconnect(ctx)
}

// writeService writes the section of the service file, or takes it out; wrote tells whether that was a change.
func (o *Own) writeService(upstream ConnInfo, epoch int64) (wrote bool, err error) {
	name, err := o.servicePath()
	if err != nil {
		return false, err
	}
	old, err := readIfThere(name)
	if err != nil {
		return false, err
	}
	data := withoutService(old)
	if upstream != nil {
		if data, err = withUpstream(old, upstream, epoch); err != nil {
			return false, fmt.Errorf("%s: %w", o.host.Name(), err)
		}
	}
	if bytes.Equal(old, data) {
		return false, nil
	}
	return true, o.write(name, data, 0o600)
}

// withUpstream is a service file whose section leads to the upstream, and names the epoch for which it was written.
func withUpstream(text []byte, upstream ConnInfo, epoch int64) ([]byte, error) {
	for key, value := range upstream { // a value goes to the end of its line, and the blanks around a line are not of it
		if strings.ContainsAny(value, "\r\n\x00") || strings.TrimSpace(value) != value {
			return nil, fmt.Errorf("the %s of its way to the master cannot be written into a service file", key)
		}
	}
	header := []byte("[" + upstreamService + "]\n")
	data := withService(withoutService(text), upstreamService, upstream.Portable())
	at := bytes.LastIndex(data, header) + len(header)
	return slices.Insert(data, at, []byte(epochComment+strconv.FormatInt(epoch, 10)+"\n")...), nil
}

// withoutService gives the text of a service file without the section of pgctl's service; all other bytes stay.
func withoutService(text []byte) []byte {
	var kept []byte
	inside := false
	for line := range bytes.Lines(text) {
		if t := strings.TrimSpace(string(line)); strings.HasPrefix(t, "[") {
			inside = t == "["+upstreamService+"]"
		}
		if !inside {
			kept = append(kept, line...)
		}
	}
	return kept
}

// goByService makes a running standby receive by the service file, and a stopped one at its next start, if it does so otherwise; changed tells whether it was
// reloaded or restarted for that.
func (o *Own) goByService(ctx context.Context, h place) (changed bool, err error) {
	if h.major < 12 {
		return o.goByServiceUpTo11(ctx, h)
	}
	if _, err := o.put(h.auto(Setting{"primary_conninfo", new(byService)})); err != nil || !h.runs {
		return false, err
	}
	shown, err := o.do(ctx, "SELECT current_setting('primary_conninfo'), current_setting('recovery_target_timeline'), pg_is_in_recovery()")
	switch {
	case err != nil:
		return false, err
	case shown[0][2] != "t" || shown[0][0] == byService && shown[0][1] == "latest":
		return false, nil
	case h.major == 12 || shown[0][1] != "latest": // read at the start only
		return true, o.restartReadOnly(ctx)
	}
	return true, o.reload(ctx, h, "primary_conninfo", byService)
}

// goByServiceUpTo11 is it where recovery.conf says so, which is read at the start only. What a server that runs has read is not shown, so
// a file that is younger than it counts as not read.
func (o *Own) goByServiceUpTo11(ctx context.Context, h place) (changed bool, err error) {
	name := signalFile(h.dataDir, h.major)
	if !isFile(name) {
		return false, nil // a master, or nothing that would receive
	}
	files, err := o.following(h)
	if err != nil {
		return false, err
	}
	wrote, err := o.put(files...)
	if err != nil || !h.runs || !wrote && !h.reread && !modified(name).After(h.started.Add(time.Second)) {
		return false, err
	}
	if shown, err := o.do(ctx, "SELECT pg_is_in_recovery()"); err != nil || shown[0][0] != "t" {
		return false, err
	}
	return true, o.restartReadOnly(ctx)
}

// receiverTitle is what a WAL receiver calls itself: up to 12 "wal receiver process", then "walreceiver", after cluster_name, and what it does (source:
// walreceiver.c). A client's session has more words, as it begins with its user and database.
var receiverTitle = regexp.MustCompile(`^postgres: (?:\S+: )?(?:walreceiver|wal receiver process)(?:\s+(?:idle|(?:streaming|restarting at) [0-9A-F]+/[0-9A-F]+))?\s*$`)

// startupTitle is that of the startup process.
var startupTitle = regexp.MustCompile(`^postgres: (?:\S+: )?startup(?: process)?(?:\s+(?:recovering|waiting for|done).*)?\s*$`)

func titled(all []child, title *regexp.Regexp) []int {
	var pids []int
	for _, c := range all {
		if title.MatchString(c.title) {
			pids = append(pids, c.pid)
		}
	}
	return pids
}

// endReceivers ends the WAL receivers, by the process table: PostgreSQL need not answer, and refuses to do it itself (pg_terminate_backend).
func (h place) endReceivers() []int {
	if !h.runs {
		return nil
	}
	pids := titled(h.children(), receiverTitle)
	for _, pid := range pids {
		_ = unix.Kill(pid, unix.SIGTERM)
	}
	return pids
}

// Reconnect ends the receiver, and wakes the startup process until there is another one: it would wait for wal_retrieve_retry_interval between two tries, and
// a SIGHUP ends such a wait (source: StartupProcSigHupHandler). It gives up after two seconds, as the upstream may not be there.
func (o *Own) Reconnect(ctx context.Context) error {
	h, err := o.place()
	if err != nil || !h.runs {
		return err
	}
	old := h.endReceivers()
	within, end := context.WithTimeout(ctx, 2*time.Second)
	defer end()
	for pause := 0; within.Err() == nil; pause-- {
		all := h.children()
		now := titled(all, receiverTitle)
		if slices.ContainsFunc(now, func(pid int) bool { return !slices.Contains(old, pid) }) {
			return nil
		}
		if len(now) == 0 && pause <= 0 { // the old one has ended
			pause = 5
			for _, pid := range titled(all, startupTitle) {
				_ = unix.Kill(pid, unix.SIGHUP)
			}
		}
		_ = sleep(within, 20*time.Millisecond)
	}
	return ctx.Err()
}

// Wake has the startup process of a standby look for WAL at once, where it waits for its next try (source: WaitForWALToBecomeAvailable; SIGHUP
// sets its latch). The postmaster is not told: it would say so in its log.
func (o *Own) Wake() error {
	h, err := o.place()
	if err != nil || !h.runs {
		return err
	}
	for _, pid := range titled(h.children(), startupTitle) {
		if err := unix.Kill(pid, unix.SIGHUP); err != nil {
			return err
		}
	}
	return nil
}

// FollowNobody has the service file name no upstream: whoever reads it from here on connects to nobody.
func (o *Own) FollowNobody() error {
	_, err := o.writeService(nil, 0)
	return err
}
