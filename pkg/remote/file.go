package remote

import (
	"bytes"
	"context"
	_ "embed" // the scripts
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// WriteOptions says how WriteFile writes.
type WriteOptions struct {
	// Mode is the mode of a file that did not exist; 0 is 0644. An existing
	// file keeps its own.
	Mode fs.FileMode
	// Owner is the "user:group" of a file that did not exist; empty is the user
	// that writes. An existing file keeps its own.
	Owner string
	// BackupSuffix is appended to the path of an existing file for the name of
	// its backup, as in ".pgctl-20060102T150405Z"; empty is no backup. A backup
	// of that name that is already there is kept: it is the older one.
	BackupSuffix string
}

//go:embed readfile.sh
var readScript string

//go:embed writefile.sh
var writeScript string

// noSuchFile is the exit code by which readScript says that there is none.
const noSuchFile = 66

// ReadFile reads a whole file of the host. The path is absolute. A file that
// does not exist gives an error for which errors.Is(err, fs.ErrNotExist) holds.
func ReadFile(ctx context.Context, h Host, path string) ([]byte, error) {
	if err := checkPath(path); err != nil {
		return nil, fmt.Errorf("%s: read: %w", h.Name(), err)
	}
	result, err := h.Run(ctx, Script(readScript, path))
	var exit *ExitError
	if errors.As(err, &exit) {
		if exit.Code == noSuchFile {
			return nil, fmt.Errorf("%s: %s: %w", h.Name(), path, fs.ErrNotExist)
		}
		return nil, fileError("read", path, exit)
	}
	if err != nil {
		return nil, err
	}
	return result.Stdout, nil
}

// WriteFile replaces a file of the host, or makes it. The path is absolute. The
// content goes through standard input to a temporary file in the same folder;
// that is completed, given the mode and owner of the old file, flushed to disk,
// and renamed over it, so the file is at every moment the old one or the new
// one. Of a symbolic link the target is replaced. A failure before the rename
// leaves the old file and removes the temporary one. The path of the backup is
// returned when one was asked for and there was a file.
func WriteFile(ctx context.Context, h Host, path string, data []byte, opt WriteOptions) (backup string, err error) {
	return WriteFrom(ctx, h, path, bytes.NewReader(data), len(data), opt)
}

// WriteFrom is WriteFile of size bytes that are read while they are sent, so that the reader can tell how far it has come. More
// or fewer bytes than size leave the old file.
func WriteFrom(ctx context.Context, h Host, path string, data io.Reader, size int, opt WriteOptions) (backup string, err error) {
	if err := checkPath(path); err != nil {
		return "", fmt.Errorf("%s: write: %w", h.Name(), err)
	}
	if strings.ContainsAny(opt.BackupSuffix, "/\n") {
		return "", fmt.Errorf("%s: write %s: backup suffix %q", h.Name(), path, opt.BackupSuffix)
	}
	mode := opt.Mode.Perm()
	if mode == 0 {
		mode = 0o644
	}
	cmd := Script(writeScript, path, strconv.Itoa(size), fmt.Sprintf("%04o", mode), opt.Owner, opt.BackupSuffix)
	cmd.Stdin = data
	result, err := h.Run(ctx, cmd)
	var exit *ExitError
	if errors.As(err, &exit) {
		return "", fileError("write", path, exit)
	}
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(string(result.Stdout), "\n"), nil
}

// checkPath refuses what the scripts could not name safely.
func checkPath(name string) error {
	if !path.IsAbs(name) || strings.ContainsAny(name, "\x00\n") {
		return fmt.Errorf("not an absolute path: %q", name)
	}
	return nil
}

// fileError names the file in place of the script that failed on it.
func fileError(verb, path string, exit *ExitError) error {
	named := *exit
	named.Args = []string{verb, path}
	return &named
}
