package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/pgctl/pgctl/pkg/pgpool"
	"github.com/pgctl/pgctl/pkg/postgres"
	"github.com/pgctl/pgctl/pkg/remote"
	"github.com/pgctl/pgctl/pkg/watch"
)

// selfPath is the program that runs, also when another lies in its place by now.
const selfPath = "/proc/self/exe"

func newWatchCmd(a *app) *cobra.Command {
	var serverYAML string
	cmd := &cobra.Command{
		Use:   "watch",
		Short: "Watch this node and keep the region available, in the foreground",
		Long: `watch runs on a node, as supervisor's program pg_watcher (pgctl deploy puts it there). The
watchers of all servers and arbiters form a quorum, over one TCP port (5480) with mutual TLS. Every
second each asks its own PostgreSQL, tells all others, and does for its own server what the quorum
has decided; the one that leads, the executor, decides for the region (docs/safety.md).

With inactive_failover: 1 in server.yaml it watches and reports, and touches nothing. A changed
server.yaml is taken without a restart; a broken one is refused, and the one before stays in force.
What it sees is in /var/run/pg_watcher.PGMonitor and /var/run/pg_watcher.PGNode, in JSON.

SIGTERM and Ctrl-C end it.`,
		Example: "  pgctl watch\n  pgctl watch --server-yaml /tmp/server.yaml",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.watch(cmd.Context(), serverYAML) },
	}
	cmd.Flags().StringVar(&serverYAML, "server-yaml", watch.ServerYAML, "the node's configuration, a `FILE`")
	return cmd
}

// processors are what a watcher needs at the most. Go takes all that there are, and looks for work on each whenever something happens: told that there are
// 16, an idle watcher took up to a quarter more processor time than with 2 (measured on two cores).
const processors = 2

func (a *app) watch(ctx context.Context, serverYAML string) error {
	runtime.GOMAXPROCS(min(runtime.GOMAXPROCS(0), processors))
	cfg, err := a.config()
	if err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("cannot tell the name of this host: %w", err)
	}
	binary, err := sumOf(selfPath)
	if err != nil {
		return err
	}
	settings, err := sumOf(a.configFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	pool := remote.NewPool(remote.Options{LocalName: host})
	defer pool.Close()
	pg := cfg.Postgres
	return watch.Run(ctx, watch.Options{
		Host: host, Local: pool.Host(host), ServerYAML: serverYAML,
		RunDir: watch.RunDir, StateDir: watch.StateDir, MemoryPath: watch.MemoryPath, TLSDir: watch.TLSDir, ControlPath: watch.ControlPath, Listen: cfg.Watch.Listen, Metrics: cfg.Watch.Metrics, Watchdog: cfg.Watch.Watchdog, Notify: cfg.Watch.Notify,
		Postgres:    postgres.Settings{DataDir: pg.DataDir, Port: pg.Port, OSUser: pg.OSUser, User: pg.User, DBName: pg.DBName, BinDir: pg.BinDir, Service: pg.Service},
		Replication: cfg.Replication, PGPool: pgpool.Settings{Conf: cfg.Pgpool.Conf, Service: cfg.Pgpool.Service, User: cfg.Pgpool.User, DBName: cfg.Pgpool.DBName},
		Version: version, Binary: binary, Settings: settings, Now: a.now,
		Log: slog.New(slog.NewTextHandler(a.err, nil)),
	})
}

// sumOf is the SHA-256 of a file, in hexadecimal; "" beside an error.
func sumOf(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
