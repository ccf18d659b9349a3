#!/bin/bash
# configure_master.sh MASTER_IP SLAVE_IP: makes the stopped PostgreSQL here a master that the slave may stream from.
. /var/lib/postgresql/bin/utils.sh
[ $# -eq 2 ] || die "usage: configure_master.sh MASTER_IP SLAVE_IP"
expect_stopped_here "$1"

if [ -f "$data_dir/recovery.conf" ]; then
	mv "$data_dir/recovery.conf" "$data_dir/recovery.done" || die "recovery.conf stays"
fi
sed -i '/ # the slave$/d' "$conf_dir/pg_hba.conf"
echo "host replication replicator $2/32 scram-sha-256 # the slave" >>"$conf_dir/pg_hba.conf"

install_failover_cron $1 $2
