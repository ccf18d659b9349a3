package nodes

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing wrong with one file. As an error it stops the command; as a warning (in Inventory.Warnings) it
// is shown to the operator.
type Problem struct {
	Path    string // as the caller named the file; empty when no single file is meant
	Line    int    // counted from 1; 0 when no line is meant
	Message string // one sentence: what was found, what was expected, what to do
}

// Error returns "path:line: message", without the parts that are not set.
func (p Problem) Error() string {
	switch {
	case p.Path == "":
		return p.Message
	case p.Line == 0:
		return p.Path + ": " + p.Message
	default:
		return fmt.Sprintf("%s:%d: %s", p.Path, p.Line, p.Message)
	}
}

// Problems is one or more Problem as a single error, sorted by path, then line. Every error that Parse, ParseNodeList,
// ParseServerYAML, ParseConfig and EditWatcherValue return is of this type.
type Problems []Problem

// Error returns the problems, one a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns every Problem as an error of its own, for errors.As.
func (ps Problems) Unwrap() []error {
	errs := make([]error, len(ps))
	for i, p := range ps {
		errs[i] = p
	}
	return errs
}

func (ps *Problems) add(path string, line int, format string, args ...any) {
	*ps = append(*ps, Problem{Path: path, Line: line, Message: fmt.Sprintf(format, args...)})
}

// sorted returns the problems by path, line and message, each once.
func (ps Problems) sorted() Problems {
	out := slices.Clone(ps)
	slices.SortStableFunc(out, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Message, b.Message))
	})
	return slices.Compact(out)
}

// err returns the sorted problems, or a nil error when there is none.
func (ps Problems) err() error {
	if len(ps) == 0 {
		return nil
	}
	return ps.sorted()
}
