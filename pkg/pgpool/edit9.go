package pgpool

import (
	"bytes"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// flagWord is either of the two flags.
var flagWord = regexp.MustCompile(`\b(DIS)?ALLOW_TO_FAILOVER\b`)

// WithFailover is pgpool.conf with failover allowed, or disallowed, for every backend. One word of each backend_flagN changes, other
// flags beside it stay; a backend that has no such line gets one behind its last, where it is needed. No other byte changes. The
// result is read again: it must have the backends that it had, with that flag, else it is an error.
func WithFailover(path string, data []byte, on bool) ([]byte, error) {
	word := DisallowFailover
	if on {
		word = AllowFailover
	}
	set := map[string]string{}
	err := eachBackend(path, data, func(n string, conf *Conf, b cluster.Backend) {
		flag := conf.Get("backend_flag"+n, "")
		switch {
		case b.FailsOver() == on:
		case flagWord.MatchString(flag):
			set["backend_flag"+n] = flagWord.ReplaceAllString(flag, word)
		case flag == "":
			set["backend_flag"+n] = word
		default:
			set["backend_flag"+n] = flag + "|" + word
		}
	})
	if err != nil {
		return nil, err
	}
	return setValues(path, data, set, func(b cluster.Backend) cluster.Backend {
		b.Flag = ""
		return b
	}, func(b cluster.Backend) bool { return b.FailsOver() == on })
}

// WithHosts is pgpool.conf with these hosts as backend_hostname0, backend_hostname1 and so on, of which each backend must exist. No other
// value changes.
func WithHosts(path string, data []byte, hosts []string) ([]byte, error) {
	set, next := map[string]string{}, 0
	err := eachBackend(path, data, func(n string, _ *Conf, b cluster.Backend) {
		if next < len(hosts) && b.Host != hosts[next] && n == strconv.Itoa(next) {
			set["backend_hostname"+n] = hosts[next]
		}
		next++
	})
	if err != nil {
		return nil, err
	}
	if next != len(hosts) {
		return nil, fmt.Errorf("%s has %d backends, expected %d: %s", path, next, len(hosts), strings.Join(hosts, " and "))
	}
	next = 0
	return setValues(path, data, set, func(b cluster.Backend) cluster.Backend {
		b.Host = ""
		return b
	}, func(b cluster.Backend) bool {
		next++
		return b.Host == hosts[next-1]
	})
}

// eachBackend goes through the backends of a file, with their numbers.
func eachBackend(path string, data []byte, do func(number string, conf *Conf, b cluster.Backend)) error {
	conf, err := ParseConf(path, data)
	if err != nil {
		return err
	}
	backends, err := conf.Backends()
	if err != nil {
		return err
	}
	if len(backends) == 0 {
		return fmt.Errorf("%s has no backend at all, which no pool of a site is: put the whole file back first", path)
	}
	for name := range conf.values {
		if m := backendSlot.FindStringSubmatch(name); m != nil && len(m[1]) > 1 && m[1][0] == '0' {
			return fmt.Errorf("%s: %s: expected a backend number without a leading zero; correct it", path, name)
		}
	}
	for i, n := range conf.numbers() {
		do(strconv.Itoa(n), conf, backends[i])
	}
	return nil
}

// setValues gives settings of backends a value in every line that sets them, or a line of their own behind the last line of their
// backend. What the result says of the backends, but for what rest takes away, must be what was said before, and right must
// hold for each.
func setValues(path string, data []byte, set map[string]string, rest func(cluster.Backend) cluster.Backend, right func(cluster.Backend) bool) ([]byte, error) {
	edited := withValues(data, set)
	before, errBefore := ParseConf(path, data)
	after, errAfter := ParseConf(path, edited)
	if errBefore != nil || errAfter != nil {
		return nil, fmt.Errorf("the edit of %s went wrong, nothing was written: it cannot be read any more", path)
	}
	for _, conf := range []*Conf{before, after} { // every other setting is what it was
		conf.values = maps.Clone(conf.values)
		for name := range set {
			delete(conf.values, name)
		}
	}
	was, errBefore := mustBackends(path, data)
	is, errAfter := mustBackends(path, edited)
	same := errBefore == nil && errAfter == nil && maps.Equal(before.values, after.values) &&
		slices.EqualFunc(was, is, func(a, b cluster.Backend) bool { return same(rest(a), rest(b)) })
	if !same || !allOf(is, right) {
		return nil, fmt.Errorf("the edit of %s went wrong, nothing was written: it gives the backends %+v", path, is)
	}
	return edited, nil
}

func mustBackends(path string, data []byte) ([]cluster.Backend, error) {
	conf, err := ParseConf(path, data)
	if err != nil {
		return nil, err
	}
	return conf.Backends()
}

func same(a, b cluster.Backend) bool { return a.Host == b.Host && a.Port == b.Port && a.Flag == b.Flag }

func allOf(backends []cluster.Backend, right func(cluster.Backend) bool) bool {
	for _, b := range backends {
		if !right(b) {
			return false
		}
	}
	return true
}

// withValues does the edit, line by line.
func withValues(data []byte, set map[string]string) []byte {
	newline := "\n"
	if bytes.Contains(data, []byte("\r\n")) {
		newline = "\r\n"
	}
	var out []string
	have, last := map[string]bool{}, map[string]int{} // by setting; by number, the index in out behind its last line
	for line := range strings.Lines(string(data)) {
		body := strings.TrimRight(line, "\r\n")
		if m := backendLine.FindStringSubmatch(body); m != nil {
			name := m[2] + m[3]
			if value, ok := set[name]; ok {
				have[name] = true
				line = m[1] + name + m[4] + likeBefore(m[5], value) + m[6] + line[len(body):]
			}
			last[m[3]] = len(out) + 1
		}
		out = append(out, line)
	}
	for _, name := range slices.Backward(slices.Sorted(maps.Keys(set))) {
		if at := last[strings.TrimLeft(name, "abcdefghijklmnopqrstuvwxyz_")]; !have[name] && at > 0 {
			if !strings.HasSuffix(out[at-1], "\n") {
				out[at-1] += newline
			}
			out = slices.Insert(out, at, name+" = '"+set[name]+"'"+newline)
			for n, index := range last {
				if index > at {
					last[n] = index + 1
				}
			}
		}
	}
	return []byte(strings.Join(out, ""))
}
