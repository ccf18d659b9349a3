# Runs a script of the site with its arguments, alone: one that was left behind by a pgctl that died comes to its end first.
exec 9>>/run/pgctl.rollout || exit 1
flock -w 120 9 || {
  echo "another roll-out has been running for more than 120 seconds" >&2
  exit 1
}
cd "$(dirname "$1")" || exit 1
exec "$@" </dev/null 2>&1
