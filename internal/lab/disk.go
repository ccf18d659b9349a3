package lab

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// owner is a user of the hosts; its numbers are those of the image.
type owner string

const (
	rootUser     owner = "root"
	postgresUser owner = "postgres"
)

// disk writes into a host's disk before it boots, so that nothing must be
// configured afterwards. After the first error it does nothing; err keeps it.
type disk struct {
	root   string
	mounts map[string]string // directory on the host -> where it is mounted here
	ids    map[owner][2]int
	err    error
}

func (r *Region) disk(host string) *disk {
	dirs := dirsOf(r.Name(), host)
	return &disk{root: dirs.root, mounts: map[string]string{r.spec.flavour().dataFS: dirs.data}, ids: r.ids}
}

// path is where a path of the host lies on this machine.
func (d *disk) path(path string) string {
	for dir, mounted := range d.mounts {
		if rest, ok := strings.CutPrefix(path, dir+"/"); ok {
			return filepath.Join(mounted, rest)
		}
	}
	return filepath.Join(d.root, path)
}

func (d *disk) write(path, content string, mode fs.FileMode, who owner) {
	target := d.path(path)
	d.do(func() error { return os.MkdirAll(filepath.Dir(target), 0o755) })
	d.do(func() error { return os.WriteFile(target, []byte(content), mode) })
	d.do(func() error { return os.Chmod(target, mode) }) // the umask must not matter
	d.own(path, who)
}

// own gives a path and all below it to a user.
func (d *disk) own(path string, who owner) {
	d.do(func() error {
		ids, ok := d.ids[who]
		if !ok {
			return fmt.Errorf("the image has no user %s", who)
		}
		return filepath.WalkDir(d.path(path), func(path string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(path, ids[0], ids[1])
		})
	})
}

func (d *disk) appendTo(path, content string) {
	d.edit(path, func(text string) string { return text + content })
}

// set gives settings of a postgresql.conf-like file a value, at the line that has
// them, commented out or not.
func (d *disk) set(path string, settings [][2]string) {
	d.edit(path, func(text string) string {
		for _, s := range settings {
			text = setValue(text, s[0], s[1])
		}
		return text
	})
}

func (d *disk) edit(path string, change func(string) string) {
	d.do(func() error {
		text, err := os.ReadFile(d.path(path))
		if err != nil {
			return err
		}
		return os.WriteFile(d.path(path), []byte(change(string(text))), 0o644) // owner and mode stay
	})
}

func (d *disk) remove(path string) {
	d.do(func() error { return os.RemoveAll(d.path(path)) })
}

func (d *disk) link(target, path string) {
	d.do(func() error { return os.MkdirAll(filepath.Dir(d.path(path)), 0o755) })
	d.do(func() error { return os.Symlink(target, d.path(path)) })
}

func (d *disk) do(step func() error) {
	if d.err == nil {
		d.err = step()
	}
}

func setValue(text, key, value string) string {
	line := key + " = " + value
	at := regexp.MustCompile(`(?m)^#?[ \t]*` + regexp.QuoteMeta(key) + `[ \t]*=.*$`).FindStringIndex(text)
	if at == nil {
		return strings.TrimRight(text, "\n") + "\n" + line + "\n"
	}
	return text[:at[0]] + line + text[at[1]:]
}

// imageUsers reads the numbers of the users from the image.
func imageUsers(image string) (map[owner][2]int, error) {
	passwd, err := os.ReadFile(filepath.Join(image, "etc", "passwd"))
	if err != nil {
		return nil, err
	}
	ids := map[owner][2]int{}
	for line := range bytes.Lines(passwd) {
		fields := strings.Split(string(line), ":")
		if len(fields) < 4 {
			continue
		}
		uid, uidErr := strconv.Atoi(fields[2])
		gid, gidErr := strconv.Atoi(fields[3])
		if uidErr == nil && gidErr == nil {
			ids[owner(fields[0])] = [2]int{uid, gid}
		}
	}
	return ids, nil
}
