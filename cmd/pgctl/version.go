package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

// Set by the build (-ldflags -X).
var (
	version = "devel"
	commit  = "unknown"
	date    = "unknown"
)

func newVersionCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version, the commit and the date of this build",
		Example: "  pgctl version\n  pgctl version -o json",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			doc := struct {
				Version string `json:"version"`
				Commit  string `json:"commit"`
				Date    string `json:"date"`
				Go      string `json:"go"`
			}{version, commit, date, runtime.Version()}
			return a.print(doc, func() error {
				_, err := fmt.Fprintf(a.out, "pgctl %s (commit %s, %s, %s)\n", doc.Version, doc.Commit, doc.Date, doc.Go)
				return err
			})
		},
	}
}
