package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// OwnSight is one look at the server.
type OwnSight struct {
	DataDir   string // "" there is none, or more than one: FilesErr
	Missing   bool   // the data directory is not there, as a renewal of it has not come to its end
	Major     int    // of the data: 9 for 9.3 to 9.6, else 10 and up
	Port      int    // of the running server
	SocketDir string
	SystemID  uint64 // of pg_control; 0 not known

	Running bool // the process of postmaster.pid is there, and is this data directory's
	PID     int
	Started time.Time     // by its own word, in whole seconds
	Began   time.Duration // when its process began, since boot
	Halted  bool          // the postmaster is stopped by a signal: it runs, and answers nobody
	Orphans int           // processes of a server whose postmaster is gone; not counted while one runs
	// CleanStop: pg_control says that it was shut down, or shut down in recovery. Of a server that runs it says nothing.
	CleanStop bool
	Starting  bool // the postmaster says that it is starting: its recovery has not ended
	WasMaster bool // pg_control says that it last ran, or runs, as a master
	// Gate: standby.signal is there, or up to 11 a recovery.conf with standby_mode, so its next start is read-only. It is so after SQL has answered too: a
	// promotion takes the file away before it shows.
	Gate      bool
	GateSince time.Time // when that file was put there

	// HBAClosed: the block that keeps clients out heads pg_hba.conf, and the running server is known to have read it.
	HBAClosed bool
	// HBAStale: it is not known whether the running server goes by pg_hba.conf as it is. LoadHBA, CloseClients and OpenClients each end that.
	HBAStale bool

	Member    string   // the name in pgctl.member; "" none, or another host's, as it came with a copy
	Service   Upstream // what the service file says
	ByService bool     // primary_conninfo in the files is service=pgctl_upstream
	Direct    string   // the host in primary_conninfo where it is not
	Slot      string   // primary_slot_name in the files, or else as the server shows it
	Archive   bool     // restore_command is set: by the files up to 11, from 12 on by SHOW where it answers
	Unread    bool     // whom it is to follow could not be read
	FilesErr  error    // what of the files could not be read; what it concerns is left zero

	SQL      *OwnSQL // nil: it did not answer
	SQLErr   error   // why
	AskedAs  string  // the role
	Fallback string  // why that is not the watcher's own; ""
}

// Life tells one run of the postmaster from another on this data; "" of one that does not run.
func (s OwnSight) Life() string {
	if !s.Running {
		return ""
	}
	return fmt.Sprintf("%d@%d", s.PID, s.Started.Unix())
}

// Upstream is whom the service file points at.
type Upstream struct {
	Host  string // "" nobody
	Port  string // "" the default
	Name  string // application_name
	Epoch int64  // for which the watcher wrote it; 0 it did not
}

// Look looks at the files and the process table, and asks the running server in a new session. ctx bounds the question.
func (o *Own) Look(ctx context.Context) OwnSight {
	var s OwnSight
	pm, h := o.lookFiles(&s)
	if !s.Running {
		s.HBAClosed = h.there
		return s
	}
	s.SQL, s.AskedAs, s.Fallback, s.SQLErr = o.question(ctx)
	if s.SQLErr != nil {
		s.HBAStale = !o.reads(h)
		s.HBAClosed = h.there && !s.HBAStale
		return s
	}
	if s.Gate {
		var err error
		s.Gate, s.GateSince, err = gated(s.DataDir, s.Major)
		s.FilesErr = errors.Join(s.FilesErr, err)
	}
	if s.SQL.Recovery {
		lookWAL(s.DataDir, s.SQL)
	}
	s.Slot = cmp.Or(s.Slot, s.SQL.Settings["primary_slot_name"])
	if command, ok := s.SQL.Settings["restore_command"]; ok {
		s.Archive = command != ""
	}
	if name := s.SQL.Settings["hba_file"]; name != "" { // it knows best
		o.says(pm, name)
		if name != h.path {
			var err error
			h, err = o.lookHBA(pm)
			s.FilesErr = errors.Join(s.FilesErr, err)
		}
	}
	s.HBAStale = !o.reads(h)
	s.HBAClosed = h.there && !s.HBAStale
	return s
}

// question asks the running server. A watcher's role that lacks a right is not let in either.
func (o *Own) question(ctx context.Context) (q *OwnSQL, role, instead string, err error) {
	for {
		s, role, instead, err := o.ask(ctx, o.Name(), nil)
		if err != nil {
			return nil, role, instead, err
		}
		q, err := o.askSQL(ctx, s)
		s.close()
		if role == o.watcher().role && instead == "" && noLogin(err) {
			o.refuse(o.explain(err))
			continue
		}
		return q, role, instead, err
	}
}

// lookFiles reads what the files say.
func (o *Own) lookFiles(s *OwnSight) (pm postmaster, h hbaSight) {
	var errs []error
	failed := func(err error) bool {
		if err != nil {
			errs = append(errs, err)
		}
		return err != nil
	}
	defer func() { s.FilesErr = errors.Join(errs...) }()
	var err error
	s.Unread = true
	if s.DataDir, err = o.dataDir(); failed(err) {
		return pm, h
	}
	if s.Missing = !isDir(s.DataDir); s.Missing {
		return pm, h
	}
	s.Major, err = majorOf(s.DataDir)
	failed(err)
	pm, err = readPostmaster(s.DataDir)
	failed(err)
	if s.Running = pm.running(); s.Running {
		s.PID, s.Started, s.Port, s.SocketDir = pm.pid, pm.started, pm.port, pm.socketDir
		process := stat(pm.pid)
		s.Starting = pm.status == "starting"
		state := process.state
		s.Began = process.began
		s.Halted = state == "T" || state == "t"
	} else {
		pm = postmaster{dataDir: s.DataDir}
		s.Orphans = len(processes(s.DataDir))
	}
	control, err := readControl(s.DataDir)
	if !failed(err) {
		s.SystemID = control.SystemID
		s.WasMaster = control.State == "in production" || control.State == "shut down"
		s.CleanStop = !s.Running && (control.State == "shut down" || control.State == "shut down in recovery")
	}
	if s.Major > 0 {
		s.Gate, s.GateSince, err = gated(s.DataDir, s.Major)
		failed(err)
		s.Unread = failed(o.lookFollowing(s))
	}
	if h, err = o.lookHBA(pm); !failed(err) && !s.Running && s.Orphans == 0 {
		o.noteOff(h)
	}
	member, err := readIfThere(path.Join(s.DataDir, memberFile))
	failed(err)
	if name := strings.TrimSpace(string(member)); cluster.IsMember(name, o.host.Name()) {
		s.Member = name
	}
	return pm, h
}

// gated tells whether the next start is read-only, and since when that is so.
func gated(dataDir string, major int) (gate bool, since time.Time, err error) {
	name := signalFile(dataDir, major)
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return false, time.Time{}, nil
	case err != nil || !info.Mode().IsRegular():
		return false, time.Time{}, err
	}
	if major < 12 {
		data, err := readIfThere(name)
		if value, _ := SettingOf(data, "standby_mode"); err != nil || !isOn(value) {
			return false, time.Time{}, err
		}
	}
	return true, info.ModTime(), nil
}

// isOn reads a boolean setting (source: parse_bool), of which any beginning that is no other's will do.
func isOn(value string) bool {
	v := strings.ToLower(value)
	return v == "on" || v == "1" || v != "" && (strings.HasPrefix("true", v) || strings.HasPrefix("yes", v))
}

// memberFile holds the name under which the data counts. A copy of the data brings it along, and it is another host's there.
const memberFile = "pgctl.member"

// lookFollowing reads whom the server is to follow.
func (o *Own) lookFollowing(s *OwnSight) error {
	files := configFiles(s.DataDir)
	if s.Major < 12 {
		files = []string{signalFile(s.DataDir, s.Major)}
		if !s.Gate {
			files = []string{path.Join(s.DataDir, "recovery.done")}
		}
	}
	conninfo, restore := "", ""
	for _, name := range files {
		data, err := readIfThere(name)
		if err != nil {
			return err
		}
		for setting, into := range map[string]*string{"primary_conninfo": &conninfo, "primary_slot_name": &s.Slot, "restore_command": &restore} {
			if value, ok := SettingOf(data, setting); ok {
				*into = value
			}
		}
	}
	s.Archive = restore != ""
	name, err := o.servicePath()
	if err != nil {
		return err
	}
	text, err := readIfThere(name)
	if err != nil {
		return err
	}
	s.Service = upstreamIn(text)
	c, err := ParseConnInfo(conninfo)
	if err != nil {
		s.Direct = "?"
		return err
	}
	if s.ByService = c["service"] == upstreamService; !s.ByService {
		s.Direct = c["host"]
	}
	return nil
}

// epochComment precedes, in the section of the service file, the epoch for which it was written. libpq passes over lines that begin so.
const epochComment = "# pgctl.epoch="

// upstreamIn reads the section of a service file.
func upstreamIn(text []byte) Upstream {
	c := serviceOf(text)
	u := Upstream{Host: c["host"], Port: c["port"], Name: c["application_name"]}
	if u.Host == "" {
		u.Host = c["hostaddr"]
	}
	inside := false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			inside = line == "["+upstreamService+"]"
		}
		if value, ok := strings.CutPrefix(line, epochComment); ok && inside {
			u.Epoch, _ = strconv.ParseInt(value, 10, 64)
		}
	}
	return u
}

// DialWatcher opens a connection to the server's socket as the watcher's operating system user, for another watcher's session with the watcher's role.
func (o *Own) DialWatcher(ctx context.Context) (net.Conn, error) {
	pm, err := o.postmaster()
	if err != nil {
		return nil, err
	}
	return pm.dial(ctx, o.watcher(), "unix")
}
