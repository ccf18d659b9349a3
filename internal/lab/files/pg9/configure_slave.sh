#!/bin/bash
# configure_slave.sh SLAVE_IP MASTER_IP: makes the stopped PostgreSQL here the slave of that master.
. /var/lib/postgresql/bin/utils.sh
[ $# -eq 2 ] || die "usage: configure_slave.sh SLAVE_IP MASTER_IP"
expect_stopped_here "$1"
[ -f "$data_dir/PG_VERSION" ] || die "there is no data in $data_dir"

rm -f "$data_dir/recovery.done"
umask 077
cat >"$data_dir/recovery.conf" <<CONF
standby_mode = 'on'
primary_conninfo = 'host=$2 port=5432 user=replicator'
trigger_file = '$trigger_file'
recovery_target_timeline = 'latest'
CONF

install_failover_cron $2 $1
