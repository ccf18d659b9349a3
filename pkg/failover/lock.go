package failover

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/remote"
)

//go:embed lock.sh
var lockScript string

// Lock makes this pgctl the only one at work on the region: it holds a lock on each of the given hosts (the servers that answer),
// taken in their order, so that two cannot hold half each. The lock is a command on the host that ends with its connection: it
// needs no cleaning up. owner says who holds it, for the other one to read. Held by another it is a cluster.Refusal.
func Lock(ctx context.Context, hosts []remote.Host, owner string, timeout time.Duration) (release func(), err error) {
	var held []net.Conn
	release = func() {
		for _, conn := range held {
			_ = conn.Close()
		}
	}
	for _, host := range hosts {
		conn, err := lockHost(ctx, host, owner, timeout)
		if err != nil {
			release()
			return nil, err
		}
		held = append(held, conn)
	}
	return release, nil
}

func lockHost(ctx context.Context, host remote.Host, owner string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, err := host.Pipe(ctx, remote.Script(lockScript, owner))
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	answer, err := readLine(conn, deadline)
	if err == nil && answer == "locked" {
		return conn, conn.SetReadDeadline(time.Time{})
	}
	_ = conn.Close()
	if by, ok := strings.CutPrefix(answer, "held "); ok {
		return nil, &cluster.Refusal{Risks: []cluster.Risk{{
			Evidence: fmt.Sprintf("another pgctl is at work on this region: %s (lock on %s)", by, host.Name()), Hint: "wait until it has ended",
		}}}
	}
	return nil, errors.Join(fmt.Errorf("%s: the region's lock cannot be taken, it said %q", host.Name(), answer), err)
}

func readLine(conn net.Conn, deadline time.Time) (string, error) {
	if err := conn.SetReadDeadline(deadline); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSpace(line), err
}
