package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/user"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgctl/pgctl/pkg/remote"
)

// The application names of a watcher's sessions. What it asks and does goes by "pgctl.watch." and its process id, so that the next watcher
// can tell what a dead one has left running.
const (
	watchName = "pgctl.watch"
	// CanaryName is that of the commits that prove that nobody was promoted.
	CanaryName = "pgctl.canary"
)

// Own is the PostgreSQL of this very machine, for a watcher that deals with it once a second. It may be used by several goroutines, but acts are
// for one at a time. To look at it starts no process, and neither does a session: a machine that is short of memory or of processes is one on
// which the watcher has to work.
type Own struct {
	host     remote.Host
	settings Settings
	server   *Server
	start    func(ctx context.Context, dataDir string) error // by the service manager
	patience time.Duration                                   // how long the service manager may take until there is a process
	stopFor  atomic.Int64                                    // how long a stop may take before what is left is killed, in ns
	name     string                                          // of its sessions
	role     login                                           // of the watcher
	service  string                                          // the service file, "" that of the operating system user

	mu       sync.Mutex
	opened   map[uint32]bool // backends of the sessions that are open
	left     map[uint32]bool // backends of sessions that were given up, and may wait for a standby still
	hbaFile  string          // as PostgreSQL itself last said
	hbaOf    run             // which said that
	hbaKnown hbaState        // a pg_hba.conf that is known to have been read without an error
	hbaOff   *hbaState       // what it held when no server ran, so that the next one reads it at its start
	unheeded int             // how often a receiver had to be ended that should not have been there
	instead  string          // why the watcher's role is not used; "" it is
	again    *time.Timer     // when it is tried again
}

// OwnServer is the server of the machine that the program runs on, which host must be.
func OwnServer(host remote.Host, s Settings) *Own {
	o := &Own{name: fmt.Sprintf("%s.%d.%s", watchName, os.Getpid(), strings.ToLower(rand.Text()[:6])), host: host, settings: s, server: On(host, s), patience: 10 * time.Second, role: login{WatcherRole, WatcherRole}, opened: map[uint32]bool{}, left: map[uint32]bool{}}
	o.start = o.server.Start
	o.GiveStop(stopPatience)
	if s.User != "" || s.OSUser != "" {
		o.instead = "pgctl.yaml sets postgres.user or postgres.os_user"
	}
	return o
}

// Server is the same server for what is done by commands.
func (o *Own) Server() *Server { return o.server }

// login is as whom a session is asked for: a role, and the operating system user that it belongs to.
type login struct{ osUser, role string }

func (o *Own) watcher() login { return o.role }
func (o *Own) site() login    { return login{o.settings.osUser(), o.settings.user()} }

// session is one connection, closed by Close. Where it is given up because its context ended, PostgreSQL is not asked to cancel what it does there:
// a commit whose wait for standbys is cancelled returns as if it had been acknowledged (manual, "synchronous_standby_names"; syncrep.c).
type session struct {
	*pgconn.PgConn
	own     *Own
	pid     uint32
	warning atomic.Pointer[string] // the last one
}

// connect opens a session as the given role. params are settings of the session.
func (o *Own) connect(ctx context.Context, as login, application string, params map[string]string) (*session, error) {
	pm, err := o.postmaster()
	if err != nil {
		return nil, err
	}
	s, err := o.dial(ctx, pm, as, "unix", application, params)
	if as == o.watcher() || err == nil || !wantsPassword(err) && (pm.socketDir != "" || pm.status == "") { // the watcher enters by peer authentication or not at all
		return s, err
	}
	if tcp, errTCP := o.dial(ctx, pm, as, "tcp", application, params); errTCP == nil || wantsPassword(errTCP) {
		return tcp, errTCP
	}
	return nil, err
}

func (o *Own) dial(ctx context.Context, pm postmaster, as login, family, application string, params map[string]string) (*session, error) {
	cfg, err := pgconn.ParseConfig(dsn(o.host.Name(), pm.port, as.role, o.settings.dbName(), family))
	if err != nil {
		return nil, fmt.Errorf("cannot read the connection settings for %s: %w", o.host.Name(), err)
	}
	s := &session{own: o}
	connected := false
	cfg.ValidateConnect = nil
	maps.Copy(cfg.RuntimeParams, sessionParams)
	cfg.RuntimeParams["application_name"] = application
	maps.Copy(cfg.RuntimeParams, params)
	cfg.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	cfg.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
		if connected { // pgconn asks for a second connection to cancel what the first one does
			return nil, errors.New("a session of the watcher is never cancelled")
		}
		return pm.dial(ctx, as, family)
	}
	cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		if n.SeverityUnlocalized == "WARNING" {
			s.warning.Store(&n.Message)
		}
	}
	s.PgConn, err = pgconn.ConnectConfig(ctx, cfg)
	connected = true
	if err != nil {
		if cfg.Password == "" && wantsPassword(err) {
			err = fmt.Errorf("%w: %w", ErrNoPassword, err)
		}
		return nil, err
	}
	s.pid = s.PID()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.opened[s.pid] = true
	return s, nil
}

// sessionParams are settings that no role or database may have otherwise: names mean PostgreSQL's own objects, whatever others have put in their way, and
// nothing is cut off.
var sessionParams = map[string]string{
	"search_path": "pg_catalog", "default_transaction_read_only": "off", "statement_timeout": "0", "lock_timeout": "0", "standard_conforming_strings": "on",
}

// close ends the session. One that was given up stays known until it is seen to be gone.
func (s *session) close() {
	given := s.IsClosed()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.Close(ctx)
	s.own.mu.Lock()
	defer s.own.mu.Unlock()
	delete(s.own.opened, s.pid)
	if given {
		s.own.left[s.pid] = true
	}
}

// dial connects to the postmaster.
func (pm postmaster) dial(ctx context.Context, as login, family string) (net.Conn, error) {
	if family == "tcp" {
		address := pm.listen
		if address == "" || address == "*" || address == "0.0.0.0" || address == "localhost" || strings.Contains(address, ":") {
			address = "127.0.0.1"
		}
		var d net.Dialer
		return d.DialContext(ctx, "tcp", net.JoinHostPort(address, strconv.Itoa(pm.port)))
	}
	switch {
	case pm.socketDir == "" && pm.status == "": // not all of postmaster.pid is written yet
		return nil, fmt.Errorf("PostgreSQL in %s is starting", pm.dataDir)
	case pm.socketDir == "":
		return nil, fmt.Errorf("%w: %s", errNoEntry, noSocket)
	}
	u, err := user.Lookup(as.osUser)
	if err != nil {
		return nil, fmt.Errorf("%w: no user %s on this host", errNoEntry, as.osUser)
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	return dialAs(ctx, identity{uid, gid}, path.Join(pm.socketDir, ".s.PGSQL."+strconv.Itoa(pm.port)))
}

// Name is the application_name of the sessions of this watcher, and of no other one's: in a container each may be process 1.
func (o *Own) Name() string { return o.name }

// retryRole is how long the refusal of the watcher's role counts: each try leaves a line in PostgreSQL's log.
const retryRole = 30 * time.Second

// ask opens a session that only looks: as the watcher's own role, or, where that is not let in, as the site's. A server without a connection
// left for the role has not refused it: it is asked this one time over the connections that it keeps for superusers.
func (o *Own) ask(ctx context.Context, application string, params map[string]string) (s *session, role, instead string, err error) {
	if instead := o.refused(); instead != "" {
		s, err := o.connect(ctx, o.site(), application, params)
		return s, o.settings.user(), instead, err
	}
	s, err = o.connect(ctx, o.watcher(), application, params)
	switch {
	case err == nil:
		return s, o.watcher().role, "", nil
	case noLogin(err):
		instead = o.explain(err)
		o.refuse(instead)
	case Full(err):
		instead = o.explain(err)
	default:
		return nil, o.watcher().role, "", err
	}
	s, err = o.connect(ctx, o.site(), application, params)
	return s, o.settings.user(), instead, err
}

// explain says why the watcher's role was not let in.
func (o *Own) explain(err error) string {
	return Explain(o.host.Name(), Settings{OSUser: WatcherRole, User: WatcherRole}, err, 0).Message
}

// refused is why the watcher's role is not to be tried now; "" it is.
func (o *Own) refused() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.again != nil {
		select {
		case <-o.again.C:
			o.again, o.instead = nil, ""
		default:
		}
	}
	return o.instead
}

func (o *Own) refuse(why string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.instead, o.again = why, time.NewTimer(retryRole)
}

// act opens a session of the site's role, which may change what a superuser may.
func (o *Own) act(ctx context.Context, params map[string]string) (*session, error) {
	return o.connect(ctx, o.site(), o.Name(), params)
}

// do runs one statement in a session of its own.
func (o *Own) do(ctx context.Context, sql string, args ...string) ([][]string, error) {
	s, err := o.act(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer s.close()
	return queryOn(ctx, s.PgConn, sql, args...)
}

// EndPredecessors ends the sessions that an earlier watcher of this machine has left: what it asked for may still be done otherwise, such as
// an ALTER SYSTEM of one that was killed (M2). It returns when they are gone.
func (o *Own) EndPredecessors(ctx context.Context) error {
	const others = ` FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND (application_name LIKE 'pgctl.watch%' OR application_name LIKE 'pgctl.canary%')
  AND backend_type = 'client backend' AND pid <> ALL ($1::int[]) AND application_name <> $2`
	for {
		rows, err := o.do(ctx, "SELECT pg_terminate_backend(pid), pid"+others, o.pids(), o.Name())
		if err != nil || len(rows) == 0 {
			return err
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("%s: %d sessions of an earlier watcher do not end: %w", o.host.Name(), len(rows), err)
		}
	}
}

// pids are the backends of the open sessions, as an array of PostgreSQL's.
func (o *Own) pids() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return array(o.opened)
}

// everyPID has those too that were given up and may wait for a standby still.
func (o *Own) everyPID() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := maps.Clone(o.opened)
	maps.Copy(all, o.left)
	return array(all)
}

func array(pids map[uint32]bool) string {
	var all []string
	for _, pid := range slices.Sorted(maps.Keys(pids)) {
		all = append(all, strconv.Itoa(int(pid)))
	}
	return "{" + strings.Join(all, ",") + "}"
}

// commitSQL writes a record that only a commit makes durable, and no row: an empty message. It needs a transaction id, so its commit waits like any
// other, at every wal_level (source: message.c, xact.c RecordTransactionCommit).
const commitSQL = "BEGIN; SELECT pg_logical_emit_message(true, 'pgctl', ''); COMMIT"

// Commit makes one commit in a new session, with that application_name. synchronousCommit is "on" for a canary, which waits for standbys,
// or "local" for a trial whether the disk still writes. names is synchronous_standby_names as shown before it; where another value is shown after it, that
// is an error. warned: PostgreSQL gave a warning, as it does when a wait was cancelled, so nothing is proven.
//
// At the end of ctx the commit is given up, not cancelled: its backend may go on waiting, until the next Commit ends it.
func (o *Own) Commit(ctx context.Context, application, synchronousCommit string) (names string, warned bool, err error) {
	s, _, _, err := o.ask(ctx, application, map[string]string{"synchronous_commit": synchronousCommit})
	if err != nil {
		return "", false, err
	}
	defer s.close()
	if err := s.endLeft(ctx); err != nil {
		return "", false, err
	}
	const show = "SELECT current_setting('synchronous_standby_names')"
	before, err := queryOn(ctx, s.PgConn, show)
	if err != nil {
		return "", false, err
	}
	names = before[0][0]
	if err := s.Exec(ctx, commitSQL).Close(); err != nil {
		return names, false, err
	}
	after, err := queryOn(ctx, s.PgConn, show)
	if err == nil && after[0][0] != names {
		err = fmt.Errorf("%s: synchronous_standby_names became %q during the commit", o.host.Name(), after[0][0])
	}
	return names, s.warning.Load() != nil, err
}

// endLeft ends the sessions that were given up and are still there: each would keep a connection for as long as it waits. They are ended,
// not cancelled, so that nothing of theirs counts as acknowledged.
func (s *session) endLeft(ctx context.Context) error {
	o := s.own
	o.mu.Lock()
	left := array(o.left)
	o.mu.Unlock()
	if left == "{}" {
		return nil
	}
	rows, err := queryOn(ctx, s.PgConn, `SELECT pid, CASE WHEN usename = current_user THEN pg_terminate_backend(pid) END FROM pg_stat_activity
WHERE pid = ANY ($1::int[]) AND application_name LIKE 'pgctl.%'`, left)
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, row := range rows {
		there[row[0]] = true
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	maps.DeleteFunc(o.left, func(pid uint32, _ bool) bool { return !there[strconv.Itoa(int(pid))] })
	return nil
}
