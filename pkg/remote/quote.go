package remote

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// bare lists the bytes, letters and digits apart, that no shell gives a meaning
// to anywhere in a word.
const bare = "-_./:,@%+"

const alphanumeric = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

// quote gives s as one word for a POSIX shell (dash and bash alike).
func quote(s string) string {
	if s != "" && strings.Trim(s, bare+alphanumeric) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// commandLine gives args as one command of a POSIX shell.
func commandLine(args []string) string {
	return joinQuoted(args, quote)
}

// logLine gives args as one command of bash on a single line: words with control
// characters in them are written as $'..'. Of a text of several lines, a script,
// it has the first one, which says what it does.
func logLine(args []string) string {
	return joinQuoted(args, func(s string) string {
		if first, _, several := strings.Cut(strings.TrimLeft(s, "\n"), "\n"); several {
			s = first + " ..."
		}
		if !strings.ContainsFunc(s, isControl) {
			return quote(s)
		}
		return "$'" + escape(s) + "'"
	})
}

func joinQuoted(args []string, quote func(string) string) string {
	words := make([]string, len(args))
	for i, arg := range args {
		words[i] = quote(arg)
	}
	return strings.Join(words, " ")
}

func isControl(r rune) bool {
	return r < ' ' || r == 0x7f || r == utf8.RuneError || (r >= 0x80 && r < 0xa0) || r == '\u2028' || r == '\u2029'
}

// escape writes s for the inside of $'..' of bash.
func escape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\'' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case isControl(r):
			for _, c := range []byte(s[i : i+size]) {
				fmt.Fprintf(&b, `\x%02x`, c)
			}
		default:
			b.WriteString(s[i : i+size])
		}
		i += size
	}
	return b.String()
}

// shortCommand and shortOutput bound, in runes, how much of a command and of its
// output an error message repeats.
const (
	shortCommand = 80
	shortOutput  = 300
)

// shorten gives s on one line of at most limit runes.
func shorten(s string, limit int) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "?")), " ")
	if utf8.RuneCountInString(s) <= limit {
		return s
	}
	return string([]rune(s)[:limit]) + "..."
}
