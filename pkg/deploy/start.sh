# Makes supervisor take its configuration of pg_watcher anew, and starts it.
supervisorctl stop pg_watcher >/dev/null 2>&1
supervisorctl remove pg_watcher >/dev/null 2>&1
said=$(supervisorctl reread 2>&1)
added=$(supervisorctl add pg_watcher 2>&1)
case $added in *'added process group'*) exit 0 ;; esac
echo "supervisor does not take pg_watcher: $said; $added" >&2
exit 1
