# pg_locate DATA_DIR PORT finds the server. With DATA_DIR empty it is the site's directory where that has a cluster; else the
# one cluster of Debian's, of several the one that runs, else the one that is configured in /etc/postgresql. Sets pgdata, pgport, pgpid ('' when there is no postmaster.pid),
# pgsock, pglisten. Fails, with the reason in pgwhy, when there is none or more than one.
pg_locate() {
  pgdata=$1 pgport=$2 pgpid='' pgsock='' pglisten='' pgwhy=''
  if [ -z "$pgdata" ] && { [ -f /opt/postgresql/data/PG_VERSION ] || pg_unfinished /opt/postgresql/data; }; then
    pgdata=/opt/postgresql/data
  fi
  if [ -z "$pgdata" ]; then
    all='' running='' configured=''
    for dir in /var/lib/postgresql/*/*; do
      case $dir in
      *.pgctl-rewinding | *.pgctl-new | *.pgctl-copying)
        dir=${dir%.pgctl-*}
        case " $all " in *" $dir "*) continue ;; esac
        ;;
      *.pgctl-*) continue ;; # set aside
      *) [ -f "$dir/PG_VERSION" ] || continue ;;
      esac
      all="$all $dir"
      [ -d "/etc/postgresql/${dir#/var/lib/postgresql/}" ] && configured="$configured $dir" # not a copy that was moved aside
      pg_alive "$dir" && running="$running $dir"
    done
    for choice in "$running" "$configured" "$all"; do
      set -- $choice
      [ $# -eq 0 ] && continue
      [ $# -eq 1 ] && pgdata=$1
      [ $# -gt 1 ] && pgwhy="several PostgreSQL clusters on this host:$choice"
      break
    done
  fi
  if [ -n "$pgwhy" ]; then return 1; fi
  if [ -z "$pgdata" ] || { [ ! -d "$pgdata" ] && ! pg_unfinished "$pgdata"; }; then
    pgwhy="no PostgreSQL data directory on this host${pgdata:+: $pgdata}"
    return 1
  fi
  # PostgreSQL source, pidfile.h: pid, directory, start time, port, socket directory, listen address
  if [ -r "$pgdata/postmaster.pid" ]; then
    {
      read -r pgpid
      read -r _
      read -r _
      read -r port
      read -r pgsock
      read -r pglisten
    } <"$pgdata/postmaster.pid"
    pgport=${pgport:-$port}
  fi
}

# pg_unfinished DATA_DIR tells whether a renewal of it was broken off: the directory itself may not be there then.
pg_unfinished() {
  set -- "$(readlink -f "$1" || echo "$1")"
  [ -e "$1.pgctl-rewinding" ] || [ -e "$1.pgctl-new" ] || [ -e "$1.pgctl-copying" ]
}

# pg_alive DATA_DIR tells whether the process of its postmaster.pid exists and is PostgreSQL's.
pg_alive() {
  pid=''
  [ -r "$1/postmaster.pid" ] && read -r pid <"$1/postmaster.pid"
  [ -n "$pid" ] && read -r line 2>/dev/null <"/proc/$pid/stat" || return 1
  case $line in *'(postgres)'* | *'(postmaster)'*) ;; *) return 1 ;; esac
}
