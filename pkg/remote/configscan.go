package remote

import (
	"os"
	"path/filepath"
	"strings"
)

// maxIncludes bounds how deep files of the SSH configuration include others.
const maxIncludes = 16

// configScan is what one look at the SSH configuration finds, before anything
// parses it.
type configScan struct {
	match           bool            // there is a Match
	relativeInclude bool            // the system's file includes one by a relative path
	users           map[string]bool // every user that is named
}

// file looks at one file and at those it includes.
func (s *configScan) file(data []byte, home string, system bool, depth int) {
	for line := range strings.Lines(string(data)) {
		keyword, value := directive(line)
		switch keyword {
		case "match":
			s.match = true
		case "user":
			if s.users == nil {
				s.users = make(map[string]bool)
			}
			s.users[strings.Trim(value, `"`)] = true
		case "include":
			if depth < maxIncludes {
				s.include(value, home, system, depth)
			}
		}
	}
}

func (s *configScan) include(value, home string, system bool, depth int) {
	for _, pattern := range words(value) {
		switch {
		case strings.HasPrefix(pattern, "~/"):
			pattern = filepath.Join(home, pattern[2:])
		case !filepath.IsAbs(pattern) && system:
			s.relativeInclude = true
			pattern = filepath.Join(filepath.Dir(systemConfig), pattern)
		case !filepath.IsAbs(pattern):
			pattern = filepath.Join(home, ".ssh", pattern)
		}
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			if data, err := os.ReadFile(file); err == nil {
				s.file(data, home, system, depth+1)
			}
		}
	}
}

// directive splits a line of the SSH configuration; the keyword is in lower case.
func directive(line string) (keyword, value string) {
	line = strings.TrimSpace(line)
	if line == "" || line[0] == '#' {
		return "", ""
	}
	end := strings.IndexAny(line, " \t=")
	if end < 0 {
		return strings.ToLower(line), ""
	}
	value = strings.TrimLeft(line[end:], " \t")
	value = strings.TrimLeft(strings.TrimPrefix(value, "="), " \t")
	return strings.ToLower(line[:end]), value
}

// words splits a value at blanks, except inside double quotes.
func words(s string) []string {
	var list []string
	var word strings.Builder
	quoted, begun := false, false
	for _, r := range s {
		switch {
		case r == '"':
			quoted, begun = !quoted, true
		case (r == ' ' || r == '\t') && !quoted:
			if begun {
				list = append(list, word.String())
			}
			word.Reset()
			begun = false
		default:
			word.WriteRune(r)
			begun = true
		}
	}
	if begun {
		list = append(list, word.String())
	}
	return list
}
