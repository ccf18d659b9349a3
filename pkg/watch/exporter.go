package watch

import (
	"bytes"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// exporter serves metrics and health checks over plain HTTP, from what the loop has published: whoever asks, and however often, the loop
// does not notice.
type exporter struct {
	latest atomic.Pointer[snapshot]
	now    func() time.Duration
	server *http.Server
}

// The limits of an exporter: connections at a time, bytes of a request's head, and how long anything may take.
const (
	exportConns  = 64
	exportHeader = 4 << 10
	exportLimit  = 5 * time.Second
	exportIdle   = 30 * time.Second
)

// metricsAddress is where watch.metrics listens: a port alone is this host's own; "" nowhere.
func metricsAddress(setting string) string {
	switch {
	case setting == "off":
		return ""
	case strings.HasPrefix(setting, ":"):
		return "127.0.0.1" + setting
	}
	return setting
}

func newExporter(now func() time.Duration, log *slog.Logger) *exporter {
	e := &exporter{now: now}
	e.server = &http.Server{
		Handler: e.handler(), ReadHeaderTimeout: exportLimit, ReadTimeout: exportLimit, WriteTimeout: exportLimit, IdleTimeout: exportIdle,
		MaxHeaderBytes: exportHeader, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return e
}

func (e *exporter) handler() http.Handler {
	mux := http.NewServeMux()
	for path, ask := range checks {
		mux.HandleFunc(path, e.serveHealth(ask, (*snapshot).lasts))
	}
	mux.HandleFunc("/liveness", e.serveHealth(func(*snapshot, int64) string { return "" }, lives))
	mux.HandleFunc("/metrics", func(out http.ResponseWriter, in *http.Request) {
		if !readOnlyMethod(out, in) {
			return
		}
		s := e.latest.Load()
		if s == nil {
			http.Error(out, s.fresh(0, nil), http.StatusServiceUnavailable)
			return
		}
		var text bytes.Buffer
		(&exposition{out: &text}).all(s, e.now())
		out.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_, _ = out.Write(text.Bytes())
	})
	return mux
}

// listen serves on an address until close.
func (e *exporter) listen(address string, log *slog.Logger) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	go func() { log.Debug("metrics end", "reason", e.server.Serve(&fewConns{Listener: listener})) }()
	return nil
}

// fewConns closes at once what comes when there are too many.
type fewConns struct {
	net.Listener
	open atomic.Int64
}

// Accept gives the next connection that there is room for.
func (l *fewConns) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) <= exportConns {
			return &countedConn{Conn: conn, open: &l.open}, nil
		}
		l.open.Add(-1)
		_ = conn.Close()
	}
}

// countedConn makes room when it is closed.
type countedConn struct {
	net.Conn
	open   *atomic.Int64
	closed atomic.Bool
}

// Close may be called twice.
func (c *countedConn) Close() error {
	if !c.closed.Swap(true) {
		c.open.Add(-1)
	}
	return c.Conn.Close()
}

// export opens the exporter, unless it is open, or wanted by nobody.
func (w *watcher) export() error {
	address := metricsAddress(w.Metrics)
	if address == "" || w.exporter != nil {
		return nil
	}
	e := newExporter(sinceBoot, w.Log)
	if err := e.listen(address, w.Log); err != nil {
		return err
	}
	w.exporter = e
	return nil
}

// show publishes the snapshot of a round.
func (w *watcher) show(now time.Duration) {
	if w.exporter != nil {
		w.exporter.latest.Store(w.snap(now))
	}
}
