# Puts back what replace.sh kept in $1, and starts it if it ran.
set -eu
kept=$1
cd "$kept/files"
find . ! -type d | while read -r file; do
  mkdir -p "/$(dirname "$file")"
  cp -a -- "$file" "/$file.pgctl-new"
  mv -fT -- "/$file.pgctl-new" "/$file"
done
sync
said=$(supervisorctl reread 2>&1) || true
added=$(supervisorctl add pg_watcher 2>&1) || true
case $added in
*'added process group'* | *'already active'*) ;;
*)
  echo "supervisor does not take pg_watcher: $said; $added" >&2
  exit 1
  ;;
esac
case $(cat "$kept/state") in
RUNNING | STARTING)
  supervisorctl start pg_watcher >/dev/null 2>&1 || true
  for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    status=$(supervisorctl status pg_watcher 2>&1) || true
    case $status in *RUNNING*) break ;; esac
    sleep 1
  done
  case $status in
  *RUNNING*) ;;
  *)
    echo "pg_watcher was put back and does not run: $status" >&2
    exit 1
    ;;
  esac
  ;;
*) supervisorctl stop pg_watcher >/dev/null 2>&1 || true ;;
esac
cd /
rm -rf -- "$kept"
rmdir "$(dirname "$kept")" 2>/dev/null || true
