package remote

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestAfterMark(t *testing.T) {
	for _, tt := range []struct{ sent, want string }{
		{Mark + "out", "out"},
		{"Welcome!\n" + Mark + "out\n" + Mark, "out\n" + Mark},
		{Mark, ""},
		{"no mark", ""},
		{"\x1e\x1d " + Mark + "x", "x"},
	} {
		for name, r := range map[string]io.Reader{"whole": strings.NewReader(tt.sent), "byte by byte": iotest.OneByteReader(strings.NewReader(tt.sent))} {
			a := &afterMark{from: r}
			got, err := io.ReadAll(a)
			if err != nil || string(got) != tt.want || a.found.Load() != strings.Contains(tt.sent, Mark) {
				t.Errorf("%s: %q gave %q, %v", name, tt.sent, got, err)
			}
		}
	}
	endless := &afterMark{from: io.LimitReader(zeros{}, 1<<30)}
	if _, err := io.ReadAll(endless); err != errNoMark { //nolint:errorlint // the very error
		t.Errorf("endless: %v", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }
