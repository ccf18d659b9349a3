# Removes what deploy put on a host; $1 is "here" on the host that keeps the authority and pgctl.
set -eu
rm -f /etc/pgctl/tls/host.crt /etc/pgctl/tls/host.key
[ "$1" = here ] && exit 0
rm -f /etc/pgctl/tls/ca.crt /usr/local/bin/pgctl
# what the watcher remembers: another quorum begins anew
rm -rf /var/lib/pgctl/raft /var/lib/pgctl/frozen.json /var/lib/pgctl/replication.json /run/pgctl/watch.json /run/pgctl/watch.sock
for folder in /etc/pgctl/tls /etc/pgctl /var/lib/pgctl; do
  rmdir "$folder" 2>/dev/null || true # not empty: it holds what is the host's own
done
