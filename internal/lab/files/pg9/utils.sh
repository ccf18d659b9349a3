# What the site's PostgreSQL scripts share. To be sourced.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
bin_dir=/var/lib/postgresql/bin
data_dir=/var/lib/postgresql/9.3/main
conf_dir=/etc/postgresql/9.3/main
trigger_file=/tmp/postgres-failover.trigger
pool_conf=/etc/pgpool2/pgpool.conf
pool_hosts=/pitrix/ks/pgserver/conf/pgpool_hosts

die() {
	echo "${0##*/}: $1" >&2
	exit 1
}

on() { ssh -n -o BatchMode=yes -o ConnectTimeout=5 "$@"; }

as_postgres() { if [ "$(id -un)" = postgres ]; then bash -c "$1"; else su postgres -c "cd / && $1"; fi; }

sql() { as_postgres "psql -XAtq -h /var/run/postgresql -d postgres -c \"$1\""; }

address_of() { getent ahostsv4 "$1" | awk '{ print $1; exit }'; }

is_here() { hostname -I | tr ' ' '\n' | grep -qxF "$1"; }

is_running() { as_postgres "/usr/lib/postgresql/9.3/bin/pg_ctl status -D $data_dir" >/dev/null 2>&1; }

# What both configure scripts ask before they touch anything: who runs them, and where.
expect_stopped_here() {
	[ "$(id -un)" = postgres ] || die "to be run as postgres"
	is_here "$1" || die "$1 is not an address of this host"
	! is_running || die "PostgreSQL is running: stop it first"
}

# install_failover_cron HOST HOST has this server look once a minute whether a failover is to be finished.
install_failover_cron() {
	[ $# -eq 2 ] || die "install_failover_cron: two hosts expected"
	printf '%s\n' "* * * * * root $bin_dir/post_failover.sh $1 $2 >>/var/log/post_failover.log 2>&1" |
		ssh -o BatchMode=yes "root@$(hostname)" 'cat >/etc/cron.d/.pg_failover && chmod 644 /etc/cron.d/.pg_failover && mv /etc/cron.d/.pg_failover /etc/cron.d/pg_failover'
}
