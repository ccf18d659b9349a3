# Holds the region's lock on this host for as long as it is asked to: a byte at least every 15 seconds, each answered by a
# line. Argument: who holds it. Prints "locked", or "held" and who holds it.
exec 9>>/run/pgctl.lock || exit 1
flock -n 9
case $? in
0) ;;
1)
  echo "held by $(head -c 200 /run/pgctl.owner)"
  exit 0
  ;;
*) exit 1 ;; # flock itself says why
esac
echo "$1" >/run/pgctl.owner
echo locked
while [ -n "$(timeout 15 dd bs=1 count=1 2>/dev/null)" ]; do echo here; done
