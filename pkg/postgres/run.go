package postgres

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/pgctl/pgctl/pkg/remote"
)

// lastLines is how many lines of a long command are repeated when it fails.
const lastLines = 3

// follow runs a long command and tells of its progress as it prints it. The command reads input first; its standard input stays open
// for as long as it is followed, by which the host learns when nobody does any more. The end of ctx ends the command. An
// error says what it printed last.
func (s *Server) follow(ctx context.Context, cmd remote.Command, input string, progress func(Progress)) error {
	conn, err := s.host.Pipe(ctx, cmd)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if _, err := io.WriteString(conn, input); err != nil {
		return errors.Join(fmt.Errorf("%s: %w", s.host.Name(), err), ctx.Err())
	}
	var last []string
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		if p, ok := parseProgress(lines.Text()); ok {
			progress(p)
		} else if text := strings.TrimSpace(lines.Text()); text != "" {
			last = append(last, text)
			last = last[max(0, len(last)-lastLines):]
		}
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: broken off: %w", s.host.Name(), ctx.Err())
	}
	err = lines.Err()
	var exit *remote.ExitError
	if errors.As(err, &exit) {
		return &failure{host: s.host.Name(), code: exit.Code, reason: cause(exit), said: strings.Join(last, " / ")}
	}
	return err
}

// failure is a renewal's script that ended with an exit code.
type failure struct {
	host         string
	code         int
	reason, said string // what the script said, and what the program printed before
}

// Error is the script's reason with the program's last words.
func (f *failure) Error() string {
	if f.said == "" {
		return f.host + ": " + f.reason
	}
	return f.host + ": " + f.reason + ": " + f.said
}
