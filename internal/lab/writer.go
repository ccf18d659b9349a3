package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// WriterSpec says how a writer writes. Only Targets has to be set.
type WriterSpec struct {
	// Targets are the hosts to write through: a pool, or all servers for a writer
	// that goes to the master directly. After an error it takes the next one.
	Targets []*Host
	// Port of the targets; 0 means the pool's, 9999.
	Port int
	// User, Password and Database are the application's when empty.
	User, Password, Database string
	// Interval between two writes; 0 means 10 ms. A write that takes longer delays
	// the next.
	Interval time.Duration
	// Timeout is how long a write may take before the writer gives it up and
	// connects again; 0 means 5 s.
	Timeout time.Duration
	// Connect is how long one attempt to connect may take; 0 means 1 s. It is what a
	// host that is cut off costs a client with several targets.
	Connect time.Duration
}

const (
	writerTable = "pgctl_writer"
	poolPort    = 9999
	writerBegin = 30 * time.Second // for its table
)

// Writer is a client that writes one row after the other, all the time, and keeps
// what it was told about each. It measures outages and finds lost writes.
type Writer struct {
	spec WriterSpec
	id   string // whose rows they are: writers share one table
	net  namespace

	target int // of spec.Targets
	conn   *pgconn.PgConn
	warned bool // by the server, about the write at hand
	notes  notes

	stop context.CancelFunc
	done sync.WaitGroup
}

// StartWriter makes the writer's table through the first target that lets it, and
// starts to write. It writes until Stop, or until ctx ends; its table stays.
func (r *Region) StartWriter(ctx context.Context, spec WriterSpec) (*Writer, error) {
	if len(spec.Targets) == 0 {
		return nil, errors.New("a writer without a target: want a pool, or servers")
	}
	net, err := enterable(r.Name())
	if err != nil {
		return nil, err
	}
	w := &Writer{spec: spec.withDefaults(), id: fmt.Sprintf("w%d", time.Now().UnixNano()), net: net}
	if err := waitFor(ctx, "the table of a writer", writerBegin, w.createTable); err != nil {
		return nil, errors.Join(err, net.Close())
	}
	ctx, w.stop = context.WithCancel(ctx)
	w.notes.started = time.Now()
	w.done.Go(func() { w.run(ctx) })
	return w, nil
}

func (s WriterSpec) withDefaults() WriterSpec {
	s.Port = cmp.Or(s.Port, poolPort)
	s.User, s.Password, s.Database = cmp.Or(s.User, "app"), cmp.Or(s.Password, AppPassword), cmp.Or(s.Database, "app")
	s.Interval, s.Timeout, s.Connect = cmp.Or(s.Interval, 10*time.Millisecond), cmp.Or(s.Timeout, 5*time.Second), cmp.Or(s.Connect, time.Second)
	return s
}

// Stop ends the writing, after the write at hand, and returns what came of it. It
// may take as long as a write.
func (w *Writer) Stop() (WriterReport, error) {
	w.stop()
	w.done.Wait()
	w.disconnect()
	return w.notes.report(w.id, w.spec.Database), w.net.Close()
}

// run writes until ctx ends.
func (w *Writer) run(ctx context.Context) {
	tick := time.NewTicker(w.spec.Interval)
	defer tick.Stop()
	for n := int64(1); ctx.Err() == nil; n++ {
		outcome := w.write(n)
		w.notes.add(n, outcome, time.Now())
		if outcome != acknowledged {
			w.disconnect()
			w.target = (w.target + 1) % len(w.spec.Targets)
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	w.notes.gap(time.Now())
}

// write writes one row. It ends at its own deadline and not with the writer, so
// that what became of it is known.
func (w *Writer) write(n int64) outcome {
	ctx, cancel := context.WithTimeout(context.Background(), w.spec.Timeout)
	defer cancel()
	if err := w.connect(ctx); err != nil {
		return failed
	}
	err := w.exec(ctx, fmt.Sprintf("INSERT INTO %s (writer, n) VALUES ('%s', %d)", writerTable, w.id, n))
	return outcomeOf(err, w.warned)
}

// exec runs one statement and notes whether the server warned about it.
func (w *Writer) exec(ctx context.Context, sql string) error {
	w.warned = false
	_, err := w.conn.Exec(ctx, sql).ReadAll()
	return err
}

// createTable is one attempt; another writer may be making the table too.
func (w *Writer) createTable(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, w.spec.Timeout)
	defer cancel()
	err := w.connect(ctx)
	if err == nil {
		err = w.exec(ctx, "CREATE TABLE IF NOT EXISTS "+writerTable+
			" (writer text, n bigint, at timestamptz DEFAULT clock_timestamp(), PRIMARY KEY (writer, n))")
	}
	if err != nil {
		w.disconnect()
		err = fmt.Errorf("through %s: %w", w.spec.Targets[w.target].Name(), err)
		w.target = (w.target + 1) % len(w.spec.Targets)
	}
	return err
}

// connect opens a session with the target, where there is none.
func (w *Writer) connect(ctx context.Context) error {
	if w.conn != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, w.spec.Connect)
	defer cancel()
	config, err := pgconn.ParseConfig("sslmode=disable application_name=pgctl-writer")
	if err != nil {
		return err
	}
	config.Host, config.Port = w.spec.Targets[w.target].Addr(), uint16(w.spec.Port)
	config.User, config.Password, config.Database = w.spec.User, w.spec.Password, w.spec.Database
	config.Fallbacks, config.ValidateConnect, config.DialFunc = nil, nil, w.net.dial
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		w.warned = w.warned || n.SeverityUnlocalized == "WARNING" || n.Severity == "WARNING"
	}
	w.conn, err = pgconn.ConnectConfig(ctx, config)
	return err
}

func (w *Writer) disconnect() {
	if w.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_ = w.conn.Close(ctx) // it may be dead
	w.conn = nil
}
