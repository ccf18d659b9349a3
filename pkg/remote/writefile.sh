# Replaces the file $1 by standard input, which has $2 bytes. A new file gets
# mode $3 and owner $4 (may be empty). $5 is the suffix of the backup (may be
# empty); the backup's path is printed.
set -eu
umask 077
path=$1 size=$2 mode=$3 owner=$4 suffix=$5

fail() {
	echo "$1" >&2
	exit 1
}

target=$(readlink -f -- "$path") || fail "no such directory, or a loop of links"
dir=$(dirname -- "$target")
if [ -e "$target" ] && [ ! -f "$target" ]; then
	fail "not a regular file"
fi

new= copy=
trap 'rm -f -- "$new" "$copy"' EXIT
trap 'exit 1' HUP INT TERM PIPE
new=$(mktemp -- "$dir/.pgctl-new-XXXXXXXX")
cat >"$new"

# A connection that is lost looks like the end of the input.
got=$(wc -c <"$new")
[ "$got" -eq "$size" ] || fail "only $got of $size bytes arrived"

if [ -e "$target" ]; then
	chown --reference="$target" -- "$new"
	chmod --reference="$target" -- "$new"
else
	[ -z "$owner" ] || chown -- "$owner" "$new"
	chmod -- "$mode" "$new"
fi
sync -- "$new"

saved=
if [ -n "$suffix" ] && [ -e "$target" ]; then
	saved=$target$suffix
	if [ ! -e "$saved" ]; then
		copy=$(mktemp -- "$dir/.pgctl-old-XXXXXXXX")
		cp -p -- "$target" "$copy"
		sync -- "$copy"
		mv -fT -- "$copy" "$saved"
	fi
fi

mv -fT -- "$new" "$target"
new=
sync -- "$dir"
printf '%s\n' "$saved"
