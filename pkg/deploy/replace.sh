# Keeps the given files of supervisor's configuration, if any, in $1, and then stops pg_watcher and takes it out of supervisor.
set -eu
kept=$1
shift
umask 077
[ $# -eq 0 ] || mkdir -p "$kept/files"
if [ -d "$kept" ] && [ ! -e "$kept/state" ]; then
  supervisorctl status pg_watcher 2>&1 | awk 'NR == 1 { print $2 }' >"$kept/state.new" || true
  mv -fT "$kept/state.new" "$kept/state"
fi
cd / # cp --parents looks for the folders of an absolute path below the current one
for file; do
  [ ! -e "$file" ] || cp -a --parents -- "${file#/}" "$kept/files/"
done
sync
supervisorctl stop pg_watcher >/dev/null 2>&1 || true
rm -f -- "$@"
supervisorctl reread >/dev/null 2>&1 || true
supervisorctl remove pg_watcher >/dev/null 2>&1 || true
