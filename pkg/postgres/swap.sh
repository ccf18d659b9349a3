# A data directory reaches outside of itself: pg_tblspc has links to tablespaces, and pg_wal may be one. Such a place stays where
# it is; its contents are moved into PLACE/pgctl-STAMP and out of PLACE/pgctl-new. All of this can be broken off anywhere and
# be done again: a link is corrected when its place has been moved, and what was moved already is not there any more.

# relink LINK TARGET replaces a link.
relink() {
  ln -sfn -- "$2" "$1.part"
  owner "$1.part"
  mv -fT "$1.part" "$1"
}

# place_of LINK prints where it leads, as an absolute path. What it leads to need not be there.
place_of() {
  target=$(readlink "$1")
  case $target in
  /*) echo "$target" ;;
  *) readlink -m "${1%/*}/$target" ;;
  esac
}

# links DIR lists the links of a data directory that lead outside.
links() {
  for link in "$1"/pg_tblspc/[0-9]* "$1/pg_wal" "$1/pg_xlog"; do
    case $link in *.part) continue ;; esac
    if [ -L "$link" ]; then echo "$link"; fi
  done
}

# belongs LINK PLACE lists what in a place belongs to the cluster: of a tablespace its version's directory, of the WAL everything.
belongs() {
  case $1 in
  */pg_tblspc/*)
    version=''
    read -r version <"${1%/pg_tblspc/*}/PG_VERSION" || [ -n "$version" ] || return
    set -- "$2" "PG_${version}_"
    ;;
  *) set -- "$2" '' ;;
  esac
  for entry in "$1/$2"*; do
    case ${entry##*/} in pgctl-* | lost+found) continue ;; esac
    if [ -e "$entry" ] || [ -L "$entry" ]; then echo "$entry"; fi
  done
}

# outside_away DIR moves what lies outside of an old data directory aside.
outside_away() {
  links "$1" | while read -r link; do
    place=$(place_of "$link")
    case $place in */pgctl-*) continue ;; esac
    [ -d "$place" ] || continue
    mkdir -p "$place/pgctl-$stamp"
    owner "$place/pgctl-$stamp"
    belongs "$link" "$place" | while read -r entry; do mv -T -- "$entry" "$place/pgctl-$stamp/${entry##*/}"; done
    flush "$place"
    relink "$link" "$place/pgctl-$stamp"
  done
}

# outside_in DIR moves what lies outside of a new data directory to where it belongs. What still lies there is of an old one
# that nobody has a link to any more.
outside_in() {
  links "$1" | while read -r link; do
    place=$(place_of "$link")
    case $place in */pgctl-new) place=${place%/pgctl-new} ;; *) continue ;; esac
    belongs "$link" "$place/pgctl-new" | while read -r entry; do
      if [ -e "$place/${entry##*/}" ]; then
        mkdir -p "$place/pgctl-$stamp"
        owner "$place/pgctl-$stamp"
        mv -T -- "$place/${entry##*/}" "$place/pgctl-$stamp/${entry##*/}"
      fi
      mv -T -- "$entry" "$place/${entry##*/}"
    done
    [ ! -d "$place/pgctl-new" ] || rmdir "$place/pgctl-new"
    flush "$place"
    relink "$link" "$place"
  done
}

# swap puts the complete copy in the place of the old data, which is kept as DATA.pgctl-STAMP.
swap() {
  aside=$data.pgctl-$stamp old=$data
  [ ! -d "$work" ] || old=$work
  if [ -d "$old" ] && [ -n "$(ls -A "$old")" ]; then
    if [ -e "$aside/PG_VERSION" ]; then fail "$old and $aside are both there: move one of them away"; fi
    # the WAL that a rewind set aside before it broke off
    if [ -d "$aside" ]; then mv -T "$aside" "$old/pgctl.wal"; fi
    mv -T "$old" "$aside"
  elif [ -d "$old" ]; then
    rmdir "$old"
  fi
  flush "${data%/*}/"
  [ ! -d "$aside" ] || outside_away "$aside"
  outside_in "$new"
  mv -T "$new" "$data"
  flush "${data%/*}/"
  rm -rf "$conf" "$conf.signals" "$busy"
}
