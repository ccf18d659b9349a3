package pgpool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/remote"
)

// Settings say where a pool's files are and who may log in through it. Every field may be empty.
type Settings struct {
	Conf    string // default "/etc/pgpool2/pgpool.conf"
	Service string // default "pgpool2"
	User    string // default: sr_check_user of pgpool.conf
	DBName  string // default: sr_check_database of pgpool.conf
}

// ConfPath is where pgpool.conf is.
func (s Settings) ConfPath() string { return cmp.Or(s.Conf, "/etc/pgpool2/pgpool.conf") }

// Unit is the pool's service.
func (s Settings) Unit() string { return cmp.Or(s.Service, "pgpool2") }

// ErrNotListening is returned when nothing accepts connections on the pool's port.
var ErrNotListening = errors.New("nothing listens on pgpool's port")

// ErrNotReached is returned when it is not known whether anything listens there: no way to the port, or no time to try.
var ErrNotReached = errors.New("pgpool's port was not reached")

// ErrNoLogin is returned when pgctl has nobody to log in as, or pgpool refused the login.
var ErrNoLogin = errors.New("cannot log in through pgpool")

// Running asks the running pgpool for its backends. They differ from the file when it was edited and pgpool not
// restarted: a reload leaves an existing backend as it is, without a word. passwords is the pool_passwd file, "" when
// it is not at hand.
func Running(ctx context.Context, host remote.Host, s Settings, conf *Conf, passwords string) ([]cluster.Backend, error) {
	session, err := connect(ctx, host, s, conf, passwords)
	if err != nil {
		return nil, err
	}
	defer session.Close(context.WithoutCancel(ctx))
	return showNodes(ctx, session)
}

// connect opens a session through the pool, from the pool's own host. The caller closes it.
func connect(ctx context.Context, host remote.Host, s Settings, conf *Conf, passwords string) (*pgconn.PgConn, error) {
	user := cmp.Or(s.User, conf.Get("sr_check_user", ""))
	address := net.JoinHostPort(listenAddress(conf), conf.Get("port", "9999"))
	conn, err := host.Dial(ctx, "tcp", address)
	if err != nil {
		if strings.Contains(strings.ToLower(err.Error()), "refused") {
			return nil, fmt.Errorf("%w (%s)", ErrNotListening, address)
		}
		return nil, fmt.Errorf("%w: %w", ErrNotReached, err)
	}
	if user == "" {
		conn.Close()
		return nil, fmt.Errorf("%w: set pgpool.user in pgctl.yaml or sr_check_user in %s", ErrNoLogin, conf.Path)
	}
	cfg, err := config(host.Name(), user, s, conf, passwords)
	if err != nil {
		conn.Close()
		return nil, err
	}
	cfg.DialFunc = func(context.Context, string, string) (net.Conn, error) { return conn, nil }
	cfg.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	session, err := pgconn.ConnectConfig(ctx, cfg)
	var refused *pgconn.PgError
	// a server that has no pg_hba entry for the pool refuses every client: that is no login of ours that failed
	if errors.As(err, &refused) && strings.HasPrefix(refused.Code, "28") && !strings.Contains(refused.Message, "no pg_hba.conf entry") {
		return nil, fmt.Errorf("%w as %q: %s", ErrNoLogin, user, refused.Message)
	}
	return session, err
}

// config is the login. The operator's pgpass file serves the user that the operator named; the one that the pool's own file
// names gets the password that stands there, so that no pool can ask for a password of the operator's.
func config(host, user string, s Settings, conf *Conf, passwords string) (*pgconn.Config, error) {
	port, err := strconv.ParseUint(conf.Get("port", "9999"), 10, 16)
	if err != nil {
		return nil, fmt.Errorf("%s: port is no port number", conf.Path)
	}
	cfg, err := pgconn.ParseConfig(fmt.Sprintf("host=%s port=%d user='%s' sslmode=disable application_name=pgctl", host, port, strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(user)))
	if err != nil {
		return nil, fmt.Errorf("cannot read the connection settings for pgpool on %s: %w", host, err)
	}
	cfg.ValidateConnect = nil
	cfg.Database = cmp.Or(s.DBName, conf.Get("sr_check_database", "postgres"))
	if s.User == "" {
		cfg.Password = checkPassword(conf, passwords, user)
	}
	return cfg, nil
}

// Explain is a sentence for why a pool could not be asked.
func Explain(err error) string {
	var refused *pgconn.PgError
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "no answer in time"
	case errors.As(err, &refused):
		return refused.Message
	}
	return err.Error()
}

// Answered tells whether an error is the pool's own word, with which it refuses every client, and not pgctl's login.
func Answered(err error) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && !errors.Is(err, ErrNoLogin)
}

// checkPassword is sr_check_user's password where pgpool keeps it readable: in pgpool.conf, else in pool_passwd, plain or
// marked TEXT (pgpool-II manual, "sr_check_password"). "" when it is a hash, encrypted, or not there.
func checkPassword(conf *Conf, passwords, user string) string {
	password := conf.Get("sr_check_password", "")
	for line := range strings.Lines(passwords) {
		if name, entry, ok := strings.Cut(strings.TrimSpace(line), ":"); ok && name == user && password == "" {
			password = entry
		}
	}
	if strings.HasPrefix(password, "md5") || strings.HasPrefix(password, "AES") {
		return ""
	}
	return strings.TrimPrefix(password, "TEXT")
}

// listenAddress is an address on which the pool hears connections from its own host.
func listenAddress(conf *Conf) string {
	first, _, _ := strings.Cut(conf.Get("listen_addresses", "localhost"), ",")
	switch first = strings.TrimSpace(first); first {
	case "", "*", "0.0.0.0", "::":
		return "127.0.0.1"
	}
	return first // a name is for the host itself to resolve
}

// showNodes reads SHOW POOL_NODES by the names of its columns: their order and number differ between versions.
func showNodes(ctx context.Context, session *pgconn.PgConn) ([]cluster.Backend, error) {
	results, err := session.Exec(ctx, "SHOW POOL_NODES").ReadAll()
	if err != nil {
		return nil, err
	}
	var backends []cluster.Backend
	for _, result := range results {
		for _, row := range result.Rows {
			column := map[string]string{}
			for i, f := range result.FieldDescriptions {
				column[f.Name] = string(row[i])
			}
			if column["status"] == "unused" {
				continue
			}
			port, err := strconv.Atoi(column["port"])
			if err != nil {
				return nil, fmt.Errorf("cannot read SHOW POOL_NODES: port is %q", column["port"])
			}
			backends = append(backends, cluster.Backend{Host: column["hostname"], Port: port, Role: column["role"], Down: isDown(column["status"])})
		}
	}
	return backends, addFlags(ctx, session, backends)
}

// isDown reads the status of a node: a word, or up to 3.5 a number (pgpool-II 3.3 manual, "SHOW pool_status": 1 and 2 are up, 3 is down).
func isDown(status string) bool { return status == "down" || status == "3" }

// addFlags reads the flags that the running pgpool has, in the order of its backends, from SHOW POOL_STATUS. A version that
// does not show them leaves them unknown.
func addFlags(ctx context.Context, session *pgconn.PgConn, backends []cluster.Backend) error {
	results, err := session.Exec(ctx, "SHOW POOL_STATUS").ReadAll()
	if err != nil {
		return err
	}
	next := 0
	for _, result := range results {
		for _, row := range result.Rows {
			if len(row) > 1 && strings.HasPrefix(string(row[0]), "backend_flag") && next < len(backends) {
				backends[next].Flag = string(row[1])
				next++
			}
		}
	}
	return nil
}
