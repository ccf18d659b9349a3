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
// manager) costs only what comes after it. An answer without its end section is one in part: a section that is missing from
// it is not known, while one that is missing from a whole answer is a file that is not there. Files are cut at a size that
// no honest one reaches.
const (
	askHost = `
section clock; date +%s.%N
section addresses; hostname -I
`
	askServer = `
pg_locate "$1" "$2"
section services; service_facts postgresql "${3:-$(pg_unit "$pgdata")}"
[ -f /pitrix/run/pg_master ] && { section master_file; head -c 1024 /pitrix/run/pg_master; }
`
	askPool = `
section pool_service; service_facts pgpool2 "$5"
[ -f "$4" ] && {
  section pool_conf; head -c 1048576 "$4"
  section pool_names
  sed -n "s/^[[:space:]]*backend_hostname[0-9]*[[:space:]=]*'\{0,1\}\([A-Za-z0-9.:-]*\).*/\1/p" "$4" | sort -u | while read -r name; do
    echo "$name" $(getent ahosts "$name" | awk '{ print $1 }' | sort -u)
  done
}
section pool_memory
pgrep -o -x pgpool | while read -r pid; do awk -v pid="$pid" '$5 == pid { n += $4 } END { print n + 0 }' /proc/sysvipc/shm; done
[ -f "${4%/*}/pool_passwd" ] && { section pool_passwords; head -c 1048576 "${4%/*}/pool_passwd"; }
`
	askWatcher = `
for file in PGMonitor PGNode; do
  [ -f "/var/run/pg_watcher.$file" ] && { section "$file"; head -c 262144 "/var/run/pg_watcher.$file"; }
done
section watcher; program_facts pg_watcher pg_watcher
`
	askFiles = `
section postgres; (pg_facts)
`
)

// question is the command for a host with these roles.
func question(r roles, pg postgres.Settings, pool pgpool.Settings) remote.Command {
	text := "# Prints what there is on the host, a section each.\n" + sectionScript + service.Script
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
	if r.server {
		text += askFiles
	}
	return remote.Script(text+"\nsection end\nexit 0\n", pg.DataDir, pg.PortText(), pg.Service, pool.ConfPath(), pool.Unit())
}
