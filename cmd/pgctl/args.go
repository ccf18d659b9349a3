package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// noArgs refuses every argument: of a command that has others under it, with those that it may be a misspelling of.
func noArgs(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case !cmd.HasAvailableSubCommands():
		return fmt.Errorf("%s takes no argument, got %q", cmd.CommandPath(), args[0])
	}
	cmd.SuggestionsMinimumDistance = 2 // as cobra has it where it suggests by itself
	text := fmt.Sprintf("unknown command %q for %q", args[0], cmd.CommandPath())
	if like := cmd.SuggestionsFor(args[0]); len(like) > 0 {
		text += fmt.Sprintf(": expected %s %s", cmd.CommandPath(), strings.Join(like, ", or "))
	}
	return errors.New(text)
}

// hostByFlag refuses an argument, as the host is named by --to.
func hostByFlag(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return fmt.Errorf("%s takes no argument, got %q: expected --to %s", cmd.CommandPath(), args[0], args[0])
}

// oneArg takes one argument, which the command's own line names.
func oneArg(cmd *cobra.Command, args []string) error {
	if len(args) == 1 {
		return nil
	}
	_, what, _ := strings.Cut(cmd.Use, " ")
	return fmt.Errorf("%s takes one argument, %s, got %d", cmd.CommandPath(), what, len(args))
}
