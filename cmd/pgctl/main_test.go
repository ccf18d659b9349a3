package main

import (
	"bytes"
	"context"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"pgctl": main})
}

// TestScripts runs the real program on the scripts in testdata/script.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "../../testdata/script", RequireExplicitExec: true, UpdateScripts: *update})
}

// TestEveryCommand holds the house's rules for help.
func TestEveryCommand(t *testing.T) {
	root := newRootCmd(&app{in: strings.NewReader(""), out: io.Discard, err: io.Discard})
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: short help %q, expected a phrase without a full stop", cmd.CommandPath(), cmd.Short)
		}
		if !cmd.HasExample() {
			t.Errorf("%s has no example", cmd.CommandPath())
		}
		for line := range strings.Lines(cmd.Long + "\n" + cmd.Example) {
			if len(line) > pageWidth {
				t.Errorf("%s: help line of %d columns: %s", cmd.CommandPath(), len(line), line)
			}
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s --%s has no help", cmd.CommandPath(), f.Name)
			}
		})
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(root)
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "nodes"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "nodes", "pgserver"), []byte("nodes=db1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"overview"}, {"overview", "--watch"}, {"find-master"}, {"status"}} {
		var out, errOut bytes.Buffer
		code := run(ctx, append(args, "--conf-dir", dir), strings.NewReader(""), &out, &errOut)
		if code != exitInterrupted || out.Len() != 0 || errOut.String() != "pgctl: interrupted\n" {
			t.Errorf("%q: exit code %d, %q, %q", args, code, out.String(), errOut.String())
		}
	}
}

// golden compares text with a file of testdata/overview.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("../../testdata/overview", name+".txt")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s:\n%s\nexpected:\n%s", path, got, want)
	}
}
