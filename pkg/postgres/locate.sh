# pg_locate DATA_DIR PORT finds the server. DATA_DIR may be empty: the site's directory, else a Debian cluster, one that
# runs before one that does not. Sets pgdata, pgport, pgpid, pgsock, pglisten; fails when there is no data directory.
pg_locate() {
  pgdata=$1 pgport=$2 pgpid='' pgsock='' pglisten=''
  if [ -z "$pgdata" ]; then
    for dir in /opt/postgresql/data /var/lib/postgresql/*/*; do
      [ -f "$dir/PG_VERSION" ] || continue
      pgdata=$dir
      [ -f "$dir/postmaster.pid" ] && break
    done
  fi
  [ -n "$pgdata" ] && [ -d "$pgdata" ] || return 1
  # PostgreSQL source, pidfile.h: pid, directory, start time, port, socket directory, listen address
  if [ -r "$pgdata/postmaster.pid" ]; then
    {
      read -r pgpid
      read -r _
      read -r _
      read -r port
      read -r pgsock
      read -r pglisten
    } <"$pgdata/postmaster.pid"
    pgport=${port:-$pgport}
  fi
}
