package postgres

import (
	"maps"
	"testing"
)

func TestUpstreamService(t *testing.T) {
	before := "[other]\nhost=x\n[pgctl_upstream]\nhost=db1\n\n[last]\nport=1"
	c := ConnInfo{"host": "db2", "port": "5433", "user": "replicator", "password": "a b"}
	after := withService([]byte(before), upstreamService, c)
	if want := "[other]\nhost=x\n[last]\nport=1\n[pgctl_upstream]\nhost=db2\nport=5433\nuser=replicator\npassword=a b\n"; string(after) != want {
		t.Errorf("got %q", after)
	}
	if got := serviceOf(after); !maps.Equal(got, c) {
		t.Errorf("read back %q", got)
	}
	if again := withService(after, upstreamService, c); string(again) != string(after) {
		t.Errorf("a second time: %q", again)
	}
	if got := serviceOf([]byte("[other]\nhost=x\n")); got != nil {
		t.Errorf("none: %q", got)
	}
}
