package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/remote"
)

// Explain says in one sentence why a session could not be had, and what to do about it. waited is how long it was tried.
func Explain(host string, s Settings, err error, waited time.Duration) *cluster.Failure {
	var pg *pgconn.PgError
	var unreachable *remote.Unreachable
	switch {
	case errors.As(err, &pg) && pg.Code == "28P01" && errors.Is(err, ErrNoPassword):
		return &cluster.Failure{
			Message: fmt.Sprintf("PostgreSQL wants a password for user %q, and there is none for it", s.user()),
			Hint:    fmt.Sprintf("add a line to ~/.pgpass, mode 0600: %s:*:*:%s:PASSWORD; or allow peer authentication in its pg_hba.conf", host, s.user()),
		}
	case errors.As(err, &pg):
		return explainRefusal(host, s, pg)
	case errors.As(err, &unreachable):
		return &cluster.Failure{Message: unreachable.Message, Hint: unreachable.Hint}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return &cluster.Failure{
			Message: fmt.Sprintf("PostgreSQL gave no answer within %s", waited.Round(time.Second/10)),
			Hint:    fmt.Sprintf("frozen, overloaded or starting: ssh %s, then look at its log and its load (--timeout gives it longer)", host),
		}
	}
	return &cluster.Failure{Message: "PostgreSQL cannot be asked: " + cause(err), Hint: "pgctl status " + host}
}

// explainRefusal explains an answer of PostgreSQL itself, by its SQLSTATE (PostgreSQL manual, "Error Codes").
func explainRefusal(host string, s Settings, pg *pgconn.PgError) *cluster.Failure {
	switch pg.Code {
	case "28P01":
		return &cluster.Failure{
			Message: fmt.Sprintf("PostgreSQL refused the password of user %q", s.user()),
			Hint:    fmt.Sprintf("correct the line for %s in ~/.pgpass (host:port:database:user:password, mode 0600)", host),
		}
	case "28000":
		return &cluster.Failure{
			Message: fmt.Sprintf("PostgreSQL refused user %q: %s", s.user(), pg.Message),
			Hint:    fmt.Sprintf("pg_hba.conf on %s needs a line such as: local all %s peer", host, s.user()),
		}
	case "57P03":
		message := "PostgreSQL lets nobody in yet: " + pg.Message
		if pg.Detail != "" {
			message += " (" + pg.Detail + ")"
		}
		return &cluster.Failure{Message: message, Hint: "wait for it, and look at its log on " + host}
	case "53300":
		return &cluster.Failure{
			Message: "PostgreSQL is alive, but has no connection left: " + pg.Message,
			Hint:    fmt.Sprintf("find out who holds them: ssh %s ps -u %s -f", host, s.osUser()),
		}
	}
	return &cluster.Failure{Message: fmt.Sprintf("PostgreSQL answered with an error: %s (SQLSTATE %s)", pg.Message, pg.Code), Hint: "look at its log on " + host}
}

// cause is the innermost, last line of an error: what the relay or the system said.
func cause(err error) string {
	var exit *remote.ExitError
	if errors.As(err, &exit) {
		lines := strings.Split(strings.TrimSpace(string(exit.Stderr)), "\n")
		return cluster.Printable(lines[len(lines)-1])
	}
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
	return lines[len(lines)-1]
}
