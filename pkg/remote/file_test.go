package remote_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgctl/pgctl/pkg/remote"
	"github.com/pgctl/pgctl/pkg/remote/remotetest"
)

const suffix = ".pgctl-20261122T101112Z"

// names are the files of a folder.
func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return strings.Join(list, " ")
}

func mustWrite(t *testing.T, path, content string, mode fs.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func content(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestReadFile(t *testing.T) {
	onBoth(t, func(t *testing.T, h remote.Host) {
		dir := t.TempDir()
		path := filepath.Join(dir, "it's a file")
		binary := "\x00\xff\n\n"
		mustWrite(t, path, binary, 0o600)
		if got, err := remote.ReadFile(t.Context(), h, path); err != nil || string(got) != binary {
			t.Errorf("read %q, %v", got, err)
		}
		_, err := remote.ReadFile(t.Context(), h, dir+"/none")
		if !errors.Is(err, fs.ErrNotExist) || err.Error() != h.Name()+": "+dir+"/none: file does not exist" {
			t.Errorf("missing file: %v", err)
		}
		if _, err := remote.ReadFile(t.Context(), h, dir); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("folder: %v", err)
		}
		if _, err := remote.ReadFile(t.Context(), h, "relative"); err == nil {
			t.Error("relative path read")
		}
	})
}

func TestWriteFileNew(t *testing.T) {
	onBoth(t, func(t *testing.T, h remote.Host) {
		dir := t.TempDir()
		path := filepath.Join(dir, "new 'file'")
		data := bytes.Repeat([]byte{0, 1, 0xff, '\n'}, 50000)
		backup, err := remote.WriteFile(t.Context(), h, path, data, remote.WriteOptions{Mode: 0o640, BackupSuffix: suffix})
		if err != nil || backup != "" {
			t.Fatalf("backup %q, %v", backup, err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o640 || content(t, path) != string(data) {
			t.Errorf("%v, %v", info, err)
		}
		if got := names(t, dir); got != "new 'file'" {
			t.Errorf("left behind: %s", got)
		}
		if _, err := remote.WriteFile(t.Context(), h, dir+"/empty", nil, remote.WriteOptions{}); err != nil {
			t.Error(err)
		}
		if info, err := os.Stat(dir + "/empty"); err != nil || info.Size() != 0 || info.Mode().Perm() != 0o644 {
			t.Errorf("%v, %v", info, err)
		}
	})
}

func TestWriteFileKeepsModeAndOwner(t *testing.T) {
	onBoth(t, func(t *testing.T, h remote.Host) {
		dir := t.TempDir()
		path := filepath.Join(dir, "conf")
		mustWrite(t, path, "old", 0o604)
		owner := os.Getuid()
		if owner == 0 {
			owner = 12345
			if err := os.Chown(path, owner, 54321); err != nil {
				t.Fatal(err)
			}
		}
		opt := remote.WriteOptions{Mode: 0o600, BackupSuffix: suffix}
		backup, err := remote.WriteFile(t.Context(), h, path, []byte("new"), opt)
		if err != nil || backup != path+suffix {
			t.Fatalf("backup %q, %v", backup, err)
		}
		for path, want := range map[string]string{path: "new", backup: "old"} {
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if got := content(t, path); got != want {
				t.Errorf("%s holds %q", path, got)
			}
			if info.Mode().Perm() != 0o604 || int(info.Sys().(*syscall.Stat_t).Uid) != owner {
				t.Errorf("%s: %v of %d", path, info.Mode(), info.Sys().(*syscall.Stat_t).Uid)
			}
		}
		// The oldest backup of a name stays.
		if _, err := remote.WriteFile(t.Context(), h, path, []byte("newer"), opt); err != nil {
			t.Fatal(err)
		}
		if content(t, backup) != "old" || content(t, path) != "newer" {
			t.Error("the first backup was replaced")
		}
		if got := names(t, dir); got != "conf conf"+suffix {
			t.Errorf("left behind: %s", got)
		}
	})
}

func TestWriteFileFollowsLink(t *testing.T) {
	onBoth(t, func(t *testing.T, h remote.Host) {
		dir, other := t.TempDir(), t.TempDir()
		mustWrite(t, other+"/real", "old", 0o600)
		if err := os.Symlink(other+"/real", dir+"/link"); err != nil {
			t.Fatal(err)
		}
		backup, err := remote.WriteFile(t.Context(), h, dir+"/link", []byte("new"), remote.WriteOptions{BackupSuffix: suffix})
		if err != nil || backup != other+"/real"+suffix {
			t.Fatalf("backup %q, %v", backup, err)
		}
		if to, err := os.Readlink(dir + "/link"); err != nil || to != other+"/real" {
			t.Errorf("the link is gone: %s, %v", to, err)
		}
		if content(t, other+"/real") != "new" || content(t, backup) != "old" {
			t.Error("the target was not replaced")
		}
	})
}

func TestWriteFileFailureLeavesTheOld(t *testing.T) {
	onBoth(t, func(t *testing.T, h remote.Host) {
		dir := t.TempDir()
		_, err := remote.WriteFile(t.Context(), h, dir+"/no/such/file", []byte("x"), remote.WriteOptions{})
		if want := h.Name() + ": write " + dir + "/no/such/file: exit code 1: no such directory, or a loop of links"; err == nil || err.Error() != want {
			t.Errorf("%v, want\n%s", err, want)
		}
		if _, err := remote.WriteFile(t.Context(), h, dir, []byte("x"), remote.WriteOptions{}); err == nil {
			t.Error("a folder was written")
		}
		_, err = remote.WriteFile(t.Context(), h, dir+"/owned", []byte("x"), remote.WriteOptions{Owner: "no-such-user-here"})
		if err == nil || names(t, dir) != "" {
			t.Errorf("%v; left behind: %s", err, names(t, dir))
		}
	})
}

// shortHost loses the connection half-way through the input of a command.
type shortHost struct{ remote.Host }

func (h shortHost) Run(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	cmd.Stdin = strings.NewReader("hal")
	return h.Host.Run(ctx, cmd)
}

func TestWriteFileTakesNoHalfFile(t *testing.T) {
	onBoth(t, func(t *testing.T, h remote.Host) {
		dir := t.TempDir()
		mustWrite(t, dir+"/conf", "old", 0o600)
		_, err := remote.WriteFile(t.Context(), shortHost{h}, dir+"/conf", []byte("half"), remote.WriteOptions{BackupSuffix: suffix})
		if err == nil || !strings.HasSuffix(err.Error(), "only 3 of 4 bytes arrived") {
			t.Errorf("error %v", err)
		}
		if content(t, dir+"/conf") != "old" || names(t, dir) != "conf" {
			t.Errorf("left behind: %s", names(t, dir))
		}
	})
}

func TestWriteFileCutOff(t *testing.T) {
	server := remotetest.NewSite(t, 1, nil)
	h := server.Pool(t).Host("h001")
	if _, err := h.Run(t.Context(), remote.Script("true")); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	mustWrite(t, dir+"/conf", "old", 0o600)
	done := make(chan error)
	go func() {
		_, err := remote.WriteFile(t.Context(), h, dir+"/conf", make([]byte, 200<<20), remote.WriteOptions{})
		done <- err
	}()
	for end := time.Now().Add(20 * time.Second); names(t, dir) == "conf" && time.Now().Before(end); { // until it has begun
		time.Sleep(time.Millisecond)
	}
	server.Servers[0].Drop()
	var gone *remote.Unreachable
	if err := <-done; !errors.As(err, &gone) {
		t.Errorf("error %v", err)
	}
	time.Sleep(300 * time.Millisecond) // for the script to notice
	if content(t, dir+"/conf") != "old" || names(t, dir) != "conf" {
		t.Errorf("left behind: %s", names(t, dir))
	}
}
