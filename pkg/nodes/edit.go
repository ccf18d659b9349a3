package nodes

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// EditWatcherValue returns the file with the value of pg_watcher.KEY changed and every other byte as it was: quotes,
// comments, blanks, line ends. The key is inactive_failover or using_master_by_ts, the value "0" or "1". Nothing is
// ever added: a key that is not there, and a value that is not written out in one piece behind its key, is an error
// (of type Problems). The result is read again and compared before it is returned; file.Data is left alone.
func EditWatcherValue(file File, key, value string) ([]byte, error) {
	if key != keyInactiveFailover && key != keyUsingMasterByTS {
		return nil, Problems{{file.Path, 0, fmt.Sprintf("has no key %q that can be edited, expected %s or %s",
			key, keyInactiveFailover, keyUsingMasterByTS)}}
	}
	if value != "0" && value != "1" {
		return nil, Problems{{file.Path, 0, fmt.Sprintf("cannot get the value %q for %s, expected 0 or 1", value, key)}}
	}
	if p := oddLineEnd(file); p != nil {
		return nil, Problems{*p}
	}
	doc, problems := parseTree(file)
	if len(problems) > 0 {
		return nil, problems.err()
	}
	node, problem := watcherScalar(file.Path, doc, key)
	if problem != nil {
		return nil, Problems{*problem}
	}
	start, ok := scalarOffset(file.Data, node)
	if !ok {
		return nil, Problems{{file.Path, node.Line, fmt.Sprintf(
			"has a value of %s that cannot be edited in place, expected a plain or quoted 0 or 1; write it as %s: %s", key, key, value)}}
	}
	out := slices.Concat(file.Data[:start], []byte(value), file.Data[start+len(node.Value):])
	if err := provesEdit(file, doc, node, out, key, value); err != nil {
		return nil, err
	}
	return out, nil
}

// provesEdit reads the result and compares: the one value is new, nothing else has changed.
func provesEdit(file File, before, edited *yaml.Node, out []byte, key, value string) error {
	after, problems := parseTree(File{file.Path, out})
	if len(problems) == 0 && after != nil {
		if n, p := watcherScalar(file.Path, after, key); p == nil && n.Value == value && sameTree(before, after, edited) {
			return nil
		}
	}
	return Problems{{file.Path, edited.Line, fmt.Sprintf(
		"would not read the same after the edit of %s, expected one changed value; edit the file by hand", key)}}
}

// oddLineEnd finds characters that YAML counts as line ends and editors do not: the place of a value could not be
// told then.
func oddLineEnd(file File) *Problem {
	line := 1
	for i := 0; i < len(file.Data); {
		r, n := utf8.DecodeRune(file.Data[i:])
		loneCR := r == '\r' && (i+1 == len(file.Data) || file.Data[i+1] != '\n')
		if loneCR || r == '\u0085' || r == '\u2028' || r == '\u2029' {
			return &Problem{file.Path, line, fmt.Sprintf(
				"holds the line end %U, expected LF or CRLF; replace it, as values cannot be edited safely beside it", r)}
		}
		if r == '\n' {
			line++
		}
		i += n
	}
	return nil
}

// watcherScalar finds the node of pg_watcher.KEY, which must stand there itself and be nobody's anchor.
func watcherScalar(path string, doc *yaml.Node, key string) (*yaml.Node, *Problem) {
	section, line := doc, 0
	if doc != nil && len(doc.Content) == 1 {
		section = doc.Content[0]
	}
	for _, name := range []string{sectionWatcher, key} {
		var found []*yaml.Node
		for i := 0; section != nil && section.Kind == yaml.MappingNode && i+1 < len(section.Content); i += 2 {
			if k := section.Content[i]; k.Kind == yaml.ScalarNode && k.Value == name {
				found = append(found, section.Content[i+1])
				line = k.Line
			}
		}
		switch {
		case len(found) == 0:
			return nil, &Problem{path, line, fmt.Sprintf("has no key %s, expected it to be there for an edit of pg_watcher.%s; add it by hand", name, key)}
		case len(found) > 1:
			return nil, &Problem{path, line, fmt.Sprintf("has the key %s twice, expected it once; remove one of the two", name)}
		case found[0].Kind == yaml.AliasNode:
			return nil, &Problem{path, line, fmt.Sprintf("gives %s an alias (%q), expected the value itself; write it out", name, "*"+found[0].Value)}
		}
		section = found[0]
	}
	switch {
	case section.Kind != yaml.ScalarNode:
		return nil, &Problem{path, line, fmt.Sprintf("gives %s %s, expected 0 or 1; correct the value", key, kindName(section))}
	case section.Anchor != "" && hasAlias(doc, section):
		return nil, &Problem{path, line, fmt.Sprintf("uses the value of %s elsewhere too (*%s), expected it to stand for itself; "+
			"write both values out", key, section.Anchor)}
	}
	return section, nil
}

func hasAlias(n, target *yaml.Node) bool {
	return n.Alias == target || slices.ContainsFunc(n.Content, func(c *yaml.Node) bool { return hasAlias(c, target) })
}

// scalarOffset returns where the text of a plain or quoted scalar begins, behind its quote, and false when it does not
// stand in the source as it reads.
func scalarOffset(src []byte, n *yaml.Node) (int, bool) {
	quote := ""
	switch n.Style &^ yaml.TaggedStyle {
	case 0:
	case yaml.SingleQuotedStyle:
		quote = "'"
	case yaml.DoubleQuotedStyle:
		quote = `"`
	default:
		return 0, false
	}
	start, ok := nodeOffset(src, n)
	if !ok || n.Value == "" {
		return 0, false
	}
	start, ok = skipProperties(src, start)
	if !ok || !bytes.HasPrefix(src[start:], []byte(quote+n.Value+quote)) {
		return 0, false
	}
	return start + len(quote), true
}

// nodeOffset turns line and column, which counts characters and leaves out a byte order mark, into an offset.
func nodeOffset(src []byte, n *yaml.Node) (int, bool) {
	at := 0
	for range n.Line - 1 {
		end := bytes.IndexByte(src[at:], '\n')
		if end < 0 {
			return 0, false
		}
		at += end + 1
	}
	if n.Line == 1 && bytes.HasPrefix(src, []byte(byteOrderMark)) {
		at += len(byteOrderMark)
	}
	for range n.Column - 1 {
		if at >= len(src) || src[at] == '\n' {
			return 0, false
		}
		_, size := utf8.DecodeRune(src[at:])
		at += size
	}
	return at, at < len(src)
}

// skipProperties steps over an anchor and a tag on the same line.
func skipProperties(src []byte, at int) (int, bool) {
	for at < len(src) && (src[at] == '&' || src[at] == '!') {
		length := bytes.IndexAny(src[at:], " \t\r\n")
		if length < 0 {
			return 0, false
		}
		at += length
		for at < len(src) && strings.IndexByte(" \t", src[at]) >= 0 {
			at++
		}
	}
	return at, at < len(src)
}

// sameTree compares two trees but for the one scalar that was edited in the first, and for columns, which move
// behind it.
func sameTree(a, b, edited *yaml.Node) bool {
	if a.Kind != b.Kind || a.Style != b.Style || a.Anchor != b.Anchor || a.Line != b.Line || len(a.Content) != len(b.Content) ||
		a.HeadComment != b.HeadComment || a.LineComment != b.LineComment || a.FootComment != b.FootComment {
		return false
	}
	if a != edited && (a.Value != b.Value || a.Tag != b.Tag) {
		return false
	}
	for i := range a.Content {
		if !sameTree(a.Content[i], b.Content[i], edited) {
			return false
		}
	}
	return true
}
