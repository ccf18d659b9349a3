package failover

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/remote"
)

//go:embed lock.sh
var lockScript string

// beat is how often a lock is confirmed; the host gives it up after 15 s without.
const beat = time.Second

// Lock is the region's lock: this pgctl is the only one at work on it.
type Lock struct {
	conns []net.Conn
	mu    sync.Mutex
	lost  error
}

// TakeLock takes the lock on each of the given hosts (the servers that answer), in their order, so that two cannot hold half
// each. On a host it is a command that ends when it is no longer asked to stay: it needs no cleaning up, whatever dies.
// owner says who holds it, for the other one to read. Held by another it is a cluster.Refusal.
func TakeLock(ctx context.Context, hosts []remote.Host, owner string, timeout time.Duration) (*Lock, error) {
	l := &Lock{}
	for _, host := range hosts {
		conn, answers, err := lockHost(ctx, host, owner, timeout)
		if err != nil {
			l.Release()
			return nil, err
		}
		l.conns = append(l.conns, conn)
		go l.keep(host.Name(), conn, answers)
	}
	return l, nil
}

// Release gives the lock up.
func (l *Lock) Release() {
	for _, conn := range l.conns {
		_ = conn.Close()
	}
}

// Err is nil while the lock is held, else why it was lost.
func (l *Lock) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost
}

// keep asks the host to stay, beat by beat, until the connection ends.
func (l *Lock) keep(host string, conn net.Conn, answers *bufio.Reader) {
	for {
		_, err := conn.Write([]byte("."))
		if err == nil {
			_, err = readLine(conn, answers, 10*beat)
		}
		if err != nil {
			l.mu.Lock()
			l.lost = errors.Join(l.lost, fmt.Errorf("the region's lock on %s was lost: %w", host, err))
			l.mu.Unlock()
			return
		}
		time.Sleep(beat)
	}
}

func lockHost(ctx context.Context, host remote.Host, owner string, timeout time.Duration) (net.Conn, *bufio.Reader, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, err := host.Pipe(ctx, remote.Script(lockScript, owner))
	if err != nil {
		return nil, nil, err
	}
	answers := bufio.NewReader(conn)
	answer, err := readLine(conn, answers, timeout)
	if err == nil && answer == "locked" {
		return conn, answers, nil
	}
	_ = conn.Close()
	if by, ok := strings.CutPrefix(answer, "held by"); ok {
		return nil, nil, &cluster.Refusal{Risks: []cluster.Risk{{
			Evidence: fmt.Sprintf("another pgctl is at work on this region: %s (lock on %s)", cluster.Printable(strings.TrimSpace(by)), host.Name()), Hint: "wait until it has ended",
		}}}
	}
	return nil, nil, errors.Join(fmt.Errorf("%s: the region's lock cannot be taken", host.Name()), err)
}

func readLine(conn net.Conn, from *bufio.Reader, within time.Duration) (string, error) {
	if err := conn.SetReadDeadline(time.Now().Add(within)); err != nil { //nolint:forbidigo // a deadline of a real connection
		return "", err
	}
	line, err := from.ReadString('\n')
	return strings.TrimSpace(line), err
}
