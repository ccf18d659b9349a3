package postgres

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/pgctl/pgctl/pkg/remote"
)

//go:embed replicate.sh
var replicateScript string

// ErrUntested is returned when a host has no psql to try a connection with.
var ErrUntested = errors.New("psql is not installed there, so the login was not tried")

// CanReplicate tries whether the server's host could follow this upstream: the name, the route, pg_hba.conf there and the login. It
// opens a replication connection and asks for nothing but the identity of the system (PostgreSQL manual, "Streaming Replication Protocol").
// Passwords are in no argument list.
func (s *Server) CanReplicate(ctx context.Context, upstream ConnInfo) error {
	c := maps.Clone(upstream.Portable())
	c["application_name"], c["connect_timeout"] = "pgctl.try", "4"
	cmd := remote.Script(replicateScript, s.settings.osUser())
	cmd.Stdin = strings.NewReader(string(withService(nil, "try", c)))
	_, err := s.host.Run(ctx, cmd)
	var exit *remote.ExitError
	switch {
	case errors.As(err, &exit) && exit.Code == 77:
		return ErrUntested
	case errors.As(err, &exit):
		return errors.New(strings.TrimSpace(string(exit.Stderr)))
	}
	return err
}

// Shows are the values of settings of the running server, in their base units (pg_settings.setting).
func (s *Server) Shows(ctx context.Context, names ...string) (map[string]string, error) {
	rows, err := s.query(ctx, "SELECT name, setting FROM pg_settings WHERE name = ANY (string_to_array($1, ','))", strings.Join(names, ","))
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	for _, row := range rows {
		found[row[0]] = row[1]
	}
	if len(found) < len(names) {
		return found, fmt.Errorf("%s: it has no setting of some of the names %s", s.host.Name(), strings.Join(names, ", "))
	}
	return found, nil
}
