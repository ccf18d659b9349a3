#!/bin/bash
# Builds the package pitrix-global-conf, one for each zone, from
# /pitrix/conf/variables/global/server.yaml.ZONE.
set -euo pipefail

variables=/pitrix/conf/variables/global
build=/pitrix/upgrade/build/pitrix-global-conf

die() {
	echo "build_global_conf.sh: $1" >&2
	exit "${2:-1}"
}

[ $# -eq 0 ] || die "usage: build_global_conf.sh" 2

shopt -s nullglob
files=("$variables"/server.yaml.*)
[ ${#files[@]} -gt 0 ] || die "no file $variables/server.yaml.ZONE: nothing to build"
for file in "${files[@]}"; do
	[ -s "$file" ] || die "$file is empty: nothing was built"
done

new=$(mktemp -d "/pitrix/upgrade/.build.XXXXXX")
trap 'rm -rf "$new"' EXIT
for file in "${files[@]}"; do
	zone=${file##*/server.yaml.}
	mkdir -p "$new/$zone/root/pitrix/conf/global"
	install -m 644 "$file" "$new/$zone/root/pitrix/conf/global/server.yaml"
	tar -C "$new/$zone/root" -czf "$new/$zone/pitrix-global-conf.tar.gz" pitrix
	echo "built pitrix-global-conf for $zone"
done

mkdir -p "${build%/*}"
rm -rf "$build"
mv "$new" "$build"
chmod 755 "$build"
trap - EXIT
