# Steps on a server of a 9.x site: pg9_step WHAT KEY DATA_DIR UNIT USER [more]. Each is one command that comes to its end although who
# asked has gone, alone on this host, and marks what it has done for this change of roles (KEY). After postgres.ActScript.
bin=/var/lib/postgresql/bin
marks=/var/lib/pgctl/pg9
lock=/run/pgctl.pg9

# alone WHAT takes the host's lock, which nothing that is started here may keep.
alone() {
  trap '' HUP INT PIPE TERM
  mkdir -p -m 700 "$marks" || exit 1
  exec 9>>"$lock" || exit 1
  flock -w 5 9 || {
    echo "a step that an earlier pgctl began still runs here: $(head -c 200 "$lock.what")" >&2
    exit 75
  }
  echo "$1" >"$lock.what"
}

mark() { printf '%s\n' "$2" >"$marks/.$1" && sync && mv "$marks/.$1" "$marks/$1"; }

marked() { [ "$(head -n 1 "$marks/$1" 2>/dev/null)" = "$2" ]; }

# site_script USER NAME ARGS runs one of the site's scripts. The arguments are IP addresses.
site_script() {
  user=$1 name=$2
  shift 2
  log=/var/lib/pgctl/pg9-$name.log
  su -s /bin/bash "$user" -c "cd $bin && exec ./$name $*" >"$log" 2>&1 </dev/null 9>&-
  status=$?
  [ $status -eq 0 ] || echo "$bin/$name $*: exit code $status: $(tail -n 3 "$log" | tr '\n' ' ')" >&2
  return $status
}

pg9_step() {
  what=$1 key=$2 dir=$3 unit=$4 owner=$5
  shift 5
  case $what in
  hold)
    alone "noting that the pools fail over"
    mark hold "$key"
    ;;
  unhold)
    alone "noting that the pools fail over"
    ! marked hold "$key" || rm -f "$marks/hold"
    ;;
  master) # MASTER_IP SLAVE_IP. Whatever comes of the script: the master is started again
    alone "configure_master.sh"
    pg_act stop "$dir" "$unit" 9>&- || exit 1
    site_script "$owner" configure_master.sh "$1" "$2"
    status=$?
    [ $status -ne 0 ] || mark configure-master "$key"
    (pg_act start "$dir" "$unit") 9>&-
    exit $status
    ;;
  aside) # STAMP
    alone "setting data aside"
    marked aside "$key" && exit 0
    if [ -f "$dir/PG_VERSION" ]; then
      if [ ! -f "$dir/recovery.conf" ]; then
        echo "$dir would start as a master: its data is not set aside before it starts read-only" >&2
        exit 1
      fi
      pg_act stop "$dir" "$unit" 9>&- || exit 1 # a host that was booted has started it again, read-only
      [ ! -e "$dir.pgctl-$1" ] || { echo "$dir.pgctl-$1 is there already" >&2; exit 1; }
      mark setting-aside "$key"
      mv -T "$dir" "$dir.pgctl-$1" || exit 1
    fi
    if [ -n "$(pg_processes "$dir")" ]; then
      echo "PostgreSQL runs in $dir: its data is not set aside" >&2
      exit 1
    fi
    [ -d "$dir" ] || install -d -o "$owner" -g "$(id -gn "$owner")" -m 700 "$dir" || exit 1
    mark aside "$key"
    ;;
  clear) # what a base backup that was broken off has left
    alone "clearing a half copy"
    marked aside "$key" || { echo "the data in $dir is no copy that pgctl began: it is not removed" >&2; exit 1; }
    [ -z "$(pg_processes "$dir")" ] || { echo "PostgreSQL runs in $dir: it is not removed" >&2; exit 1; }
    find "$dir" -xdev -mindepth 1 -delete
    ;;
  backup) # SLAVE_IP
    alone "base_backup.sh $1"
    mark backup-begun "$key"
    site_script "$owner" base_backup.sh "$1" || exit
    mark backup "$key"
    ;;
  slave) # SLAVE_IP MASTER_IP
    alone "configure_slave.sh"
    pg_act stop "$dir" "$unit" 9>&- || exit 1
    site_script "$owner" configure_slave.sh "$1" "$2" || exit
    [ -f "$dir/recovery.conf" ] || { echo "$bin/configure_slave.sh has left no $dir/recovery.conf" >&2; exit 1; }
    mark configure-slave "$key"
    ;;
  esac
}
