package cluster

import (
	"strings"
	"unicode"
)

// Printable replaces control characters: what a host's files say goes to a terminal.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, text)
}
