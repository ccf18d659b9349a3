# Holds the region's lock on this host until its standard input ends. Argument: who holds it.
# Prints "locked", or "held" and who holds it.
dir=/run/lock
[ -d "$dir" ] || dir=/var/lock
exec 9>>"$dir/pgctl.lock" || exit 1
if flock -n 9; then
  echo "$1" >"$dir/pgctl.owner"
  echo locked
  cat >/dev/null
else
  echo "held $(cat "$dir/pgctl.owner")"
fi
