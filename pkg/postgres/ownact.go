package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// watchComment heads the file that makes a server start read-only.
const watchComment = `# PostgreSQL starts read-only as long as this file is here. "pgctl watch" keeps it, beside a running master too, and takes it away for the moment
# in which it starts this server as master. If this must be master without it, and every other server is known to be stopped: delete this file.
`

// place is the server as an act finds it.
type place struct {
	postmaster
	major  int
	runs   bool
	reread bool // what its next start reads was just changed
}

func (o *Own) place() (place, error) {
	dir, err := o.dataDir()
	if err != nil {
		return place{}, err
	}
	if !isDir(dir) {
		return place{}, fmt.Errorf("%s: %s is not there: its renewal has not come to its end", o.host.Name(), dir)
	}
	major, err := majorOf(dir)
	if err != nil {
		return place{}, err
	}
	pm, err := readPostmaster(dir)
	return place{postmaster: pm, major: major, runs: pm.running()}, err
}

func (h place) auto(settings ...Setting) file {
	return file{path: path.Join(h.dataDir, "postgresql.auto.conf"), settings: settings}
}

func (o *Own) restartReadOnly(ctx context.Context) error {
	if err := o.Stop(ctx); err != nil {
		return err
	}
	return o.StartReadOnly(ctx)
}

// reload has the postmaster read its configuration, and returns when a new session shows the value.
func (o *Own) reload(ctx context.Context, h place, name, value string) error {
	for tries := 0; ; tries++ {
		if tries%20 == 0 {
			if err := unix.Kill(h.pid, unix.SIGHUP); err != nil {
				return fmt.Errorf("the postmaster %d: %w", h.pid, err)
			}
		}
		if err := sleep(ctx, reloadStep(tries)); err != nil {
			return fmt.Errorf("%s: %s does not become %q: %w", o.host.Name(), name, value, err)
		}
		if shown, err := o.do(ctx, "SELECT current_setting($1)", name); err == nil && shown[0][0] == value {
			return nil
		}
	}
}

// SetNames sets synchronous_standby_names: of a running server by ALTER SYSTEM and a reload, of another in postgresql.auto.conf. Whether it is
// in effect is for the looks after it to say.
func (o *Own) SetNames(ctx context.Context, names string) error {
	return o.EnsureSettings(ctx, map[string]string{"synchronous_standby_names": names})
}

// settingName is what a setting may be called.
var settingName = regexp.MustCompile(`^[a-z_][a-z0-9_.]*$`)

// EnsureSettings gives settings these values in postgresql.auto.conf, where they have others, and has a running server read them. A dead watcher's statement is
// ended by EndPredecessors.
func (o *Own) EnsureSettings(ctx context.Context, settings map[string]string) error {
	h, err := o.place()
	if err != nil {
		return err
	}
	conf, err := readIfThere(path.Join(h.dataDir, "postgresql.auto.conf"))
	if err != nil {
		return err
	}
	var differ []Setting
	for name, value := range settings {
		if !settingName.MatchString(name) {
			return fmt.Errorf("%s: %q is not the name of a setting", o.host.Name(), name)
		}
		if has, ok := SettingOf(conf, name); !ok || has != value {
			differ = append(differ, Setting{name, &value})
		}
	}
	slices.SortFunc(differ, func(a, b Setting) int { return strings.Compare(a.Name, b.Name) })
	if !h.runs {
		_, err := o.put(h.auto(differ...))
		return err
	}
	s, err := o.act(ctx, nil)
	if err != nil {
		return err
	}
	defer s.close()
	for _, d := range differ {
		if err := s.Exec(ctx, "ALTER SYSTEM SET "+d.Name+" = "+literal(*d.Value)).Close(); err != nil {
			return fmt.Errorf("%s: %s: %w", o.host.Name(), d.Name, err)
		}
	}
	_, err = queryOn(ctx, s.PgConn, "SELECT pg_reload_conf()")
	return err
}

// EndSender asks a walsender to end, and returns when it is gone, or a second later: one that hangs ends when it comes to it, and holds up nothing else. Another
// process of that number is left alone.
func (o *Own) EndSender(ctx context.Context, pid int) error {
	for range 20 {
		rows, err := o.do(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_replication WHERE pid = $1::int", strconv.Itoa(pid))
		if err != nil || len(rows) == 0 {
			return err
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("%s: the walsender %d does not end: %w", o.host.Name(), pid, err)
		}
	}
	return nil
}

const resumeReplay = "SELECT pg_wal_replay_resume() WHERE pg_is_in_recovery() AND pg_is_wal_replay_paused()"

// ResumeReplay lets a paused replay go on.
func (o *Own) ResumeReplay(ctx context.Context) error {
	_, err := o.do(ctx, resumeReplay)
	return err
}

// Promote makes a standby master, after its replay was let go on: what pg_ctl promote does (pg_ctl.c, do_promote), the same on every version since
// 9.4. It waits until it is one: a file that asks a second time would be left in the data, where no backup could pass it by.
func (o *Own) Promote(ctx context.Context) error {
	h, err := o.place()
	if err != nil {
		return err
	}
	if !h.runs {
		return fmt.Errorf("%s: PostgreSQL is not running in %s", o.host.Name(), h.dataDir)
	}
	s, err := o.act(ctx, nil)
	if err != nil {
		return err
	}
	defer s.close()
	const inRecovery = "SELECT pg_is_in_recovery()" // a session sees the end of recovery
	rows, err := queryOn(ctx, s.PgConn, inRecovery)
	if err != nil || rows[0][0] != "t" {
		return err // it is master
	}
	if _, err := queryOn(ctx, s.PgConn, resumeReplay); err != nil { // up to 12 a promotion would wait for it for ever
		return err
	}
	request := path.Join(h.dataDir, "promote")
	if err := writeAsOwner(request, h.dataDir); err != nil {
		return err
	}
	if err := unix.Kill(h.pid, unix.SIGUSR1); err != nil {
		return err
	}
	for {
		rows, err := queryOn(ctx, s.PgConn, inRecovery)
		switch {
		case err != nil:
			return fmt.Errorf("%s was asked to become master, and has not said yet that it is: %w", o.host.Name(), err)
		case rows[0][0] != "t":
			if err := os.Remove(request); err != nil && !errors.Is(err, os.ErrNotExist) { // asked again while it was on its way
				return err
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s was asked to become master, and is not yet: %w", o.host.Name(), ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// writeAsOwner makes an empty file that is whose the directory is. The server may take it away at once: a promotion is looked for at every signal.
func writeAsOwner(name, dir string) (err error) {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return f.Chown(int(st.Uid), int(st.Gid))
}

// Checkpoint writes one. On a busy server that takes as long as its disk needs.
func (o *Own) Checkpoint(ctx context.Context) error {
	s, err := o.act(ctx, map[string]string{"statement_timeout": "0"})
	if err != nil {
		return err
	}
	defer s.close()
	return s.Exec(ctx, "CHECKPOINT").Close()
}

// SetMember gives the data the name under which it counts. Names that are not this host's are refused.
func (o *Own) SetMember(_ context.Context, name string) error {
	h, err := o.place()
	if err != nil {
		return err
	}
	if err := checkMember(name, o.host.Name()); err != nil {
		return err
	}
	return o.write(path.Join(h.dataDir, memberFile), []byte(name+"\n"), 0o600)
}

var errNotMember = errors.New("not a name of this host")
