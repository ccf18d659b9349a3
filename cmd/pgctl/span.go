package main

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// span is a flag's length of time: as time.ParseDuration has it, or a number of days.
type span time.Duration

// Set takes 90s, 12h, 1h30m, 7d.
func (s *span) Set(text string) error {
	d, err := time.ParseDuration(text)
	if days, isDays := strings.CutSuffix(text, "d"); isDays {
		var n int
		n, err = strconv.Atoi(days)
		if n > 36500 {
			err = strconv.ErrRange
		}
		d = time.Duration(n) * 24 * time.Hour
	}
	if err != nil || d < 0 {
		return errors.New("expected a length of time such as 90s, 12h or 7d")
	}
	*s = span(d)
	return nil
}

// String is as Go writes it; nothing is "0", which help does not show.
func (s *span) String() string {
	if *s == 0 {
		return "0"
	}
	return time.Duration(*s).String()
}

// Type is how the help calls it.
func (s *span) Type() string { return "DURATION" }
