package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgctl/pgctl/pkg/remote"
)

// Connect opens a session on the server through the relay. The caller closes it.
//
// The first attempt is over the server's Unix socket, as the operating system user, with the password that the pgpass
// file (~/.pgpass of whoever runs pgctl, or PGPASSFILE) has for the host, if any. A server that refuses this for its
// authentication, or that has no socket, is tried over TCP on its own address.
func (s *Server) Connect(ctx context.Context) (*pgconn.PgConn, error) {
	conn, err := s.connect(ctx, "unix")
	if err == nil || !wantsPassword(err) && !strings.Contains(err.Error(), noSocket) {
		return conn, err
	}
	viaTCP, errTCP := s.connect(ctx, "tcp")
	if errTCP == nil {
		return viaTCP, nil
	}
	if wantsPassword(errTCP) {
		return nil, errTCP
	}
	return nil, err
}

// ErrNoPassword is returned, beside the server's refusal, when the pgpass file has no password for it.
var ErrNoPassword = errors.New("no password at hand")

// noSocket is what the relay's shell says when postmaster.pid names no socket directory.
const noSocket = "PostgreSQL has no Unix socket"

// wantsPassword tells whether a server refused a session for its authentication (SQLSTATE class 28).
func wantsPassword(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && strings.HasPrefix(pg.Code, "28")
}

func (s *Server) connect(ctx context.Context, family string) (*pgconn.PgConn, error) {
	port := s.settings.Port
	if family == "tcp" && port == 0 { // the pgpass file is searched by port
		located, err := s.locate(ctx)
		if err != nil {
			return nil, err
		}
		port = located
	}
	cfg, err := pgconn.ParseConfig(dsn(s.host.Name(), port, s.settings.user(), s.settings.dbName(), family))
	if err != nil {
		return nil, fmt.Errorf("cannot read the connection settings for %s: %w", s.host.Name(), err)
	}
	cfg.ValidateConnect = nil // PGTARGETSESSIONATTRS is a client's wish; a probe takes the server as it is
	cfg.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) { return s.relay(ctx, family) }
	cfg.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	conn, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil && cfg.Password == "" && wantsPassword(err) {
		return nil, fmt.Errorf("%w: %w", ErrNoPassword, err)
	}
	return conn, err
}

// dsn is a connection string. Inside SSH, encryption is only wanted by servers that insist on it (hostssl in pg_hba).
func dsn(host string, port int, user, dbname, family string) string {
	mode := "disable"
	if family == "tcp" {
		mode = "prefer"
	}
	text := "host=" + quoteValue(host) + " user=" + quoteValue(user) + " dbname=" + quoteValue(dbname) +
		" sslmode=" + mode + " application_name=pgctl"
	if port != 0 {
		text += " port=" + strconv.Itoa(port)
	}
	return text
}

// quoteValue quotes one value of a connection string (PostgreSQL manual, "Keyword/Value Connection Strings").
func quoteValue(v string) string {
	return "'" + escapeValue.Replace(v) + "'"
}

var escapeValue = strings.NewReplacer(`\`, `\\`, `'`, `\'`)

// relay starts the relay on the host. Where the server is, the host finds out itself in the same command.
func (s *Server) relay(ctx context.Context, family string) (net.Conn, error) {
	if s.dial != nil {
		return s.dial(ctx)
	}
	script := locateScript + `
pg_locate "$1" "$2" || { echo "$pgwhy" >&2; exit 1; }
command -v perl >/dev/null || { echo "perl is not installed on this host (Debian: perl-base)" >&2; exit 1; }
[ -n "$pgpid" ] || { echo "PostgreSQL is not running: no postmaster.pid in $pgdata" >&2; exit 1; }
case $pglisten in '' | '*' | 0.0.0.0 | localhost | *:*) pglisten=127.0.0.1 ;; esac
[ "$4" = tcp ] || { [ -n "$pgsock" ] || { echo "` + noSocket + `" >&2; exit 77; }; pglisten=$pgsock; }
exec perl -e "$5" "$3" "$4" "$pglisten" "$pgport"`
	return s.host.Pipe(ctx, remote.Script(script, s.settings.DataDir, s.settings.PortText(), s.settings.osUser(), family, relayProgram))
}

// locate asks the host for the port of the running server.
func (s *Server) locate(ctx context.Context) (int, error) {
	out, err := s.host.Run(ctx, remote.Script(locateScript+"\npg_locate \"$1\" \"$2\" || { echo \"$pgwhy\" >&2; exit 1; }\necho \"$pgport\"", s.settings.DataDir, s.settings.PortText()))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(out.Stdout)))
}
