package consensus

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// quietFor is how long a line of raft's is not repeated. While a peer is down raft writes one at every heartbeat.
const quietFor = time.Minute

// bridge takes what raft logs to slog: warnings and worse.
func bridge(to *slog.Logger, now func() time.Time) hclog.Logger {
	log := hclog.NewInterceptLogger(&hclog.LoggerOptions{Level: hclog.Off})
	log.RegisterSink(&sink{to: to, now: now, last: map[string]time.Time{}})
	return log
}

type sink struct {
	to  *slog.Logger
	now func() time.Time

	mu   sync.Mutex
	last map[string]time.Time // by text
}

// Accept takes one line (hclog.SinkAdapter).
func (s *sink) Accept(_ string, level hclog.Level, text string, args ...any) {
	if level < hclog.Warn || s.repeated(text) {
		return
	}
	as := slog.LevelWarn
	if level >= hclog.Error {
		as = slog.LevelError
	}
	s.to.Log(context.Background(), as, "raft: "+text, plain(args)...)
}

func (s *sink) repeated(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if last, told := s.last[text]; told && now.Sub(last) < quietFor {
		return true
	}
	s.last[text] = now // raft's texts are a few dozen
	return false
}

// plain makes slog's arguments of hclog's, which has a format and a string of its own that slog would print as they are made.
func plain(args []any) []any {
	out := make([]any, len(args))
	for i, a := range args {
		switch v := a.(type) {
		case hclog.Format:
			format, _ := v[0].(string)
			out[i] = fmt.Sprintf(format, v[1:]...)
		case error:
			out[i] = v.Error()
		case fmt.Stringer:
			out[i] = v.String()
		default:
			out[i] = a
		}
	}
	return out
}
