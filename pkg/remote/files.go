package remote

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"strconv"
)

//go:embed readfiles.sh
var readFilesScript string

// ReadFiles reads several whole files of the host in one command. A file that does not exist is not in the result.
func ReadFiles(ctx context.Context, h Host, paths ...string) (map[string][]byte, error) {
	for _, path := range paths {
		if err := checkPath(path); err != nil {
			return nil, fmt.Errorf("%s: read: %w", h.Name(), err)
		}
	}
	result, err := h.Run(ctx, Script(readFilesScript, paths...))
	if err != nil {
		return nil, err
	}
	found, rest := map[string][]byte{}, result.Stdout
	for _, path := range paths {
		head, tail, ok := bytes.Cut(rest, []byte("\n"))
		size, err := strconv.Atoi(string(head))
		if !ok || err != nil || size > len(tail) {
			return nil, fmt.Errorf("%s: read %s: the answer cannot be read", h.Name(), path)
		}
		if rest = tail; size >= 0 {
			found[path], rest = tail[:size:size], tail[size:]
		}
	}
	return found, nil
}
