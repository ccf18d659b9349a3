# Prints what this host has of pgctl: a fact a line, its name first, files in base64. The arguments say which facts.
file() { [ ! -f "$2" ] || echo "$1 $(base64 -w0 <"$2")"; }
mode() { [ ! -e "$1" ] || stat -c 'mode %a:%u %n' "$1"; }
program() { supervisorctl status pg_watcher 2>&1 | head -n 1; }

# Every file of supervisor's configuration that defines pg_watcher.
definitions() {
  main=/etc/supervisor/supervisord.conf
  [ -f "$main" ] || main=/etc/supervisord.conf
  [ -f "$main" ] || return 0
  included=$(sed -n '/^\[include\]/,/^\[/s/^[[:space:]]*files[[:space:]]*[=:][[:space:]]*//p' "$main")
  cd "${main%/*}"
  for file in "$main" $included; do
    case $file in /*) ;; *) file=${main%/*}/$file ;; esac
    ! grep -q '^\[program:pg_watcher\]' "$file" 2>/dev/null || echo "definition $(base64 -w0 <"$file") $file"
  done
}

for part; do
  case $part in
  machine)
    echo "machine $(uname -m)"
    ! command -v supervisorctl >/dev/null || echo "supervisor $(command -v supervisorctl)"
    ;;
  kept)
    [ ! -e /var/lib/pgctl/replaced-watcher ] || echo "kept yes"
    ;;
  definitions) definitions ;;
  binary)
    [ ! -f /usr/local/bin/pgctl ] || echo "binary $(sha256sum </usr/local/bin/pgctl | cut -d ' ' -f 1)"
    mode /usr/local/bin/pgctl
    ;;
  folders)
    for folder in /etc/pgctl /etc/pgctl/tls /var/lib/pgctl /var/log/pgctl; do mode "$folder"; done
    ;;
  user) ! line=$(getent passwd pgctl) || echo "user $line" ;;
  settings) file settings /etc/pgctl/pgctl.yaml ;;
  tls)
    file ca /etc/pgctl/tls/ca.crt
    file certificate /etc/pgctl/tls/host.crt
    for key in ca.key host.key; do mode "/etc/pgctl/tls/$key"; done
    ;;
  program)
    file conf /etc/supervisor/conf.d/pg_watcher.conf
    status=$(program)
    echo "status $status"
    pid=$(echo "$status" | sed -n 's/.* pid \([0-9]*\),.*/\1/p')
    [ -z "$pid" ] || echo "pid $pid"
    [ -z "$pid" ] || echo "command $(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline")"
    ;;
  reports)
    file monitor /var/run/pg_watcher.PGMonitor
    file node /var/run/pg_watcher.PGNode
    [ ! -f /etc/pgctl/pgctl.yaml ] || echo "settings_sum $(sha256sum </etc/pgctl/pgctl.yaml | cut -d ' ' -f 1)"
    echo "now $(date +%s.%N)"
    ;;
  esac
done
echo end
