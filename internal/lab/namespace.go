package lab

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// namespace is a region's network, for connections of this process.
type namespace struct{ file *os.File }

func enterable(region string) (namespace, error) {
	file, err := os.Open(filepath.Join("/run/netns", netnsName(region)))
	if err != nil {
		return namespace{}, fmt.Errorf("network of region %s: %w", region, err)
	}
	return namespace{file}, nil
}

// Close does not close the connections that were made.
func (n namespace) Close() error { return n.file.Close() }

// dial connects to an IP address in the region's network. A socket belongs to the
// network in which its thread was when it was made. The thread ends with its
// goroutine, which stays locked to it, so nothing else is ever in that network.
func (n namespace) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result, 1)
	go func() {
		runtime.LockOSThread()
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- result{err: fmt.Errorf("enter the network of %s: %w", n.file.Name(), err)}
			return
		}
		dialer := net.Dialer{FallbackDelay: -1} // on this thread, not at once on others
		conn, err := dialer.DialContext(ctx, network, addr)
		done <- result{conn, err}
	}()
	r := <-done
	return r.conn, r.err
}
