# tail_name NUMBER sets segment to the path of a segment. The last one of a timeline that was left may end in .partial.
tail_name() {
  segment=$wal/$(printf '%s%08X%08X' "$timeline" $(($1 / per)) $(($1 % per)))
  [ -f "$segment" ] || [ ! -f "$segment.partial" ] || segment=$segment.partial
}

# tail_wal DATA_DIR TIMELINE HIGH LOW LIMIT prints the WAL of a timeline (8 digits, as in the names of segments) from the
# page of a position (the two halves of it) on: a line with the size of a segment, then for each segment a line with its
# name and how many bytes of it follow, and those; at last "end", or "more" where LIMIT bytes were not all. Where it cannot,
# it prints one line: "gone" and the segment that is not there, or "none" and the reason.
tail_wal() {
  wal=$1/pg_wal timeline=$2 left=$5 size=0
  for segment in "$wal/$timeline"???????????????? "$wal/$timeline"????????????????.partial; do
    [ -f "$segment" ] && size=$(stat -c %s "$segment") && break
  done
  if [ "$size" -eq 0 ]; then
    echo "gone $wal/$timeline*"
    return
  fi
  if [ "$size" -lt 1048576 ] || [ "$size" -gt 1073741824 ] || [ $((size & (size - 1))) -ne 0 ]; then
    echo "none $segment has $size bytes, expected a power of two from 1 MiB to 1 GiB"
    return
  fi
  per=$((0x100000000 / size)) skip=$(($4 % size / 8192)) number=$(($3 * per + $4 / size))
  tail_name $((number - 1))
  before=$segment
  tail_name "$number"
  if [ ! -f "$segment" ]; then
    # WAL may end where a segment does, with no next one made; old segments are removed first, so this one never was
    if [ $(($4 % size)) -ne 0 ] || [ ! -f "$before" ]; then
      echo "gone $segment"
      return
    fi
  fi
  echo "size $size"
  while [ -f "$segment" ]; do
    pages=$((size / 8192 - skip))
    [ "$pages" -le $((left / 8192)) ] || pages=$((left / 8192))
    echo "segment ${segment##*/} $((pages * 8192))"
    dd if="$segment" bs=8192 skip="$skip" count="$pages" status=none || return 1
    left=$((left - pages * 8192))
    if [ $((skip + pages)) -lt $((size / 8192)) ]; then
      echo more
      return
    fi
    skip=0 number=$((number + 1))
    tail_name "$number"
  done
  echo end
}
