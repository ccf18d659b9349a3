package postgres

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// ownHere is a server of a user that every host has.
func ownHere(t *testing.T) *Own {
	t.Helper()
	needRoot(t)
	nobody(t)
	return OwnServer(nil, Settings{OSUser: "nobody"})
}

func TestOwnWrite(t *testing.T) {
	o := ownHere(t)
	dir := t.TempDir()
	files(t, dir, map[string]string{"old": "old", "link": "-> old", "folder/x": ""})
	must(t, os.Chown(dir+"/old", 12345, 54321))
	must(t, os.Chmod(dir+"/old", 0o604))
	who := nobody(t)
	for name, want := range map[string]struct {
		uid  uint32
		mode os.FileMode
	}{"new": {uint32(who.uid), 0o640}, "link": {12345, 0o604}} {
		must(t, o.write(dir+"/"+name, []byte("new"), 0o640))
		info, err := os.Stat(dir + "/" + name)
		must(t, err)
		if text, err := os.ReadFile(dir + "/" + name); err != nil || string(text) != "new" || info.Mode().Perm() != want.mode || info.Sys().(*syscall.Stat_t).Uid != want.uid {
			t.Errorf("%s: %q, %v of %d, %v", name, text, info.Mode(), info.Sys().(*syscall.Stat_t).Uid, err)
		}
	}
	if target, err := os.Readlink(dir + "/link"); err != nil || target != "old" {
		t.Errorf("the link became %q, %v", target, err)
	}
	for _, bad := range []string{dir + "/folder", dir + "/none/file"} {
		if err := o.write(bad, nil, 0o600); err == nil {
			t.Errorf("%s was written", bad)
		}
	}
	left, err := filepath.Glob(dir + "/.pgctl-new-*")
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestOwnPut(t *testing.T) {
	o := ownHere(t)
	dir := t.TempDir()
	files(t, dir, map[string]string{"auto": "# Do not edit\na = 'x'\nb = 'y'\n", "gone": ""})
	want := []file{
		{path: dir + "/auto", settings: []Setting{{"b", new("z")}}},
		{path: dir + "/gone", gone: true},
		{path: dir + "/signal", head: watchComment},
	}
	for _, changes := range []bool{true, false} {
		if changed, err := o.put(want...); err != nil || changed != changes {
			t.Errorf("changed %t, %v", changed, err)
		}
	}
	got := tree(t, dir)
	if got != "./auto # Do not edit\na = 'x'\nb = 'z'\n./signal "+watchComment {
		t.Errorf("%s", got)
	}
	// recovery.conf gets its comment once
	signal := file{path: dir + "/signal", head: watchComment, settings: []Setting{{"standby_mode", new("on")}}}
	for _, value := range []string{"on", "off"} {
		signal.settings[0].Value = &value
		if _, err := o.put(signal); err != nil {
			t.Fatal(err)
		}
	}
	if text, _ := os.ReadFile(dir + "/signal"); string(text) != watchComment+"standby_mode = 'off'\n" || strings.Count(string(text), "#") != 2 {
		t.Errorf("%s", text)
	}
}

func TestGated(t *testing.T) {
	dir := t.TempDir()
	files(t, dir, map[string]string{"12/standby.signal": "", "10/recovery.conf": "standby_mode = 'on'\n", "pitr/recovery.conf": "restore_command = 'cp'\n", "no/recovery.conf": "standby_mode = of\n"})
	for name, want := range map[string]bool{"12": true, "10": true, "pitr": false, "no": false, "none": false} {
		major := 10
		if name == "12" {
			major = 12
		}
		if gate, _, err := gated(dir+"/"+name, major); err != nil || gate != want {
			t.Errorf("%s: %t, %v", name, gate, err)
		}
	}
	if gate, _, err := gated(dir+"/10", 15); gate || err != nil {
		t.Errorf("recovery.conf from 12 on: %t, %v", gate, err)
	}
}

func TestUnit(t *testing.T) {
	for dir, want := range map[string]string{
		"/var/lib/postgresql/15/main": "postgresql@15-main.service", "/opt/postgresql/data": "postgresql.service", "/var/lib/postgresql/15": "postgresql.service",
	} {
		if got := OwnServer(nil, Settings{}).unit(dir); got != want {
			t.Errorf("%s: %s", dir, got)
		}
	}
	if got := OwnServer(nil, Settings{Service: "pg.service"}).unit("/var/lib/postgresql/15/main"); got != "pg.service" {
		t.Error(got)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
