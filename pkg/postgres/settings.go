package postgres

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
)

// Setting is one setting of a configuration file; without a Value it is taken out.
type Setting struct {
	Name  string
	Value *string
}

var settingLine = regexp.MustCompile(`^\s*([A-Za-z_][A-Za-z0-9_.]*)\s*=?\s*`)

// WithSettings gives the text of postgresql.auto.conf or recovery.conf with the given settings: every line that sets one of them goes,
// the new ones come at the end, in their order. All other bytes stay.
func WithSettings(conf []byte, settings []Setting) []byte {
	var kept strings.Builder
	for line := range strings.Lines(string(conf)) {
		if name := nameOf(line); name == "" || !slices.ContainsFunc(settings, func(s Setting) bool { return strings.EqualFold(s.Name, name) }) {
			kept.WriteString(line)
		}
	}
	text := kept.String()
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	for _, s := range settings {
		if s.Value != nil {
			text += s.Name + " = " + quoteSetting(*s.Value) + "\n"
		}
	}
	return []byte(text)
}

// SettingOf is the value that a configuration file gives a setting: the last one counts. Include directives are not followed.
func SettingOf(conf []byte, name string) (value string, ok bool) {
	for raw := range bytes.Lines(conf) {
		if begin := bytes.TrimLeft(raw, " \t"); len(begin) < len(name) || !strings.EqualFold(string(begin[:len(name)]), name) {
			continue // most lines are, and none of them is copied: a watcher reads them once a second
		}
		if line := string(raw); strings.EqualFold(nameOf(line), name) {
			value, ok = unquoteSetting(line[len(settingLine.FindString(line)):]), true
		}
	}
	return value, ok
}

func nameOf(line string) string {
	if m := settingLine.FindStringSubmatch(line); m != nil {
		return m[1]
	}
	return ""
}

// quoteSetting quotes a value (PostgreSQL manual, "Parameter Interaction via the Configuration File"): a quote is doubled, and a
// backslash too, as recovery.conf up to 11 reads it in C's way.
func quoteSetting(v string) string {
	return "'" + strings.NewReplacer("'", "''", `\`, `\\`).Replace(v) + "'"
}

func unquoteSetting(text string) string {
	if !strings.HasPrefix(text, "'") {
		value, _, _ := strings.Cut(text, "#")
		return strings.TrimSpace(value)
	}
	var value strings.Builder
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\'' && i+1 < len(text) && text[i+1] == '\'', c == '\\' && i+1 < len(text):
			i++
			value.WriteByte(text[i])
		case c == '\'':
			return value.String()
		default:
			value.WriteByte(c)
		}
	}
	return value.String()
}
