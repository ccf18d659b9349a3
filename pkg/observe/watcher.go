package observe

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// statusField finds the status in a watcher's file, in JSON ("status": "active"), YAML or name=value form. Older
// watchers wrote other formats; some wrote the bare word.
var statusField = regexp.MustCompile(`(?i)["']?\bstatus["']?\s*[:=]\s*["']?([A-Za-z_-]+)`)

// silence is how old a report of pgctl's own watcher may be, which writes one every second.
const silence = 10 * time.Second

// watcherStatus is the status in one of the two files; nil when there is no such file.
func watcherStatus(found map[string]string, file string) *string {
	text, ok := found[file]
	if !ok {
		return nil
	}
	if status, ok := ownStatus(text, found["clock"]); ok {
		return &status
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

// ownStatus reads a file of pgctl's own watcher, whose status is a sentence where something is wrong. One that is old by the
// host's own clock says nothing but that the watcher is silent.
func ownStatus(text, clock string) (string, bool) {
	var doc struct {
		Program string    `json:"program"`
		Status  string    `json:"status"`
		Time    time.Time `json:"time"`
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil || doc.Program != "pgctl" {
		return "", false
	}
	if seconds, err := strconv.ParseFloat(strings.TrimSpace(clock), 64); err == nil {
		if now := time.UnixMicro(int64(seconds * 1e6)); now.Sub(doc.Time) > silence {
			return "silent since " + doc.Time.UTC().Format(time.RFC3339), true
		}
	}
	return cluster.Printable(doc.Status), true
}
