# What a server of a 9.x site has beyond PostgreSQL: a fact a line, a name, a blank, the value. Arguments: the data directory that is
# taken for its own where it has none now, the directory of pgctl's marks, the default trigger file, then the names to resolve.
data=$1 marks=$2 trigger=$3
shift 3

# the robot: every job of cron that runs one of the site's scripts. cron(8) reads no file of /etc/cron.d with a dot in its name
for file in /etc/crontab /etc/cron.d/* /var/spool/cron/crontabs/*; do
  [ -f "$file" ] || continue
  case $file in /etc/cron.d/*) case ${file##*/} in *[!A-Za-z0-9_-]*) continue ;; esac ;; esac
  grep -nE '^[[:space:]]*[^#[:space:]].*(/var/lib/postgresql/bin/|post_failover)' "$file" | sed "s|^|cron $file:|"
done
# one that runs: a process whose program it is, or whose shell's script. One that merely has its name as an argument is none
is_robot() {
  case $1 in *post_failover.sh) return 0 ;; *sh) shift ;; *) return 1 ;; esac
  while :; do
    case $1 in -*c*) return 1 ;; -*) shift ;; *post_failover.sh) return 0 ;; *) return 1 ;; esac
  done
}
for file in $(grep -lzxE '(.*/)?post_failover\.sh' /proc/[0-9]*/cmdline 2>/dev/null); do
  set -f
  is_robot $(tr '\0' ' ' <"$file" 2>/dev/null) && pid=${file#/proc/} && echo "robot ${pid%/cmdline}"
  set +f
done

# a step of pgctl's own that goes on although who began it has gone
if [ -e /run/pgctl.pg9 ] && ! flock -n /run/pgctl.pg9 true; then echo "busy $(head -c 200 /run/pgctl.pg9.what 2>/dev/null | head -n 1)"; fi

for file in "$trigger" $(cat "$data/recovery.conf" "$data/recovery.done" 2>/dev/null | sed -n "s/^[[:space:]]*trigger_file[[:space:]=]*'\([^' ]*\)'.*/\1/p" | sort -u); do
  case $file in /*) [ ! -f "$file" ] || echo "trigger $file" ;; esac
done
[ -f "$data/recovery.conf" ] && grep -q '^[[:space:]]*trigger_file' "$data/recovery.conf" && echo triggered
[ -n "$(ls -A "$data/pg_tblspc" 2>/dev/null)" ] && echo tablespaces
if [ -d "$data" ]; then
  [ -f "$data/PG_VERSION" ] || echo nodata
else
  echo nodata
fi
[ -f "$data/backup_label" ] && echo label
[ "$(stat -c %m "$data" 2>/dev/null)" = "$data" ] && echo mounted
for mark in "$marks"/*; do [ -f "$mark" ] && echo "mark ${mark##*/} $(head -n 1 "$mark")"; done
for name in "$@"; do echo "name $name" $(getent ahostsv4 "$name" | awk '{ print $1 }' | sort -u); done
echo end
exit 0
