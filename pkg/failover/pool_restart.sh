# Restarts pgpool and nothing that its unit wants. Arguments: pgpool.conf, unit, its port, log directories, socket directories, and for how many seconds
# its start may wait for the end of the standard input. It prints "late" when it did not begin by that, "down" when pgpool did not run.
# One command from stop to start: whoever asked may be gone by then, and the pool must not stay down for it.
trap '' HUP INT PIPE TERM
exec 3>&1 >/dev/null
unit=$2 port=$3 wait=$6
sleep 0.1 & # whether pgpool started after its file changed is told by hundredths of a second (pool_started.sh)
changed=$!
old=$(pgrep -o -x pgpool)
[ -n "$old" ] || echo down >&3
if [ -z "$old" ] && [ "$wait" != 0 ]; then # somebody has stopped it, who may not want it to start
  echo late >&3
  exit
fi
if [ -d /run/systemd/system ]; then
  systemctl stop --no-block --job-mode=ignore-dependencies "$unit"
else
  service "${unit%.service}" stop &
fi
i=0
while [ -n "$old" ] && [ -d "/proc/$old" ] && [ $i -lt 1500 ]; do
  # one that waits for a backend that is gone heeds no signal for as long as that takes; there is nothing in it to be lost
  [ $i -lt 12 ] || pkill -KILL -x pgpool
  i=$((i + 1))
  sleep 0.02
done
if [ -d /run/systemd/system ]; then systemctl stop --job-mode=ignore-dependencies "$unit"; else wait; fi
# one that was killed leaves its shared memory behind, more than 100 MB each time
while read -r _ id _ _ creator _ attached _; do
  if [ -n "$old" ] && [ "$creator" = "$old" ] && [ "$attached" = 0 ]; then ipcrm -m "$id"; fi
done </proc/sysvipc/shm
# pgpool_status is read at the start by position: a backend that was down under another name would stay down
for dir in $4; do rm -f "$dir/pgpool_status"; done
for dir in $5; do rm -f "$dir/.s.PGSQL.$port"; done
if [ "$wait" != 0 ]; then
  (trap - TERM && exec timeout "$wait" cat) || echo late >&3
  sleep 0.03 # its file may have been put there just now: see above
  now=$(pgrep -o -x pgpool)
  if [ -n "$now" ] && [ -d "/proc/$now" ]; then echo late >&3; fi # somebody else has started it, by what its file said then
fi
exec 3>&-
wait "$changed"
if [ -d /run/systemd/system ]; then
  systemctl start --job-mode=ignore-dependencies "$unit" 2>/dev/null || {
    systemctl reset-failed "$unit" # it was started too often
    systemctl start --job-mode=ignore-dependencies "$unit"
  }
else
  service "${unit%.service}" start
fi
