# Waits until pgpool is gone and clears what would mislead its next start. Arguments: pgpool.conf, its port, logdir, socket directory.
i=0
while pgrep -x pgpool >/dev/null; do
  i=$((i + 1))
  [ "$i" -lt 300 ] || { echo "pgpool does not stop: $(pgrep -x pgpool | tr '\n' ' ')" >&2; exit 1; }
  sleep 0.1
done
# pgpool_status is read at the start by position: a backend that was down under another name would stay down
rm -f "$3/pgpool_status" "$4/.s.PGSQL.$2"
# whether pgpool started after its file was written is told by whole seconds
while [ "$(date +%s)" -le "$(stat -L -c %Y "$1")" ]; do sleep 0.1; done
