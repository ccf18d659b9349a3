package main

import (
	"testing"
	"time"
)

func TestSpan(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"90s": 90 * time.Second, "1h30m": 90 * time.Minute, "7d": 7 * 24 * time.Hour, "0d": 0, "0s": 0,
		"": -1, "7": -1, "d": -1, "-1d": -1, "-5s": -1, "1.5d": -1, "a week": -1, "99999999d": -1,
	} {
		var s span = -1
		if err := s.Set(text); (err == nil) != (want >= 0) || time.Duration(s) != want {
			t.Errorf("%q: %s, %v", text, s.String(), err)
		}
	}
}
