# Copies the master. Arguments: pg_basebackup, the mark, the stamp, 1 to give up the old data first, how the master's pg_control
# begins and the timeline there (in hexadecimal), how many bytes of standard input are the service file, more options of
# pg_basebackup ("" none), the master's tablespaces.
program=$1 text=$2 stamp=$3 reuse=$4 id=$5 timeline=$6 size=$7 option=$8
shift 8
lock
service=/run/pgctl-clone.$(printf %s "$data" | cksum | cut -d ' ' -f 1)
rm -rf "$service" # of a run that was killed
mkdir "$service"
trap 'rm -rf "$service"' EXIT
trap 'exit 1' HUP INT TERM
head -c "$size" >"$service/service"
owner "$service" "$service/service"
stopped "$data"
stopped "$work"
[ ! -d "$work" ] || [ ! -d "$data" ] || fail "$data and $work are both there: the second is what an earlier run did not end; move one of them away" 12

wanted=$stamp
if marked "$data" "$text" && [ "$stamp" = "$wanted" ]; then exit 0; fi
stamp=$wanted
if marked "$new" "$text"; then
  swap
  exit 0
fi
stamp=$wanted

# give_up DIR removes the old data; what it reaches outside comes first, as the links are in it
give_up() {
  rm -f "$1/global/pg_control" # from here on nothing can start it
  links "$1" | while read -r link; do
    place=$(place_of "$link")
    case $place in */pgctl-*) continue ;; esac
    belongs "$link" "$place" | while read -r entry; do rm -rf -- "$entry"; done
  done
  find "$1" -mindepth 1 -maxdepth 1 ! -name lost+found -exec rm -rf -- {} +
  if [ -d "$1/lost+found" ]; then rmdir "$1/lost+found"; fi
}

old=$data into=$new
[ ! -d "$work" ] || old=$work
if is_mount "$data"; then
  [ "$reuse" = 1 ] || fail "$data is a mount point: it cannot be renamed, so no copy can be made beside it" 13
  into=$data
fi
for place in "$@"; do
  [ -d "$place" ] || { mkdir -p "$place" && owner "$place"; }
  rm -rf "$place/pgctl-new"
  set -- "$@" "--tablespace-mapping=$(printf %s "$place" | sed 's/=/\\=/g')=$(printf %s "$place" | sed 's/=/\\=/g')/pgctl-new"
  shift
done
wal=''
for link in "$old/pg_wal" "$old/pg_xlog"; do
  if [ -L "$link" ]; then
    wal=$(readlink -f "$link")
    rm -rf "$wal/pgctl-new"
  fi
done
rm -rf "$new"
keep_conf "$old"
if [ "$reuse" = 1 ]; then
  : >"$busy"
  flush "$busy"
  [ ! -d "$old" ] || give_up "$old"
  rm -f "$work" 2>/dev/null || rmdir "$work"
fi
[ -d "$into" ] || mkdir "$into"
owner "$into"
[ -z "$option" ] || set -- "$@" "$option"
[ -z "$wal" ] || set -- "$@" "--waldir=$wal/pgctl-new"
code=0
PGSERVICEFILE=$service/service as_user "$program" --pgdata="$into" --dbname=service=clone --no-password --wal-method=stream \
  --checkpoint=fast --progress "$@" || code=$?
# half a copy is of no use to anybody, and takes room
undo() {
  if [ "$into" = "$new" ]; then
    links "$new" | while read -r link; do
      place=$(place_of "$link")
      case $place in */pgctl-new) rm -rf "$place" ;; esac
    done
    rm -rf "$new"
  fi
}
if [ "$code" != 0 ]; then
  undo
  fail "pg_basebackup ended with exit code $code"
fi
control=$into/global/pg_control version=$(cat "$into/PG_VERSION") at=48
[ "${version%%.*}" -ge 11 ] || at=56
if [ "$(hex "$control" 0 8)" != "$id" ] || [ "$(hex "$control" 16 4)" != 06000000 ] || [ "$(hex "$control" "$at" 4)" != "$timeline" ]; then
  undo
  fail "the copy is not of the master: its system identifier, its timeline or its state is another's"
fi
finish "$into"
if [ "$into" = "$data" ]; then
  outside_in "$data"
  mark "$data" "$text"
  rm -rf "$conf" "$conf.signals" "$busy"
  exit 0
fi
stopped "$data" # hours have passed: it must not be renamed under a server that somebody started
stopped "$work"
mark "$new" "$text"
swap
