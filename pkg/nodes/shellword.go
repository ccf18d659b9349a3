package nodes

import (
	"fmt"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// assign carries out one assignment. After a problem the variable counts as empty, so that the lines that use it do
// not repeat the complaint.
func (sh *shell) assign(a *syntax.Assign, readonly bool) {
	name := a.Name.Value
	line := int(a.Pos().Line())
	if sh.assignLine == 0 {
		sh.assignLine = line
	}
	if name == listVariable {
		sh.listLine = line
	}
	v := sh.vars[name]
	switch {
	case a.Index != nil:
		sh.refuse(a.Pos(), fmt.Sprintf("an assignment to one element of %s", name))
		return
	case a.Naked:
		if v != nil {
			v.readonly = v.readonly || readonly
		}
		return
	case name == "IFS":
		sh.refuse(a.Pos(), "an assignment to IFS, which changes how a list is split")
		return
	case v != nil && v.readonly:
		sh.problems.add(sh.path, line, "assigns to the read-only variable %s, which bash refuses; "+
			"expected one assignment; remove this one or the word readonly", name)
		return
	}
	elems, err := sh.value(a)
	if err != nil {
		sh.problems = append(sh.problems, *err)
		elems = nil
	}
	next := &shellVar{readonly: readonly}
	if v != nil && (a.Append || a.Array == nil) {
		next.elems = v.elems
	}
	next.store(elems, a.Append, a.Array != nil)
	sh.vars[name] = next
	if size := len(next.all()); size > maxListBytes {
		sh.problems.add(sh.path, line, "makes %s longer than %d bytes, expected a list of hosts; write the host names out",
			name, maxListBytes)
		next.elems = nil
	}
}

// store puts values into the variable by bash's rules: a string goes to element 0 of what is there, an array
// replaces it, and += appends to either.
func (v *shellVar) store(values []text, appended, array bool) {
	if array {
		v.elems = append(v.elems[:len(v.elems):len(v.elems)], values...)
		return
	}
	var value text
	if len(values) > 0 {
		value = values[0]
	}
	if appended {
		value = append(v.first()[:len(v.first()):len(v.first())], value...)
	}
	rest := v.elems
	if len(rest) > 0 {
		rest = rest[1:]
	}
	v.elems = append([]text{value}, rest...)
}

// value returns the elements of an array, or one element for a string.
func (sh *shell) value(a *syntax.Assign) ([]text, *Problem) {
	if a.Array == nil {
		if a.Value == nil {
			return []text{nil}, nil
		}
		t, err := sh.word(a.Value)
		return []text{t}, err
	}
	var elems []text
	for _, e := range a.Array.Elems {
		if e.Index != nil {
			p := sh.refusal(e.Pos(), "an array element with an index")
			return nil, &p
		}
		if e.Value == nil {
			continue
		}
		t, err := sh.word(e.Value)
		if err != nil {
			return nil, err
		}
		elems = append(elems, fields(t, hasQuotes(e.Value))...)
		if size(elems) > maxListBytes {
			return elems, nil // assign complains
		}
	}
	return elems, nil
}

func size(elems []text) int {
	n := 0
	for _, e := range elems {
		n += len(e)
	}
	return n
}

// fields splits a word of an array at its unquoted blanks. A word with quotes is one field at least.
func fields(t text, quotes bool) []text {
	var out []text
	start := -1
	for i, c := range t {
		if c.blank() && !c.quoted {
			if start >= 0 {
				out = append(out, t[start:i])
			}
			start = -1
		} else if start < 0 {
			start = i
		}
	}
	if start >= 0 {
		out = append(out, t[start:])
	}
	if len(out) == 0 && quotes && len(t) == 0 {
		out = []text{nil}
	}
	return out
}

func hasQuotes(w *syntax.Word) bool {
	for _, p := range w.Parts {
		switch p.(type) {
		case *syntax.SglQuoted, *syntax.DblQuoted:
			return true
		}
	}
	return false
}

func (sh *shell) word(w *syntax.Word) (text, *Problem) { return sh.parts(w.Parts, false) }

func (sh *shell) parts(parts []syntax.WordPart, quoted bool) (text, *Problem) {
	var t text
	for _, p := range parts {
		next, err := sh.part(p, quoted)
		if err != nil {
			return nil, err
		}
		t = append(t, next...)
		if len(t) > maxListBytes {
			break // assign complains; a plain list cannot grow
		}
	}
	return t, nil
}

func (sh *shell) part(part syntax.WordPart, quoted bool) (text, *Problem) {
	refused := ""
	switch p := part.(type) {
	case *syntax.Lit:
		if !quoted && hasPattern(p.Value) {
			refused = fmt.Sprintf("the file name pattern %q", p.Value)
			break
		}
		return unescape(sh.literal(p, quoted), quoted), nil
	case *syntax.SglQuoted:
		if p.Dollar || quoted {
			refused = fmt.Sprintf("the quoted text %q with escapes or inside other quotes", p.Value)
			break
		}
		return newText(p.Value, int(p.Pos().Line()), true), nil
	case *syntax.DblQuoted:
		if p.Dollar {
			refused = `a translated string $"..."`
			break
		}
		return sh.parts(p.Parts, true)
	case *syntax.ParamExp:
		return sh.parameter(p, quoted)
	case *syntax.CmdSubst:
		refused = "a command substitution"
	case *syntax.ProcSubst:
		refused = "a process substitution"
	case *syntax.ArithmExp:
		refused = "an arithmetic expansion"
	case *syntax.ExtGlob:
		refused = "a file name pattern"
	default:
		refused = "an expansion that is not known here"
	}
	p := sh.refusal(part.Pos(), refused)
	return nil, &p
}

// parameter expands $x, ${x}, ${x:-d}, ${x-d} and ${x[@]} of a variable that the file has set. Others would come from
// the environment of whoever sources the file, which is not known here.
func (sh *shell) parameter(p *syntax.ParamExp, quoted bool) (text, *Problem) {
	name := ""
	if p.Param != nil {
		name = p.Param.Value
	}
	every, star, ok := plainParameter(p)
	if !ok || !syntax.ValidName(name) {
		refused := sh.refusal(p.Pos(), fmt.Sprintf("an expansion of %q other than ${x}, ${x:-HOST} and ${x[@]}", name))
		return nil, &refused
	}
	v := sh.vars[name]
	if p.Exp != nil && (v == nil || len(v.elems) == 0 || p.Exp.Op == syntax.DefaultUnsetOrNull && len(v.first()) == 0) {
		if p.Exp.Word == nil {
			return nil, nil
		}
		return sh.parts(p.Exp.Word.Parts, quoted)
	}
	if v == nil {
		return nil, &Problem{sh.path, int(p.Pos().Line()), fmt.Sprintf(
			"uses the variable %s, which the file has not set before, expected only variables of this file; write its value out", name)}
	}
	if !every {
		return v.first().as(quoted), nil
	}
	var t text
	for i, e := range v.elems {
		if i > 0 {
			t = append(t, cell{b: ' ', line: int(p.Pos().Line()), quoted: quoted && star})
		}
		t = append(t, e.as(quoted)...)
	}
	return t, nil
}

// plainParameter reports whether an expansion is one that is read here, whether it means every element, and whether
// it is written with a star, which keeps the elements together inside quotes.
func plainParameter(p *syntax.ParamExp) (every, star, ok bool) {
	if p.Excl || p.Length || p.Width || p.IsSet || p.Flags != nil || p.NestedParam != nil ||
		p.Slice != nil || p.Repl != nil || p.Names != 0 || len(p.Modifiers) > 0 {
		return false, false, false
	}
	if p.Exp != nil && p.Exp.Op != syntax.DefaultUnset && p.Exp.Op != syntax.DefaultUnsetOrNull {
		return false, false, false
	}
	if p.Index == nil {
		return false, false, true
	}
	word, isWord := p.Index.(*syntax.Word)
	if !isWord || p.Exp != nil {
		return false, false, false
	}
	index := word.Lit()
	return true, index == "*", index == "@" || index == "*"
}

// as returns the text as it comes out of an expansion: quoted or not by where the expansion stands.
func (t text) as(quoted bool) text {
	out := make(text, len(t))
	for i, c := range t {
		out[i] = cell{c.b, c.line, quoted}
	}
	return out
}

// unescape takes the backslashes out of a literal, by the rules for outside or inside double quotes.
func unescape(t text, quoted bool) text {
	out := t[:0]
	for i := 0; i < len(t); i++ {
		c := t[i]
		if c.b == '\\' && i+1 < len(t) && (!quoted || strings.IndexByte("$`\"\\", t[i+1].b) >= 0) {
			i++
			c = t[i]
			c.quoted = true
		}
		out = append(out, c)
	}
	return out
}

// hasPattern reports whether an unquoted literal holds an unescaped character that makes bash look for files.
func hasPattern(lit string) bool {
	for i := 0; i < len(lit); i++ {
		switch lit[i] {
		case '\\':
			i++
		case '*', '?', '[':
			return true
		}
	}
	return false
}
