# Prints for each file its size in bytes, a line, and its content; -1 for one that does not exist.
set -e
for path; do
	if [ ! -e "$path" ]; then
		echo -1
		continue
	fi
	if [ ! -f "$path" ]; then
		echo "$path: not a regular file" >&2
		exit 1
	fi
	# a file that is replaced meanwhile stays what was opened
	exec 3<"$path"
	stat -L -c %s /dev/fd/3
	cat <&3
	exec 3<&-
done
