#!/bin/bash
# post_failover.sh HOST HOST: where this server was promoted by pgpool, makes the other one its slave and tells the
# pools. Run by cron once a minute; it does nothing when there is nothing to do.
. /var/lib/postgresql/bin/utils.sh
exec 9>/run/post_failover.lock
flock -n 9 || exit 0

[ -f "$data_dir/recovery.done" ] || exit 0
is_running && [ "$(sql "SELECT pg_is_in_recovery()")" = f ] || exit 0
master=$(hostname)
for slave in "$1" "$2"; do [ "$slave" = "$master" ] || break; done
master_ip=$(address_of "$master") slave_ip=$(address_of "$slave")
[ "$(sql "SELECT count(*) FROM pg_stat_replication WHERE client_addr = '$slave_ip'")" = 0 ] || exit 0
newest='ls /var/lib/postgresql/9.3/main/pg_*/*.history 2>/dev/null | sed "s|.*/||" | sort | tail -n 1'
other=$(on "root@$slave" "$newest") 2>/dev/null || exit 0 # not back yet
[[ "$(bash -c "$newest")" > "$other" ]] || exit 0         # it was promoted after this one

echo "$(date '+%F %T') $slave becomes the slave of $master"
rm -f "$trigger_file"
service postgresql stop
su postgres -c "cd $bin_dir && ./configure_master.sh $master_ip $slave_ip" || { service postgresql start 9>&-; die "the master is not configured"; }
service postgresql restart 9>&-
on "root@$slave" service postgresql stop
su postgres -c "cd $bin_dir && ./base_backup.sh $slave_ip" || die "no base backup"
on "root@$slave" "su postgres -c 'cd $bin_dir && ./configure_slave.sh $slave_ip $master_ip'" || die "the slave is not configured"
on "root@$slave" service postgresql restart

for pgpool_server in $(cat "$pool_hosts"); do
	on root@${pgpool_server} "service pgpool2 stop; while pgrep -x pgpool >/dev/null; do sleep 0.1; done; sed -i -e \"s/^backend_hostname0.*/backend_hostname0 = '$master'/\" -e \"s/^backend_hostname1.*/backend_hostname1 = '$slave'/\" $pool_conf; rm -f /var/log/postgresql/pgpool_status"
	ssh root@${pgpool_server} "service pgpool2 restart"
done
echo "$(date '+%F %T') done"
