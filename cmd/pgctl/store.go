package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"

	"github.com/spf13/cobra"

	"github.com/pgctl/pgctl/pkg/watch"
)

// storeName is what a reset may be called: it is part of a path.
var storeName = regexp.MustCompile(`^[a-z0-9-]{1,40}$`)

// newStoreCmd is how pgctl on firstbox works on what a node has of the quorum: it is run there over SSH.
func newStoreCmd(a *app) *cobra.Command {
	var id, host, by string
	var lost []string
	cmd := &cobra.Command{
		Use:    "store look|reset|aside",
		Hidden: true,
		Short:  "Look at what this node has of the quorum, make a quorum of it, or set it aside",
		Long: `store works on /var/lib/pgctl/raft of this node. look prints what is there, in JSON. reset makes
a quorum anew out of it, and aside sets it aside: what there was is kept in /var/lib/pgctl/raft.ID.
Both need the watcher of this node to be stopped. They are what pgctl deploy --reset-quorum runs
on the nodes, which sees to it that no two quorums come of it. Only root may.`,
		Example: "  pgctl store look\n  pgctl store aside --id broken-disk",
		Args:    oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] != "look" && !storeName.MatchString(id) {
				return usageError(cmd.CommandPath(), fmt.Errorf("--id is %q, expected up to 40 lower-case letters, digits and dashes", id))
			}
			switch o := watch.StoreOptions(host, a.now); args[0] {
			case "look":
				shelf, err := watch.LookStore(cmd.Context(), watch.StateDir, watch.ControlPath)
				if err != nil {
					return err
				}
				return json.NewEncoder(a.out).Encode(shelf)
			case "reset":
				if host == "" {
					return usageError(cmd.CommandPath(), errors.New("--host is missing: the name of this node in the inventory"))
				}
				return watch.ResetStore(o, id, by, lost)
			case "aside":
				return watch.SetStoreAside(o, id)
			}
			return usageError(cmd.CommandPath(), errors.New("expected look, reset or aside, got "+args[0]))
		},
	}
	cmd.Flags().StringVar(&id, "id", "", "the `NAME` of what is kept")
	cmd.Flags().StringVar(&host, "host", "", "the `NAME` of this node in the inventory")
	cmd.Flags().StringVar(&by, "by", "somebody", "`WHO` wants it")
	cmd.Flags().StringSliceVar(&lost, "lost", nil, "a `HOST` that is lost")
	return cmd
}
