package remote

import (
	"os/exec"
	"strings"
	"testing"
)

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{
		"":           "''",
		"/etc/a-b.c": "/etc/a-b.c",
		"a b":        "'a b'",
		"it's":       `'it'\''s'`,
		"$(reboot)":  "'$(reboot)'",
		"~":          "'~'",
		"空":          "'空'",
	} {
		if got := quote(in); got != want {
			t.Errorf("quote(%q) = %s, want %s", in, got, want)
		}
	}
}

// roundTrip gives what a shell makes of a line of one argument.
func roundTrip(t *testing.T, shell, line string) string {
	t.Helper()
	out, err := exec.Command(shell, "-c", "printf %s "+line+"x").Output()
	if err != nil {
		t.Fatalf("%s: %s: %v", shell, line, err)
	}
	return strings.TrimSuffix(string(out), "x")
}

func FuzzQuote(f *testing.F) {
	for _, seed := range []string{"", "a", "a b", "'", `\`, "\n", "$x`y`", "!!", "*?[", "\x80\xff", "空 \u2028", "-n", "a=b", "~/x", "#"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if strings.ContainsRune(s, 0) || len(s) > 10000 {
			t.Skip()
		}
		if got := roundTrip(t, "/bin/sh", quote(s)); got != s {
			t.Errorf("sh: %q became %q", s, got)
		}
		if _, err := exec.LookPath("bash"); err != nil {
			return
		}
		if got := roundTrip(t, "bash", quote(s)); got != s {
			t.Errorf("bash: %q became %q", s, got)
		}
		line := logLine([]string{s})
		if strings.ContainsAny(line, "\n\r") {
			t.Errorf("log line of %q has several lines: %q", s, line)
		}
		if got := roundTrip(t, "bash", line); got != s {
			t.Errorf("log: %q became %q", s, got)
		}
	})
}

func TestWords(t *testing.T) {
	got := words(`~/a "b c"  d`)
	if strings.Join(got, "|") != "~/a|b c|d" {
		t.Errorf("words: %q", got)
	}
}
