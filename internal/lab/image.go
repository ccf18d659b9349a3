package lab

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const suite = "bookworm"

// imagePackages is what every host has installed.
const imagePackages = "systemd,systemd-sysv,dbus,iproute2,iputils-ping,procps,openssh-server,openssh-client," +
	"postgresql-15,pgpool2,supervisor,cron,nftables,less,vim-tiny,curl,sudo,ca-certificates,bash-completion"

// imageExcludes keeps out of the image what no host reads.
var imageExcludes = [...]string{"/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/info/*"}

//go:embed files/customize.sh
var customizeScript string

// imageDir is where the finished image lies. Its name is a hash of all that goes
// into it, so a changed recipe makes a new image and never a mixture.
func imageDir() string {
	recipe := strings.Join([]string{suite, imagePackages, strings.Join(imageExcludes[:], " "), customizeScript}, "\n")
	return filepath.Join(cacheDir, "base-"+shortHash(recipe))
}

func shortHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:6])
}

// EnsureImage builds the base image unless it is there already and returns its
// directory. Building takes one to two minutes and the network.
func EnsureImage(ctx context.Context, log io.Writer) (string, error) {
	dir := imageDir()
	err := buildOnce(dir, func(tmp string) error {
		fmt.Fprintln(log, "lab: building the base image (Debian "+suite+" with PostgreSQL and pgpool-II); this happens once and takes a minute or two")
		started := time.Now()
		if err := buildImage(ctx, tmp); err != nil {
			return err
		}
		fmt.Fprintf(log, "lab: base image built in %s: %s\n", elapsed(started), dir)
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("base image: %w", err)
	}
	return dir, nil
}

func buildImage(ctx context.Context, dir string) error {
	argv := []string{"unshare", "--mount", "mmdebstrap", "--mode=root", "--quiet", "--variant=minbase", "--include=" + imagePackages}
	for _, path := range imageExcludes {
		argv = append(argv, "--dpkgopt=path-exclude="+path)
	}
	argv = append(argv, suite, dir)
	if err := run(ctx, argv...); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "unshare", "--mount", "chroot", dir, "/bin/sh", "-eu")
	cmd.Stdin = strings.NewReader(customizeScript)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("customize: %w: %s", err, lastLines(said.String(), 5))
	}
	return nil
}

// buildOnce makes dir with build, which gets another directory that is renamed at
// the end: a half-built dir is never seen. Of several processes one builds and the
// others wait.
func buildOnce(dir string, build func(tmp string) error) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	unlock, err := lockFile(filepath.Join(filepath.Dir(dir), "lock"))
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	tmp := filepath.Join(filepath.Dir(dir), ".building-"+filepath.Base(dir))
	if err := os.RemoveAll(tmp); err != nil { // of a build that was killed
		return err
	}
	if err := os.Mkdir(tmp, 0o755); err != nil {
		return err
	}
	if err := build(tmp); err != nil {
		_ = os.RemoveAll(tmp)
		return err
	}
	return os.Rename(tmp, dir)
}

// lockFile waits for the exclusive lock on a file and returns what gives it back. A
// process that dies gives it back too.
func lockFile(path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { _ = file.Close() }, nil
}

func elapsed(since time.Time) time.Duration {
	return time.Since(since).Round(100 * time.Millisecond)
}
