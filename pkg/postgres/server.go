package postgres

import (
	"cmp"
	"context"
	_ "embed"
	"net"
	"strconv"

	"github.com/pgctl/pgctl/pkg/remote"
)

// Settings say where a server is and how to enter it. Every field may be empty: the server is then looked for on the
// host itself.
type Settings struct {
	DataDir string // default: /opt/postgresql/data, else a cluster in /var/lib/postgresql/VERSION/NAME
	Port    int    // default: what the running server wrote into postmaster.pid
	OSUser  string // default "postgres"
	User    string // the PostgreSQL role, default "postgres"
	DBName  string // default "postgres"
	BinDir  string // its programs, default: those of the running postmaster, else by the data directory's version
	Service string // default: Debian's instance unit for a Debian cluster, else "postgresql"
}

func (s Settings) osUser() string { return cmp.Or(s.OSUser, "postgres") }
func (s Settings) user() string   { return cmp.Or(s.User, "postgres") }
func (s Settings) dbName() string { return cmp.Or(s.DBName, "postgres") }

// PortText is the port for a command line, "" when it is to be found out.
func (s Settings) PortText() string {
	if s.Port == 0 {
		return ""
	}
	return strconv.Itoa(s.Port)
}

// Server is one PostgreSQL server on a host.
type Server struct {
	host     remote.Host
	settings Settings
	dial     func(context.Context) (net.Conn, error) // in place of the relay; nil: the relay
}

// On is the server on the given host.
func On(host remote.Host, settings Settings) *Server { return &Server{host: host, settings: settings} }

//go:embed locate.sh
var locateScript string

//go:embed facts.sh
var factsScript string

//go:embed relay.pl
var relayProgram string

// Script is shell that defines pg_locate, pg_unit and pg_facts, for facts that are asked along with others of a host.
func Script() string { return locateScript + factsScript }
