package postgres

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// ConnInfo is a connection string of libpq taken apart, by keyword (PostgreSQL manual, "Connection Strings"). It may hold a
// password: it is never printed.
type ConnInfo map[string]string

var pair = regexp.MustCompile(`^\s*([a-z_]+)\s*=\s*('(?:[^'\\]|\\.)*'|(?:[^\s'\\]|\\.)*)`)

// ParseConnInfo reads keyword=value pairs. URIs are not read: no tool writes one into primary_conninfo. The error does not
// quote the text.
func ParseConnInfo(text string) (ConnInfo, error) {
	c := ConnInfo{}
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		m := pair.FindStringSubmatch(text)
		if m == nil {
			return nil, fmt.Errorf("a connection string of %d pairs cannot be read further: expected KEYWORD=VALUE", len(c))
		}
		value := m[2]
		if strings.HasPrefix(value, "'") {
			value = value[1 : len(value)-1]
		}
		c[m[1]] = unescape.ReplaceAllString(value, "$1")
		text = text[len(m[0]):]
	}
	return c, nil
}

var unescape = regexp.MustCompile(`\\(.)`)

// String is the connection string, keywords in order, every value quoted.
func (c ConnInfo) String() string {
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(c)) {
		parts = append(parts, key+"="+quoteValue(c[key]))
	}
	return strings.Join(parts, " ")
}

// everyLibpq are the keywords that libpq has known since 9.3 and a standby may need; passfile came with 10.
var everyLibpq = []string{
	"host", "hostaddr", "port", "user", "password", "passfile", "application_name", "connect_timeout", "keepalives", "keepalives_idle",
	"keepalives_interval", "keepalives_count", "sslmode", "sslcert", "sslkey", "sslrootcert", "sslcrl", "krbsrvname",
}

// Portable is the connection string without the keywords that an older libpq refuses.
func (c ConnInfo) Portable() ConnInfo {
	kept := ConnInfo{}
	for _, key := range everyLibpq {
		if value, ok := c[key]; ok {
			kept[key] = value
		}
	}
	return kept
}

// Login is what of the connection string says who logs in and how, and not where; nil when it names no user.
func (c ConnInfo) Login() ConnInfo {
	if c["user"] == "" {
		return nil
	}
	login := c.Portable()
	for _, key := range []string{"host", "hostaddr", "port", "application_name"} {
		delete(login, key)
	}
	return login
}
