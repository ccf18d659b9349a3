package observe

import (
	"bytes"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestParseLogLine: what slog writes is read back as it was.
func TestParseLogLine(t *testing.T) {
	for _, attrs := range [][]any{
		{}, {"is", "master-dead db1", "was", ""}, {"error", "a \"quoted\" word = \\ and more"}, {"epoch", int64(3), "took", 250 * time.Millisecond},
	} {
		var b bytes.Buffer
		slog.New(slog.NewTextHandler(&b, nil)).Info("the judgement is", attrs...)
		l, err := parseLogLine(strings.TrimRight(b.String(), "\n"))
		if err != nil || l.Level != "INFO" || l.Message != "the judgement is" || time.Since(l.Time) > time.Minute || len(l.Fields) != len(attrs)/2 {
			t.Errorf("%s: %+v, %v", b.String(), l, err)
			continue
		}
		for i, f := range l.Fields {
			if want, isText := attrs[2*i+1].(string); isText && f.Value != want {
				t.Errorf("%s: got %q, expected %q", f.Key, f.Value, want)
			}
		}
	}
	for _, line := range []string{"", "panic: runtime error", "time=yesterday level=INFO msg=x", "level=INFO msg=x", `time=2026-01-01T00:00:00Z level=INFO msg="open`} {
		if l, err := parseLogLine(line); err == nil {
			t.Errorf("%q is a line: %+v", line, l)
		}
	}
}

// TestParseLogLineOfRaft: a key that slog quotes, and one of a message's own that is called as one of slog's.
func TestParseLogLineOfRaft(t *testing.T) {
	const first = "2026-11-27T01:21:43.039Z"
	for _, line := range []string{
		`time=` + first + ` level=ERROR msg="raft: failed to heartbeat to" peer=arb1 "backoff time"=10ms error=EOF`,
		`time=` + first + ` level=WARN msg="raft: failed to contact" server-id=arb1 time=506.453748ms level=9`,
	} {
		l, err := parseLogLine(line)
		if err != nil || l.Time.Format(time.RFC3339Nano) != first || len(l.Level) < 4 || len(l.Fields) != 3 {
			t.Errorf("%s: %+v, %v", line, l, err)
		}
	}
	for _, line := range []string{`time=` + first + ` level=WARN "open=1`, `time=` + first + ` level=WARN "no sign" 1`} {
		if l, err := parseLogLine(line); err == nil {
			t.Errorf("%q is a line: %+v", line, l)
		}
	}
}

func FuzzParseLogLine(f *testing.F) {
	f.Add(`time=2026-01-01T00:00:00.000+08:00 level=WARN msg="a b" c=d e="f\n"`)
	f.Fuzz(func(t *testing.T, line string) {
		if l, err := parseLogLine(line); err == nil && (l.Time.IsZero() || strings.ContainsAny(l.Text(), "\n\x1b")) {
			t.Errorf("%q gave %+v", line, l)
		}
	})
}

func TestReadLog(t *testing.T) {
	const clock = "1767225600.5\nlog\n" // 2026-01-01T00:00:00.5Z
	line := func(second, text string) string {
		return "time=2025-12-31T23:59:" + second + "Z level=INFO msg=" + text + "\n"
	}
	l := readLog("db1", clock+line("10", "old")+"goroutine 1\n"+line("50", "new")+"panic: at the disco\n", 30*time.Second)
	if l.Failure != nil || l.Cut || len(l.Lines) != 2 || l.Lines[0].Message != "new" || l.Lines[0].Host != "db1" {
		t.Fatalf("%+v", l)
	}
	if p := l.Lines[1]; p.Message != "panic: at the disco" || p.Level != "" || !p.Time.Equal(l.Lines[0].Time) {
		t.Errorf("%+v", p)
	}
	if l := readLog("db1", "1767225600.5\n", time.Hour); l.Failure == nil || l.Failure.Hint != "pgctl deploy" {
		t.Errorf("no log: %+v", l)
	}
	if l := readLog("db1", "", time.Hour); l.Failure == nil {
		t.Error("no answer is a log")
	}
	many := clock + "half a line that was cut\n" + strings.Repeat(line("50", strings.Repeat("x", 1000)), logLimit/1000)
	if l := readLog("db1", many, time.Hour); !l.Cut || strings.HasPrefix(l.Lines[0].Message, "half") {
		t.Errorf("a log that is longer than what is read: %v", l.Cut)
	}
	if l := readLog("db1", many[:len(clock)+25]+line("01", "old")+many[len(clock)+25:], 20*time.Second); l.Cut {
		t.Error("it goes back to where it was asked for")
	}
	ordered := InOrder([]Log{
		{Lines: []LogLine{{Host: "a", Time: time.Unix(2, 0)}, {Host: "a", Time: time.Unix(2, 0), Message: "second"}}}, {Lines: []LogLine{{Host: "b", Time: time.Unix(1, 0)}}},
	})
	if ordered[0].Host != "b" || ordered[2].Message != "second" {
		t.Errorf("%+v", ordered)
	}
}

// TestLogScript: what was put aside last comes first, and no more than was asked for.
func TestLogScript(t *testing.T) {
	path := filepath.Join(t.TempDir(), "watch.log")
	run := func(limit string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), "/bin/sh", "-c", logScript, "sh", path, limit).Output()
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(out), "\n")
		return rest
	}
	if got := run("100"); got != "" {
		t.Errorf("no file gave %q", got)
	}
	for name, text := range map[string]string{path: "new\n", path + ".1": "old\n", path + ".2": "older\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if name == path {
			if got := run("100"); !strings.HasPrefix(got, "log\n") {
				t.Errorf("%q", got)
			}
		}
	}
	for limit, want := range map[string]string{"100": "log\nold\nnew\n", "5": "log\n\nnew\n"} {
		if got := run(limit); got != want {
			t.Errorf("got %q, expected %q", got, want)
		}
	}
}
