package nodes

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

const (
	byteOrderMark = "\uFEFF"
	nullTag       = "!!null"
	mergeTag      = "!!merge"
)

// entry is one key of a mapping with its value, aliases followed.
type entry struct {
	key   string
	line  int
	value *yaml.Node
}

// parseTree returns the document node of a YAML file, or nil for a file without content.
func parseTree(file File) (*yaml.Node, Problems) {
	if i := invalidUTF8(file.Data); i >= 0 {
		line := 1 + bytes.Count(file.Data[:i], []byte("\n"))
		return nil, Problems{{file.Path, line, "holds bytes that are no UTF-8, expected YAML in UTF-8; convert the file, for example with iconv"}}
	}
	decoder := yaml.NewDecoder(bytes.NewReader(file.Data))
	var doc, more yaml.Node
	switch err := decoder.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, Problems{yamlProblem(file.Path, err)}
	}
	switch err := decoder.Decode(&more); {
	case err == nil:
		return nil, Problems{{file.Path, more.Line, "begins a second YAML document, expected one; remove the line ---"}}
	case !errors.Is(err, io.EOF):
		return nil, Problems{yamlProblem(file.Path, err)}
	}
	return &doc, nil
}

// parseRoot returns the top mapping of a YAML file, or nil for a file without content.
func parseRoot(file File) (*yaml.Node, Problems) {
	doc, problems := parseTree(file)
	if doc == nil || len(doc.Content) == 0 {
		return nil, problems
	}
	root := follow(doc.Content[0])
	if isNull(root) {
		return nil, nil
	}
	if root.Kind != yaml.MappingNode {
		return nil, Problems{{file.Path, root.Line, fmt.Sprintf(
			"begins with %s, expected sections such as %q; correct the file", kindName(root), "name:")}}
	}
	return root, nil
}

// yamlProblem turns "yaml: line 3: what" into a Problem of line 3.
func yamlProblem(path string, err error) Problem {
	const advice = "correct this line or the one before"
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 0
	if m := regexp.MustCompile(`^line (\d+): `).FindStringSubmatch(message); m != nil {
		line, _ = strconv.Atoi(m[1]) // digits: at worst 0, which means no line
		message = message[len(m[0]):]
	}
	return Problem{path, line, fmt.Sprintf("is no valid YAML: %s; %s", message, advice)}
}

func invalidUTF8(data []byte) int {
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n <= 1 {
			return i
		}
		i += n
	}
	return -1
}

// entries returns the keys of a mapping, and notes a problem for whatever would make a value ambiguous.
func entries(path string, mapping *yaml.Node, problems *Problems) []entry {
	var out []entry
	first := map[string]int{}
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		key, value := mapping.Content[i], mapping.Content[i+1]
		name := follow(key)
		switch {
		case key.Tag == mergeTag:
			problems.add(path, key.Line, "merges another mapping with <<, expected plain keys here; write the merged keys out")
			continue
		case name.Kind != yaml.ScalarNode:
			problems.add(path, key.Line, "has %s as a key, expected a name; correct the key", kindName(name))
			continue
		case first[name.Value] > 0:
			problems.add(path, key.Line, "has the key %q twice, first on line %d, expected it once; remove one of the two",
				name.Value, first[name.Value])
			continue
		}
		first[name.Value] = key.Line
		out = append(out, entry{name.Value, key.Line, follow(value)})
	}
	return out
}

func follow(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == nullTag }

// scalarText returns the text of a plain or quoted value, and false for null, lists and mappings.
func scalarText(n *yaml.Node) (string, bool) {
	return n.Value, n.Kind == yaml.ScalarNode && n.Tag != nullTag
}

// kindName says what a node is, for a message.
func kindName(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case isNull(n):
		return "no value"
	default:
		return fmt.Sprintf("the value %q", n.Value)
	}
}
