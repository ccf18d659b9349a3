package deploy

import (
	"encoding/base64"
	"path"
	"regexp"
	"strings"
)

// definition is a file of supervisor's configuration that defines the program pg_watcher.
type definition struct {
	path    string
	command string // of pg_watcher; "" none
	shared  bool   // the file has other sections too
}

var (
	sectionLine = regexp.MustCompile(`^\[([^\]]*)\]`)
	commandLine = regexp.MustCompile(`^command\s*[=:]\s*(.*?)\s*(?:\s;.*)?$`)
)

// foreign are the definitions of pg_watcher on a host that are not pgctl's own.
func (f facts) foreign() []definition {
	var all []definition
	for _, line := range f["definition"] {
		text, name, _ := strings.Cut(line, " ")
		data, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			data = nil // then it has no command that is ours
		}
		if d := parseDefinition(name, string(data)); !d.ours() {
			all = append(all, d)
		}
	}
	return all
}

func parseDefinition(name, text string) definition {
	d := definition{path: name}
	within := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \t\r\n")
		if m := sectionLine.FindStringSubmatch(line); m != nil {
			within = m[1] == "program:pg_watcher"
			d.shared = d.shared || !within
		} else if m := commandLine.FindStringSubmatch(line); within && m != nil {
			d.command = m[1]
		}
	}
	return d
}

// ours: the file that deploy writes, or one in its place that runs pgctl watch.
func (d definition) ours() bool {
	return d.path == confPath && runsOurs(d.command)
}

// runsOurs tells whether a command line is that of pgctl's watcher.
func runsOurs(command string) bool {
	words := strings.Fields(command)
	return len(words) > 1 && path.Base(words[0]) == "pgctl" && words[1] == "watch"
}

// stranger is the command of a pg_watcher that supervisor runs and that is not pgctl's; "" none. Its configuration may be gone.
func (f facts) stranger() string {
	if command := f.one("command"); !runsOurs(command) {
		return strings.TrimSpace(command)
	}
	return ""
}
