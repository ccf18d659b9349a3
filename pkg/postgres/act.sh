# pg_processes DATA_DIR prints the pids of every process of the server there: each has the directory as its working directory.
pg_processes() {
  data=$(readlink -f "$1")
  for cwd in /proc/[0-9]*/cwd; do
    [ "$(readlink "$cwd" 2>/dev/null)" = "$data" ] || continue
    pid=${cwd#/proc/} pid=${pid%/cwd}
    read -r line 2>/dev/null <"/proc/$pid/stat" || continue
    case $line in *'(postgres)'* | *'(postmaster)'*) ;; *) continue ;; esac
    case ${line##*) } in Z*) ;; *) echo "$pid" ;; esac
  done
}

# pg_gone DATA_DIR TENTHS waits until no process of the server is left, at most so long.
pg_gone() {
  tenths=0
  while [ -n "$(pg_processes "$1")" ]; do
    [ $tenths -lt "$2" ] || return 1
    tenths=$((tenths + 1))
    sleep 0.1
  done
}

# pg_act stop|fence|start|left|log DATA_DIR [SERVICE]. What has begun goes on when whoever asked has gone.
pg_act() {
  trap '' HUP INT PIPE TERM
  unit=${3:-$(pg_unit "$2")}
  case $1 in
  left) pg_processes "$2" ;;
  stop)
    if [ -d /run/systemd/system ]; then systemctl stop "$unit"; else service "${unit%.service}" stop; fi >/dev/null 2>&1
    pg_alive "$2" && kill -INT "$pid" # it was not started by the service manager
    pg_gone "$2" 36000 || { echo "PostgreSQL in $2 does not stop: processes $(echo $(pg_processes "$2"))" >&2; return 1; }
    ;;
  fence)
    if [ -d /run/systemd/system ]; then systemctl stop --no-block "$unit"; fi >/dev/null 2>&1
    pg_alive "$2" && kill -QUIT "$pid"
    pg_gone "$2" 50 || { kill -KILL $(pg_processes "$2") 2>/dev/null; pg_gone "$2" 50; } ||
      { echo "PostgreSQL in $2 cannot be killed: processes $(echo $(pg_processes "$2"))" >&2; return 1; }
    ;;
  start)
    pg_gone "$2" 50 || { echo "processes of an earlier PostgreSQL in $2 are left: $(echo $(pg_processes "$2"))" >&2; return 1; }
    if [ -d /run/systemd/system ]; then
      # a unit whose server ended by itself may still count as active, and would not be started
      systemctl is-active -q "$unit" && systemctl stop "$unit" >/dev/null 2>&1
      systemctl reset-failed "$unit" 2>/dev/null
      systemctl start --no-block "$unit"
    else
      setsid service "${unit%.service}" start >/dev/null 2>&1 </dev/null &
    fi
    ;;
  log)
    file=/var/log/postgresql/postgresql-$(cat "$2/PG_VERSION").log
    case $2 in /var/lib/postgresql/*/*) file=/var/log/postgresql/postgresql-${2#/var/lib/postgresql/} && file=${file%/*}-${2##*/}.log ;; esac
    if [ -s "$file" ]; then tail -n 4 "$file"; else journalctl -q -n 4 -o cat -u "$unit" 2>/dev/null; fi
    ;;
  esac
}
