package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/olekukonko/tablewriter/pkg/twwidth"
	"golang.org/x/term"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/nodes"
)

// Exit codes. They are part of the contract with scripts: codes are added, never changed.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2   // wrong usage, or a bad input file
	exitUnhealthy   = 3   // the cluster is not as it should be
	exitRefused     = 4   // refused, nothing changed: it would lose data or break availability
	exitPartway     = 5   // stopped part-way; run again to go on
	exitInterrupted = 130 // by Ctrl-C
)

// exitError is an error with an exit code and a remedy.
type exitError struct {
	code int
	err  error  // nil: everything there is to say is in the output already
	hint string // "" none
}

// Error is the sentence for the operator, without the hint.
func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

// Unwrap gives the cause.
func (e *exitError) Unwrap() error { return e.err }

// usageError is wrong usage of the named command.
func usageError(command string, err error) error {
	return &exitError{code: exitUsage, err: err, hint: command + " --help"}
}

// unhealthy is the exit of a command whose output already says what is wrong.
func unhealthy() error { return &exitError{code: exitUnhealthy} }

// report prints an error as "pgctl: error:" and "pgctl: hint:" lines and gives the exit code.
func report(ctx context.Context, w io.Writer, err error) int {
	if err == nil {
		return exitDone
	}
	if ctx.Err() != nil {
		if !errors.Is(err, context.Canceled) {
			fmt.Fprintf(w, "pgctl: error: %v\n", err)
		}
		var exit *exitError
		if errors.As(err, &exit) && exit.hint != "" {
			fmt.Fprintf(w, "pgctl: hint: %s\n", exit.hint)
		}
		fmt.Fprintln(w, "pgctl: interrupted")
		return exitInterrupted
	}
	if errors.Is(err, syscall.EPIPE) {
		return exitFailed // whoever read the output has gone, as head(1) does
	}
	var exit *exitError
	var problems nodes.Problems
	var refusal *cluster.Refusal
	switch {
	case errors.As(err, &exit): // of a plan that stopped half-way also when a refusal stopped it: something was changed
	case errors.As(err, &refusal):
		return reportRefusal(w, refusal)
	case errors.As(err, &problems):
		exit = &exitError{code: exitUsage, err: err, hint: "nothing was asked or changed"}
	default:
		exit = &exitError{code: exitFailed, err: err}
	}
	if exit.err != nil {
		fmt.Fprintf(w, "pgctl: error: %v\n", exit.err)
	}
	if exit.hint != "" {
		fmt.Fprintf(w, "pgctl: hint: %s\n", exit.hint)
	}
	return exit.code
}

// refusalDoc is the document of a refusal (docs/json.md).
type refusalDoc struct {
	Refused []riskDoc `json:"refused"`
}

type riskDoc struct {
	Risk     *string `json:"risk"`
	Evidence string  `json:"evidence"`
	Hint     string  `json:"hint"`
}

// printRefusal gives a script that asked for a document the reasons of a refusal in one.
func (a *app) printRefusal(err error) error {
	refusal := refusalOf(err)
	if refusal == nil {
		return nil
	}
	doc := refusalDoc{Refused: []riskDoc{}}
	for _, r := range refusal.Risks {
		doc.Refused = append(doc.Refused, riskDoc{Risk: known(r.Name), Evidence: r.Evidence, Hint: r.Hint})
	}
	return a.print(doc, func() error { return nil })
}

// refusalOf is the refusal that an error is, with which nothing was changed; nil when it is another one, of a plan that stopped half-way too.
func refusalOf(err error) *cluster.Refusal {
	var exit *exitError
	var refusal *cluster.Refusal
	if errors.As(err, &exit) || !errors.As(err, &refusal) {
		return nil
	}
	return refusal
}

// wrapping breaks long lines at blanks where a person reads them; a log or a script gets each message in one line.
func wrapping(w io.Writer) io.Writer {
	file, isFile := w.(*os.File)
	if !isFile || !term.IsTerminal(int(file.Fd())) {
		return w
	}
	width, _, err := term.GetSize(int(file.Fd()))
	if err != nil || width <= 0 {
		return w
	}
	return &wrapper{w, min(width, pageWidth)}
}

// wrapper is a writer of whole lines.
type wrapper struct {
	w     io.Writer
	width int
}

// Write breaks each line that is too long; what it says of how much was written is of the text before.
func (w *wrapper) Write(text []byte) (int, error) {
	var out strings.Builder
	for line := range strings.Lines(string(text)) {
		if twwidth.Width(line) > w.width {
			line = wrap(line, w.width-len(wrapIndent), wrapIndent) + "\n"
		}
		out.WriteString(line)
	}
	if _, err := io.WriteString(w.w, out.String()); err != nil {
		return 0, err
	}
	return len(text), nil
}

const wrapIndent = "    "

// reportRefusal names every risk at once, each with the flag that accepts it, where one does.
func reportRefusal(w io.Writer, r *cluster.Refusal) int {
	for _, risk := range r.Risks {
		fmt.Fprintf(w, "pgctl: refused: %s\n", risk.Evidence)
		if risk.Hint != "" {
			fmt.Fprintf(w, "pgctl: hint: %s\n", risk.Hint)
		}
		if risk.Name != "" {
			fmt.Fprintf(w, "pgctl: hint: to take this risk: --accept=%s\n", risk.Name)
		}
	}
	fmt.Fprintln(w, "pgctl: nothing was changed")
	return exitRefused
}
