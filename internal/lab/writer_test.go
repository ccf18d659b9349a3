package lab

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

func TestOutcomeOf(t *testing.T) {
	answer := func(severity, code string) error { return &pgconn.PgError{Severity: severity, Code: code} }
	for _, tt := range []struct {
		name   string
		err    error
		warned bool
		want   outcome
	}{
		{"done", nil, false, acknowledged},
		{"done, without its standbys", nil, true, unknown},
		{"read-only", answer("ERROR", "25006"), false, failed},
		{"disk full", answer("ERROR", "53100"), false, failed},
		{"cancelled", answer("ERROR", "57014"), false, unknown},
		{"shut down", answer("FATAL", "57P01"), false, unknown},
		{"a fatal error of another kind", answer("FATAL", "25006"), false, unknown},
		{"lost", answer("ERROR", "08006"), false, unknown},
		{"I/O error", answer("ERROR", "58030"), false, unknown},
		{"internal", answer("ERROR", "XX000"), false, unknown},
		{"no code", answer("ERROR", ""), false, unknown},
		{"no answer", errors.New("EOF"), false, unknown},
	} {
		if got := outcomeOf(tt.err, tt.warned); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestWriterNotes(t *testing.T) {
	start := time.Now()
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	n := notes{started: start}
	n.add(1, failed, at(100))
	n.add(2, acknowledged, at(300)) // the first gap is from the start
	n.add(3, acknowledged, at(500)) // 200 ms are none yet
	n.add(4, unknown, at(600))
	n.add(5, failed, at(650))
	n.add(6, acknowledged, at(701))
	n.add(7, failed, at(1200))
	n.gap(at(1400)) // the last is to the end
	r := n.report("w", "app")
	if r.Attempts != 7 || r.Acknowledged != 3 || r.Failed != 3 || r.Unknown != 1 {
		t.Errorf("got %+v", r)
	}
	if want := []Gap{{at(0), at(300)}, {at(500), at(701)}, {at(701), at(1400)}}; !slices.Equal(r.Gaps, want) {
		t.Errorf("gaps %v, want %v", r.Gaps, want)
	}
	if r.LongestGap != 699*time.Millisecond || !slices.Equal(r.acks, []int64{2, 3, 6}) {
		t.Errorf("longest %s, acknowledged %v", r.LongestGap, r.acks)
	}
	short := notes{started: start}
	short.add(1, acknowledged, at(150))
	if r := short.report("w", "app"); r.LongestGap != 150*time.Millisecond || len(r.Gaps) != 0 {
		t.Errorf("got %+v", r)
	}
}
