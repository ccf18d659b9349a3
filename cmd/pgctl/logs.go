package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/olekukonko/tablewriter/pkg/twwidth"
	"github.com/spf13/cobra"

	"github.com/pgctl/pgctl/pkg/deploy"
	"github.com/pgctl/pgctl/pkg/observe"
)

// logsOpts are the flags of logs.
type logsOpts struct {
	since time.Duration
	hosts []string
}

func newLogsCmd(a *app) *cobra.Command {
	var opts logsOpts
	cmd := &cobra.Command{
		Use:   "logs",
		Short: "Show what the watchers of all hosts have logged, in the order of time",
		Long: `logs reads /var/log/pgctl/watch.log of every server, arbiter and pool, and shows the lines in the
order of time, each by its host's own clock. A host that does not answer costs its own row, the
last one. On a terminal long lines are wrapped, else (and with -o wide) each is one line.

-o json gives one document a line.`,
		Example: "  pgctl logs\n  pgctl logs --since 10m --host db1 --host db2\n  pgctl logs --since 24h -o json | jq 'select(.level == \"WARN\")'",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if opts.since <= 0 {
				return usageError(cmd.CommandPath(), fmt.Errorf("--since is %s, expected a duration above zero such as 1h", opts.since))
			}
			return a.logs(cmd.Context(), cmd.CommandPath(), opts)
		},
	}
	opts.since = time.Hour
	cmd.Flags().Var((*span)(&opts.since), "since", "how far back, a `DURATION` such as 10m or 2d")
	cmd.Flags().StringSliceVar(&opts.hosts, "host", nil, "only this `HOST`; may be repeated")
	return cmd
}

// logDoc is one line of `logs -o json` (docs/json.md).
type logDoc struct {
	Time    *time.Time        `json:"time"`
	Host    string            `json:"host"`
	Level   *string           `json:"level"`
	Message *string           `json:"message"`
	Fields  map[string]string `json:"fields"`
	Error   *string           `json:"error"`

	text string // for people
}

func (a *app) logs(ctx context.Context, command string, opts logsOpts) error {
	site, closeSite, err := a.site(ctx)
	if err != nil {
		return err
	}
	defer closeSite()
	if err := restrict(site.Inventory, opts.hosts); err != nil {
		return usageError(command, err)
	}
	hosts := deploy.Hosts(site.Inventory)
	all := site.Logs(ctx, hosts, opts.since)
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, l := range all {
		if l.Cut {
			fmt.Fprintf(a.err, "pgctl: warning: %s: its log goes further back than what was read\n", l.Host)
		}
	}
	if err := a.printLogs(logDocs(all)); err != nil {
		return err
	}
	if len(all) > 0 && !slices.ContainsFunc(all, func(l observe.Log) bool { return l.Failure == nil }) {
		return &exitError{code: exitFailed, err: errors.New("no log could be read")}
	}
	return nil
}

// logDocs are the lines in the order of time, and then a row for each host that gave none.
func logDocs(all []observe.Log) []logDoc {
	var docs []logDoc
	for _, l := range observe.InOrder(all) {
		doc := logDoc{Host: l.Host, Level: known(l.Level), Message: known(l.Message), Fields: map[string]string{}}
		if !l.Time.IsZero() {
			doc.Time = new(l.Time.UTC())
		}
		for _, f := range l.Fields {
			doc.Fields[f.Key] = f.Value
		}
		doc.text = l.Text()
		docs = append(docs, doc)
	}
	for _, l := range all {
		if l.Failure != nil {
			text := l.Failure.Message
			docs = append(docs, logDoc{Host: l.Host, Fields: map[string]string{}, Error: &text, text: text})
		}
	}
	return docs
}

// printLogs prints a line or a document each.
func (a *app) printLogs(docs []logDoc) error {
	width, level := len("HOST"), len("LEVEL")
	for _, d := range docs {
		width, level = max(width, twwidth.Width(d.Host)), max(level, twwidth.Width(orDash(d.Level)))
	}
	pad := func(text string, width int) string {
		return text + strings.Repeat(" ", max(0, width-twwidth.Width(text)))
	}
	row := func(at, host, how, text string) string {
		return pad(at, len(logTime)) + "  " + pad(host, width) + "  " + pad(how, level) + "  " + text
	}
	if a.output == "table" || a.output == "wide" {
		if _, err := fmt.Fprintln(a.out, row("TIME (UTC)", "HOST", "LEVEL", "MESSAGE")); err != nil {
			return err
		}
	}
	p := a.painter()
	_, terminal := a.terminal()
	for _, d := range docs {
		if err := a.printLog(d, func() error {
			at := "-"
			if d.Time != nil {
				at = d.Time.Format(logTime)
			}
			text := d.text
			if before := len(logTime) + width + level + 6; terminal && a.output == "table" {
				text = wrap(text, max(20, pageWidth-before), strings.Repeat(" ", before))
			}
			if d.Error != nil {
				text = p.bad(text)
			}
			_, err := fmt.Fprintln(a.out, row(at, d.Host, orDash(d.Level), text))
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

// logTime is how the time of a line is shown.
const logTime = "2006-01-02 15:04:05.000"

// printLog prints one line as it is asked for: JSON on a line of its own, a document of YAML, or what table prints.
func (a *app) printLog(d logDoc, table func() error) error {
	switch a.output {
	case "json":
		e := json.NewEncoder(a.out)
		e.SetEscapeHTML(false)
		return e.Encode(d)
	case "yaml":
		if _, err := fmt.Fprintln(a.out, "---"); err != nil {
			return err
		}
	}
	return a.print(d, table)
}
