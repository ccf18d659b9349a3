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
		if got := roundTrip(t, "bash", line); got != s && !strings.Contains(s, "\n") {
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

// TestLogLine: a script is its first line, in which it says what it does.
func TestLogLine(t *testing.T) {
	for want, args := range map[string][]string{
		`/bin/sh -c '# Prints the file. ...' sh /etc/x`: Script("# Prints the file.\nset -eu\ncat -- \"$1\"\n", "/etc/x").Args,
		`/bin/sh -c 'echo "$1" ...' sh ''`:              Script("\n\necho \"$1\"\n", "").Args,
		`printf $'a\tb'`:                                {"printf", "a\tb"},
	} {
		if got := logLine(args); got != want {
			t.Errorf("%s, expected %s", got, want)
		}
	}
}
