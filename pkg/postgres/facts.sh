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

# pg_facts prints what the files say, after pg_locate: a fact a line, a name, a blank, the value. Quick ones come first.
pg_facts() {
  if [ -n "$pgwhy" ]; then
    echo "none $pgwhy"
    return
  fi
  echo "data_dir $pgdata"
  [ -d "$pgdata" ] || echo missing
  if pg_alive "$pgdata"; then
    stat=${line##*) }
    pgpid=$pid # it may have begun since pg_locate
    echo "postmaster $pgpid ${stat%% *}"
  else
    echo "postmaster ${pgpid:-0} gone"
  fi
  echo "port $pgport"
  for file in standby.signal recovery.signal recovery.conf; do [ ! -f "$pgdata/$file" ] || echo "signal"; done
  [ -f "$pgdata/pgctl.renewed" ] && echo "renewed $(head -c 1024 "$pgdata/pgctl.renewed" | head -n 1)"
  for aside in "$(readlink -f "$pgdata")".pgctl-[0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]T[0-9][0-9][0-9][0-9][0-9][0-9]Z; do
    [ -L "$aside" ] && continue
    if [ -f "$aside/PG_VERSION" ]; then echo "aside data $aside"; elif [ -d "$aside" ]; then echo "aside wal $aside"; fi
  done
  [ -r "$pgdata/global/pg_control" ] && echo "control $(od -An -v -tx1 -N 80 "$pgdata/global/pg_control" | tr -d ' \n')"
  # data that is not whole yet need not have the rows of the file that came first
  [ -f "$pgdata/pgctl.epochs" ] && [ ! -e "$pgdata/backup_label" ] && [ ! -e "$(readlink -f "$pgdata").pgctl-copying" ] && echo "epochs $(head -c 65536 "$pgdata/pgctl.epochs" | head -n 1)"
  wal=$pgdata/pg_wal
  [ -d "$wal" ] || wal=$pgdata/pg_xlog
  newest=
  for file in "$wal"/????????????????????????; do # in order: the timeline comes first in a segment's name
    case ${file##*/} in *[!0-9A-F]*) ;; *) newest=${file##*/} ;; esac
  done
  [ -n "$newest" ] && echo "wal_timeline ${newest%????????????????}"
  for file in "$wal"/????????.history; do
    [ -f "$file" ] || continue
    timeline=${file##*/} timeline=${timeline%.history} at=
    while read -r parent lsn _; do
      # nothing but hexadecimal digits goes on: what is counted with would otherwise be evaluated
      case $parent in '' | *[!0-9]*) continue ;; esac
      case $timeline$lsn in *[!0-9A-Fa-f/]* | */*/* | */ | /*) continue ;; */*) ;; *) continue ;; esac
      echo "history $timeline $parent $lsn"
      at=$lsn
    done <"$file"
    [ -n "$at" ] && pg_opening "$timeline" "$at"
  done
  # up to 11: whom recovery.conf follows (the rest of the line may hold a password), and what is left of one after a promotion
  [ -f "$pgdata/recovery.done" ] && echo promoted
  [ -r "$pgdata/recovery.conf" ] && sed -n "s/^[[:space:]]*primary_conninfo[[:space:]=]*'\(.*[[:space:]]\)\{0,1\}host=\([^[:space:]']*\).*/upstream \2/p" "$pgdata/recovery.conf" | tail -n 1
  [ -n "$pgpid" ] && ps -o args= --ppid "$pgpid" | sed -n 's/^postgres: \(.*[^a-z]\)\{0,1\}\(wal \(writer\|sender\|receiver\) .*\)/process \2/p'
  [ -d "$pgdata" ] || pgdata=${pgdata%/*} # its file system
  df -Pk "$pgdata" | awk 'NR == 2 { print "disk", $2, $4 }'
}

# pg_opening TIMELINE LSN prints the WAL at the position where a timeline began, where the segment is still there. A
# segment's name is its timeline, the position's upper half and the number of the segment in the lower half.
pg_opening() {
  high=$((0x${2%/*})) low=$((0x${2#*/})) size=0
  for segment in "$wal/$1"????????????????; do
    [ -f "$segment" ] && size=$(stat -c %s "$segment")
    break
  done
  [ "$size" -ge 8192 ] || return 0
  segment=$(printf '%s/%s%08X%08X' "$wal" "$1" "$high" $((low / size)))
  [ -r "$segment" ] || return 0
  echo "opening $1 $2 $size $(od -An -v -tx1 -j $((low % size)) -N 256 "$segment" | tr -d ' \n')"
}
