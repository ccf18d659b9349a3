package remote

import (
	"errors"
	"io"
	"strings"
)

// Command is one program with its arguments.
type Command struct {
	// Args is the program and its arguments. They are quoted for the shell of
	// the other side, never interpolated. A NUL byte in them is an error.
	Args []string
	// Stdin is the standard input; nil is empty. Secrets go here, never into
	// Args. For Pipe it must be nil.
	Stdin io.Reader
}

// Script is a Command that runs text by /bin/sh, with args as $1, $2 and so on.
// The text should be constant: whatever varies belongs into args or Stdin.
func Script(text string, args ...string) Command {
	return Command{Args: append([]string{"/bin/sh", "-c", text, "sh"}, args...)}
}

// Result is what a command printed.
type Result struct {
	Stdout, Stderr []byte
}

// argv is the command as it is executed: by sudo where the user is not root.
func (c Command) argv(sudo bool) ([]string, error) {
	if len(c.Args) == 0 || c.Args[0] == "" {
		return nil, errors.New("empty command")
	}
	for _, arg := range c.Args {
		if strings.ContainsRune(arg, 0) {
			return nil, errors.New("NUL byte in the arguments of " + shorten(c.Args[0], shortCommand))
		}
	}
	if sudo {
		return append([]string{"sudo", "-n", "--"}, c.Args...), nil
	}
	return c.Args, nil
}
