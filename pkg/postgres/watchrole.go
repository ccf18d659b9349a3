package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/remote"
)

// WatcherRole is the name of the role that a watcher asks as, and of the operating system user that it becomes for that: peer authentication
// wants both to be one (PostgreSQL manual, "Peer Authentication").
const WatcherRole = "pgctl"

// roleMark is the comment on a role that was made by MakeWatcherRole. Another one of that name is left alone.
const roleMark = "asks for pgctl watch, made by pgctl deploy"

// ErrNoLogin is returned, beside what was said, when the watcher's role is not let in on a server that runs: by pg_hba.conf or the database's
// rights, or as the role, the operating system user or the way to the socket is not there.
var ErrNoLogin = errors.New("the watcher's role is not let in")

// noEntry is the exit code of the relay, and of the shell that starts it, where that user cannot get to the socket.
const noEntry = 77

// WatcherRole tells whether there is a role of that name, and whether MakeWatcherRole made it.
func (s *Server) WatcherRole(ctx context.Context) (there, made bool, err error) {
	rows, err := s.query(ctx, "SELECT coalesce(shobj_description(oid, 'pg_authid'), '') FROM pg_roles WHERE rolname = $1", WatcherRole)
	if err != nil || len(rows) == 0 {
		return false, false, err
	}
	return true, rows[0][0] == roleMark, nil
}

// WatcherRoleFault says what of the role is not as MakeWatcherRole makes it, "" when all is. It must be asked as a superuser: nobody else
// may see whether a role has a password.
func (s *Server) WatcherRoleFault(ctx context.Context) (string, error) {
	rows, err := s.query(ctx, `SELECT rolcanlogin AND rolinherit AND rolpassword IS NULL AND NOT (rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls),
  pg_has_role(oid, 'pg_monitor', 'USAGE'), coalesce(has_schema_privilege(oid, to_regnamespace('pgctl'), 'USAGE'), false),
  coalesce(has_table_privilege(oid, to_regclass('pgctl.epoch'), 'SELECT'), false)
FROM pg_authid WHERE rolname = $1`, WatcherRole)
	if err != nil || len(rows) == 0 {
		return "there is no role " + WatcherRole, err
	}
	for i, fault := range []string{"has other attributes than it needs", "is no member of pg_monitor", "may not use the schema pgctl", "may not read pgctl.epoch"} {
		if rows[0][i] != "t" {
			return fmt.Sprintf("the role %s %s", WatcherRole, fault), nil
		}
	}
	return "", nil
}

// MakeWatcherRole makes the role on the master, or gives one that it made before what that lacks and takes what it must not have: all of it or
// nothing. It does not wait for a standby. docs/deploy.md says what each right is for.
func (s *Server) MakeWatcherRole(ctx context.Context) error {
	there, made, err := s.WatcherRole(ctx)
	if err != nil || there && !made {
		return err
	}
	sql := makeEpochs + ";\n"
	if !there {
		sql += "CREATE ROLE " + WatcherRole + "; COMMENT ON ROLE " + WatcherRole + " IS '" + roleMark + "';\n"
	}
	return s.exec(ctx, sql+"ALTER ROLE "+WatcherRole+` LOGIN INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD NULL;
GRANT pg_monitor TO `+WatcherRole+`;
GRANT USAGE ON SCHEMA pgctl TO `+WatcherRole+`;
GRANT SELECT ON pgctl.epoch TO `+WatcherRole)
}

// DropWatcherRole drops the role on the master, if MakeWatcherRole made it. What somebody gave it or let it own beside that stops it.
func (s *Server) DropWatcherRole(ctx context.Context) error {
	if _, made, err := s.WatcherRole(ctx); err != nil || !made {
		return err
	}
	rows, err := s.query(ctx, "SELECT to_regnamespace('pgctl') IS NOT NULL, to_regclass('pgctl.epoch') IS NOT NULL")
	if err != nil {
		return err
	}
	sql := "SET synchronous_commit = local;\n"
	if rows[0][1] == "t" {
		sql += "REVOKE ALL ON pgctl.epoch FROM " + WatcherRole + ";\n"
	}
	if rows[0][0] == "t" {
		sql += "REVOKE ALL ON SCHEMA pgctl FROM " + WatcherRole + ";\n"
	}
	return s.exec(ctx, sql+"DROP ROLE "+WatcherRole)
}

// exec runs statements as one transaction, as PostgreSQL does with those of one message (manual, "Multiple Statements in a Simple Query").
func (s *Server) exec(ctx context.Context, sql string) error {
	conn, err := s.Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return conn.Exec(ctx, sql).Close()
}

// ProbeAsWatcher is Probe as the watcher's role. Its error is an ErrNoLogin where another role may be let in.
func (s *Server) ProbeAsWatcher(ctx context.Context) (*cluster.Instance, error) {
	conn, err := s.connectAsWatcher(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return probeOn(ctx, conn)
}

// AdmitsWatcher tries the login of the watcher's role: nil, an ErrNoLogin, or why that cannot be told.
func (s *Server) AdmitsWatcher(ctx context.Context) error {
	conn, err := s.connectAsWatcher(ctx)
	if err != nil {
		return err
	}
	return conn.Close(context.WithoutCancel(ctx))
}

// connectAsWatcher enters by peer authentication or not at all.
func (s *Server) connectAsWatcher(ctx context.Context) (*pgconn.PgConn, error) {
	own := s.settings
	own.OSUser, own.User = WatcherRole, WatcherRole
	conn, err := On(s.host, own).connect(ctx, "unix")
	if err != nil && noLogin(err) {
		err = fmt.Errorf("%w: %w", ErrNoLogin, err)
	}
	return conn, err
}

// noLogin tells a login that was refused from a server that does not answer, is starting, or has no connection left: to those every role is
// alike. 42501 is a role without CONNECT on the database.
func noLogin(err error) bool {
	var pg *pgconn.PgError
	var exit *remote.ExitError
	return wantsPassword(err) || errors.Is(err, errNoEntry) || errors.As(err, &pg) && pg.Code == "42501" || errors.As(err, &exit) && exit.Code == noEntry
}

// WatcherHint is what would let the watcher's role in after an ErrNoLogin.
func (s *Server) WatcherHint(err error) string {
	host, db := s.host.Name(), s.settings.dbName()
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &pg) && pg.Code == "42501":
		return fmt.Sprintf("on the master: GRANT CONNECT ON DATABASE %s TO %s", db, WatcherRole)
	case errors.As(err, &pg):
		return fmt.Sprintf("in pg_hba.conf on %s, above every other line that begins with local, and then a reload: local %s %s peer", host, db, WatcherRole)
	}
	return fmt.Sprintf("on %s the user %s must be there, and be let to PostgreSQL's socket (unix_socket_permissions)", host, WatcherRole)
}

// Full tells whether a server has no connection left for the role: too_many_connections. The last ones, superuser_reserved_connections, are
// kept for superusers.
func Full(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "53300"
}
