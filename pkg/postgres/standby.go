package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/pgctl/pgctl/pkg/remote"
)

// upstreamService is the service that a standby's primary_conninfo names. libpq looks it up at each connect (PostgreSQL manual, "The
// Connection Service File"), so a standby is pointed elsewhere by one file and without a restart, on every version.
const upstreamService = "pgctl_upstream"

// Following is how a server follows its master.
type Following struct {
	Upstream  ConnInfo // host, port, user, application_name, and what the login needs
	Slot      string   // "": none
	SyncNames string   // its own synchronous_standby_names, for the day on which it is master
}

// file is one file of a server and what it shall be.
type file struct {
	path     string
	head     string    // what a new file begins with
	settings []Setting // that it shall have; none: it shall be there, whatever it holds
	gone     bool      // it shall not be there
}

// Follow writes what makes the server a standby of its master at its next start: the service file of its operating system user, recovery.conf or
// standby.signal by version, and its own names. What a clone or a rewind brought along of another server's is so replaced. It starts nothing.
func (s *Server) Follow(ctx context.Context, dataDir string, f Following) error {
	return s.put(ctx, dataDir, func(major int) []file { return f.files(dataDir, major) })
}

// Follows tells whether Follow would change nothing.
func (s *Server) Follows(ctx context.Context, dataDir string, f Following) (bool, error) {
	return s.has(ctx, dataDir, func(major int) []file { return f.files(dataDir, major) })
}

// Gate makes the stopped server start read-only, following nobody, whatever starts it: a master that is not one any more.
func (s *Server) Gate(ctx context.Context, dataDir string) error {
	return s.put(ctx, dataDir, func(major int) []file { return gateFiles(dataDir, major, true) })
}

// Gated tells whether the server would start read-only.
func (s *Server) Gated(ctx context.Context, dataDir string) (bool, error) {
	found, major, err := s.conf(ctx, dataDir)
	_, there := found[signalFile(dataDir, major)]
	return err == nil && there, err
}

// Ungate takes the gate away: the server starts as the master that it was.
func (s *Server) Ungate(ctx context.Context, dataDir string) error {
	return s.put(ctx, dataDir, func(major int) []file { return gateFiles(dataDir, major, false) })
}

// signalFile is what makes a server a standby.
func signalFile(dataDir string, major int) string {
	if major < 12 {
		return path.Join(dataDir, "recovery.conf")
	}
	return path.Join(dataDir, "standby.signal")
}

const signalComment = `# This server is no master: it starts read-only. pgctl wrote this when another server took its place; "pgctl upmaster" makes
# it a standby of that one (on a 9.x site "pgctl pg9 post-failover"). If it must be master all the same and every other server is known to be stopped: delete this file.
`

func gateFiles(dataDir string, major int, closed bool) []file {
	signal := file{path: signalFile(dataDir, major), head: signalComment, gone: !closed}
	if major < 12 { // recovery.conf takes no empty slot name
		signal.settings = []Setting{{"standby_mode", new("on")}, {Name: "primary_conninfo"}, {Name: "primary_slot_name"}}
		return []file{signal}
	}
	nobody := []Setting{{"primary_conninfo", new("")}, {"primary_slot_name", new("")}}
	return []file{{path: path.Join(dataDir, "postgresql.auto.conf"), settings: nobody}, signal}
}

func (f Following) files(dataDir string, major int) []file {
	follow := []Setting{{"primary_conninfo", new("service=" + upstreamService)}, {"primary_slot_name", &f.Slot}, {"recovery_target_timeline", new("latest")}}
	auto := file{path: path.Join(dataDir, "postgresql.auto.conf"), settings: []Setting{{"synchronous_standby_names", &f.SyncNames}}}
	signal := file{path: signalFile(dataDir, major)}
	if major < 12 {
		if f.Slot == "" {
			follow[1].Value = nil
		}
		signal.settings = append([]Setting{{"standby_mode", new("on")}}, follow...)
		return []file{auto, signal}
	}
	auto.settings = append(follow, auto.settings...)
	return []file{auto, signal, {path: path.Join(dataDir, "recovery.signal"), gone: true}}
}

// PointAt makes the service file name this upstream. A standby that follows by it reads it at its next connect.
func (s *Server) PointAt(ctx context.Context, upstream ConnInfo) error {
	name, data, err := s.serviceFile(ctx)
	if err != nil {
		return err
	}
	_, err = remote.WriteFile(ctx, s.host, name, withService(data, upstreamService, upstream.Portable()), remote.WriteOptions{Mode: 0o600, Owner: s.owner()})
	return err
}

// PointsAt tells whether it does.
func (s *Server) PointsAt(ctx context.Context, upstream ConnInfo) (bool, error) {
	_, data, err := s.serviceFile(ctx)
	return err == nil && bytes.Equal(data, withService(data, upstreamService, upstream.Portable())), err
}

// serviceFile reads the service file of the server's operating system user; data is nil when there is none.
func (s *Server) serviceFile(ctx context.Context) (name string, data []byte, err error) {
	out, err := s.host.Run(ctx, remote.Script(`home=$(getent passwd "$1" | cut -d: -f6) && echo "$home" && { [ ! -f "$home/.pg_service.conf" ] || cat "$home/.pg_service.conf"; }`, s.settings.osUser()))
	home, data, _ := bytes.Cut(out.Stdout, []byte("\n"))
	if err != nil || len(home) == 0 {
		return "", nil, errors.Join(fmt.Errorf("%s: the operating system user %s has no home directory", s.host.Name(), s.settings.osUser()), err)
	}
	return path.Join(string(home), ".pg_service.conf"), data, nil
}

// withService gives the text of a service file with one section in place of the one of that name, at the end.
func withService(text []byte, name string, c ConnInfo) []byte {
	var kept strings.Builder
	inside := false
	for line := range strings.Lines(string(text)) {
		if t := strings.TrimSpace(line); strings.HasPrefix(t, "[") {
			inside = t == "["+name+"]"
		}
		if !inside {
			kept.WriteString(line)
		}
	}
	out := kept.String()
	if out != "" && !strings.HasSuffix(out, "\n") {
		out += "\n"
	}
	out += "[" + name + "]\n"
	for _, key := range everyLibpq { // a value goes to the end of its line, unquoted
		if value, ok := c[key]; ok {
			out += key + "=" + value + "\n"
		}
	}
	return []byte(out)
}

// UpstreamOf is the connection string by which the server follows, running or not, and its slot there, taken from its files; nil when
// it has none.
func (s *Server) UpstreamOf(ctx context.Context, dataDir string) (c ConnInfo, slot string, err error) {
	found, major, err := s.conf(ctx, dataDir)
	if err != nil {
		return nil, "", err
	}
	files := []string{"postgresql.auto.conf"}
	if major < 12 {
		files = []string{"recovery.conf", "recovery.done"}
	}
	for _, name := range files {
		conf := found[path.Join(dataDir, name)]
		if text, ok := SettingOf(conf, "primary_conninfo"); ok && text != "" {
			slot, _ := SettingOf(conf, "primary_slot_name")
			c, err := s.resolveService(ctx, text)
			return c, slot, err
		}
	}
	c, err = s.resolveService(ctx, "service="+upstreamService)
	return c, "", err
}

// Turns tells whether the running standby can be pointed elsewhere without a restart: it follows by the service file already, or is of
// version 13 and later, which reads primary_conninfo again at a reload.
func (s *Server) Turns(ctx context.Context, dataDir string) (bool, error) {
	found, major, err := s.conf(ctx, dataDir)
	if err != nil {
		return false, err
	}
	conf := "postgresql.auto.conf"
	if major < 12 {
		conf = "recovery.conf"
	}
	text, _ := SettingOf(found[path.Join(dataDir, conf)], "primary_conninfo")
	return major >= 13 || text == "service="+upstreamService, nil
}

// resolveService reads a connection string, and what the service file says where it names pgctl's service.
func (s *Server) resolveService(ctx context.Context, text string) (ConnInfo, error) {
	c, err := ParseConnInfo(text)
	if err != nil {
		return nil, fmt.Errorf("%s: primary_conninfo: %w", s.host.Name(), err)
	}
	if c["service"] != upstreamService {
		return c, nil
	}
	_, data, err := s.serviceFile(ctx)
	if err != nil {
		return nil, err
	}
	return serviceOf(data), nil
}

// serviceOf reads the section of pgctl's service; nil when there is none.
func serviceOf(text []byte) ConnInfo {
	var c ConnInfo
	inside := false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch key, value, ok := strings.Cut(line, "="); {
		case strings.HasPrefix(line, "["):
			if inside = line == "["+upstreamService+"]"; inside {
				c = ConnInfo{}
			}
		case inside && ok && !strings.HasPrefix(line, "#"):
			c[key] = value
		}
	}
	return c
}

// conf reads what of a data directory says how the server starts, in one command, by path, and the first part of its version: 9 for
// 9.3 to 9.6, else 10 and up.
func (s *Server) conf(ctx context.Context, dataDir string) (found map[string][]byte, major int, err error) {
	var paths []string
	for _, name := range []string{"PG_VERSION", "postgresql.auto.conf", "recovery.conf", "recovery.done", "standby.signal", "recovery.signal"} {
		paths = append(paths, path.Join(dataDir, name))
	}
	found, err = remote.ReadFiles(ctx, s.host, paths...)
	if err != nil {
		return nil, 0, err
	}
	text, _, _ := strings.Cut(strings.TrimSpace(string(found[paths[0]])), ".")
	if major, err = strconv.Atoi(text); err != nil {
		return nil, 0, fmt.Errorf("%s: %s/PG_VERSION says %q, expected a version such as 15", s.host.Name(), dataDir, found[paths[0]])
	}
	return found, major, nil
}

// owner is the server's operating system user and its login group, as chown(1) takes them.
func (s *Server) owner() string { return s.settings.osUser() + ":" }

// has tells whether every file is as it shall be.
func (s *Server) has(ctx context.Context, dataDir string, want func(major int) []file) (bool, error) {
	found, major, err := s.conf(ctx, dataDir)
	if err != nil {
		return false, err
	}
	for _, f := range want(major) {
		if !f.is(found) {
			return false, nil
		}
	}
	return true, nil
}

// is tells whether the file is as it shall be.
func (f file) is(found map[string][]byte) bool {
	data, there := found[f.path]
	if f.gone || !there {
		return there != f.gone
	}
	for _, s := range f.settings {
		if value, ok := SettingOf(data, s.Name); ok != (s.Value != nil) || ok && value != *s.Value {
			return false
		}
	}
	return true
}

// put writes the files that are not as they shall be, and removes those that shall not be there.
func (s *Server) put(ctx context.Context, dataDir string, want func(major int) []file) error {
	found, major, err := s.conf(ctx, dataDir)
	if err != nil {
		return err
	}
	for _, f := range want(major) {
		switch {
		case f.is(found):
		case f.gone:
			_, err = s.host.Run(ctx, remote.Script(`rm -f "$1" && sync -f "${1%/*}"`, f.path))
		default:
			data := []byte(f.head + withoutHead(string(found[f.path])))
			_, err = remote.WriteFile(ctx, s.host, f.path, WithSettings(data, f.settings), remote.WriteOptions{Mode: 0o600, Owner: s.owner()})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// ForgetRenewal takes the mark of a renewal away: the server has run since, and is no bare copy any more.
func (s *Server) ForgetRenewal(ctx context.Context, dataDir string) error {
	_, err := s.host.Run(ctx, remote.Script(`rm -f "$1/pgctl.renewed"`, dataDir))
	return err
}
