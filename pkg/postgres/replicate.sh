# Opens a replication connection as the operating system user $1, by the connection service file on standard input.
command -v psql >/dev/null || exit 77
umask 077
file=$(mktemp) || exit 1
trap 'rm -f "$file"' EXIT
cat >"$file"
if [ "$(id -u)" = 0 ]; then
  chown "$1:" "$file"
  home=$(getent passwd "$1" | cut -d: -f6)
  su -s /bin/sh "$1" -c "cd /; HOME='$home' PGSERVICEFILE='$file' LC_ALL=C exec psql -X -w -A -t -d 'service=try replication=true' -c IDENTIFY_SYSTEM" >/dev/null
else
  PGSERVICEFILE=$file LC_ALL=C psql -X -w -A -t -d 'service=try replication=true' -c IDENTIFY_SYSTEM >/dev/null
fi
