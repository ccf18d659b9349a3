package postgres

import (
	"context"
	"errors"
	"net"

	"github.com/pgctl/pgctl/pkg/remote"
)

// errSQLOnly is the answer to everything but SQL.
var errSQLOnly = errors.New("this server can be asked by SQL only")

// sqlOnly is a host of which nothing is reached but its PostgreSQL.
type sqlOnly string

func (h sqlOnly) Name() string { return string(h) }

func (h sqlOnly) Run(context.Context, remote.Command) (remote.Result, error) {
	return remote.Result{}, errSQLOnly
}

func (h sqlOnly) Pipe(context.Context, remote.Command) (net.Conn, error) { return nil, errSQLOnly }

func (h sqlOnly) Dial(context.Context, string, string) (net.Conn, error) { return nil, errSQLOnly }

// Via is a server that is asked over connections that dial makes, as the watcher's role, and not otherwise: what takes commands on its host
// is an error.
func Via(host string, s Settings, dial func(context.Context) (net.Conn, error)) *Server {
	s.User, s.OSUser = WatcherRole, ""
	return &Server{host: sqlOnly(host), settings: s, dial: dial}
}
