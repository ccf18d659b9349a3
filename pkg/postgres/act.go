package postgres

import (
	"context"
	_ "embed"
	"fmt"
	"strings"

	"github.com/pgctl/pgctl/pkg/remote"
)

//go:embed act.sh
var actScript string

// Stop stops the server on the given data directory cleanly ("fast": sessions are ended, a last checkpoint is written) and sees that no
// process of it is left. The context bounds the wait; a stop that has begun goes on.
func (s *Server) Stop(ctx context.Context, dataDir string) error { return s.act(ctx, "stop", dataDir) }

// Fence makes sure that the server accepts no write from here on: a quick stop without a last checkpoint, and SIGKILL for every process
// of it that is left after five seconds, as a stopped process heeds nothing else. Done when no process has the data directory as its own.
func (s *Server) Fence(ctx context.Context, dataDir string) error {
	return s.act(ctx, "fence", dataDir)
}

// Start asks the service manager to start the server. It does not wait until it answers.
func (s *Server) Start(ctx context.Context, dataDir string) error {
	return s.act(ctx, "start", dataDir)
}

// Restart is Stop and Start.
func (s *Server) Restart(ctx context.Context, dataDir string) error {
	if err := s.Stop(ctx, dataDir); err != nil {
		return err
	}
	return s.Start(ctx, dataDir)
}

// Stopped tells whether no process of the server on the data directory is left.
func (s *Server) Stopped(ctx context.Context, dataDir string) (bool, error) {
	out, err := s.host.Run(ctx, remote.Script(locateScript+factsScript+actScript+"\npg_act left \"$1\"", dataDir))
	return strings.TrimSpace(string(out.Stdout)) == "", err
}

// LastWords are the last lines of the server's log, for the reason why it does not start.
func (s *Server) LastWords(ctx context.Context, dataDir string) string {
	out, err := s.host.Run(ctx, remote.Script(locateScript+factsScript+actScript+"\npg_act log \"$1\" \"$2\"", dataDir, s.settings.Service))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out.Stdout))
}

func (s *Server) act(ctx context.Context, what, dataDir string) error {
	if dataDir == "" {
		return fmt.Errorf("%s: cannot %s PostgreSQL: its data directory is not known", s.host.Name(), what)
	}
	_, err := s.host.Run(ctx, remote.Script(locateScript+factsScript+actScript+"\npg_act \"$@\"", what, dataDir, s.settings.Service))
	return err
}

// ActScript is shell that defines pg_act, pg_processes and what they need, for a step that must do more than stop or start a server in
// one command, so that it comes to its end whatever becomes of who asked.
func ActScript() string { return locateScript + factsScript + actScript }

// Unit is the service that the settings name for the server; "": to be found on the host.
func (s *Server) Unit() string { return s.settings.Service }

// EndBackup ends an exclusive base backup that was begun and never ended, as when its script was killed; without one it does nothing.
// Up to PostgreSQL 14 there is at most one (manual, "Making an Exclusive Low-Level Backup").
func (s *Server) EndBackup(ctx context.Context) error {
	conn, err := s.Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.Exec(ctx, "SELECT CASE WHEN pg_is_in_backup() THEN pg_stop_backup()::text END").ReadAll()
	return err
}
