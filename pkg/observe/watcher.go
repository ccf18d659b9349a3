package observe

import (
	"regexp"
	"strings"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// statusField finds the status in a watcher's file, in JSON ("status": "active"), YAML or name=value form. Older
// watchers wrote other formats; some wrote the bare word.
var statusField = regexp.MustCompile(`(?i)["']?\bstatus["']?\s*[:=]\s*["']?([A-Za-z_-]+)`)

// watcherStatus is the status in one of the two files; nil when there is no such file.
func watcherStatus(found map[string]string, file string) *string {
	text, ok := found[file]
	if !ok {
		return nil
	}
	status := strings.TrimSpace(text)
	if m := statusField.FindStringSubmatch(text); m != nil {
		status = m[1]
	} else if line, _, several := strings.Cut(status, "\n"); several {
		status = line
	}
	status = cluster.Printable(strings.ToLower(status))
	return &status
}
