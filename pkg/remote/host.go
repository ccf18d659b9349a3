package remote

import (
	"context"
	"net"
)

// Host is one machine of the site, reached over SSH or the machine the program
// runs on. It is safe for concurrent use.
type Host interface {
	// Name is the name of the host in the inventory.
	Name() string

	// Run runs the command to its end. An exit code other than 0 gives an
	// *ExitError, a host that cannot be reached an *Unreachable, a context that
	// ends first an *Interrupted. The Result holds what was printed so far, also
	// beside an error.
	Run(ctx context.Context, cmd Command) (Result, error)

	// Pipe starts the command and gives its standard input and output as a
	// connection. The context bounds the start alone. Close ends the command,
	// deadlines work, CloseWrite (by type assertion) ends its input. When the
	// command ends with an exit code other than 0, Read gives an *ExitError with
	// its standard error in place of io.EOF.
	Pipe(ctx context.Context, cmd Command) (net.Conn, error)

	// Dial connects to an address as seen from the host: network "tcp" with
	// host:port, or "unix" with the path of a socket. RemoteAddr of the
	// connection is the address as it was given. The context bounds the dial
	// alone. A reachable host that cannot connect gives a *DialError.
	Dial(ctx context.Context, network, addr string) (net.Conn, error)
}
