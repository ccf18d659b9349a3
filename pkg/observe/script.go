package observe

import (
	"github.com/pgctl/pgctl/pkg/pgpool"
	"github.com/pgctl/pgctl/pkg/postgres"
	"github.com/pgctl/pgctl/pkg/remote"
	"github.com/pgctl/pgctl/pkg/service"
)

// roles is what a host carries. One host may be a server and a pool at once.
type roles struct {
	server, pool, arbiter bool
}

// Fragments of the one command that a host is asked. Quick questions come first, so that what hangs (a disk, a service
// manager) costs only what comes after it.
const (
	askHost = `
section clock; date +%s.%N
section addresses; hostname -I
`
	askServer = `
section postgres; pg_facts "$1" "$2"
[ -f /pitrix/run/pg_master ] && { section master_file; cat /pitrix/run/pg_master; }
section services; service_facts postgresql "${3:-$(pg_unit "$pgdata")}"
`
	askPool = `
section pool_service; service_facts pgpool2 "$5"
[ -f "$4" ] && { section pool_conf; cat "$4"; }
[ -f "${4%/*}/pool_passwd" ] && { section pool_passwords; cat "${4%/*}/pool_passwd"; }
`
	askWatcher = `
for file in PGMonitor PGNode; do
  [ -f "/var/run/pg_watcher.$file" ] && { section "$file"; cat "/var/run/pg_watcher.$file"; }
done
section watcher; program_facts pg_watcher pg_watcher
`
)

// question is the command for a host with these roles.
func question(r roles, pg postgres.Settings, pool pgpool.Settings) remote.Command {
	text := sectionScript + service.Script
	if r.server {
		text += postgres.Script()
	}
	text += askHost
	if r.server {
		text += askServer
	}
	if r.pool {
		text += askPool
	}
	if r.server || r.arbiter {
		text += askWatcher
	}
	return remote.Script(text+"\nexit 0\n", pg.DataDir, pg.PortText(), pg.Service, pool.ConfPath(), pool.Unit())
}
