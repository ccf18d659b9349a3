# What the renewals have in common. Arguments: the data directory, its operating system user, run.pl; they are shifted away.
#
# Beside the data directory DATA lie, for as long as they are needed:
#   DATA.pgctl-lock       held by whoever works on it, and by every program that it started
#   DATA.pgctl-new        the copy, until it is complete: then it has its mark, pgctl.renewed
#   DATA.pgctl-conf       the host's own configuration, while DATA is not to be trusted with it
#   DATA.pgctl-rewinding  DATA itself while pg_rewind is at it, so that nothing can start it; beside a mount point an empty file
#   DATA.pgctl-copying    an empty file: the old data was given up, and the copy is not complete
#   DATA.pgctl-STAMP      what was set aside
set -eu
umask 077
export LC_ALL=C
data=$(readlink -f -- "$1") || { echo "$1: no such directory, or a loop of links" >&2; exit 1; }
user=$2 runner=$3
shift 3
new=$data.pgctl-new conf=$data.pgctl-conf work=$data.pgctl-rewinding busy=$data.pgctl-copying

# fail REASON [CODE]. Code 10: this cannot be rewound, and was not changed. 11: pg_rewind broke off, the data is of no use.
# 12: refused, nothing was changed.
fail() {
  echo "$1" >&2
  exit "${2:-1}"
}

# flush PATH...: what was written there survives a loss of power. The sync of coreutils before 8.24 flushes everything.
flush() { sync -f "$@" 2>/dev/null || sync; }

owner() { chown -h "$user": "$@"; }

as_user() { perl -e "$runner" "$user" "$@"; }

# hex FILE OFFSET COUNT prints bytes.
hex() { od -An -v -tx1 -j "$2" -N "$3" "$1" | tr -d ' \n'; }

is_mount() { awk -v p="$1" '{ gsub(/\\040/, " ", $5) } $5 == p { found = 1 } END { exit !found }' /proc/self/mountinfo; }

# lock keeps every other renewal of this data directory away. A pg_basebackup whose runner was killed is ended: its process that
# receives the WAL would stay for ever, as it holds itself the pipe at whose end it would see that the other is gone.
lock() {
  exec 9>>"$data.pgctl-lock"
  if flock -n 9; then return; fi
  busy_by="another renewal of $data is running on this host, or what it started has not ended yet" left=''
  for process in $(
    exec 9>&-
    find /proc/[0-9]*/fd -lname "$data.pgctl-lock" -printf '%h\n' 2>/dev/null | sort -u
  ); do
    process=${process%/fd}
    [ "$process" != "/proc/$$" ] || continue
    case $(cat "$process/comm" 2>/dev/null) in
    pg_basebackup | pg_rewind) left="$left ${process#/proc/}" ;;
    '') ;;
    *) fail "$busy_by" 12 ;;
    esac
  done
  [ -n "$left" ] || fail "$busy_by" 12
  kill -KILL $left || :
  flock -w 5 9 || fail "$busy_by" 12
}

# stopped DIR: no postmaster runs on it, and no process of PostgreSQL's user is in it.
stopped() {
  [ -d "$1" ] || return 0
  pid=''
  [ -r "$1/postmaster.pid" ] && { read -r pid <"$1/postmaster.pid" || :; }
  case $pid in '' | *[!0-9]*) ;; *)
    if [ -r "/proc/$pid/comm" ]; then
      case $(cat "/proc/$pid/comm" 2>/dev/null) in postgres | postmaster) fail "PostgreSQL runs on $1 (process $pid)" 12 ;; esac
    fi
    ;;
  esac
  # in one command: a host may have thousands of processes
  for process in $({ find /proc/[0-9]*/cwd -maxdepth 0 -printf '%h %l\n' 2>/dev/null || :; } | awk -v dir="$1" 'substr($0, index($0, " ") + 1) == dir { print $1 }'); do
    comm=$(cat "$process/comm" 2>/dev/null) || continue
    case $comm in postgres | postmaster) fail "PostgreSQL runs on $1 (process ${process#/proc/})" 12 ;; esac
    [ "$(stat -c %U "$process" 2>/dev/null)" != "$user" ] || fail "process ${process#/proc/} ($comm) of $user works in $1" 12
  done
}

# own_files lists the host's own configuration in the current directory: what PostgreSQL reads and no other file.
own_files() {
  [ ! -f postgresql.conf ] || included=$(sed -n "s/^[[:space:]]*include\(_dir\|_if_exists\)\{0,1\}[[:space:]=]\{1,\}'\{0,1\}\([A-Za-z0-9_][A-Za-z0-9._/-]*\).*/\2/p" postgresql.conf)
  for file in *.conf *.crt *.key *.pem *.crl conf.d ${included:-}; do
    case $file in recovery.conf | *..*) continue ;; esac
    { [ -e "$file" ] || [ -L "$file" ]; } && echo "$file"
  done | sort -u
}

# keep_conf DIR keeps that configuration, unless it was kept by a run that did not come to its end.
keep_conf() {
  [ -e "$work" ] || [ -e "$busy" ] || rm -rf "$conf"
  [ ! -d "$conf" ] || return 0
  rm -rf "$conf.part"
  mkdir "$conf.part"
  if [ -d "$1" ]; then
    (cd "$1" && own_files | while read -r file; do cp -a --parents -- "$file" "$conf.part/"; done)
  fi
  flush "$conf.part"
  mv -T "$conf.part" "$conf"
}

# finish DIR makes a copy of the master this host's own. What could make it start as a second master goes, and what keeps it from
# that is there from the beginning.
finish() {
  rm -f "$1/postmaster.pid" "$1/postmaster.opts" "$1/pgctl.renewed" "$1/recovery.conf" "$1/recovery.done" "$1/recovery.signal" \
    "$1/postgresql.auto.conf"
  rm -rf "$1/pg_replslot"/*
  (cd "$conf" && find . -mindepth 1 -type d) | while read -r dir; do rm -f "$1/$dir"/*.conf; done
  cp -a "$conf/." "$1/"
  [ -e "$1/postgresql.auto.conf" ] || : >"$1/postgresql.auto.conf"
  version=$(cat "$1/PG_VERSION")
  standby=$1/standby.signal
  if [ "${version%%.*}" -ge 12 ]; then
    : >"$standby"
  else
    standby=$1/recovery.conf
    printf "standby_mode = 'on'\nrecovery_target_timeline = 'latest'\n" >"$standby"
  fi
  owner "$1" "$standby" "$1/postgresql.auto.conf"
  chmod 700 "$1"
}

# mark DIR TEXT is the last act in a data directory.
mark() {
  flush "$1"
  printf '%s\n' "$2" >"$1/pgctl.renewed.part"
  owner "$1/pgctl.renewed.part"
  flush "$1/pgctl.renewed.part"
  mv -T "$1/pgctl.renewed.part" "$1/pgctl.renewed"
  flush "$1"
}

# marked DIR TEXT: it has this mark, but for the stamp, which is set.
marked() {
  [ -f "$1/pgctl.renewed" ] || return 1
  have=$(head -n 1 "$1/pgctl.renewed")
  [ "${have%,\"stamp\":*}" = "${2%,\"stamp\":*}" ] || return 1
  have=${have##*,\"stamp\":\"} have=${have%\"*}
  is_stamp "$have" || return 1
  stamp=$have
}

is_stamp() { case $1 in [0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]T[0-9][0-9][0-9][0-9][0-9][0-9]Z) ;; *) return 1 ;; esac; }
