package service

import (
	"context"
	"fmt"

	"github.com/pgctl/pgctl/pkg/remote"
)

// actScript does one thing to one service. What the unit merely wants is left alone: on Debian pgpool2.service wants
// postgresql.service, and a start of the pool would start a PostgreSQL that was stopped on purpose.
const actScript = `
if [ -d /run/systemd/system ]; then
  # what failed, or was started too often, would be refused
  [ "$1" = start ] && systemctl reset-failed "$2" 2>/dev/null
  exec systemctl "$1" --job-mode=ignore-dependencies "$2"
fi
exec service "${2%.service}" "$1"`

// Start starts a service and nothing that it wants.
func Start(ctx context.Context, host remote.Host, unit string) error {
	return act(ctx, host, "start", unit)
}

// Stop stops a service.
func Stop(ctx context.Context, host remote.Host, unit string) error {
	return act(ctx, host, "stop", unit)
}

func act(ctx context.Context, host remote.Host, verb, unit string) error {
	if _, err := host.Run(ctx, remote.Script(actScript, verb, unit)); err != nil {
		return fmt.Errorf("%s %s: %w", verb, unit, err)
	}
	return nil
}
