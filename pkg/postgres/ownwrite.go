package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/pgctl/pgctl/pkg/remote"
)

// write replaces a file, or makes it with the mode, of the server's operating system user: completed and flushed beside it, with the old file's mode and
// owner, and renamed over it, so that it is the old one or the new one at every moment. Of a symbolic link the target is replaced. It is remote.WriteFile
// without a process, for a machine on which none can be started any more.
func (o *Own) write(name string, data []byte, mode fs.FileMode) error {
	target, err := filepath.EvalSymlinks(name)
	if errors.Is(err, fs.ErrNotExist) {
		target = name
	} else if err != nil {
		return err
	}
	uid, gid := -1, -1
	info, err := os.Stat(target)
	switch {
	case err == nil && !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a regular file", target)
	case err == nil:
		mode = info.Mode().Perm()
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			uid, gid = int(st.Uid), int(st.Gid)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	default:
		if uid, gid, err = o.owner(); err != nil {
			return err
		}
	}
	return replace(target, data, mode, uid, gid)
}

// replace does it; a failure before the rename leaves the old file and nothing else.
func replace(target string, data []byte, mode fs.FileMode, uid, gid int) (err error) {
	dir := filepath.Dir(target)
	file, err := os.CreateTemp(dir, ".pgctl-new-*")
	if err != nil {
		return err
	}
	defer func() {
		file.Close()
		if err != nil {
			_ = os.Remove(file.Name())
		}
	}()
	if _, err := file.Write(data); err != nil {
		return err
	}
	if os.Geteuid() == 0 {
		if err := file.Chown(uid, gid); err != nil {
			return err
		}
	}
	if err := errors.Join(file.Chmod(mode), file.Sync()); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), target); err != nil {
		return err
	}
	return syncDir(dir)
}

func syncDir(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// owner is the server's operating system user and its group.
func (o *Own) owner() (uid, gid int, err error) {
	u, err := user.Lookup(o.settings.osUser())
	if err != nil {
		return 0, 0, err
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	return uid, gid, errors.Join(err1, err2)
}

// remove removes a file for good.
func remove(name string) error {
	if err := os.Remove(name); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	return syncDir(filepath.Dir(name))
}

// put writes the files of a data directory that are not as they shall be, one after the other, and removes those that shall not be there; changed tells
// whether there was one.
func (o *Own) put(files ...file) (changed bool, err error) {
	for _, f := range files {
		data, err := readIfThere(f.path)
		if err != nil {
			return changed, err
		}
		found := map[string][]byte{}
		if data != nil {
			found[f.path] = data
		}
		switch {
		case f.is(found):
			continue
		case f.gone:
			err = remove(f.path)
		default:
			err = o.write(f.path, WithSettings([]byte(f.head+withoutHead(string(data))), f.settings), 0o600)
		}
		if err != nil {
			return changed, err
		}
		changed = true
	}
	return changed, nil
}

// withoutHead is a file without what pgctl began it with.
func withoutHead(text string) string {
	return strings.TrimPrefix(strings.TrimPrefix(text, signalComment), watchComment)
}

// stopUnit tells the service manager that the server is being stopped, so that it does not start it again; it does not wait for the end of that.
func (o *Own) stopUnit(ctx context.Context, dataDir string) {
	if isDir("/run/systemd/system") {
		_, _ = o.host.Run(ctx, remote.Command{Args: []string{"systemctl", "stop", "--no-block", o.unit(dataDir)}})
	}
}

// unit is the service that runs the server: pg_unit of facts.sh.
func (o *Own) unit(dataDir string) string {
	if o.settings.Service != "" {
		return o.settings.Service
	}
	if rest, ok := strings.CutPrefix(dataDir, debianData+"/"); ok {
		if version, name, ok := strings.Cut(rest, "/"); ok {
			return "postgresql@" + version + "-" + name + ".service"
		}
	}
	return "postgresql.service"
}
