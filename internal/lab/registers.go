package lab

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgctl/pgctl/internal/register"
)

// RegisterSpec says how clients use single registers.
type RegisterSpec struct {
	// Direct clients ask whoever is master, and find him by asking one server after the other; PerPool clients ask each pool. Every other one only reads:
	// it stays with an old master for as long as that answers, where a writer waits for nothing and goes on to the next server.
	Direct, PerPool int
	// Interval between two operations of a client.
	Interval time.Duration
	// Timeout is how long an operation may take. Then the client closes its connection, and does not cancel what it asked for.
	Timeout time.Duration
	// Handful is how many registers are in use at a time; after each Turn others are. The longer the history of one is, the longer is the search for
	// its order.
	Handful int
	Turn    time.Duration
	// Seed of what the clients choose.
	Seed uint64
}

const (
	registerTable = "pgctl_register"
	registerCount = 10000 // are there; the last turn takes those that are left
)

// Registers are clients that read and write single registers, each a row, and keep what they were told.
type Registers struct {
	spec   RegisterSpec
	port   int
	net    namespace
	began  time.Time
	values atomic.Int64 // that were written; none twice

	stop context.CancelFunc
	done sync.WaitGroup

	mu      sync.Mutex
	history []register.Op
	failed  int
	acked   []time.Duration // when a direct client was told that a write is done
}

// StartRegisters makes the table on the master and starts the clients. They go on until Stop.
func (r *Region) StartRegisters(ctx context.Context, master *Host, spec RegisterSpec) (*Registers, error) {
	sql := fmt.Sprintf("CREATE TABLE %[1]s (id int PRIMARY KEY, value bigint NOT NULL, before bigint) WITH (fillfactor = 50); INSERT INTO %[1]s SELECT n, 0 FROM generate_series(0, %[2]d) n; GRANT ALL ON %[1]s TO app",
		registerTable, registerCount-1)
	if _, err := master.psql(ctx, "app", sql); err != nil {
		return nil, fmt.Errorf("the table of registers: %w", err)
	}
	inside, err := enterable(r.Name())
	if err != nil {
		return nil, err
	}
	rs := &Registers{spec: spec, port: master.Port(), net: inside, began: time.Now()}
	ctx, rs.stop = context.WithCancel(ctx)
	rng := rand.New(rand.NewPCG(spec.Seed, 1))
	id := 0
	start := func(targets []*Host, port int) {
		c := &registerClient{all: rs, id: id, rng: rand.New(rand.NewPCG(spec.Seed, rng.Uint64())), targets: targets, port: port, reads: id%2 == 1}
		id++
		rs.done.Go(func() { c.run(ctx) })
	}
	for range spec.Direct {
		start(r.Servers(), rs.port)
	}
	for _, pool := range r.Pools() {
		for range spec.PerPool {
			start([]*Host{pool}, poolPort)
		}
	}
	return rs, nil
}

// Stop ends the clients after the operations at hand.
func (rs *Registers) Stop() error {
	rs.stop()
	rs.done.Wait()
	return rs.net.Close()
}

// History is what the clients were told. Reads that failed are not in it, and writes that were refused are not, as they are no operations; Failed
// counts them.
func (rs *Registers) History() (history []register.Op, failed int) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return append([]register.Op{}, rs.history...), rs.failed
}

// Acknowledged is when a direct client was told that a write is done, in order, on the clock of the history, which began at Began.
func (rs *Registers) Acknowledged() []time.Duration {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return append([]time.Duration{}, rs.acked...)
}

// Began is when the clock of the history was 0.
func (rs *Registers) Began() time.Time { return rs.began }

// ReadAll reads every register that was in use, on one server. Of the master's, it is part of the history: whoever lost a write long ago has it here.
func (rs *Registers) ReadAll(ctx context.Context, on *Host) ([]register.Op, error) {
	call := time.Since(rs.began)
	out, err := on.psql(ctx, "app", fmt.Sprintf("SELECT id, value FROM %s WHERE id < %d ORDER BY id", registerTable, (rs.turn(call)+1)*rs.spec.Handful))
	if err != nil {
		return nil, err
	}
	var all []register.Op
	for line := range strings.Lines(out) {
		o := register.Op{At: on.Name(), Kind: register.Read, Call: call, Return: time.Since(rs.began)}
		if _, err := fmt.Sscanf(line, "%d|%d", &o.Register, &o.Value); err != nil {
			return nil, fmt.Errorf("%s: the registers: %q: %w", on.Name(), line, err)
		}
		all = append(all, o)
	}
	return all, nil
}

func (rs *Registers) turn(at time.Duration) int {
	return min(int(at/rs.spec.Turn), registerCount/rs.spec.Handful-1)
}

func (rs *Registers) note(o register.Op, outcome outcome, direct bool) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	switch {
	case outcome == failed, outcome == unknown && o.Kind == register.Read:
		rs.failed++
		return
	case outcome == unknown:
		o.Return = register.Never
	case direct && o.Kind != register.Read:
		rs.acked = append(rs.acked, o.Return)
	}
	rs.history = append(rs.history, o)
}

// registerClient does one operation after the other.
type registerClient struct {
	all     *Registers
	id      int
	rng     *rand.Rand
	targets []*Host
	port    int
	reads   bool // and nothing else

	target int
	conn   *pgconn.PgConn
	warned bool
	seen   map[int]int64 // the last values that it knows of
}

func (c *registerClient) run(ctx context.Context) {
	tick := time.NewTicker(c.all.spec.Interval)
	defer tick.Stop()
	c.seen = map[int]int64{}
	for ctx.Err() == nil {
		if outcome := c.operate(); outcome != acknowledged {
			c.disconnect()
			c.target = (c.target + 1) % len(c.targets)
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	c.disconnect()
}

// operate does one operation on a register of the turn, and notes what came of it.
func (c *registerClient) operate() outcome {
	ctx, cancel := context.WithTimeout(context.Background(), c.all.spec.Timeout)
	defer cancel()
	if err := c.connect(ctx); err != nil {
		c.all.note(register.Op{}, failed, false)
		return failed
	}
	turn := c.all.turn(time.Since(c.all.began))
	o := register.Op{Client: c.id, At: c.targets[c.target].Name(), Register: turn*c.all.spec.Handful + c.rng.IntN(c.all.spec.Handful), Call: time.Since(c.all.began)}
	var result outcome
	switch n := c.rng.IntN(20); {
	case n < 6 || c.reads:
		result = c.read(ctx, &o)
	case n < 15:
		result = c.write(ctx, &o, "")
	default:
		result = c.write(ctx, &o, fmt.Sprintf(" AND value = %d", c.seen[o.Register]))
	}
	o.Return = time.Since(c.all.began)
	if result == acknowledged && o.Value == 0 && o.Kind != register.Read {
		delete(c.seen, o.Register) // what it knew is not so any more
		return acknowledged
	}
	c.all.note(o, result, c.port != poolPort)
	if result == acknowledged {
		c.seen[o.Register] = o.Value
	}
	return result
}

// write writes a new value, and is told which one that took the place of: a write that knew nothing of the one before would hide that it was lost. With a
// condition it may find that it has nothing to do, and is no operation.
func (c *registerClient) write(ctx context.Context, o *register.Op, where string) outcome {
	o.Kind, o.Value = register.Write, c.all.values.Add(1)
	results, result := c.exec(ctx, fmt.Sprintf("UPDATE %s SET before = value, value = %d WHERE id = %d%s RETURNING before", registerTable, o.Value, o.Register, where))
	if result != acknowledged {
		return result
	}
	o.Kind = register.Swap
	switch {
	case len(results) == 1 && len(results[0].Rows) == 1:
		o.Old, _ = strconv.ParseInt(string(results[0].Rows[0][0]), 10, 64)
	case where != "":
		o.Value = 0
	default:
		o.Old = -1 // the row is gone: nobody wrote that
	}
	return acknowledged
}

// read counts only on a master: what a hot standby shows was promised to nobody.
func (c *registerClient) read(ctx context.Context, o *register.Op) outcome {
	results, result := c.exec(ctx, fmt.Sprintf("SELECT value, pg_is_in_recovery() FROM %s WHERE id = %d", registerTable, o.Register))
	if result != acknowledged {
		return result
	}
	if len(results) != 1 || len(results[0].Rows) != 1 {
		o.Value = -1 // the row is gone: nobody wrote that
		return acknowledged
	}
	row := results[0].Rows[0]
	value, err := strconv.ParseInt(string(row[0]), 10, 64)
	if err != nil || string(row[1]) != "f" {
		return failed
	}
	o.Value = value
	return acknowledged
}

func (c *registerClient) exec(ctx context.Context, sql string) ([]*pgconn.Result, outcome) {
	c.warned = false
	results, err := c.conn.Exec(ctx, sql).ReadAll()
	return results, outcomeOf(err, c.warned)
}

// errNoCancel: to cancel a commit that waits for its standbys is to have it without them, which no client may do that means what it says.
var errNoCancel = errors.New("a client of registers cancels nothing")

// connect opens a session that can write, where there is none, as libpq does for target_session_attrs=read-write.
func (c *registerClient) connect(ctx context.Context) error {
	if c.conn != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	config, err := pgconn.ParseConfig("sslmode=disable application_name=pgctl-register user=app dbname=app password=" + AppPassword)
	if err != nil {
		return err
	}
	config.Host, config.Port, config.Fallbacks = c.targets[c.target].Addr(), uint16(c.port), nil
	if c.port != poolPort {
		config.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		c.warned = c.warned || n.SeverityUnlocalized == "WARNING" || n.Severity == "WARNING"
	}
	dialled := false
	config.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if dialled { // pgconn would cancel what takes too long
			return nil, errNoCancel
		}
		dialled = true
		return c.all.net.dial(ctx, network, addr)
	}
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err == nil {
		c.conn = conn
	}
	return err
}

// disconnect drops the connection.
func (c *registerClient) disconnect() {
	if c.conn == nil {
		return
	}
	_ = c.conn.Conn().Close()
	c.conn = nil
}
