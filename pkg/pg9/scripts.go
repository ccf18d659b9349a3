package pg9

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// Where the site has its scripts, and what of them pgctl names (the operators' guide, "PG 9.X").
const (
	BinDir          = "/var/lib/postgresql/bin"
	Utils           = BinDir + "/utils.sh"
	ConfigureMaster = BinDir + "/configure_master.sh"
	ConfigureSlave  = BinDir + "/configure_slave.sh"
	BaseBackup      = BinDir + "/base_backup.sh"
	PostFailover    = BinDir + "/post_failover.sh"
	Marker          = BinDir + "/auto_post_failover.done" // says that the three scripts are edited
	HostsFile       = "/pitrix/ks/pgserver/conf/pgserver_hosts"
	BackupSuffix    = ".bak"
	TriggerFile     = "/tmp/postgres-failover.trigger"
)

// Edited are the scripts that the fixup edits.
var Edited = []string{ConfigureMaster, ConfigureSlave, PostFailover}

// installer is the function of utils.sh whose calls in the configure scripts the fixup removes: the robot is installed once, with both hosts,
// and no longer by whatever the robot itself runs.
const installer = "install_failover_cron"

var (
	// call is a line that does nothing but call it, or a comment.
	call = regexp.MustCompile(`^[ \t]*(#.*|` + installer + `([ \t]+[^;&|<>()` + "`" + `\\]*)?)$`)
	// restart is the line that has a pool's host restart pgpool.
	restart = regexp.MustCompile(`^([ \t]*)(ssh[ \t]+(?:-[^ \t"']+[ \t]+(?:[A-Za-z]+=[^ \t"']+[ \t]+)?)*root@(?:\$pgpool_server|\$\{pgpool_server\}|"\$pgpool_server"|"\$\{pgpool_server\}")[ \t]+)(["'])service pgpool2 (restart|start)(["'])([ \t]*(?:#.*)?)$`)
	// stop and sockets are the lines that the fixup puts before it; the old script's are not indented, and let rm complain.
	stop    = regexp.MustCompile(`^[ \t]*ssh[ \t].*root@"?\$\{?pgpool_server\}?"?[ \t]+["']pgpool -m fast stop["']`)
	sockets = regexp.MustCompile(`^[ \t]*ssh[ \t].*root@"?\$\{?pgpool_server\}?"?[ \t]+["']rm (-f )?/var/lib/pgpool/\.s\.PGSQL\.\*["']`)
)

// Fixed is what the fixup makes of a script of Edited; the same bytes where it has been done, by pgctl or by the guide's
// auto_failover.sh. A script that does not look as expected is an error, and must not be edited.
func Fixed(path string, data []byte) ([]byte, error) {
	if err := isShell(path, data); err != nil {
		return nil, err
	}
	fix := fixConfigure
	if path == PostFailover {
		fix = fixPostFailover
	}
	fixed, err := fix(path, lines(data))
	if err != nil {
		return nil, err
	}
	out := []byte(strings.Join(fixed, ""))
	if err := isShell(path, out); err != nil { // the call was all that an if had, say
		return nil, fmt.Errorf("the edit of %s would leave no valid script, so it is not edited: %w", path, err)
	}
	return out, nil
}

// IsFixed tells whether the fixup would change nothing.
func IsFixed(path string, data []byte) bool {
	fixed, err := Fixed(path, data)
	return err == nil && bytes.Equal(fixed, data)
}

// Calls tells whether a script installs the robot.
func Calls(data []byte) bool {
	return slices.ContainsFunc(lines(data), func(line string) bool {
		return strings.Contains(line, installer) && !strings.HasPrefix(strings.TrimSpace(line), "#")
	})
}

func lines(data []byte) []string { return slices.Collect(strings.Lines(string(data))) }

// isShell: it has a line that names a shell first, and is bash's grammar.
func isShell(path string, data []byte) error {
	first, _, _ := strings.Cut(string(data), "\n")
	if !strings.HasPrefix(first, "#!") || !strings.Contains(first, "sh") {
		return fmt.Errorf("%s:1: expected a shell script, found %q; put the site's own script back first", path, strings.TrimSpace(first))
	}
	if _, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(bytes.NewReader(data), path); err != nil {
		return fmt.Errorf("it is no valid shell script (%w); put the site's own script back first", err)
	}
	return nil
}

// fixConfigure takes the lines out that install the robot.
func fixConfigure(path string, text []string) ([]string, error) {
	var out []string
	for i, line := range text {
		switch {
		case !strings.Contains(line, installer):
			out = append(out, line)
		case !call.MatchString(strings.TrimRight(line, "\r\n")) || i > 0 && strings.HasSuffix(strings.TrimRight(text[i-1], "\r\n"), "\\"):
			return nil, fmt.Errorf("%s:%d: expected a line that only calls %s, found %q; it is not edited: see what the site changed", path, i+1, installer, strings.TrimSpace(line))
		}
	}
	return out, nil
}

// fixPostFailover has each pool's pgpool stopped fast, and its stale sockets removed, before it is started rather than restarted.
func fixPostFailover(path string, text []string) ([]string, error) {
	var out []string
	found := 0
	for i, line := range text {
		if !mentions(line) {
			out = append(out, line)
			continue
		}
		body := strings.TrimRight(line, "\r\n")
		m := restart.FindStringSubmatch(body)
		if m == nil || m[3] != m[5] || i > 0 && strings.HasSuffix(strings.TrimRight(text[i-1], "\r\n"), "\\") {
			return nil, fmt.Errorf(`%s:%d: expected ssh root@${pgpool_server} "service pgpool2 restart", found %q; it is not edited: see what the site changed`, path, i+1, strings.TrimSpace(line))
		}
		found++
		before := i >= 2 && stop.MatchString(text[i-2]) && sockets.MatchString(text[i-1])
		if m[4] == "start" {
			if !before {
				return nil, fmt.Errorf("%s:%d: pgpool is started, but not stopped and cleared before; it is not edited: see what the site changed", path, i+1)
			}
			out = append(out, line)
			continue
		}
		if !before {
			end := line[len(body):]
			out = append(out, m[1]+m[2]+m[3]+"pgpool -m fast stop"+m[3]+end, m[1]+m[2]+m[3]+"rm -f /var/lib/pgpool/.s.PGSQL.*"+m[3]+end)
		}
		out = append(out, m[1]+m[2]+m[3]+"service pgpool2 start"+m[3]+m[6]+line[len(body):])
	}
	if found == 0 {
		return nil, fmt.Errorf(`%s: expected a line with ssh root@${pgpool_server} "service pgpool2 restart", found none; it is not edited: see what the site changed`, path)
	}
	return out, nil
}

// mentions: a line that restarts or starts pgpool and is no comment.
func mentions(line string) bool {
	return (strings.Contains(line, "service pgpool2 restart") || strings.Contains(line, "service pgpool2 start")) && !strings.HasPrefix(strings.TrimSpace(line), "#")
}

// ByOldScript tells whether a fixed post_failover.sh was made so by the guide's auto_failover.sh and not by pgctl: that one removes the
// sockets without -f, at the beginning of the line.
func ByOldScript(data []byte) bool {
	return slices.ContainsFunc(lines(data), func(line string) bool {
		m := sockets.FindStringSubmatch(line)
		return m != nil && m[1] == ""
	})
}
