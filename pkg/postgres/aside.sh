# Lists and removes what renewals set aside. Arguments: the data directory, then nothing, or the directory to be removed, then
# "look" to list only what of it is there.
set -eu
data=$(readlink -f -- "$1")

# outside DIR lists what belongs to DIR in the tablespaces and the directory of the WAL: by its links, and by those of the data directory.
outside() {
  for link in "$1"/pg_tblspc/[0-9]* "$1/pg_wal" "$1/pg_xlog" "$data"/pg_tblspc/[0-9]* "$data/pg_wal" "$data/pg_xlog"; do
    [ -L "$link" ] || continue
    place=$(readlink -m "$link")
    place=${place%/pgctl-*}/pgctl-${1##*.pgctl-}
    if [ -d "$place" ] && [ ! -L "$place" ]; then echo "$place"; fi
  done | sort -u
}

is_aside() {
  case $1 in "$data".pgctl-[0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]T[0-9][0-9][0-9][0-9][0-9][0-9]Z) [ ! -L "$1" ] ;; *) return 1 ;; esac
}

if [ $# -eq 1 ]; then
  for dir in "$data".pgctl-*; do
    is_aside "$dir" && [ -d "$dir" ] || continue
    what=wal
    [ ! -f "$dir/PG_VERSION" ] || what=data
    { echo "$dir"; outside "$dir"; } | tr '\n' '\0' | du -skc --files0-from=- | awk -v what="$what" -v dir="$dir" 'END { print "aside", what, $1, dir }'
  done
  exit 0
fi

dir=$2
is_aside "$dir" || { echo "$dir is not what pgctl set aside beside $data" >&2; exit 1; }
if [ "${3:-}" = look ]; then
  if [ -d "$dir" ]; then echo "$dir"; fi
  outside "$dir"
  exit 0
fi
process=$({ find /proc/[0-9]*/cwd -maxdepth 0 -printf '%h %l\n' 2>/dev/null || :; } | awk -v dir="$dir" 'index(substr($0, index($0, " ") + 1) "/", dir "/") == 1 { print $1; exit }')
if [ -n "$process" ]; then
  echo "process ${process#/proc/} works in $dir" >&2
  exit 1
fi
outside "$dir" | while read -r place; do rm -rf --one-file-system -- "$place"; done
rm -rf --one-file-system -- "$dir"
