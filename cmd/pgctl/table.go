package main

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/pkg/twwidth"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"
)

// pageWidth is how many columns a table may fill unless the operator asks for the wide form.
const pageWidth = 100

// table is rows under a header. Columns named in expendable are left out, in that order, until it fits the width.
type table struct {
	header     []string
	rows       [][]string
	expendable []string
}

// fit removes expendable columns until the table is at most width wide (0: no limit).
func (t *table) fit(width int) {
	for _, name := range t.expendable {
		if width == 0 || t.width() <= width {
			return
		}
		i := slices.Index(t.header, name)
		if i < 0 {
			continue
		}
		t.header = slices.Delete(slices.Clone(t.header), i, i+1)
		for r, row := range t.rows {
			t.rows[r] = slices.Delete(slices.Clone(row), i, i+1)
		}
	}
}

// width is how many columns of a terminal the table fills; a Chinese character fills two.
func (t *table) width() int {
	total := 0
	for i := range t.header {
		widest := twwidth.Width(t.header[i])
		for _, row := range t.rows {
			widest = max(widest, twwidth.Width(row[i]))
		}
		total += widest + 2
	}
	return max(0, total-2)
}

// write renders the table without borders, columns two blanks apart.
func (t *table) write(w io.Writer) error {
	var b bytes.Buffer
	tab := tablewriter.NewTable(&b,
		tablewriter.WithEastAsian(tw.Off),
		tablewriter.WithRenderer(renderer.NewBlueprint(tw.Rendition{
			Borders:  tw.BorderNone,
			Settings: tw.Settings{Separators: tw.SeparatorsNone, Lines: tw.LinesNone},
		})),
		tablewriter.WithHeaderAutoFormat(tw.Off),
		tablewriter.WithTrimSpace(tw.Off),
		tablewriter.WithHeaderAlignment(tw.AlignLeft),
		tablewriter.WithRowAlignment(tw.AlignLeft),
		tablewriter.WithHeaderAutoWrap(tw.WrapNone),
		tablewriter.WithRowAutoWrap(tw.WrapNone),
		tablewriter.WithPadding(tw.Padding{Left: "", Right: "  ", Overwrite: true}),
	)
	tab.Header(t.header)
	if err := tab.Bulk(t.rows); err != nil {
		return fmt.Errorf("table: %w", err)
	}
	if err := tab.Render(); err != nil {
		return fmt.Errorf("table: %w", err)
	}
	for line := range strings.Lines(b.String()) {
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

// painter colours text for a terminal. Colour always repeats what a word beside it says.
type painter struct{ on bool }

func (p painter) paint(code, text string) string {
	if !p.on || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (p painter) bad(text string) string  { return p.paint("31", text) }
func (p painter) warn(text string) string { return p.paint("33", text) }
func (p painter) good(text string) string { return p.paint("32", text) }
func (p painter) bold(text string) string { return p.paint("1", text) }

// wrap breaks text into lines of at most width characters at blanks; later lines start with indent.
func wrap(text string, width int, indent string) string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		switch {
		case line == "":
			line = word
		case twwidth.Width(line)+1+twwidth.Width(word) > width:
			lines = append(lines, line)
			line = word
		default:
			line += " " + word
		}
	}
	return strings.Join(append(lines, line), "\n"+indent)
}
