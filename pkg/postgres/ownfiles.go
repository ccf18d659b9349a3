package postgres

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// Where data directories are: the site's, and Debian's clusters.
const (
	siteData   = "/opt/postgresql/data"
	debianData = "/var/lib/postgresql"
	debianConf = "/etc/postgresql"
)

// dataDir finds the data directory by the rules of pg_locate (locate.sh), without a process.
func (o *Own) dataDir() (string, error) {
	dir := o.settings.DataDir
	if dir == "" && (isFile(siteData+"/PG_VERSION") || unfinished(siteData)) {
		dir = siteData
	}
	if dir == "" {
		var err error
		if dir, err = debianCluster(debianData, debianConf); err != nil {
			return "", fmt.Errorf("%s: %w", o.host.Name(), err)
		}
	}
	if dir == "" || !isDir(dir) && !unfinished(dir) {
		return "", fmt.Errorf("%s: %w", o.host.Name(), errNoData)
	}
	return dir, nil
}

// errNoData is returned on a host that has no data directory.
var errNoData = errors.New("no PostgreSQL data directory on this host")

// debianCluster is the one cluster of Debian's: of several the one that runs, else the one that is configured; "" none.
func debianCluster(data, conf string) (string, error) {
	found, err := filepath.Glob(data + "/*/*")
	if err != nil {
		return "", err
	}
	seen := map[string]bool{}
	var all []string
	for _, dir := range found {
		base, suffix, aside := strings.Cut(dir, ".pgctl-")
		switch {
		case aside && suffix != "rewinding" && suffix != "new" && suffix != "copying":
			continue
		case aside:
			dir = base
		case !isFile(dir + "/PG_VERSION"):
			continue
		}
		if seen[dir] {
			continue
		}
		seen[dir] = true
		all = append(all, dir)
	}
	if len(all) == 1 { // as nearly everywhere: nothing to choose
		return all[0], nil
	}
	var running, configured []string
	for _, dir := range all {
		if isDir(conf + strings.TrimPrefix(dir, data)) {
			configured = append(configured, dir)
		}
		if pm, err := readPostmaster(dir); err == nil && pm.running() {
			running = append(running, dir)
		}
	}
	for _, choice := range [][]string{running, configured, all} {
		switch len(choice) {
		case 0:
		case 1:
			return choice[0], nil
		default:
			return "", fmt.Errorf("several PostgreSQL clusters on this host: %s", strings.Join(choice, " "))
		}
	}
	return "", nil
}

// unfinished tells whether a renewal of the data directory was broken off: the directory itself may not be there then.
func unfinished(dir string) bool {
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	for _, suffix := range []string{".pgctl-rewinding", ".pgctl-new", ".pgctl-copying"} {
		if _, err := os.Lstat(dir + suffix); err == nil {
			return true
		}
	}
	return false
}

func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

func isDir(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

// readIfThere reads a file, nil where there is none. One that is no regular file, or larger than any of PostgreSQL's configuration, is an error.
func readIfThere(name string) ([]byte, error) {
	const limit = 16 << 20
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular() || info.Size() > limit:
		return nil, fmt.Errorf("%s: %s of %d bytes is not a file to read", name, info.Mode(), info.Size())
	}
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if data == nil && err == nil {
		data = []byte{}
	}
	return data, err
}

// postmaster is what postmaster.pid says (PostgreSQL source, pidfile.h), and what the process table says of that process.
type postmaster struct {
	dataDir   string
	pid       int // 0: there is no such file
	started   time.Time
	port      int
	socketDir string
	listen    string
	status    string // "starting", "standby", "ready", "stopping"; from 10 on
}

// postmaster finds the server and reads its postmaster.pid.
func (o *Own) postmaster() (postmaster, error) {
	dir, err := o.dataDir()
	if err != nil {
		return postmaster{}, err
	}
	pm, err := readPostmaster(dir)
	if err != nil {
		return pm, err
	}
	if pm.pid == 0 || !pm.running() {
		return pm, fmt.Errorf("%s: PostgreSQL is not running in %s", o.host.Name(), dir)
	}
	if o.settings.Port != 0 {
		pm.port = o.settings.Port
	}
	return pm, nil
}

// readPostmaster reads the file. One that is being written is read as far as it goes.
func readPostmaster(dir string) (postmaster, error) {
	pm := postmaster{dataDir: dir}
	data, err := readIfThere(dir + "/postmaster.pid")
	if err != nil || data == nil {
		return pm, err
	}
	lines := append(strings.Split(string(data), "\n"), make([]string, 8)...)
	if pm.pid, err = strconv.Atoi(strings.TrimSpace(lines[0])); err != nil {
		return pm, fmt.Errorf("%s/postmaster.pid says %q: expected a process id", dir, lines[0])
	}
	if at, err := strconv.ParseInt(strings.TrimSpace(lines[2]), 10, 64); err == nil {
		pm.started = time.Unix(at, 0)
	}
	pm.port, _ = strconv.Atoi(strings.TrimSpace(lines[3]))
	pm.socketDir, pm.listen, pm.status = lines[4], lines[5], strings.TrimSpace(lines[7])
	return pm, nil
}

// running tells whether that process is there and has this data directory as its working directory, as every process of a server has. A
// number may be another process's by now. A process that has ended and was not waited for does not run.
func (pm postmaster) running() bool {
	return pm.pid > 0 && isOf(pm.pid, pm.dataDir)
}

// isOf tells whether a process is a PostgreSQL process of the data directory that has not ended.
func isOf(pid int, dataDir string) bool {
	cwd, err := os.Stat(fmt.Sprintf("/proc/%d/cwd", pid))
	if err != nil {
		return false
	}
	data, err := os.Stat(dataDir)
	p := stat(pid)
	return err == nil && os.SameFile(cwd, data) && (p.comm == "postgres" || p.comm == "postmaster") && p.lives()
}

func lives(pid int) bool { return stat(pid).lives() }

// procStat is the part of /proc/PID/stat that is needed (proc(5)); empty where there is no such process.
type procStat struct {
	comm, state string
	parent      int
	began       time.Duration // since boot
}

func (p procStat) lives() bool { return p.state != "" && p.state != "Z" && p.state != "X" }

func stat(pid int) procStat {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	open, end := bytes.IndexByte(data, '('), bytes.LastIndexByte(data, ')')
	if err != nil || open < 0 || end < open {
		return procStat{}
	}
	fields := strings.Fields(string(data[end+1:]))
	if len(fields) < 2 {
		return procStat{}
	}
	parent, _ := strconv.Atoi(fields[1])
	s := procStat{comm: string(data[open+1 : end]), state: fields[0], parent: parent}
	if len(fields) > startField {
		ticks, _ := strconv.ParseInt(fields[startField], 10, 64)
		s.began = time.Duration(ticks) * tick
	}
	return s
}

// The start of a process is the 20th field after its name, in ticks of a hundredth of a second since boot on every architecture that Go knows
// (proc(5), starttime; sysconf(3), _SC_CLK_TCK).
const (
	startField = 19
	tick       = time.Second / 100
)

// pidsOf are the process ids that are there.
func pidsOf() []int {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	var all []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			all = append(all, pid)
		}
	}
	return all
}

// processes are those of the server on a data directory that have not ended.
func processes(dataDir string) []int {
	var all []int
	for _, pid := range pidsOf() {
		if isOf(pid, dataDir) {
			all = append(all, pid)
		}
	}
	return all
}

// child is a process of a running server and its title.
type child struct {
	pid   int
	title string
}

// children are the processes that the postmaster has started and that have not ended.
func (pm postmaster) children() []child {
	var all []child
	for _, pid := range pidsOf() {
		if p := stat(pid); p.parent != pm.pid || p.state == "Z" {
			continue
		}
		all = append(all, child{pid, titleOf(pid)})
	}
	return all
}

// titleOf is what a process calls itself; "" where there is none.
func titleOf(pid int) string {
	title, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return strings.TrimSpace(strings.ReplaceAll(string(title), "\x00", " "))
}

// readControl reads the head of pg_control, which is written in one sector.
func readControl(dataDir string) (*cluster.DataDir, error) {
	f := Facts{Data: &cluster.DataDir{}}
	file, err := os.Open(dataDir + "/global/pg_control")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	head := make([]byte, 80)
	if _, err := io.ReadFull(file, head); err != nil {
		return nil, fmt.Errorf("%s: %w", file.Name(), err)
	}
	return f.Data, f.readControl(head)
}

// majorOf reads PG_VERSION: 9 for 9.3 to 9.6, else 10 and up.
func majorOf(dataDir string) (int, error) {
	data, err := os.ReadFile(dataDir + "/PG_VERSION")
	if err != nil {
		return 0, err
	}
	text, _, _ := strings.Cut(strings.TrimSpace(string(data)), ".")
	major, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("%s/PG_VERSION says %q, expected a version such as 15", dataDir, data)
	}
	return major, nil
}

// servicePath is the service file of the server's operating system user.
func (o *Own) servicePath() (string, error) {
	if o.service != "" {
		return o.service, nil
	}
	u, err := user.Lookup(o.settings.osUser())
	if err != nil || u.HomeDir == "" {
		return "", errors.Join(fmt.Errorf("%s: the operating system user %s has no home directory", o.host.Name(), o.settings.osUser()), err)
	}
	return path.Join(u.HomeDir, ".pg_service.conf"), nil
}

// configFiles are the files that say how the server is configured, the last one counting: its postgresql.conf, which Debian has in /etc and which the
// command line of its last start names (postmaster.opts), and postgresql.auto.conf. Include directives are not followed.
func configFiles(dataDir string) (paths []string) {
	main := path.Join(dataDir, "postgresql.conf")
	if named, ok := optionOf(dataDir, "config_file"); ok {
		main = named
	} else if rest, ok := strings.CutPrefix(dataDir, debianData); ok && !isFile(main) {
		main = debianConf + rest + "/postgresql.conf"
	}
	return []string{main, path.Join(dataDir, "postgresql.auto.conf")}
}

// optionOf is a setting on the command line of the server's last start.
func optionOf(dataDir, name string) (value string, ok bool) {
	data, _ := os.ReadFile(path.Join(dataDir, "postmaster.opts"))
	for _, word := range strings.Split(string(data), `"`) { // each is quoted (source: CreateOptsFile)
		word = strings.TrimPrefix(strings.TrimPrefix(word, "-c"), "--")
		if v, found := strings.CutPrefix(strings.TrimSpace(word), name+"="); found {
			value, ok = v, true
		}
	}
	return value, ok
}

// configured is a setting as the files give it, the command line first.
func configured(dataDir, name string) (string, error) {
	if value, ok := optionOf(dataDir, name); ok {
		return value, nil
	}
	value := ""
	for _, file := range configFiles(dataDir) {
		data, err := readIfThere(file)
		if err != nil {
			return "", err
		}
		if v, ok := SettingOf(data, name); ok {
			value = v
		}
	}
	return value, nil
}

// hbaPath is where pg_hba.conf is: as PostgreSQL last said, else as its files say.
func (o *Own) hbaPath(dataDir string) (string, error) {
	o.mu.Lock()
	known := o.hbaFile
	o.mu.Unlock()
	if known != "" {
		return known, nil
	}
	name, err := configured(dataDir, "hba_file")
	switch {
	case err != nil:
		return "", err
	case name == "":
		return path.Join(dataDir, "pg_hba.conf"), nil
	case !path.IsAbs(name):
		return path.Join(dataDir, name), nil // the server's working directory
	}
	return name, nil
}
