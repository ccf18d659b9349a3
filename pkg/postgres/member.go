package postgres

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"strings"

	"github.com/pgctl/pgctl/pkg/remote"
)

// HasMember tells whether the data of a server that may be stopped counts under this name (pgctl.member).
func (s *Server) HasMember(ctx context.Context, dataDir, name string) (bool, error) {
	text, err := remote.ReadFile(ctx, s.host, path.Join(dataDir, memberFile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return strings.TrimSpace(string(text)) == name, err
}

// SetMember gives it that name.
func (s *Server) SetMember(ctx context.Context, dataDir, name string) error {
	if err := checkMember(name, s.host.Name()); err != nil {
		return err
	}
	_, err := remote.WriteFile(ctx, s.host, path.Join(dataDir, memberFile), []byte(name+"\n"), remote.WriteOptions{Mode: 0o600, Owner: s.owner()})
	return err
}
