package postgres

import (
	"bufio"
	"context"
	_ "embed" // the scripts
	"errors"
	"fmt"
	"io"
	"net"
	"path"
	"strings"
	"sync"

	"github.com/pgctl/pgctl/pkg/remote"
)

//go:embed rewind.sh
var rewindScript string

//go:embed relay_listen.pl
var listenProgram string

// cannotRewind is returned when a server has to be cloned instead.
type cannotRewind struct{ reason error }

// Error is the reason.
func (c *cannotRewind) Error() string { return c.reason.Error() }

// Unwrap gives the reason.
func (c *cannotRewind) Unwrap() error { return c.reason }

// rewind undoes what the server wrote past the fork, by pg_rewind.
func (s *Server) rewind(ctx context.Context, r Renewal, tools Tools, master *Server, progress func(Progress)) error {
	switch {
	case !tools.Rewind:
		return &cannotRewind{fmt.Errorf("%s has no pg_rewind of its own version", tools.BinDir)}
	case r.ForkTimeline == r.Timeline:
		return &cannotRewind{fmt.Errorf("it is on timeline %d as the master is", r.Timeline)}
	}
	if err := master.checkpoint(ctx, uint32(r.Timeline)); err != nil {
		return err
	}
	mark, err := r.mark(s.host.Name(), MethodRewind)
	if err != nil {
		return err
	}
	trial, err := s.listen(ctx, master)
	if err != nil {
		return &cannotRewind{err}
	}
	defer trial.close()
	source, err := s.listen(ctx, master)
	if err != nil {
		return &cannotRewind{err}
	}
	defer source.close()
	args := []string{
		r.DataDir, s.settings.osUser(), runProgram, tools.BinDir, mark, r.Stamp, fmt.Sprintf("%08X", uint32(r.ForkTimeline)),
		fmt.Sprintf("%X", uint64(r.Fork)>>32), fmt.Sprintf("%X", uint32(r.Fork)), trial.dir, source.dir, master.settings.user(), master.settings.dbName(),
	}
	err = s.follow(ctx, remote.Script(renewScript+rewindScript, args...), "", progress)
	var f *failure
	if errors.As(err, &f) && (f.code == exitCannot || f.code == exitBroke) {
		return &cannotRewind{errors.Join(err, trial.err(), source.err())}
	}
	return refused(err)
}

// door is a Unix socket on a host that leads to the master's, through pgctl: for one connection, of the operating system user alone.
// So a program there enters the master by the master's peer authentication, without a password and without a line in pg_hba.conf.
type door struct {
	dir    string
	conn   net.Conn
	joined sync.WaitGroup
	mu     sync.Mutex
	failed error
}

// listen opens a door to the master on the server's host.
func (s *Server) listen(ctx context.Context, master *Server) (*door, error) {
	const script = `
set -eu
dir=$(mktemp -d /run/pgctl-rewind.XXXXXX)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM
chown "$1": "$dir"
echo "$dir"
perl -e "$2" "$1" "$dir/.s.PGSQL.5432"`
	conn, err := s.host.Pipe(ctx, remote.Script(script, s.settings.osUser(), listenProgram))
	if err != nil {
		return nil, err
	}
	from := bufio.NewReader(conn)
	dir, err := from.ReadString('\n')
	if err == nil {
		err = expect(from, "listening")
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("%s: a socket for pg_rewind: %w", s.host.Name(), err)
	}
	d := &door{dir: path.Clean(strings.TrimSpace(dir)), conn: conn}
	d.joined.Go(func() {
		if err := d.join(ctx, from, master); err != nil {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.failed = fmt.Errorf("the way of pg_rewind to %s: %w", master.host.Name(), err)
		}
	})
	return d, nil
}

// join waits until somebody has come in, and passes bytes on from there.
func (d *door) join(ctx context.Context, from *bufio.Reader, master *Server) error {
	defer d.conn.Close()
	if err := expect(from, "accepted"); err != nil {
		return nil //nolint:nilerr // nobody came
	}
	to, err := master.relay(ctx, "unix")
	if err != nil {
		return err
	}
	defer to.Close()
	go func() {
		_, _ = io.Copy(to, from)
		_ = to.Close()
	}()
	_, err = io.Copy(d.conn, to)
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (d *door) err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.failed
}

func (d *door) close() {
	_ = d.conn.Close()
	d.joined.Wait()
}

func expect(from *bufio.Reader, word string) error {
	line, err := from.ReadString('\n')
	if err != nil {
		return err
	}
	if strings.TrimSpace(line) != word {
		return fmt.Errorf("expected %q, got %q", word, strings.TrimSpace(line))
	}
	return nil
}
