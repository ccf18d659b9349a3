package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/remote"
	"github.com/pgctl/pgctl/pkg/remote/remotetest"
)

func TestParseProgress(t *testing.T) {
	tests := []struct {
		line string
		want Progress
		ok   bool
	}{
		{"  12345/67890 kB (18%), 0/1 tablespace", Progress{Done: 12345 << 10, Total: 67890 << 10, Tablespaces: "0/1"}, true},
		{"2000/1000 kB (100%), 1/2 tablespaces (...global/pg_control    )", Progress{Done: 2000 << 10, Total: 2000 << 10, Tablespaces: "1/2"}, true},
		{" 73728/74352 kB (99%) copied", Progress{Done: 73728 << 10, Total: 74352 << 10}, true},
		{"pg_basebackup: initiating base backup, waiting for checkpoint to complete", Progress{}, false},
		{"99999999999999999999/1 kB (1%), 0/1 tablespace", Progress{}, false},
		{"", Progress{}, false},
	}
	for _, tt := range tests {
		if got, ok := parseProgress(tt.line); ok != tt.ok || got != tt.want {
			t.Errorf("%q: %+v, %t", tt.line, got, ok)
		}
	}
}

func FuzzParseProgress(f *testing.F) {
	f.Add("12345/67890 kB (18%), 0/1 tablespace")
	f.Fuzz(func(t *testing.T, line string) {
		if p, _ := parseProgress(line); p.Done < 0 || p.Total < p.Done {
			t.Errorf("%q: %+v", line, p)
		}
	})
}

// ofDB2 is a renewal that is said in full.
func ofDB2() Renewal {
	return Renewal{
		Method: MethodRewind, DataDir: "/srv/pg", Stamp: "20260102T030405Z", Upstream: ConnInfo{"host": "db1", "user": "r"},
		Master: "db1", SystemID: 77, Timeline: 2, Fork: 0x3000060, ForkTimeline: 1,
	}
}

func TestRenewalCheck(t *testing.T) {
	if err := ofDB2().check(); err != nil {
		t.Errorf("a renewal that is said in full: %v", err)
	}
	for name, change := range map[string]func(*Renewal){
		"method":     func(r *Renewal) { r.Method = "copy" },
		"relative":   func(r *Renewal) { r.DataDir = "srv/pg" },
		"root":       func(r *Renewal) { r.DataDir = "/" },
		"below root": func(r *Renewal) { r.DataDir = "/srv" },
		"dots":       func(r *Renewal) { r.DataDir = "/srv/../etc" },
		"slash":      func(r *Renewal) { r.DataDir = "/srv/pg/" },
		"stamp":      func(r *Renewal) { r.Stamp = "../20260102T030405Z" },
		"upstream":   func(r *Renewal) { r.Upstream = ConnInfo{"user": "r"} },
		"system":     func(r *Renewal) { r.SystemID = 0 },
		"timeline":   func(r *Renewal) { r.Timeline = 0 },
		"fork":       func(r *Renewal) { r.Fork = 0 },
	} {
		r := ofDB2()
		change(&r)
		if _, err := On(remotetest.NewFake(t, "db2"), Settings{}).Renew(t.Context(), r, nil, nil); err == nil {
			t.Errorf("%s: expected an error before the host is asked anything", name)
		}
	}
}

func TestServiceFile(t *testing.T) {
	r := ofDB2()
	r.Upstream = ConnInfo{"host": "db1", "password": `s3'c\r`, "application_name": "db2", "dbname": "x", "connect_timeout": "3"}
	got, err := r.serviceFile("db2")
	want := "[clone]\napplication_name=pgctl.clone.db2\nconnect_timeout=3\nhost=db1\nkeepalives_count=3\nkeepalives_idle=30\nkeepalives_interval=10\npassword=s3'c\\r\n"
	if err != nil || got != want {
		t.Errorf("%q, %v", got, err)
	}
	if r.Upstream["application_name"] != "db2" {
		t.Error("the caller's settings were changed")
	}
	for _, bad := range []string{"secret\nhost=evil", "secret "} {
		r.Upstream["password"] = bad
		if _, err := r.serviceFile("db2"); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// library runs a piece of shell with the functions that renewals have, on a data directory.
func library(t *testing.T, data, script string) (string, error) {
	t.Helper()
	local := remote.NewPool(remote.Options{LocalName: "here"}).Host("here")
	out, err := local.Run(t.Context(), remote.Script(renewScript+swapScript+"flush() { :; }\n"+script, data, "root", runProgram))
	return string(out.Stdout), err
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("files are given to another user: needs root")
	}
}

// files writes files below dir: a path, and what is in it; "-> TARGET" makes a symbolic link.
func files(t *testing.T, dir string, content map[string]string) {
	t.Helper()
	for name, text := range content {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			err = os.Symlink(target, path)
		} else {
			err = os.WriteFile(path, []byte(text), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// tree lists what is below dir, as files takes it.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var lines []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name := "./" + strings.TrimPrefix(path, dir+"/")
		if target, err := os.Readlink(path); err == nil {
			lines = append(lines, name+" -> "+target+"\n")
			return nil
		}
		text, err := os.ReadFile(path)
		lines = append(lines, name+" "+strings.TrimSuffix(string(text), "\n")+"\n")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(lines)
	return strings.ReplaceAll(strings.Join(lines, ""), dir, "DIR")
}

const stampA = "20260102T030405Z"

// TestSwap puts a copy in the place of the old data, with a tablespace and the WAL elsewhere, and is killed before every change that
// it makes, once before each. A second run always comes to the same end.
func TestSwap(t *testing.T) {
	needRoot(t)
	const killed = `
change() {
  read -r left <"$data.count"
  if [ "$left" -eq 0 ]; then kill -9 $$; exit 1; fi
  echo $((left - 1)) >"$data.count"
}
for program in mv rm rmdir mkdir ln; do eval "$program() { change; command $program \"\$@\"; }"; done
stamp=` + stampA + `
if [ -d "$new" ]; then swap; fi
`
	want := strings.TrimSpace(`
./main.pgctl-` + stampA + `/PG_VERSION 15
./main.pgctl-` + stampA + `/pg_tblspc/16384 -> DIR/ts/pgctl-` + stampA + `
./main.pgctl-` + stampA + `/pg_wal -> DIR/wal/pgctl-` + stampA + `
./main.pgctl-` + stampA + `/who old
./main/PG_VERSION 15
./main/pg_tblspc/16384 -> DIR/ts
./main/pg_tblspc/16385 -> DIR/ts2
./main/pg_wal -> DIR/wal
./main/pgctl.renewed mark
./main/who new
./ts/PG_13_2/who other
./ts/PG_15_1/who new
./ts/pgctl-` + stampA + `/PG_15_1/who old
./ts2/PG_15_1/who new
./ts2/pgctl-` + stampA + `/PG_15_1/who nobody
./wal/000000010000000000000001 new
./wal/pgctl-` + stampA + `/000000010000000000000001 old
./wal/pgctl-` + stampA + `/000000010000000000000002 old`)
	for step := 0; ; step++ {
		dir := t.TempDir()
		files(t, dir, map[string]string{
			"main/PG_VERSION": "15", "main/who": "old", "main/pg_tblspc/16384": "-> " + dir + "/ts", "main/pg_wal": "-> ../wal",
			"ts/PG_15_1/who": "old", "ts/PG_13_2/who": "other", "ts2/PG_15_1/who": "nobody",
			"wal/000000010000000000000001": "old", "wal/000000010000000000000002": "old",
			"main.pgctl-new/PG_VERSION": "15", "main.pgctl-new/who": "new", "main.pgctl-new/pgctl.renewed": "mark",
			"main.pgctl-new/pg_tblspc/16384": "-> " + dir + "/ts/pgctl-new", "main.pgctl-new/pg_tblspc/16385": "-> " + dir + "/ts2/pgctl-new",
			"main.pgctl-new/pg_wal":    "-> " + dir + "/wal/pgctl-new",
			"ts/pgctl-new/PG_15_1/who": "new", "ts2/pgctl-new/PG_15_1/who": "new", "wal/pgctl-new/000000010000000000000001": "new",
			"main.pgctl-conf/postgresql.conf": "own", "main.count": fmt.Sprintln(step),
		})
		_, errKilled := library(t, dir+"/main", killed)
		files(t, dir, map[string]string{"main.count": "1000\n"})
		if _, err := library(t, dir+"/main", killed); err != nil {
			t.Fatalf("after a crash before change %d: %v", step, err)
		}
		if err := errors.Join(os.RemoveAll(dir+"/main.count"), os.RemoveAll(dir+"/main.pgctl-conf")); err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimSpace(tree(t, dir)); got != want {
			t.Fatalf("after a crash before change %d:\n%s\nexpected\n%s", step, got, want)
		}
		if errKilled == nil {
			if step < 20 {
				t.Errorf("only %d changes were seen: are they all counted?", step)
			}
			return
		}
	}
}

func TestSwapRefusesTwo(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	files(t, dir, map[string]string{"main/PG_VERSION": "15", "main.pgctl-" + stampA + "/PG_VERSION": "15", "main.pgctl-new/PG_VERSION": "15"})
	before := tree(t, dir)
	if _, err := library(t, dir+"/main", "stamp="+stampA+"; swap"); err == nil || !strings.Contains(err.Error(), "are both there") {
		t.Errorf("two sets of old data under one name: %v", err)
	}
	if after := tree(t, dir); after != before {
		t.Errorf("something was changed:\n%s", after)
	}
}

// TestSwapKeepsWAL: the WAL that a rewind set aside before it broke off goes with the old data.
func TestSwapKeepsWAL(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	files(t, dir, map[string]string{
		"main.pgctl-rewinding/PG_VERSION": "15", "main.pgctl-" + stampA + "/000000010000000000000001": "lost", "main.pgctl-new/PG_VERSION": "15",
	})
	if _, err := library(t, dir+"/main", "stamp="+stampA+"; swap"); err != nil {
		t.Fatal(err)
	}
	want := "./main.pgctl-" + stampA + "/PG_VERSION 15\n./main.pgctl-" + stampA + "/pgctl.wal/000000010000000000000001 lost\n./main/PG_VERSION 15\n"
	if got := tree(t, dir); got != want {
		t.Errorf("got\n%s", got)
	}
}

// TestFinish: the configuration is the host's own, and what came with the copy and was the master's is gone.
func TestFinish(t *testing.T) {
	needRoot(t)
	masters := map[string]string{
		"new/postgresql.conf": "master", "new/pg_hba.conf": "master", "new/pg_ident.conf": "master", "new/conf.d/master.conf": "master",
		"new/postgresql.auto.conf": "master", "new/recovery.signal": "", "new/recovery.conf": "master", "new/pgctl.renewed": "the master's",
		"new/postmaster.opts": "master", "new/backup_label": "label", "new/pg_replslot/slot/state": "slot", "new/base/1/1": "data",
	}
	tests := []struct {
		name, version string
		old           map[string]string
		want          string
	}{
		{
			name: "own configuration", version: "15",
			old: map[string]string{
				"main/postgresql.conf": "include_dir 'conf.d'\ninclude = 'sub/own'\ninclude_if_exists = '/etc/else'\ninclude = '../x'\n",
				"main/pg_hba.conf":     "own", "main/conf.d/own.conf": "own", "main/sub/own": "own", "main/server.key": "-> /etc/ssl/key",
				"main/postgresql.auto.conf": "own", "main/recovery.conf": "own", "main/base/1/1": "old",
			},
			want: `./PG_VERSION 15
./backup_label label
./base/1/1 data
./conf.d/own.conf own
./pg_hba.conf own
./pg_ident.conf master
./postgresql.auto.conf own
./postgresql.conf include_dir 'conf.d'
include = 'sub/own'
include_if_exists = '/etc/else'
include = '../x'
./server.key -> /etc/ssl/key
./standby.signal 
./sub/own own
`,
		},
		{
			name: "none, and an old version", version: "10", old: map[string]string{"main/base/1/1": "old"},
			want: `./PG_VERSION 10
./backup_label label
./base/1/1 data
./conf.d/master.conf master
./pg_hba.conf master
./pg_ident.conf master
./postgresql.auto.conf 
./postgresql.conf master
./recovery.conf standby_mode = 'on'
recovery_target_timeline = 'latest'
`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			files(t, dir, masters)
			files(t, dir, tt.old)
			files(t, dir, map[string]string{"new/PG_VERSION": tt.version})
			if _, err := library(t, dir+"/main", `keep_conf "$data"; finish "${data%/*}/new"`); err != nil {
				t.Fatal(err)
			}
			if got := tree(t, dir+"/new"); got != tt.want {
				t.Errorf("got\n%s\nexpected\n%s", got, tt.want)
			}
		})
	}
}

// TestKeepConf: what was kept is taken again only while the data directory itself is not to be trusted.
func TestKeepConf(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	files(t, dir, map[string]string{"main/pg_hba.conf": "now", "main.pgctl-conf/pg_hba.conf": "kept"})
	for _, tt := range []struct{ marker, want string }{{"main.pgctl-copying", "kept"}, {"main.pgctl-rewinding", "kept"}, {"", "now"}} {
		if tt.marker != "" {
			files(t, dir, map[string]string{tt.marker: ""})
		}
		out, err := library(t, dir+"/main", `keep_conf "$data"; cat "$conf/pg_hba.conf"`)
		if err != nil || out != tt.want {
			t.Errorf("with %q: %q, %v", tt.marker, out, err)
		}
		_ = os.Remove(filepath.Join(dir, tt.marker))
	}
}

func TestMarked(t *testing.T) {
	r := ofDB2()
	mark, err := r.mark("db2", MethodClone)
	if err != nil || mark != `{"method":"clone","host":"db2","master":"db1","system_id":"77","timeline":2,"stamp":"20260102T030405Z"}` {
		t.Fatalf("%s, %v", mark, err)
	}
	again := r
	again.Stamp = "20260203T040506Z"
	tests := []struct {
		name   string
		change func(r *Renewal, host, method *string)
		want   string
	}{
		{"another run of the same", func(*Renewal, *string, *string) {}, stampA},
		{"of another host, with which the master was made", func(_ *Renewal, host, _ *string) { *host = "db1" }, "no"},
		{"by the other method", func(_ *Renewal, _, method *string) { *method = MethodRewind }, "no"},
		{"of another timeline", func(r *Renewal, _, _ *string) { r.Timeline = 3 }, "no"},
		{"of another cluster", func(r *Renewal, _, _ *string) { r.SystemID = 78 }, "no"},
		{"with a stamp that leads elsewhere", func(r *Renewal, _, _ *string) { r.Stamp = "../x" }, "no"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			there, host, method := r, "db2", MethodClone
			tt.change(&there, &host, &method)
			have, err := there.mark(host, method)
			if err != nil {
				t.Fatal(err)
			}
			want, err := again.mark("db2", MethodClone)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			files(t, dir, map[string]string{"main/pgctl.renewed": have + "\n"})
			out, err := library(t, dir+"/main", "if marked \"$data\" '"+want+"'; then echo \"$stamp\"; else echo no; fi")
			if err != nil || strings.TrimSpace(out) != tt.want {
				t.Errorf("got %q, %v", out, err)
			}
		})
	}
}

// TestStopped: nothing is done to a directory that somebody works in.
func TestStopped(t *testing.T) {
	dir := t.TempDir()
	files(t, dir, map[string]string{"main/postmaster.pid": "1\n"}) // another program's by now
	if _, err := library(t, dir+"/main", `stopped "$data"`); err != nil {
		t.Errorf("a stale postmaster.pid: %v", err)
	}
	inside := exec.CommandContext(t.Context(), "sleep", "60")
	inside.Dir = dir + "/main"
	if err := inside.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = inside.Process.Kill(); _ = inside.Wait() }()
	var exit *remote.ExitError
	_, err := library(t, dir+"/main", fmt.Sprintf(`user=%s; stopped "$data"`, "$(id -un)"))
	if !errors.As(err, &exit) || exit.Code != exitRefused || !strings.Contains(err.Error(), fmt.Sprintf("process %d (sleep)", inside.Process.Pid)) {
		t.Errorf("a process that works in it: %v", err)
	}
}

func TestLock(t *testing.T) {
	dir := t.TempDir()
	files(t, dir, map[string]string{"main/x": ""})
	if _, err := library(t, dir+"/main", `lock; (exec 9>&-; flock -n "$data.pgctl-lock" true) && exit 9; true`); err != nil {
		t.Errorf("the lock was not held: %v", err)
	}
	var exit *remote.ExitError
	_, err := library(t, dir+"/main", `exec 8>>"$data.pgctl-lock"; flock 8; lock`)
	if !errors.As(err, &exit) || exit.Code != exitRefused || !strings.Contains(err.Error(), "another renewal") {
		t.Errorf("a lock that another has: %v", err)
	}
}

func TestRefused(t *testing.T) {
	for code, hint := range map[int]string{exitRefused: "stop what is at work there", exitMount: "--reuse-space"} {
		var refusal *cluster.Refusal
		if err := refused(&failure{host: "db2", code: code, reason: "why"}); !errors.As(err, &refusal) || !strings.HasPrefix(refusal.Risks[0].Hint, hint) || err.Error() != "db2: why" {
			t.Errorf("code %d: %v", code, err)
		}
	}
	if err := refused(&failure{host: "db2", code: 1, reason: "why", said: "last words"}); err.Error() != "db2: why: last words" {
		t.Errorf("%v", err)
	}
}
