package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/pgctl/pgctl/pkg/watch"
)

// newAskCmd is how pgctl on firstbox reaches the watcher of a node: it is run there over SSH. It needs no socket forwarding of sshd's.
func newAskCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:    "ask state|wish",
		Hidden: true,
		Short:  "Ask the watcher of this node, through its socket",
		Long: `ask hands a question in JSON from standard input to the watcher of this node, and prints its
answer in JSON. It is what pause, resume and history run on the nodes. Only root may.`,
		Example: "  pgctl ask state </dev/null",
		Args:    oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			if what := args[0]; what != watch.AskState && what != watch.AskWish {
				return usageError(cmd.CommandPath(), errors.New("expected state or wish, got "+what))
			}
			return a.ask(cmd.Context(), watch.ControlPath, args[0])
		},
	}
}

func (a *app) ask(ctx context.Context, path, what string) error {
	text, err := watch.Ask(ctx, path, what, a.in)
	switch {
	case errors.Is(err, watch.ErrNoWatcher):
		return &exitError{code: exitFailed, err: err, hint: "pgctl status shows whether pg_watcher runs; pgctl deploy brings one that can be asked"}
	case err != nil:
		return err
	}
	_, err = a.out.Write(text)
	return err
}
