# Prints the programs of a server. Arguments: its data directory, where the programs are ("" to be found out).
data=$1 bin=$2
version=
for dir in "$data" "$data.pgctl-rewinding" "$data.pgctl-new"; do
  if [ -z "$version" ] && [ -r "$dir/PG_VERSION" ]; then read -r version <"$dir/PG_VERSION"; fi
done
if [ -z "$version" ]; then # a server that has no data yet: Debian's paths name the version
  case $data in /var/lib/postgresql/*/*) version=${data#/var/lib/postgresql/} version=${version%%/*} ;; esac
fi
if [ -z "$bin" ] && [ -r "$data/postmaster.pid" ] && read -r pid <"$data/postmaster.pid"; then
  exe=$(readlink "/proc/$pid/exe")
  case $exe in */postgres | */postmaster) bin=${exe%/*} ;; esac
fi
for dir in ${version:+"/usr/lib/postgresql/$version/bin"} /opt/postgresql/bin; do
  if [ -z "$bin" ] && [ -x "$dir/postgres" ]; then bin=$dir; fi
done
if [ -z "$bin" ] || [ ! -x "$bin/postgres" ]; then
  echo "no PostgreSQL ${version:+$version }programs on this host${bin:+: $bin/postgres}" >&2
  exit 1
fi

# version_of PROGRAM prints the version that it says of itself, such as 15.18
version_of() { "$1" --version 2>/dev/null | sed 's/^.*PostgreSQL) *\([0-9][0-9.a-z]*\).*/\1/'; }
# major VERSION: 15 of 15.18, 9.6 of 9.6.24
major() { case $1 in 9.*) echo "$1" | cut -d. -f1,2 ;; *) echo "${1%%[!0-9]*}" ;; esac; }

own=$(version_of "$bin/postgres")
if [ -n "$version" ] && [ "$(major "$own")" != "$version" ]; then
  echo "$bin/postgres is PostgreSQL $own, the data directory $data is of $version" >&2
  exit 1
fi
echo "bin $bin"
echo "version $own"
if [ -x "$bin/pg_rewind" ] && [ -x "$bin/pg_controldata" ] && [ "$(major "$(version_of "$bin/pg_rewind")")" = "$(major "$own")" ] &&
  [ "$(major "$(version_of "$bin/pg_controldata")")" = "$(major "$own")" ]; then
  echo rewind
fi
# pg_basebackup copies from older servers too
for program in "$bin/pg_basebackup" $(ls -d /usr/lib/postgresql/*/bin/pg_basebackup 2>/dev/null | sort -V); do
  [ -x "$program" ] || continue
  theirs=$(version_of "$program")
  if [ "$(printf '%s\n' "$(major "$own")" "$(major "$theirs")" | sort -V | head -n 1)" = "$(major "$own")" ]; then
    echo "basebackup $program"
    break
  fi
done
