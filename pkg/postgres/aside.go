package postgres

import (
	"context"
	_ "embed" // the script
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/remote"
)

//go:embed aside.sh
var asideScript string

// Asides measures what renewals set aside beside a data directory, its tablespaces with it. That may take a while.
func (s *Server) Asides(ctx context.Context, dataDir string) ([]cluster.Aside, error) {
	out, err := s.host.Run(ctx, remote.Script(asideScript, dataDir))
	if err != nil {
		return nil, err
	}
	var found []cluster.Aside
	for line := range strings.Lines(string(out.Stdout)) {
		fields := strings.SplitN(strings.TrimSpace(line), " ", 4)
		if len(fields) != 4 {
			return nil, fmt.Errorf("%s: cannot read %q: expected what was set aside, its KiB and its path", s.host.Name(), strings.TrimSpace(line))
		}
		aside, err := parseAside(fields[1], fields[3])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.host.Name(), err)
		}
		size, err := strconv.ParseInt(fields[2], 10, 53)
		if err != nil {
			return nil, fmt.Errorf("%s: the size of %s: %w", s.host.Name(), aside.Path, err)
		}
		aside.Bytes = size << 10
		found = append(found, aside)
	}
	return found, nil
}

// HasAside tells whether what a renewal set aside is still there, or something of it in a tablespace.
func (s *Server) HasAside(ctx context.Context, dataDir, path string) (bool, error) {
	out, err := s.host.Run(ctx, remote.Script(asideScript, dataDir, path, "look"))
	return strings.TrimSpace(string(out.Stdout)) != "", err
}

// RemoveAside removes what a renewal set aside, and nothing else. What is not there is removed already.
func (s *Server) RemoveAside(ctx context.Context, dataDir, path string) error {
	_, err := s.host.Run(ctx, remote.Script(asideScript, dataDir, path))
	return err
}

// parseAside reads the moment from the stamp at the end of the path.
func parseAside(what, path string) (cluster.Aside, error) {
	_, stamp, ok := strings.Cut(path, ".pgctl-")
	if i := strings.LastIndex(path, ".pgctl-"); ok {
		stamp = path[i+len(".pgctl-"):]
	}
	made, err := time.Parse("20060102T150405Z", stamp)
	if err != nil || what != "data" && what != "wal" {
		return cluster.Aside{}, fmt.Errorf("cannot read %q, %q: expected data or wal, and a path that ends with .pgctl- and a moment", what, path)
	}
	return cluster.Aside{Path: path, Made: made, What: what}, nil
}
