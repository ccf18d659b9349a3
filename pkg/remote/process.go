package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

const (
	// maxOutput bounds what Run keeps of each output of a command, in bytes. More
	// is an error, never cut off.
	maxOutput = 64 << 20
	// maxPipeStderr bounds what Pipe keeps of standard error, in bytes.
	maxPipeStderr = 64 << 10
)

// process is a started command, on this machine or over SSH. Its reads and
// writes may block until it is killed, over SSH even longer.
type process struct {
	stdin          io.WriteCloser // Close is the end of the input
	stdout, stderr io.Reader
	// kill ends the command, or at least the connection to it. It does not block
	// and may be called again.
	kill func()
	// done is closed once code and err are set.
	done chan struct{}
	code int
	// err says why there is no exit code.
	err error
}

// run waits for the end of the command, or of the context.
func (p *process) run(ctx context.Context, host string, cmd Command, waited func() time.Duration) (Result, error) {
	stdout, stderr := capture{limit: maxOutput}, capture{limit: maxOutput}
	failed := make(chan error, 3)
	var drained sync.WaitGroup
	drain := func(to *capture, from io.Reader) {
		if _, err := io.Copy(to, from); errors.Is(err, errTooMuch) {
			failed <- fmt.Errorf("%s: %s: %w", host, describe(cmd.Args), err)
		}
	}
	drained.Go(func() { drain(&stdout, p.stdout) })
	drained.Go(func() { drain(&stderr, p.stderr) })
	go func() {
		if err := p.feed(cmd.Stdin); err != nil {
			failed <- fmt.Errorf("%s: %s: its input: %w", host, describe(cmd.Args), err)
		}
	}()
	ended := make(chan struct{})
	go func() {
		drained.Wait()
		<-p.done
		close(ended)
	}()

	var err error
	select {
	case <-ended:
		select {
		case err = <-failed:
		default:
			err = p.result(host, cmd.Args, stderr.bytes())
		}
	case err = <-failed:
		p.kill()
	case <-ctx.Done():
		p.kill()
		err = &Interrupted{
			Host: host, Args: cmd.Args, Waited: waited(),
			Stderr: stderr.bytes(), Cause: ctx.Err(),
		}
	}
	return Result{Stdout: stdout.bytes(), Stderr: stderr.bytes()}, err
}

// feed copies the input to the command and closes its standard input. A command
// that stops reading is no error; an input that cannot be read is, and then the
// command is not told that its input has ended.
func (p *process) feed(input io.Reader) error {
	if input == nil {
		p.stdin.Close()
		return nil
	}
	buf := make([]byte, chunk)
	for {
		n, err := input.Read(buf)
		if n > 0 {
			if _, err := p.stdin.Write(buf[:n]); err != nil {
				p.stdin.Close()
				return nil
			}
		}
		if err == io.EOF {
			p.stdin.Close()
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// result is the error of a command that has ended; p.done is closed.
func (p *process) result(host string, args []string, stderr []byte) error {
	switch {
	case p.err != nil:
		return lost(host, args, p.err)
	case p.code == 0 && p.unmarked():
		return fmt.Errorf("%s: %s: %w", host, describe(args), errNoMark)
	case p.code != 0:
		return &ExitError{Host: host, Args: args, Code: p.code, Stderr: stderr}
	default:
		return nil
	}
}

// unmarked tells whether a command over SSH ended without having begun; its output has been read to the end.
func (p *process) unmarked() bool {
	marked, overSSH := p.stdout.(*afterMark)
	return overSSH && !marked.found.Load()
}

// pipe gives the input and output of the command as a connection.
func (p *process) pipe(host string, args []string) net.Conn {
	stderr := capture{limit: maxPipeStderr, cut: true}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		_, _ = io.Copy(&stderr, p.stderr)
	}()
	end := func() error {
		<-drained
		<-p.done
		return p.result(host, args, stderr.bytes())
	}
	here := address{"pipe", "pgctl"}
	there := address{"pipe", host + ": " + describe(args)}
	return newConn(stream{p.stdout, p.stdin, p.stdin.Close, p.kill, end}, here, there)
}

// errTooMuch is returned when a command prints more than maxOutput.
var errTooMuch = fmt.Errorf("it printed more than %d MiB", maxOutput>>20)

// capture keeps what is written to it; it may be looked at meanwhile.
type capture struct {
	limit int
	cut   bool // drop what is over the limit, in place of an error

	mu  sync.Mutex
	buf bytes.Buffer
}

func (c *capture) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	room := c.limit - c.buf.Len()
	if len(p) <= room {
		return c.buf.Write(p)
	}
	c.buf.Write(p[:room])
	if c.cut {
		return len(p), nil
	}
	return room, errTooMuch
}

func (c *capture) bytes() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.buf.Bytes())
}
