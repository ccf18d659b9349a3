package observe

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/remote"
)

// WatcherLog is where the watcher of a host logs.
const WatcherLog = "/var/log/pgctl/watch.log"

// logLimit is how much of a log is read, in bytes from its end.
const logLimit = 8 << 20

// logScript gets the file and how much of it is wanted. What supervisor has put aside last is the beginning of it.
const logScript = `date +%s.%N
[ -f "$1" ] || exit 0
echo log
cat "$1.1" "$1" 2>/dev/null | tail -c "$2"`

// LogLine is one line of a watcher's log. Of one that is not the logger's own, such as what a crash leaves, only Message is set, and Time
// is that of the line before.
type LogLine struct {
	Host    string
	Time    time.Time // by the host's clock
	Level   string    // "INFO", "WARN" ...; "" not known
	Message string
	Fields  []LogField // in the order of the line
}

// LogField is a key and its value.
type LogField struct{ Key, Value string }

// Log is what one host's watcher has logged, or why that is not known.
type Log struct {
	Host    string
	Lines   []LogLine
	Cut     bool             // it goes further back than what was read
	Failure *cluster.Failure // nil: it was read
}

// Logs reads the logs of the watchers on these hosts, as far back as since by each host's own clock.
func (s *Site) Logs(ctx context.Context, hosts []string, since time.Duration) []Log {
	return remote.Each(ctx, hosts, atOnce, s.Timeout, func(ctx context.Context, name string) Log {
		result, err := s.Hosts(name).Run(ctx, remote.Script(logScript, WatcherLog, strconv.Itoa(logLimit)))
		if err != nil {
			return Log{Host: name, Failure: unreachable(name, err)}
		}
		return readLog(name, string(result.Stdout), since)
	})
}

// InOrder puts the lines of all logs in the order of time. Lines of one host keep their order.
func InOrder(logs []Log) []LogLine {
	var all []LogLine
	for _, l := range logs {
		all = append(all, l.Lines...)
	}
	slices.SortStableFunc(all, func(a, b LogLine) int { return a.Time.Compare(b.Time) })
	return all
}

func readLog(host, output string, since time.Duration) Log {
	clock, rest, _ := strings.Cut(output, "\n")
	seconds, err := strconv.ParseFloat(strings.TrimSpace(clock), 64)
	if err != nil {
		return Log{Host: host, Failure: &cluster.Failure{Message: "its answer has no beginning"}}
	}
	text, there := strings.CutPrefix(rest, "log\n")
	if !there {
		return Log{Host: host, Failure: &cluster.Failure{Message: "it has no " + WatcherLog, Hint: "pgctl deploy"}}
	}
	from := time.UnixMicro(int64(seconds * 1e6)).Add(-since)
	out := Log{Host: host, Cut: len(text) >= logLimit}
	if out.Cut { // the first line is half a line
		_, text, _ = strings.Cut(text, "\n")
	}
	var last time.Time
	for line := range strings.Lines(text) {
		l, err := parseLogLine(strings.TrimRight(line, "\n"))
		if err != nil {
			l = LogLine{Time: last, Message: cluster.Printable(strings.TrimRight(line, "\n"))}
		}
		last = l.Time
		switch l.Host = host; {
		case !l.Time.Before(from):
			out.Lines = append(out.Lines, l)
		case !l.Time.IsZero():
			out.Cut = false // it goes back further than what is asked for
		}
	}
	return out
}

// errNotLogged is the error of a line that the logger has not written.
var errNotLogged = errors.New("not a line of the log")

// parseLogLine reads a line of slog's text form: time=... level=... msg=... and then key=value, quoted as Go does where it must be.
func parseLogLine(line string) (LogLine, error) {
	var l LogLine
	for line != "" {
		key, rest, err := logKey(line)
		if err != nil {
			return LogLine{}, err
		}
		value, after, err := logValue(rest)
		if err != nil {
			return LogLine{}, err
		}
		line = after
		value = cluster.Printable(value)
		switch { // slog's own come first; a later one of the name is of the message
		case key == "time" && l.Time.IsZero():
			if l.Time, err = time.Parse(time.RFC3339Nano, value); err != nil {
				return LogLine{}, errNotLogged
			}
		case key == "level" && l.Level == "":
			l.Level = value
		case key == "msg" && l.Message == "":
			l.Message = value
		default:
			l.Fields = append(l.Fields, LogField{cluster.Printable(key), value})
		}
	}
	if l.Time.IsZero() || l.Level == "" {
		return LogLine{}, errNotLogged
	}
	return l, nil
}

// logKey is the key that a text begins with, and what comes after its equals sign. slog quotes one that has a space.
func logKey(text string) (key, rest string, err error) {
	if strings.HasPrefix(text, `"`) {
		key, rest, err = logValue(text)
		if err == nil && strings.HasPrefix(rest, "=") {
			return key, rest[1:], nil
		}
		return "", "", errNotLogged
	}
	key, rest, ok := strings.Cut(text, "=")
	if !ok || key == "" || strings.ContainsAny(key, " \t") {
		return "", "", errNotLogged
	}
	return key, rest, nil
}

// logValue is the value that a text begins with, and what comes after it.
func logValue(text string) (value, rest string, err error) {
	if !strings.HasPrefix(text, `"`) {
		value, rest, _ = strings.Cut(text, " ")
		return value, rest, nil
	}
	quoted, err := strconv.QuotedPrefix(text)
	if err == nil {
		value, err = strconv.Unquote(quoted)
	}
	if err != nil {
		return "", "", errNotLogged
	}
	return value, strings.TrimPrefix(text[len(quoted):], " "), nil
}

// Text is the line without time, host and level.
func (l LogLine) Text() string {
	var b strings.Builder
	b.WriteString(cmp.Or(l.Message, "-"))
	for _, f := range l.Fields {
		b.WriteString(" " + f.Key + "=")
		if f.Value == "" || strings.ContainsAny(f.Value, ` "=`) {
			b.WriteString(strconv.Quote(f.Value))
		} else {
			b.WriteString(f.Value)
		}
	}
	return b.String()
}
