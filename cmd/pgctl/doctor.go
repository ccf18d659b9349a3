package main

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/failover"
	"github.com/pgctl/pgctl/pkg/observe"
)

func newDoctorCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Show everything that would stop an operation or a failover, each with its remedy",
		Long: `doctor asks all that overview asks, judges it as if HA were on, and looks further: are there
enough votes, do the nodes reach each other, can PostgreSQL read its configuration files, does
it keep what it has acknowledged, do the pools leave failover alone. It changes nothing.

Exit code 3 with a critical finding: enable-ha is refused then.`,
		Example: "  pgctl doctor\n  pgctl doctor -o json",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.doctor(cmd.Context()) },
	}
}

// doctorDoc is the document of `doctor -o json` (docs/json.md).
type doctorDoc struct {
	Region   regionDoc    `json:"region"`
	Findings []findingDoc `json:"findings"`
}

func (a *app) doctor(ctx context.Context) error {
	site, closeSite, err := a.site(ctx)
	if err != nil {
		return err
	}
	defer closeSite()
	snap, d, err := a.examine(ctx, site)
	if err != nil {
		return err
	}
	p := a.painter()
	whole := overviewDocument(snap, d)
	err = a.print(doctorDoc{whole.Region, whole.Findings}, func() error {
		out := page{headline: headline(snap, d, p), width: pageWidth}
		for _, f := range d.Findings {
			out.findings = append(out.findings, findingText(f, p))
		}
		if len(d.Findings) == 0 {
			out.findings = []string{"nothing would stop an operation or a failover"}
		}
		return out.write(a.out)
	})
	if err != nil {
		return err
	}
	if slices.ContainsFunc(d.Findings, isCritical) {
		return unhealthy()
	}
	return nil
}

// examine takes a snapshot and looks further. Interrupted, it is an error.
func (a *app) examine(ctx context.Context, site *observe.Site) (cluster.Snapshot, cluster.Diagnosis, error) {
	snap, err := ask(ctx, site, observe.Everything)
	if err != nil {
		return snap, cluster.Diagnosis{}, err
	}
	snap.Begun = begun()
	d := cluster.Examine(snap, failover.Checkup(ctx, site, snap))
	return snap, d, ctx.Err()
}

func isCritical(f cluster.Finding) bool { return f.Severity == cluster.Critical }
