package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/observe"
)

func TestPrintLogs(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.FixedZone("", 8*3600))
	docs := logDocs([]observe.Log{
		{Host: "db1", Lines: []observe.LogLine{
			{Host: "db1", Time: at.Add(time.Second), Level: "INFO", Message: "judgement", Fields: []observe.LogField{{Key: "is", Value: "master-dead db1"}, {Key: "was", Value: ""}}},
			{Host: "db1", Time: at.Add(time.Second), Message: "goroutine 1 [running]:"},
		}},
		{Host: "db2", Failure: &cluster.Failure{Message: "no answer from db2:22 within 5s"}},
		{Host: "arb1", Lines: []observe.LogLine{{Host: "arb1", Time: at, Level: "WARN", Message: "proposes", Fields: []observe.LogField{{Key: "epoch", Value: "4"}}}}},
	})
	for output, want := range map[string]string{
		"table": `TIME (UTC)               HOST  LEVEL  MESSAGE
2026-01-01 19:04:05.006  arb1  WARN   proposes epoch=4
2026-01-01 19:04:06.006  db1   INFO   judgement is="master-dead db1" was=""
2026-01-01 19:04:06.006  db1   -      goroutine 1 [running]:
-                        db2   -      no answer from db2:22 within 5s
`,
		"json": `{"time":"2026-01-01T19:04:05.006Z","host":"arb1","level":"WARN","message":"proposes","fields":{"epoch":"4"},"error":null}
{"time":"2026-01-01T19:04:06.006Z","host":"db1","level":"INFO","message":"judgement","fields":{"is":"master-dead db1","was":""},"error":null}
{"time":"2026-01-01T19:04:06.006Z","host":"db1","level":null,"message":"goroutine 1 [running]:","fields":{},"error":null}
{"time":null,"host":"db2","level":null,"message":null,"fields":{},"error":"no answer from db2:22 within 5s"}
`,
	} {
		var out bytes.Buffer
		if err := (&app{out: &out, output: output}).printLogs(docs); err != nil || out.String() != want {
			t.Errorf("%v\n%s", err, out.String())
		}
	}
	var out bytes.Buffer
	if err := (&app{out: &out, output: "yaml"}).printLogs(docs); err != nil || strings.Count(out.String(), "---\n") != 4 || !strings.Contains(out.String(), "host: arb1\n") {
		t.Errorf("%v\n%s", err, out.String())
	}
}
