package nodes

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// maxListBytes bounds a node file, as every level of nesting costs the parser some stack, and what a variable may hold,
// as a few lines of a=$a$a would otherwise fill the memory.
const maxListBytes = 1 << 15

// cell is one byte of a value with the line that it stands on, so that a bad host in a long list can be shown.
type cell struct {
	b      byte
	line   int
	quoted bool // in the word being read: bash does not split here
}

func (c cell) blank() bool { return c.b == ' ' || c.b == '\t' || c.b == '\n' }

type text []cell

func newText(s string, line int, quoted bool) text {
	t := make(text, len(s))
	for i := range len(s) {
		t[i] = cell{s[i], line, quoted}
		if s[i] == '\n' {
			line++
		}
	}
	return t
}

// literal returns the text of a literal. The parser has taken the line continuations out of it, so the lines come from
// the source.
func (sh *shell) literal(lit *syntax.Lit, quoted bool) text {
	t := newText(lit.Value, int(lit.Pos().Line()), quoted)
	at, line, escaped := int(lit.Pos().Offset()), int(lit.Pos().Line()), false
	for i := range t {
		for !escaped && bytes.HasPrefix(sh.src[min(at, len(sh.src)):], []byte("\\\n")) {
			at, line = at+2, line+1
		}
		t[i].line = line
		if t[i].b == '\n' {
			line++
		}
		escaped = t[i].b == '\\' && !escaped
		at++
	}
	return t
}

// shellVar is a variable: a string is an array of one element, as it is in bash.
type shellVar struct {
	elems    []text
	readonly bool
}

func (v *shellVar) first() text {
	if len(v.elems) == 0 {
		return nil
	}
	return v.elems[0]
}

// all returns every element, a blank between two.
func (v *shellVar) all() text {
	var t text
	for i, e := range v.elems {
		if i > 0 {
			t = append(t, cell{b: ' '})
		}
		t = append(t, e...)
	}
	return t
}

// shell knows what a node file has set so far. It is an evaluator of assignments and of nothing else.
type shell struct {
	path     string
	src      []byte // what the positions of the syntax tree refer to
	vars     map[string]*shellVar
	problems Problems

	plain      text // the words of a plain list
	plainWord  string
	plainLine  int // of its first word, 0 for none
	assignLine int // of the first assignment, 0 for none
	listLine   int // of the last assignment to nodes
}

func newShell(path string, src []byte) *shell {
	return &shell{path: path, src: src, vars: map[string]*shellVar{}}
}

// refuse notes that a construct is not read.
func (sh *shell) refuse(pos syntax.Pos, construct string) {
	sh.problems = append(sh.problems, sh.refusal(pos, construct))
}

func (sh *shell) refusal(pos syntax.Pos, construct string) Problem {
	return Problem{sh.path, int(pos.Line()), fmt.Sprintf(
		`holds %s; a node file is read and never executed, expected plain assignments such as nodes="HOST HOST"; `+
			"write the host names out", construct)}
}

func (sh *shell) statement(s *syntax.Stmt) {
	switch {
	case s.Negated:
		sh.refuse(s.Pos(), `the negation "!"`)
		return
	case s.Background || s.Coprocess || s.Disown:
		sh.refuse(s.Pos(), `a background command "&"`)
		return
	case len(s.Redirs) > 0:
		sh.refuse(s.Redirs[0].Pos(), "a redirection "+fmt.Sprintf("%q", s.Redirs[0].Op.String()))
		return
	}
	switch cmd := s.Cmd.(type) {
	case *syntax.CallExpr:
		sh.call(cmd)
	case *syntax.DeclClause:
		sh.declaration(cmd)
	case nil:
		sh.refuse(s.Pos(), "an empty command")
	default:
		sh.refuse(cmd.Pos(), commandName(cmd))
	}
}

// call reads a simple command: assignments alone, or the words of a plain list.
func (sh *shell) call(c *syntax.CallExpr) {
	if len(c.Args) == 0 {
		for _, a := range c.Assigns {
			sh.assign(a, false)
		}
		return
	}
	word := c.Args[0].Lit()
	line := int(c.Args[0].Pos().Line())
	switch {
	case len(c.Assigns) > 0:
		sh.problems.add(sh.path, line, "has a second word after the value of %s, which makes it a command, expected one quoted "+
			`value such as nodes="HOST HOST"; put the list in quotes`, assignName(c.Assigns[0]))
	case isCommandWord(word):
		sh.refuse(c.Pos(), fmt.Sprintf("the command %q", word))
	case len(c.Args) > 1 && strings.HasPrefix(c.Args[1].Lit(), "="):
		sh.problems.add(sh.path, line, "has a blank between %q and the sign =, expected nodes=\"HOST HOST\"; remove the blank", word)
	default:
		sh.plainWords(c.Args)
	}
}

func (sh *shell) plainWords(words []*syntax.Word) {
	for _, w := range words {
		t, err := sh.word(w)
		if err != nil {
			sh.problems = append(sh.problems, *err)
			continue
		}
		if sh.plainLine == 0 {
			sh.plainLine = int(w.Pos().Line())
			if names := splitNames(t); len(names) > 0 {
				sh.plainWord = names[0].Host
			}
		}
		sh.plain = append(append(sh.plain, t...), cell{b: ' '})
	}
}

// isCommandWord reports whether a line that begins with word is a command and no list of hosts.
func isCommandWord(word string) bool {
	return slices.Contains([]string{
		".", "source", "eval", "exec", "set", "unset", "exit", "return", "shift", "shopt",
		"alias", "echo", "printf", "cd", "trap", "read", "mapfile", "readarray", ":", "true", "false", "test", "[",
	}, word)
}

// declaration reads export, readonly, declare and typeset.
func (sh *shell) declaration(d *syntax.DeclClause) {
	verb := d.Variant.Value
	if verb == "local" || verb == "nameref" {
		sh.refuse(d.Pos(), fmt.Sprintf("the command %q", verb))
		return
	}
	readonly := verb == "readonly"
	for _, a := range d.Args {
		if a.Name != nil {
			sh.assign(a, readonly)
			continue
		}
		flag := a.Value.Lit()
		if !isDeclareFlag(flag) {
			sh.refuse(a.Pos(), fmt.Sprintf("the command %q with something else than a plain assignment", verb))
			return
		}
		readonly = readonly || flag[0] == '-' && strings.Contains(flag, "r")
	}
}

// isDeclareFlag reports whether a flag changes nothing about how a value is read. Others (-A, -i, -n, -l, -u) do.
func isDeclareFlag(flag string) bool {
	return len(flag) > 1 && (flag[0] == '-' || flag[0] == '+') && strings.Trim(flag[1:], "agrx") == ""
}

func assignName(a *syntax.Assign) string {
	if a.Name == nil {
		return "a variable"
	}
	return a.Name.Value
}

// commandName says what a command is, for a message.
func commandName(cmd syntax.Command) string {
	switch c := cmd.(type) {
	case *syntax.BinaryCmd:
		return fmt.Sprintf("a pipe or a list of commands %q", c.Op.String())
	case *syntax.IfClause:
		return `the command "if"`
	case *syntax.WhileClause:
		return `a loop "while" or "until"`
	case *syntax.ForClause:
		return `a loop "for" or "select"`
	case *syntax.CaseClause:
		return `the command "case"`
	case *syntax.Block:
		return `a block "{ }"`
	case *syntax.Subshell:
		return `a subshell "( )"`
	case *syntax.FuncDecl:
		return "a function"
	case *syntax.ArithmCmd, *syntax.LetClause:
		return "arithmetic"
	case *syntax.TestClause:
		return `a test "[[ ]]"`
	case *syntax.TimeClause:
		return `the command "time"`
	default:
		return "a command"
	}
}
