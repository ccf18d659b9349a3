package nodes

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// listVariable is the variable that a script which sources a node file reads.
const listVariable = "nodes"

// ParseNodeList reads a node file, /pitrix/conf/nodes/ROLE, and returns its hosts in the order of the file. The file
// is either a shell fragment that sets the variable nodes, or a plain list of host names. It is read as bash would
// read it, but never executed: whatever needs a command, a file or the environment to be known is refused.
//
// An error is of type Problems and holds every bad or repeated name. An empty list is an error too, and so is a file of
// more than 32 KiB.
func ParseNodeList(file File) ([]Name, error) {
	if len(file.Data) > maxListBytes {
		return nil, Problems{{file.Path, 0, fmt.Sprintf("has %d bytes, expected a list of hosts of at most %d; check whether it is a node file",
			len(file.Data), maxListBytes)}}
	}
	src := shellSource(file.Data)
	if i := bytes.IndexByte(src, 0); i >= 0 {
		return nil, Problems{{
			file.Path, 1 + bytes.Count(src[:i], []byte("\n")),
			`holds a NUL byte, expected text in UTF-8; write the file again as nodes="HOST HOST"`,
		}}
	}
	tree, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(bytes.NewReader(src), file.Path)
	if err != nil {
		return nil, Problems{shellSyntaxProblem(file.Path, err)}
	}
	sh := newShell(file.Path, src)
	for _, stmt := range tree.Stmts {
		sh.statement(stmt)
	}
	list, ok := sh.list()
	if !ok {
		return nil, sh.problems.err()
	}
	return checkNames(file.Path, splitNames(list))
}

// shellSource returns data as the shell parser wants it, with every line where it was: no byte order mark, LF line
// ends, and bytes that are no UTF-8 (old comments in another Chinese encoding) replaced.
func shellSource(data []byte) []byte {
	data = bytes.TrimPrefix(data, []byte(byteOrderMark))
	data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	return bytes.ToValidUTF8(data, []byte("\uFFFD"))
}

func shellSyntaxProblem(path string, err error) Problem {
	const advice = `expected nodes="HOST HOST"; correct this line`
	var parse syntax.ParseError
	if errors.As(err, &parse) {
		return Problem{path, int(parse.Pos.Line()), fmt.Sprintf("is no valid shell: %s; %s", parse.Text, advice)}
	}
	var lang syntax.LangError
	if errors.As(err, &lang) {
		return Problem{path, int(lang.Pos.Line()), fmt.Sprintf("uses %s, which bash does not know; %s", lang.Feature, advice)}
	}
	return Problem{path, 0, fmt.Sprintf("is no valid shell: %v; %s", err, advice)}
}

// list returns the text that holds the host names, or false when problems say why there is none.
func (sh *shell) list() (text, bool) {
	switch {
	case len(sh.problems) > 0:
		return nil, false
	case sh.plainLine > 0 && sh.assignLine > 0:
		sh.problems.add(sh.path, sh.plainLine, "holds the word %q beside an assignment (line %d), "+
			`expected either a plain list of hosts or nodes="HOST HOST"; keep one of the two`, sh.plainWord, sh.assignLine)
		return nil, false
	case sh.plainLine > 0 && len(splitNames(sh.plain)) == 0:
		sh.problems.add(sh.path, sh.plainLine, "holds no host in its plain list, expected host names; "+
			"write the hosts of this role, or remove the file")
		return nil, false
	case sh.plainLine > 0:
		return sh.plain, true
	}
	v := sh.vars[listVariable]
	switch {
	case v == nil && sh.assignLine == 0:
		sh.problems.add(sh.path, 0, `is empty, expected nodes="HOST HOST"; write the hosts of this role, or remove the file`)
	case v == nil:
		sh.problems.add(sh.path, sh.assignLine, `sets no variable nodes%s, expected nodes="HOST HOST"; add it`,
			sh.similarVariable())
	case len(splitNames(v.all())) == 0:
		sh.problems.add(sh.path, sh.listLine, `sets nodes to an empty list, expected nodes="HOST HOST"; `+
			"write the hosts of this role, or remove the file")
	default:
		return v.all(), true
	}
	return nil, false
}

func (sh *shell) similarVariable() string {
	var names []string
	for name := range sh.vars {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if didYouMean(name, []string{listVariable}) != "" {
			return fmt.Sprintf(" (it sets %s)", name)
		}
	}
	return ""
}

// splitNames cuts a text into words at blanks, tabs and line ends, as an unquoted $nodes is in a script.
func splitNames(t text) []Name {
	var names []Name
	var word []byte
	line := 0
	for _, c := range append(t[:len(t):len(t)], cell{b: ' '}) {
		switch {
		case !c.blank():
			if len(word) == 0 {
				line = c.line
			}
			word = append(word, c.b)
		case len(word) > 0:
			names = append(names, Name{Host: string(word), Line: line})
			word = word[:0]
		}
	}
	return names
}

// checkNames returns the names when every one is a host name and stands there once.
func checkNames(path string, names []Name) ([]Name, error) {
	var problems Problems
	seen := map[string]int{} // lower case: DNS does not tell Db1 from db1
	for _, n := range names {
		if err := CheckHost(n.Host); err != nil {
			problems.add(path, n.Line, "%v; correct the name", err)
			continue
		}
		key := strings.ToLower(n.Host)
		if first, twice := seen[key]; twice {
			problems.add(path, n.Line, "lists the host %q twice, first on line %d, expected every host once; remove one of the two",
				n.Host, first)
			continue
		}
		seen[key] = n.Line
	}
	if len(problems) > 0 {
		return nil, problems.err()
	}
	return names, nil
}
