package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// supervisorctl stands in for supervisor's: pg_watcher runs, and is taken whenever it is added.
const supervisorctl = "#!/bin/sh\ncase $1 in status) echo 'pg_watcher RUNNING pid 7, uptime 0:00:01' ;; add) echo 'pg_watcher: added process group' ;; esac\n"

// TestReplaceAndRestore runs the scripts here: what is kept is moved as it was, a second run of either does no harm, and
// nothing but the files is touched when they are put back.
func TestReplaceAndRestore(t *testing.T) {
	dir := t.TempDir()
	conf, kept := filepath.Join(dir, "conf d", "old watcher.conf"), filepath.Join(dir, "state", "replaced")
	put := func(path, text string, mode os.FileMode) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	run := func(script string, args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "/bin/sh", append([]string{"-c", script, "sh"}, args...)...)
		cmd.Env = []string{"PATH=" + filepath.Join(dir, "bin") + ":" + os.Getenv("PATH")}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	put(filepath.Join(dir, "bin", "supervisorctl"), supervisorctl, 0o755)
	put(conf, foreignConf+"\r\n\xb0", 0o640)
	old := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	if err := os.Chtimes(conf, old, old); err != nil {
		t.Fatal(err)
	}
	run(replaceScript, kept, conf)
	run(replaceScript, kept, conf)
	if _, err := os.Stat(conf); err == nil {
		t.Error("it is still there")
	}
	if err := os.Chmod(filepath.Dir(conf), 0o711); err != nil {
		t.Fatal(err)
	}
	run(restoreScript, kept)
	text, err := os.ReadFile(conf)
	info, errStat := os.Stat(conf)
	if err != nil || errStat != nil || string(text) != foreignConf+"\r\n\xb0" || info.Mode().Perm() != 0o640 || !info.ModTime().Equal(old) {
		t.Errorf("%q, %+v, %v", text, info, err)
	}
	if info, err := os.Stat(filepath.Dir(conf)); err != nil || info.Mode().Perm() != 0o711 {
		t.Errorf("the folder was changed: %v, %v", info, err)
	}
	if _, err := os.Stat(filepath.Dir(kept)); err == nil {
		t.Error("what was kept is still there")
	}
	run(replaceScript, kept) // one that runs, and whose configuration is gone
	if _, err := os.Stat(kept); err == nil {
		t.Error("nothing is to be kept")
	}
}
