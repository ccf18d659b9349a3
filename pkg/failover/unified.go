package failover

import (
	"fmt"
	"strings"
)

// context3 is how many lines a diff shows around what changed.
const context3 = 3

// Unified is the unified diff of two texts with the same number of lines, as an edit of values leaves them: one hunk. It is ""
// when nothing differs.
func Unified(name string, before, after []byte) string {
	old, now := strings.SplitAfter(string(before), "\n"), strings.SplitAfter(string(after), "\n")
	first, last := -1, -1
	for i := range min(len(old), len(now)) {
		if old[i] != now[i] {
			last = i
			if first < 0 {
				first = i
			}
		}
	}
	if first < 0 {
		return ""
	}
	if end := len(old) - 1; old[end] == "" { // behind the last line end
		old, now = old[:end], now[:end]
	}
	from, to := max(0, first-context3), min(len(old), last+context3+1)
	var b strings.Builder
	fmt.Fprintf(&b, "--- %s\n+++ %s\n@@ -%d,%d +%d,%d @@\n", name, name, from+1, to-from, from+1, to-from)
	for i := from; i < to; i++ {
		if old[i] == now[i] {
			diffLine(&b, " ", old[i])
			continue
		}
		diffLine(&b, "-", old[i])
		diffLine(&b, "+", now[i])
	}
	return b.String()
}

func diffLine(b *strings.Builder, sign, line string) {
	b.WriteString(sign + line)
	if !strings.HasSuffix(line, "\n") {
		b.WriteString("\n\\ No newline at end of file\n")
	}
}
