package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/observe"
)

func newFindMasterCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "find-master",
		Short: "Print the master's host name, proven by asking every server",
		Long: `find-master asks every server whether it is the master and prints the one host name, and
nothing else, on stdout. /pitrix/run/pg_master is not asked: it may lie.

Exit code 3, with the reason on stderr, when no server or more than one answers as
master. When one does and another server could not be asked, that is said on stderr.`,
		Example: `  pgctl find-master
  ssh "$(pgctl find-master)"`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.findMaster(cmd.Context()) },
	}
}

func (a *app) findMaster(ctx context.Context) error {
	site, closeSite, err := a.site(ctx)
	if err != nil {
		return err
	}
	defer closeSite()
	snap, err := ask(ctx, site, observe.ServersOnly)
	if err != nil {
		return err
	}
	diagnosis := cluster.Diagnose(snap)
	if diagnosis.Master == "" {
		return a.noOneMaster(diagnosis)
	}
	for i, s := range snap.Servers {
		if diagnosis.Standings[i].Role == cluster.RoleUnknown {
			fmt.Fprintf(a.err, "pgctl: warning: %s could not be asked: %s\n", s.Host, whyNotAsked(s))
		}
	}
	doc := struct {
		Master string `json:"master"`
	}{diagnosis.Master}
	return a.print(doc, func() error {
		_, err := fmt.Fprintln(a.out, diagnosis.Master)
		return err
	})
}

// noOneMaster is the refusal to name one, with the reason that overview gives too.
func (a *app) noOneMaster(d cluster.Diagnosis) error {
	for _, f := range d.Findings {
		if f.Code == cluster.NoMaster || f.Code == cluster.SplitBrain {
			hint := strings.TrimSuffix("pgctl overview shows each server; "+f.Hint, "; ")
			return &exitError{code: exitUnhealthy, err: fmt.Errorf("%s", f.Message), hint: hint}
		}
	}
	return &exitError{code: exitUnhealthy, err: fmt.Errorf("no server answers as master")}
}

func whyNotAsked(s cluster.Server) string {
	switch {
	case s.Unreachable != nil:
		return s.Unreachable.Message
	case s.SQLFailure != nil:
		return s.SQLFailure.Message
	}
	return "no reason was given"
}
