# Prints where there is how much room. Arguments: 1 to count what an old copy takes too, the data directory, tablespaces.
# A line each: "mount" when the data directory is a mount point, "room", the file system, KiB free, KiB of the old copy.
old=$1
shift
data=$(readlink -f -- "$1")
if awk -v p="$data" '{ gsub(/\\040/, " ", $5) } $5 == p { found = 1 } END { exit !found }' /proc/self/mountinfo; then echo mount; fi
for place in "$@"; do
  there=$place used=0
  [ "$place" = "$1" ] && there=$data
  while [ ! -d "$there" ]; do there=$(dirname -- "$there"); done
  if [ "$old" = 1 ] && [ -d "$place" ]; then
    used=$(du -skx -- "$place" 2>/dev/null | cut -f1)
  fi
  echo "room $(stat -c %d "$there") $(df -Pk "$there" | awk 'NR == 2 { print $4 }') ${used:-0}"
done
