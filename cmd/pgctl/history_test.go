package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/olekukonko/tablewriter/pkg/twwidth"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/watch"
)

// remembering is a watcher that knows of a failover, and of a pause that was not timed.
func remembering(index uint64) *watch.Told {
	at := func(second string) string { return "2026-01-02T03:04:" + second + "Z" }
	return &watch.Told{Index: index, Quorum: &cluster.Quorum{}, State: cluster.State{Dropped: 40, History: []cluster.Record{
		{Epoch: 3, Command: cluster.Change, Host: "db2", Rule: "near, and steady", Evidence: []string{"a commit waits for db2_x"}, At: at("05.000"), Took: time.Hour},
		{Epoch: 4, Command: cluster.OpenVote, Host: "db1", Rule: "no progress for 2m0s, for anybody", At: at("06.000"), Took: 31*time.Hour + 300*time.Millisecond, Evidence: []string{
			"arb1: no answer from db1, last sign of life 2m1s ago (said 0s ago)", "db2: no answer from db1, last sign of life 2m0s ago (said 1s ago), " + strings.Repeat("and more ", 12),
		}},
		{Epoch: 4, Command: cluster.Elect, Host: "db2", Rule: "the furthest, at 0/5000100; 0/5000100 is needed", At: at("06.250"), Took: 250 * time.Millisecond},
		{Epoch: 4, Command: cluster.Serve, Host: "db2", Rule: "promoted, its row and its gate are there", At: at("08.000"), Took: 1750 * time.Millisecond},
		{Epoch: 4, Command: cluster.PauseHA, Rule: "as anna@fb wished\x1b"},
	}}}
}

func showHistory(t *testing.T, output string, number int64) (string, int) {
	t.Helper()
	var out, errOut bytes.Buffer
	a := &app{out: &out, err: &errOut, output: output}
	site := siteOf(&node{name: "db1", told: remembering(5)}, &node{name: "db2", told: knows(4, true)})
	code := report(t.Context(), &errOut, a.showHistory(t.Context(), site, "pgctl history", number))
	return out.String() + errOut.String(), code
}

func TestHistory(t *testing.T) {
	const table = `N   AT (UTC)                 EPOCH  DECISION   HOST  WHY
45  -                        4      pause      -     as anna@fb wished?
44  2026-01-02 03:04:08.000  4      serve      db2   promoted, its row and its gate are there
43  2026-01-02 03:04:06.250  4      elect      db2   the furthest, at 0/5000100; 0/5000100 is
                                                     needed
42  2026-01-02 03:04:06.000  4      open-vote  db1   no progress for 2m0s, for anybody
41  2026-01-02 03:04:05.000  3      change     db2   near, and steady; a commit waits for db2_x
`
	if text, code := showHistory(t, "table", 0); text != table || code != exitDone {
		t.Errorf("%d\n%s", code, text)
	}
	const decision = `DECISION 42: open-vote db1

at        2026-01-02 03:04:06.000 UTC
epoch     4
rule      no progress for 2m0s, for anybody
took      31h0m0s since the phase before began
evidence  arb1: no answer from db1, last sign of life 2m1s ago (said 0s ago)
evidence  db2: no answer from db1, last sign of life 2m0s ago (said 1s ago), and more and more and
          more and more and more and more and more and more and more and more and more and more

PART  DECISION   HOST  AT (UTC)                 TOOK
42    open-vote  db1   2026-01-02 03:04:06.000  31h0m0s
43    elect      db2   2026-01-02 03:04:06.250  250ms
44    serve      db2   2026-01-02 03:04:08.000  1.75s
`
	text, code := showHistory(t, "table", 42)
	if text != decision || code != exitDone {
		t.Errorf("%d\n%s", code, text)
	}
	for line := range strings.Lines(text + table) {
		if twwidth.Width(strings.TrimRight(line, "\n")) > pageWidth {
			t.Errorf("too wide: %s", line)
		}
	}
	for number, says := range map[int64]string{40: "there is no decision 40: those from 41 to 45 are kept", 46: "those from 41 to 45"} {
		if text, code := showHistory(t, "table", number); code != exitUsage || !strings.Contains(text, says) {
			t.Errorf("%d: %d %s", number, code, text)
		}
	}
}

func TestHistoryDocument(t *testing.T) {
	text, code := showHistory(t, "json", 45)
	const want = `{
  "from": "db1",
  "record": {
    "n": 45,
    "at": null,
    "epoch": 4,
    "command": "pause",
    "host": null,
    "rule": "as anna@fb wished?",
    "evidence": [],
    "took_seconds": null
  },
  "parts": []
}
`
	if text != want || code != exitDone {
		t.Errorf("%d %s", code, text)
	}
	if text, _ := showHistory(t, "json", 0); !strings.HasPrefix(text, "{\n  \"from\": \"db1\",\n  \"records\": [\n    {\n      \"n\": 45,") {
		t.Errorf("%s", text)
	}
}
