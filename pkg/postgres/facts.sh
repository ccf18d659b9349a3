# pg_unit DATA_DIR prints the service that runs it: Debian's instance unit for a Debian cluster, else the site's.
pg_unit() {
  case $1 in
  /var/lib/postgresql/*/*)
    cluster=${1#/var/lib/postgresql/}
    if [ -d /run/systemd/system ]; then echo "postgresql@${cluster%%/*}-${cluster#*/}.service"; else echo postgresql; fi
    ;;
  *) echo postgresql.service ;;
  esac
}

# pg_facts DATA_DIR PORT prints what the files say, a fact a line: a name, a blank, the value.
pg_facts() {
  pg_locate "$1" "$2" || return 0
  echo "data_dir $pgdata"
  echo "port $pgport"
  df -Pk "$pgdata" | awk 'NR == 2 { print "disk", $2, $4 }'
  if [ -n "$pgpid" ]; then
    stat=gone
    if read -r line 2>/dev/null <"/proc/$pgpid/stat"; then
      case $line in *'(postgres)'* | *'(postmaster)'*) stat=${line##*) } stat=${stat%% *} ;; esac
    fi
    echo "postmaster $pgpid $stat"
  fi
  [ -r "$pgdata/global/pg_control" ] && echo "control $(od -An -v -tx1 -N 80 "$pgdata/global/pg_control" | tr -d ' \n')"
  wal=$pgdata/pg_wal
  [ -d "$wal" ] || wal=$pgdata/pg_xlog
  for file in "$wal"/????????.history; do
    [ -f "$file" ] || continue
    timeline=${file##*/} timeline=${timeline%.history} at=
    while read -r parent lsn _; do
      case $parent in '' | \#*) continue ;; esac
      echo "history $timeline $parent $lsn"
      at=$lsn
    done <"$file"
    [ -n "$at" ] && pg_opening "$timeline" "$at"
  done
  return 0
}

# pg_opening TIMELINE LSN prints the WAL at the position where a timeline began, where the segment is still there. A
# segment's name is its timeline, the position's upper half and the number of the segment in the lower half.
pg_opening() {
  high=$((0x${2%/*})) low=$((0x${2#*/}))
  for segment in "$wal/$1"????????????????; do
    [ -f "$segment" ] || return 0
    size=$(stat -c %s "$segment")
    break
  done
  [ "$size" -gt 0 ] || return 0
  segment=$(printf '%s/%s%08X%08X' "$wal" "$1" "$high" $((low / size)))
  [ -r "$segment" ] || return 0
  echo "opening $1 $2 $size $(od -An -v -tx1 -j $((low % size)) -N 256 "$segment" | tr -d ' \n')"
}
