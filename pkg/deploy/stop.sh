# Stops pg_watcher and takes it out of supervisor. $1 is the configuration to be removed ('' none); the rest are status files.
set -eu
conf=$1
shift
[ -z "$conf" ] || rm -f -- "$conf"
supervisorctl stop pg_watcher >/dev/null 2>&1 || true
supervisorctl reread >/dev/null 2>&1 || true
supervisorctl remove pg_watcher >/dev/null 2>&1 || true
rm -f -- "$@" /var/run/pg_watcher.lock
