# Prints yes when the oldest pgpool started after its file was changed or put in place. Argument: pgpool.conf.
pid=$(pgrep -o -x pgpool) || exit 0
started=$(($(date +%s) - $(ps -o etimes= -p "$pid")))
# both are cut to whole seconds, so the start may look a second later than it was
[ "$started" -gt "$(($(stat -L -c %Z "$1") + 1))" ] && echo yes
exit 0
