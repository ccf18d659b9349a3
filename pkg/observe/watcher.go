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

// ownFile is what counts here of a file of pgctl's own watcher.
type ownFile struct {
	Program string    `json:"program"`
	Version string    `json:"version"`
	Status  string    `json:"status"`
	Time    time.Time `json:"time"`
	Config  struct {
		Inactive *bool `json:"inactive_failover"`
	} `json:"config"`
	Quorum *cluster.Quorum `json:"quorum"`
}

// readOwn reads a file of pgctl's own watcher. One that is old by the host's own clock says nothing but that the watcher is silent.
func readOwn(text, clock string) (doc ownFile, silent, ok bool) {
	if err := json.Unmarshal([]byte(text), &doc); err != nil || doc.Program != "pgctl" {
		return ownFile{}, false, false
	}
	if seconds, err := strconv.ParseFloat(strings.TrimSpace(clock), 64); err == nil {
		silent = time.UnixMicro(int64(seconds*1e6)).Sub(doc.Time) > silence
	}
	return doc, silent, true
}

// ownStatus is the status in a file of pgctl's own watcher: a sentence where something is wrong.
func ownStatus(text, clock string) (string, bool) {
	doc, silent, ok := readOwn(text, clock)
	if silent {
		return "silent since " + doc.Time.UTC().Format(time.RFC3339), true
	}
	return cluster.Printable(doc.Status), ok
}

// watcherOf is all that the sections say of a host's watcher.
func watcherOf(found map[string]string) cluster.Watcher {
	w := cluster.Watcher{
		Service: services(found["watcher"])["pg_watcher"], Monitor: watcherStatus(found, "PGMonitor"), Node: watcherStatus(found, "PGNode"),
	}
	if doc, silent, ok := readOwn(found["PGMonitor"], found["clock"]); ok && !silent {
		w.Own, w.Version, w.Inactive, w.Quorum = true, cluster.Printable(doc.Version), doc.Config.Inactive, doc.Quorum
	}
	return w
}
