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
