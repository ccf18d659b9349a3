package pgpool

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// Conf is pgpool.conf as pgpool itself would read it: the last of several assignments, quotes off. Names count by case:
// pgpool knows no Backend_Hostname0.
type Conf struct {
	Path   string
	values map[string]string
}

var (
	assignment  = regexp.MustCompile(`^\s*([A-Za-z_][A-Za-z0-9_]*)\s*=?\s*(.*)$`)
	backendSlot = regexp.MustCompile(`^backend_(?:hostname|port)([0-9]+)$`)
)

// ParseConf reads pgpool.conf (pgpool-II manual, "Configuring Pgpool-II": name = value, # begins a comment, quotes are
// doubled inside quotes). A line that it cannot read is an error with its number; what stands there is not told, as it may be
// a password.
func ParseConf(path string, data []byte) (*Conf, error) {
	c := &Conf{Path: path, values: map[string]string{}}
	number := 0
	for line := range strings.Lines(strings.TrimPrefix(string(data), "\uFEFF")) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		m := assignment.FindStringSubmatch(line)
		if m == nil {
			return nil, fmt.Errorf("%s:%d: expected name = value", path, number)
		}
		value, err := parseValue(m[2])
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %s: %w", path, number, m[1], err)
		}
		if strings.EqualFold(m[1], "include") {
			return nil, fmt.Errorf("%s:%d: it includes another file, which pgctl does not read: put the backends into this one", path, number)
		}
		c.values[m[1]] = value
	}
	return c, nil
}

// parseValue reads what follows the equals sign: quoted or bare, with an optional comment behind it.
func parseValue(text string) (string, error) {
	if !strings.HasPrefix(text, "'") {
		value, _, _ := strings.Cut(text, "#")
		return strings.TrimSpace(value), nil
	}
	var value strings.Builder
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '\'' && i+1 < len(text) && text[i+1] == '\'', text[i] == '\\' && i+1 < len(text):
			i++
			value.WriteByte(text[i])
		case text[i] == '\'':
			if rest := strings.TrimSpace(text[i+1:]); rest != "" && rest[0] != '#' {
				return "", errors.New("found text behind the closing quote, expected the end of the line or a comment")
			}
			return value.String(), nil
		default:
			value.WriteByte(text[i])
		}
	}
	return "", errors.New("found an opening quote without a closing one")
}

// Get is a setting's value, or fallback when the file does not set it.
func (c *Conf) Get(name, fallback string) string {
	if v, ok := c.values[name]; ok {
		return v
	}
	return fallback
}

// numbers are those of the configured backends, in order.
func (c *Conf) numbers() []int {
	seen := map[int]bool{}
	for name := range c.values {
		m := backendSlot.FindStringSubmatch(name)
		if m == nil {
			continue
		}
		_, port := c.values["backend_port"+m[1]]
		if n, err := strconv.Atoi(m[1]); err == nil && (port || c.Get("backend_hostname"+m[1], "") != "") {
			seen[n] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// Backends are the configured backends in the order of their numbers. A port alone makes one too: without a host name it is
// a server behind pgpool's own Unix socket directory, Host "".
func (c *Conf) Backends() ([]cluster.Backend, error) {
	byNumber := map[int]cluster.Backend{}
	for name := range c.values {
		m := backendSlot.FindStringSubmatch(name)
		if m == nil {
			continue
		}
		host := c.Get("backend_hostname"+m[1], "")
		if _, port := c.values["backend_port"+m[1]]; host == "" && !port {
			continue
		}
		n, err := strconv.Atoi(m[1])
		if err != nil {
			return nil, fmt.Errorf("%s: %s: expected a backend number", c.Path, name)
		}
		text := c.Get("backend_port"+m[1], "5432")
		port, err := strconv.Atoi(text)
		if err != nil || port < 1 || port > 65535 {
			return nil, fmt.Errorf("%s: backend_port%s is %q, expected a port number", c.Path, m[1], text)
		}
		byNumber[n] = cluster.Backend{Host: host, Port: port, Flag: c.Get("backend_flag"+m[1], "ALLOW_TO_FAILOVER")}
	}
	all := []cluster.Backend{} // none, which is not the same as not known
	for _, n := range slices.Sorted(maps.Keys(byNumber)) {
		all = append(all, byNumber[n])
	}
	return all, nil
}
