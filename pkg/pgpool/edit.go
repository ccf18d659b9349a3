package pgpool

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// The two flags of which a backend has one. With DisallowFailover, which the pools of a PostgreSQL 10+ site have, pgpool pools
// connections and decides nothing; with AllowFailover, its default, it takes a server that is gone out of use, and fails over.
const (
	DisallowFailover = "DISALLOW_TO_FAILOVER"
	AllowFailover    = "ALLOW_TO_FAILOVER"
)

// backendLine takes a line apart that sets something of a backend: indent and name, number, the sign between, the value as it
// is quoted, and what follows.
var backendLine = regexp.MustCompile(`^(\s*)(backend_[a-z_]*?)([0-9]+)(\s*=\s*|\s+)('(?:[^'\\]|\\.|'')*'|[^\s#']*)(.*)$`)

// WithMaster is pgpool.conf with the master as its only backend, number 0, and DISALLOW_TO_FAILOVER as its flag. Only the
// values in question change, in the quoting that the line has; lines of other backends are commented out; what is commented
// already stays so. A setting that no line has is added behind the last one of backend 0, else at the end. Every other byte,
// line ends too, is kept. The result is read again and must have exactly that backend, else it is an error.
func WithMaster(path string, data []byte, host string, port int) ([]byte, error) {
	if before, err := ParseConf(path, data); err != nil {
		return nil, err
	} else if old, err := before.Backends(); err == nil && len(old) == 0 {
		return nil, fmt.Errorf("%s has no backend at all, which no pool of a site is: put the whole file back first", path)
	}
	e := editor{newline: "\n", wanted: [][2]string{
		{"backend_hostname", host}, {"backend_port", strconv.Itoa(port)}, {"backend_flag", DisallowFailover},
	}}
	if bytes.Contains(data, []byte("\r\n")) {
		e.newline = "\r\n"
	}
	for line := range strings.Lines(string(data)) {
		e.line(line)
	}
	edited := e.finish()
	conf, err := ParseConf(path, edited)
	if err != nil {
		return nil, fmt.Errorf("the edit of %s went wrong, nothing was written: %w", path, err)
	}
	backends, err := conf.Backends()
	if err != nil || len(backends) != 1 || backends[0].Host != host || backends[0].Port != port || backends[0].Flag != DisallowFailover {
		return nil, fmt.Errorf("the edit of %s went wrong, nothing was written: it gives the backends %+v", path, backends)
	}
	return edited, nil
}

// editor walks over the lines of a file.
type editor struct {
	newline string
	wanted  [][2]string // name without its number, value
	out     []string
	last    int // index in out behind the last line of backend 0; 0 none
}

// line takes one line, with its end.
func (e *editor) line(line string) {
	body := strings.TrimRight(line, "\r\n")
	end := line[len(body):]
	m := backendLine.FindStringSubmatch(body)
	switch {
	case m == nil:
		e.out = append(e.out, line)
		return
	case m[3] != "0":
		e.out = append(e.out, "#"+line)
		return
	}
	for _, w := range e.wanted {
		if m[2] == w[0] && unquoted(m[5]) != w[1] {
			body = m[1] + m[2] + m[3] + m[4] + likeBefore(m[5], w[1]) + m[6]
		}
	}
	e.out = append(e.out, body+end)
	e.last = len(e.out)
}

// finish adds what no line had.
func (e *editor) finish() []byte {
	have := map[string]bool{}
	for _, line := range e.out {
		if m := backendLine.FindStringSubmatch(strings.TrimRight(line, "\r\n")); m != nil && m[3] == "0" {
			have[m[2]] = true
		}
	}
	var added []string
	for _, w := range e.wanted {
		if !have[w[0]] {
			added = append(added, w[0]+"0 = "+bareOrQuoted(w[0], w[1])+e.newline)
		}
	}
	if e.last == 0 {
		e.last = len(e.out)
	}
	if n := e.last - 1; n >= 0 && len(added) > 0 && !strings.HasSuffix(e.out[n], "\n") {
		e.out[n] += e.newline
	}
	all := append(append(append([]string{}, e.out[:e.last]...), added...), e.out[e.last:]...)
	return []byte(strings.Join(all, ""))
}

// bareOrQuoted writes a number bare, as old versions of pgpool read a quoted port as 0.
func bareOrQuoted(name, value string) string {
	if name == "backend_port" {
		return value
	}
	return "'" + value + "'"
}

// likeBefore quotes a value as the old one was. A bare word would end at a blank or a comment; what is put here (a host
// name, a port, a flag) has neither, but a host name with a dash or a dot is quoted all the same.
func likeBefore(old, value string) string {
	if strings.HasPrefix(old, "'") || strings.ContainsAny(value, "-.|") {
		return "'" + value + "'"
	}
	return value
}

func unquoted(text string) string {
	value, err := parseValue(text)
	if err != nil {
		return text
	}
	return value
}
