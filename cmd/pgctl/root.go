package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// run is the whole program but for the process around it.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	a := &app{in: in, out: out, err: errOut, now: time.Now}
	root := newRootCmd(a)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if errPrint := a.printRefusal(err); errPrint != nil {
		err = errPrint
	}
	return report(ctx, wrapping(errOut), err)
}

// newRootCmd is the command tree.
func newRootCmd(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "pgctl",
		Short: "Show, repair and keep available a PostgreSQL cluster behind pgpool-II",
		Long: `pgctl shows, repairs and keeps available a PostgreSQL cluster behind pgpool-II.
It runs on firstbox, reads the site's inventory and reaches every host over SSH.

Exit codes: 0 done or healthy, 1 failed, 2 wrong usage or bad input file,
3 the cluster is not as it should be, 4 refused (nothing changed), 5 stopped part-way (run
again to go on), 130 interrupted.`,
		Example: `  pgctl overview
  pgctl overview --watch
  ssh "$(pgctl find-master)"`,
		Version:       fmt.Sprintf("%s (commit %s, %s)", version, commit, date),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	a.bind(root.PersistentFlags())
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usageError(cmd.CommandPath(), err) })
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if err := a.check(); err != nil {
			return usageError(cmd.CommandPath(), err)
		}
		return nil
	}
	root.AddCommand(
		newOverviewCmd(a), newFindMasterCmd(a), newStatusCmd(a), newPgpoolCmd(a),
		newUpmasterCmd(a), newSwitchoverCmd(a), newFailoverCmd(a), newUnsyncCmd(a), newCleanupCmd(a),
		newDoctorCmd(a), newEnableHACmd(a), newDisableHACmd(a), newEnableFailoverCmd(a), newDisableFailoverCmd(a), newPG9Cmd(a), newPauseCmd(a), newResumeCmd(a), newHistoryCmd(a), newLogsCmd(a), newDeployCmd(a), newWatchCmd(a), newAskCmd(a), newStoreCmd(a), newVersionCmd(a),
	)
	root.InitDefaultCompletionCmd()
	root.InitDefaultHelpCmd()
	finish(root)
	return root
}

// finish gives every command, cobra's own too, what the house asks of it: wrong arguments are wrong usage, and help has
// an example.
func finish(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return usageError(cmd.CommandPath(), err)
			}
			return nil
		}
	}
	path := cmd.CommandPath()
	switch {
	case cmd.HasExample():
	case cmd.Name() == "help":
		cmd.Example = "  pgctl help overview"
	case cmd.Name() == "completion":
		cmd.Example = "  pgctl completion bash > /etc/bash_completion.d/pgctl"
	case strings.HasPrefix(path, "pgctl completion "):
		cmd.Example = "  " + path
	}
	for _, sub := range cmd.Commands() {
		finish(sub)
	}
}
