# Rewinds the data directory. Arguments: the directory of the server's programs, the mark, the stamp, the fork's timeline (in eight hexadecimal
# digits) and position (two halves, in hexadecimal), two directories with a socket that leads to the master, the master's role
# and database.
bin=$1 text=$2 stamp=$3 timeline=$4 high=$5 low=$6 trial=$7 source=$8 role=$9 database=${10}
aside=$data.pgctl-$stamp
lock
stopped "$work"
stopped "$data"
wanted=$stamp
if marked "$data" "$text" && [ "$stamp" = "$wanted" ]; then exit 0; fi
stamp=$wanted
[ ! -e "$work" ] || fail "an earlier rewind broke off" 11
[ ! -e "$new" ] && [ ! -e "$busy" ] || fail "an earlier copy was begun" 10
[ -f "$data/PG_VERSION" ] || fail "there is no data to rewind" 10
version=$(cat "$data/PG_VERSION")
[ -x "$bin/pg_rewind" ] && [ -x "$bin/pg_controldata" ] || fail "$bin has no pg_rewind" 10

# control NAME prints a value of pg_controldata
control() { as_user "$bin/pg_controldata" "$dir" | sed -n "s/^$1: *//p"; }
dir=$data
if [ "$(control 'wal_log_hints setting')" != on ] && [ "$(control 'Data page checksum version')" = 0 ]; then
  fail "it was run without wal_log_hints and without data checksums" 10
fi
[ "$(control "Latest checkpoint's full_page_writes")" = on ] || fail "it was run without full_page_writes" 10
segment=$(control 'Bytes per WAL segment')
[ "$segment" -gt 0 ] || fail "pg_controldata does not tell the size of a WAL segment" 10
keep_conf "$data"

# the WAL that nobody else has
keep_wal() {
  from=$(printf '%s%08X%08X' "$timeline" "0x$high" $((0x$low / segment)))
  mkdir -p "$aside.part"
  for file in "$data/pg_wal"/????????????????????????* "$data/pg_wal"/*.history; do
    name=${file##*/}
    case $name in
    *.history) ;;
    "$timeline"*) if expr "$name" '<' "$from" >/dev/null; then continue; fi ;;
    *) continue ;;
    esac
    if [ -f "$file" ]; then cp -p -- "$file" "$aside.part/" || return; fi
  done
  cp -p "$data/global/pg_control" "$aside.part/" && flush "$aside.part" && mv -T "$aside.part" "$aside"
}
if ! keep_wal; then
  rm -rf "$aside.part"
  fail "the WAL past the fork cannot be set aside" 10
fi

# away and back: nothing can start the data directory while it is half rewound
if is_mount "$data"; then
  dir=$data
  : >"$work"
  away() { :; }
  back() { rm -f "$work"; }
else
  dir=$work
  away() { mv -T "$data" "$work"; }
  back() { mv -T "$work" "$data"; }
fi
signals=$conf.signals
rm -rf "$signals"
mkdir "$signals"
away
flush "${data%/*}/"

# unchanged REASON: pg_rewind has not begun, and the data is what it was
unchanged() {
  cp -a "$signals/." "$dir/"
  rm -rf "$signals" "$conf" "$aside"
  back
  flush "${data%/*}/"
  fail "$1" 10
}
# single-user mode refuses to be a standby
for file in standby.signal recovery.signal recovery.conf; do
  if [ -e "$dir/$file" ]; then
    cp -a "$dir/$file" "$signals/" # first the copy, then it goes
    rm -f "$dir/$file"
  fi
done
case $(control 'Database cluster state') in
'shut down' | 'shut down in recovery') ;;
*)
  settings=$dir/postgresql.conf
  case $data in /var/lib/postgresql/*/*) if [ -f "/etc/postgresql/${data#/var/lib/postgresql/}/postgresql.conf" ]; then settings=/etc/postgresql/${data#/var/lib/postgresql/}/postgresql.conf; fi ;; esac
  as_user "$bin/postgres" --single -D "$dir" -c config_file="$settings" -c data_directory="$dir" template1 || unchanged "its crash recovery did not succeed"
  case $(control 'Database cluster state') in 'shut down') ;; *) unchanged "its crash recovery did not end" ;; esac
  ;;
esac

# rewind SOCKET_DIR OPTION...
rewind() {
  socket=$1
  shift
  [ "${version%%.*}" -lt 13 ] || set -- "$@" --no-ensure-shutdown
  as_user "$bin/pg_rewind" --target-pgdata="$dir" --source-server="host=$socket port=5432 user=$role dbname=$database" "$@"
}
said=$(rewind "$trial" --dry-run) || { echo "$said"; unchanged "pg_rewind cannot do it"; }
echo "$said"
# "no rewind required" is not believed: two servers that were promoted to one timeline each look alike to pg_rewind
at=$(printf '%s\n' "$said" | sed -n 's/.*servers diverged at WAL location \([0-9A-F]*\)\/\([0-9A-F]*\) on timeline.*/\1 \2/p')
[ -n "$at" ] || unchanged "pg_rewind does not see that it diverged"
# what it would leave in place past the fork would be two histories in one
if [ $((0x${at% *})) -gt $((0x$high)) ] || { [ $((0x${at% *})) -eq $((0x$high)) ] && [ $((0x${at#* })) -gt $((0x$low)) ]; }; then
  unchanged "pg_rewind sees the fork later than it was"
fi
rewind "$source" --progress || fail "pg_rewind broke off" 11
rm -rf "$signals"
finish "$dir"
mark "$dir" "$text"
back
flush "${data%/*}/"
rm -rf "$conf"
