#!/bin/bash
# Delivers a package to nodes over SSH: update.sh [-f] NODES PACKAGE
#   NODES    all, the name of a file in /pitrix/conf/nodes, or host names with commas
#   PACKAGE  pitrix-global-conf
# Each node gets the package of its own zone; a node that is in no zone gets that of
# the first zone by name. Exits 1 when a node did not get it.
set -uo pipefail

nodes_dir=/pitrix/conf/nodes
build=/pitrix/upgrade/build

usage() {
	echo "usage: update.sh [-f] all|ROLE|HOST[,HOST...] pitrix-global-conf" >&2
	exit 2
}

die() {
	echo "update.sh: $1" >&2
	exit 1
}

force=
while getopts f option; do
	case $option in
	f) force=1 ;;
	*) usage ;;
	esac
done
shift $((OPTIND - 1))
[ $# -eq 2 ] || usage
[ "$2" = pitrix-global-conf ] || {
	echo "update.sh: unknown package $2" >&2
	usage
}
target=$1
package=$2

# The hosts that a node file names.
nodes_of() (
	nodes=
	# shellcheck disable=SC1090
	. "$1" && echo "$nodes"
)

hosts=
if [ "$target" = all ]; then
	for file in "$nodes_dir"/*; do
		hosts+=" $(nodes_of "$file")"
	done
elif [ -f "$nodes_dir/$target" ]; then
	hosts=$(nodes_of "$nodes_dir/$target")
else
	hosts=${target//,/ }
fi
hosts=$(tr -s ' ' '\n' <<<"$hosts" | sed '/^$/d' | sort -u)
[ -n "$hosts" ] || die "no nodes for $target"

shopt -s nullglob
zones=()
for dir in "$build/$package"/*/; do
	zones+=("$(basename "$dir")")
done
[ ${#zones[@]} -gt 0 ] || die "no package in $build/$package: run /pitrix/upgrade/build_global_conf.sh first"

# The zone of a server, from pg_node_info; nothing for any other host.
zone_of() {
	awk -v node="$1" '
		{ gsub(/[\r'\''"]/, "") }
		/^[^ #]/ { section = $1 }
		section == "pg_watcher:" && /^  [^ #]/ { key = $1 }
		section == "pg_watcher:" && key == "pg_node_info:" && /^    [^ #]/ { host = $1; sub(/:$/, "", host) }
		section == "pg_watcher:" && key == "pg_node_info:" && host == node && $1 == "zone_id:" { print $2; exit }
	' "$build/$package/${zones[0]}/root/pitrix/conf/global/server.yaml"
}

if [ -z "$force" ]; then
	read -r -p "Deliver $package to: $(tr '\n' ' ' <<<"$hosts")? [y/N] " answer
	[ "$answer" = y ] || die "not confirmed"
fi

deliver='set -e
mkdir -p /pitrix/conf/global
new=$(mktemp /pitrix/conf/global/.server.yaml.XXXXXX)
trap "rm -f $new" EXIT
tar -xzOf - pitrix/conf/global/server.yaml >"$new"
test -s "$new"
chmod 644 "$new"
mv -f "$new" /pitrix/conf/global/server.yaml'

failed=()
for host in $hosts; do
	zone=$(zone_of "$host")
	[ -n "$zone" ] && [ -d "$build/$package/$zone" ] || zone=${zones[0]}
	if said=$(ssh -o BatchMode=yes -o ConnectTimeout=5 "root@$host" "$deliver" \
		<"$build/$package/$zone/$package.tar.gz" 2>&1); then
		printf '%-16s %-12s ok\n' "$host" "$zone"
	else
		printf '%-16s %-12s FAILED: %s\n' "$host" "$zone" "$(tail -n 1 <<<"$said")"
		failed+=("$host")
	fi
done
if [ ${#failed[@]} -gt 0 ]; then
	die "$package was not delivered to: ${failed[*]}"
fi
