package watch

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/postgres"
)

// TestLogin: one question a second, and who asks it.
func TestLogin(t *testing.T) {
	refused := fmt.Errorf("%w: %w", postgres.ErrNoLogin, &pgconn.PgError{Code: "28000", Message: `no pg_hba.conf entry for host "[local]"`})
	full := &pgconn.PgError{Code: "53300", Message: "remaining connection slots are reserved for non-replication superuser connections"}
	starting := &pgconn.PgError{Code: "57P03", Message: "the database system is starting up"}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var says error
	tries := 0
	l := &login{
		host: "db1", now: func() time.Time { return now }, siteRole: "postgres",
		own:  func(context.Context) (*cluster.Instance, error) { tries++; return &cluster.Instance{}, says },
		site: func(context.Context) (*cluster.Instance, error) { return &cluster.Instance{InRecovery: true}, nil },
	}
	steps := []struct {
		name    string
		says    error
		wait    time.Duration
		role    string
		instead string
		tries   int
		err     error
	}{
		{name: "let in", role: "pgctl", tries: 1},
		{name: "no connection left: asked this once by the ones that are kept", says: full, role: "postgres", instead: "PostgreSQL is alive, but has no connection left: remaining", tries: 1},
		{name: "and as itself the next time", role: "pgctl", tries: 1},
		{name: "starting is an answer", says: starting, role: "pgctl", tries: 1, err: starting},
		{name: "no answer is none to change for", says: context.DeadlineExceeded, role: "pgctl", tries: 1, err: context.DeadlineExceeded},
		{name: "refused", says: refused, role: "postgres", instead: `PostgreSQL refused user "pgctl": no pg_hba.conf entry`, tries: 1},
		{name: "not tried again at once", wait: time.Second, role: "postgres", instead: "no pg_hba.conf entry"},
		{name: "nor soon", wait: again - 2*time.Second, role: "postgres", instead: "no pg_hba.conf entry"},
		{name: "refused again", says: refused, wait: time.Second, role: "postgres", instead: "no pg_hba.conf entry", tries: 1},
		{name: "let in again", wait: again, role: "pgctl", tries: 1},
		{name: "and stays so", wait: time.Second, role: "pgctl", tries: 1},
	}
	for _, s := range steps {
		now, says, tries = now.Add(s.wait), s.says, 0
		a, err := l.ask(t.Context())
		if a.role != s.role || !strings.Contains(a.instead, s.instead) || (a.instead == "") != (s.instead == "") || tries != s.tries || !errors.Is(err, s.err) {
			t.Fatalf("%s: asked as %q (%q), %d tries, %v", s.name, a.role, a.instead, tries, err)
		}
		if err == nil && a.instance.InRecovery != (a.role == "postgres") {
			t.Errorf("%s: the answer is another one's", s.name)
		}
	}
}

// TestLoginOfTheSite: a role or user that pgctl.yaml names is used, and no other one.
func TestLoginOfTheSite(t *testing.T) {
	for _, s := range []postgres.Settings{{User: "monitor"}, {OSUser: "pgsql"}} {
		l := newLogin(Options{Postgres: s})
		l.site = func(context.Context) (*cluster.Instance, error) { return nil, nil }
		want := s.User
		if want == "" {
			want = "postgres"
		}
		if a, err := l.ask(t.Context()); err != nil || l.own != nil || a.role != want || !strings.Contains(a.instead, "pgctl.yaml sets") {
			t.Errorf("%+v: %+v, %v", s, a, err)
		}
	}
	if l := newLogin(Options{Postgres: postgres.Settings{Port: 5433}}); l.own == nil || l.instead != "" {
		t.Errorf("%+v", l)
	}
}
