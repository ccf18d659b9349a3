package postgres

import (
	"maps"
	"strings"
	"testing"
)

func TestConnInfo(t *testing.T) {
	tests := []struct {
		text string
		want ConnInfo
	}{
		{"", ConnInfo{}},
		{"host=db1 port=5433", ConnInfo{"host": "db1", "port": "5433"}},
		{` user = 'a b' password='it\'s \\ here' `, ConnInfo{"user": "a b", "password": `it's \ here`}},
		{`password=a\'b application_name=''`, ConnInfo{"password": "a'b", "application_name": ""}},
	}
	for _, tt := range tests {
		got, err := ParseConnInfo(tt.text)
		if err != nil || !maps.Equal(got, tt.want) {
			t.Errorf("%q: %q, %v", tt.text, got, err)
		}
		if again, err := ParseConnInfo(got.String()); err != nil || !maps.Equal(again, tt.want) {
			t.Errorf("%q: read back %q, %v", tt.text, again, err)
		}
	}
	for _, bad := range []string{"secret", "host='db1", "host=db1 secret"} {
		if _, err := ParseConnInfo(bad); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestPortable(t *testing.T) {
	got := ConnInfo{"host": "db1", "channel_binding": "prefer", "gssencmode": "prefer", "sslmode": "require"}.Portable()
	if want := (ConnInfo{"host": "db1", "sslmode": "require"}); !maps.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}
