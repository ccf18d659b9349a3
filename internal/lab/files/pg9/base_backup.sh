#!/bin/bash
# base_backup.sh SLAVE_IP: copies this master's data to the slave, whose PostgreSQL is stopped.
. /var/lib/postgresql/bin/utils.sh
set -o pipefail
[ $# -eq 1 ] || die "usage: base_backup.sh SLAVE_IP"
[ "$(id -un)" = postgres ] || die "to be run as postgres"
! is_here "$1" || die "$1 is this host: it would overwrite the data that it copies"
slave=postgres@$1
on "$slave" "! /usr/lib/postgresql/9.3/bin/pg_ctl status -D $data_dir >/dev/null 2>&1" || die "PostgreSQL on $1 is running, or $1 does not answer"

sql "SELECT pg_start_backup('base_backup', true)" >/dev/null || die "the backup cannot begin"
on "$slave" "find $data_dir -mindepth 1 -delete" &&
	tar -C "$data_dir" --warning=no-file-changed --warning=no-file-removed --exclude=./postmaster.pid --exclude='./pg_wal/*' -cf - . |
	ssh -o BatchMode=yes "$slave" "tar -C $data_dir -xf - && mkdir -p $data_dir/pg_wal/archive_status"
copied=$?
sql "SELECT pg_stop_backup()" >/dev/null || die "the backup cannot end"
[ $copied -le 1 ] || die "the copy failed"
