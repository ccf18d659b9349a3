package postgres

import (
	"context"
	_ "embed" // the script
	"fmt"
	"strings"

	"github.com/pgctl/pgctl/pkg/remote"
)

//go:embed tools.sh
var toolsScript string

// Tools are the programs of a server.
type Tools struct {
	BinDir     string // where its own programs are
	Version    string // of its own programs, such as "15.18"
	Rewind     bool   // it has pg_rewind and pg_controldata of its own version; another's are never run
	BaseBackup string // the path of pg_basebackup: its own, else a newer one on the host; "" none
}

// Tools finds the programs of the server with this data directory, which need not be there.
func (s *Server) Tools(ctx context.Context, dataDir string) (Tools, error) {
	out, err := s.host.Run(ctx, remote.Script(toolsScript, dataDir, s.settings.BinDir))
	if err != nil {
		return Tools{}, err
	}
	var t Tools
	for line := range strings.Lines(string(out.Stdout)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch name {
		case "bin":
			t.BinDir = value
		case "version":
			t.Version = value
		case "rewind":
			t.Rewind = true
		case "basebackup":
			t.BaseBackup = value
		}
	}
	if t.BinDir == "" || t.Version == "" {
		return Tools{}, fmt.Errorf("%s: the programs of PostgreSQL did not tell their version", s.host.Name())
	}
	return t, nil
}
