package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// screen shows frame after frame: in place on a terminal, one after the other anywhere else.
type screen struct {
	app     *app
	started bool
}

func newScreen(a *app) *screen { return &screen{app: a} }

// redraw lets draw write a whole frame and then shows it at once, cut to the terminal's height, so that nothing flickers.
func (s *screen) redraw(title string, draw func(*app) error) error {
	var frame bytes.Buffer
	if err := draw(s.app.writingTo(&frame)); err != nil {
		return err
	}
	height, terminal := s.app.terminal()
	if !terminal || s.app.output == "json" || s.app.output == "yaml" {
		_, err := s.app.out.Write(frame.Bytes())
		return err
	}
	lines := append([]string{title, ""}, strings.Split(strings.TrimRight(frame.String(), "\n"), "\n")...)
	if len(lines) > height-1 {
		hidden := len(lines) - (height - 2)
		lines = append(lines[:height-2], fmt.Sprintf("... %d more lines: a higher terminal shows them", hidden))
	}
	var out strings.Builder
	if !s.started {
		out.WriteString("\x1b[2J") // clear, once
		s.started = true
	}
	out.WriteString("\x1b[H\x1b[?7l") // home, long lines are cut; then clear what is left of each line, and what is below
	for _, line := range lines {
		out.WriteString(line + "\x1b[K\n")
	}
	out.WriteString("\x1b[J\x1b[?7h")
	_, err := io.WriteString(s.app.out, out.String())
	return err
}

// leave ends the last frame with a line of its own.
func (s *screen) leave() {
	if s.started {
		fmt.Fprintln(s.app.out)
	}
}

// writingTo is the same app with another place for its results.
func (a *app) writingTo(out io.Writer) *app {
	return &app{
		in: a.in, out: out, err: a.err, now: a.now, output: a.output, confDir: a.confDir, configFile: a.configFile,
		settings: a.settings, timeout: a.timeout, noColor: a.noColor, verbose: a.verbose, acceptNew: a.acceptNew,
	}
}
