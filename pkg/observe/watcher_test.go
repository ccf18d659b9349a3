package observe

import "testing"

func TestWatcherStatus(t *testing.T) {
	const clock = "1700000000.5" // 2023-11-14T22:13:20.5Z
	tests := []struct{ name, text, want string }{
		{"pgctl's own", `{"program":"pgctl","status":"available","time":"2023-11-14T22:13:19.100000Z"}`, "available"},
		{"a fault is a sentence", `{"program":"pgctl","status":"PostgreSQL gives no answer","time":"2023-11-14T22:13:19Z"}`, "PostgreSQL gives no answer"},
		{"its clock in another zone", `{"program":"pgctl","status":"active","time":"2023-11-15T06:13:19+08:00"}`, "active"},
		{"an old report", `{"program":"pgctl","status":"available","time":"2023-11-14T22:13:09Z"}`, "silent since 2023-11-14T22:13:09Z"},
		{"one of another kind has no time that counts", `{"Status": "Active", "time":"2001-01-01T00:00:00Z"}`, "active"},
		{"YAML", "node: db1\nstatus: available\n", "available"},
		{"name=value", "STATUS=fault\n", "fault"},
		{"the bare word", "Active\n", "active"},
		{"half a file", `{"program":"pgctl","status":"avail`, "avail"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := watcherStatus(map[string]string{"clock": clock, "PGNode": tt.text}, "PGNode")
			if got == nil || *got != tt.want {
				t.Errorf("got %v, expected %q", got, tt.want)
			}
		})
	}
	if got := watcherStatus(map[string]string{"clock": clock}, "PGNode"); got != nil {
		t.Errorf("no file gave %q", *got)
	}
}

// TestWatcherOf: the quorum is taken of pgctl's own watcher, and only as long as that is not silent.
func TestWatcherOf(t *testing.T) {
	const doc = `{"program":"pgctl","version":"1.2","status":"active","time":"2023-11-14T22:13:19Z","config":{"inactive_failover":false},
		"quorum":{"executor":"db1","index":7,"epoch":3,"phase":"serving","master":"db1","sync":[{"gen":4,"k":1,"members":["db2_x"],"pad":1,"from":16}],
		"members":[{"host":"db2","name":"db2_x","flaps":0}],"voters":["db1","db2","arb1"],"silent":["arb1"],"paused":{"owner":"anna","reason":"","until":""}}}`
	w := watcherOf(map[string]string{"clock": "1700000000.5", "PGMonitor": doc})
	if !w.Own || w.Version != "1.2" || w.Inactive == nil || *w.Inactive || w.Quorum == nil {
		t.Fatalf("%+v", w)
	}
	if q := w.Quorum; q.Index != 7 || *q.Master != "db1" || q.HostOf("db2_x") != "db2" || q.Configs[0].From != 16 || q.Paused.Owner != "anna" || q.Silent[0] != "arb1" {
		t.Errorf("%+v", q)
	}
	if w := watcherOf(map[string]string{"clock": "1700000100.5", "PGMonitor": doc}); w.Own || w.Quorum != nil || *w.Monitor != "silent since 2023-11-14T22:13:19Z" {
		t.Errorf("a silent one: %+v", w)
	}
	if w := watcherOf(map[string]string{"PGMonitor": "status: available"}); w.Own || w.Quorum != nil || *w.Monitor != "available" {
		t.Errorf("another kind: %+v", w)
	}
	if w := watcherOf(map[string]string{"PGMonitor": `{"program":"pgctl","status":"x","quorum":null}`}); !w.Own || w.Quorum != nil {
		t.Errorf("one without a quorum: %+v", w)
	}
}
