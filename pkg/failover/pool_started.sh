# Prints yes when the oldest pgpool started after its file was changed or put in place. Argument: pgpool.conf.
pid=$(pgrep -o -x pgpool) || exit 0
read -r up _ </proc/uptime
read -r line <"/proc/$pid/stat" || exit 0
# the 20th field after the name is the start, in ticks since the boot (proc(5)); the kernel's clock for files is 10 ms behind at most
echo "$(date +%s.%N) $up $(getconf CLK_TCK) $(stat -L -c %.3Z "$1") ${line##*) }" |
  awk '{ if ($1 - $2 + $24 / $3 > $4 + 0.02) print "yes" }'
