#!/bin/sh
# pgpool's failover_command: the failed node, the primary node that was, the host of the node that is first now. When it
# was the master that failed, the slave finds its trigger file.
[ "$1" = "$2" ] || exit 0
exec ssh -n -o BatchMode=yes -o ConnectTimeout=5 "postgres@$3" touch /tmp/postgres-failover.trigger
