# Runs in db1's disk before its first boot: makes the cluster, its roles and the
# standbys' slots, and stops it cleanly.
as_postgres() { setpriv --reuid=postgres --regid=postgres --init-groups env HOME=/var/lib/postgresql "$@"; }

chown postgres:postgres "$(dirname "$PGDATA")"
as_postgres "$PGBIN/initdb" --pgdata="$PGDATA" --encoding=UTF8 --locale=C.UTF-8 --data-checksums \
	--auth-local=peer --auth-host=reject --no-sync >/dev/null

install -d -o postgres -g postgres /tmp/socket
as_postgres "$PGBIN/pg_ctl" --pgdata="$PGDATA" -w -s -l /tmp/initdb.log \
	-o "-c config_file=$PGDATA/postgresql.conf -c listen_addresses= -c unix_socket_directories=/tmp/socket -c port=$PGPORT -c fsync=off $STANDBY_SETTINGS" \
	start || { cat /tmp/initdb.log >&2; exit 1; }
{
	cat <<SQL
SET password_encryption = 'scram-sha-256';
CREATE ROLE app LOGIN PASSWORD '$APP_PASSWORD';
CREATE ROLE pgpool LOGIN PASSWORD '$POOL_PASSWORD' IN ROLE pg_monitor;
CREATE ROLE replicator LOGIN REPLICATION PASSWORD '$REPLICATOR_PASSWORD';
CREATE DATABASE app OWNER app;
SQL
	for standby in $SLOTS; do
		echo "SELECT pg_create_physical_replication_slot('$standby', true);"
	done
} | as_postgres /usr/lib/postgresql/15/bin/psql -XAtq -v ON_ERROR_STOP=1 -h /tmp/socket -p "$PGPORT" -d postgres >/dev/null
as_postgres "$PGBIN/pg_ctl" --pgdata="$PGDATA" -w -s -m fast stop

# On Debian the configuration lies in /etc, and the data directory has none.
if [ "$PGCONF" != "$PGDATA" ]; then
	rm -f "$PGDATA/postgresql.conf" "$PGDATA/pg_hba.conf" "$PGDATA/pg_ident.conf"
fi
