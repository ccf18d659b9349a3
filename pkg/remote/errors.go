package remote

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ExitError is returned when a command ran and ended with a code other than 0.
type ExitError struct {
	Host string
	// Args is the command as the caller gave it.
	Args []string
	// Code is the exit code; 128 plus the signal for a command that was killed.
	Code int
	// Stderr is the whole standard error of the command; Error shows its
	// beginning. Of a Pipe it is the first 64 KiB.
	Stderr []byte
}

// Error is one line: host, command, code and the beginning of standard error.
func (e *ExitError) Error() string {
	s := fmt.Sprintf("%s: %s: exit code %d", e.Host, describe(e.Args), e.Code)
	if text := shorten(string(e.Stderr), shortOutput); text != "" {
		s += ": " + text
	}
	return s
}

// Interrupted is returned when the context ended while a command was running.
// The command may have done its work or still be at it.
type Interrupted struct {
	Host string
	Args []string
	// Waited is how long the command had been given.
	Waited time.Duration
	// Stderr is the standard error up to then.
	Stderr []byte
	// Cause is the error of the context.
	Cause error
}

// Error is one line: host, command, how long was waited, and the beginning of
// standard error.
func (e *Interrupted) Error() string {
	s := fmt.Sprintf("%s: %s did not end within %s", e.Host, describe(e.Args), round(e.Waited))
	if errors.Is(e.Cause, context.Canceled) {
		s = fmt.Sprintf("%s: %s: interrupted", e.Host, describe(e.Args))
	}
	if text := shorten(string(e.Stderr), shortOutput); text != "" {
		s += ": " + text
	}
	return s
}

// Unwrap gives the error of the context.
func (e *Interrupted) Unwrap() error { return e.Cause }

// Unreachable is returned when a host cannot be reached, or was lost.
type Unreachable struct {
	Host string
	// Cause is the error below, for errors.Is and errors.As.
	Cause error
	// Message is one sentence for the operator, beginning with the host.
	Message string
	// Hint is a remedy.
	Hint string
}

// Error is the sentence for the operator, without the hint.
func (e *Unreachable) Error() string { return e.Message }

// Unwrap gives the cause.
func (e *Unreachable) Unwrap() error { return e.Cause }

// DialError is returned by Dial when the host is reachable but the address is
// not, as seen from it. An OpenSSH server gives the same answer for a socket
// nobody listens on and for a forwarding it does not know or allow, so whoever
// can reach the address another way should try that.
type DialError struct {
	Host, Network, Addr string
	Cause               error
	// Refused: the machine at the address is there, and answered that nobody listens.
	Refused bool
	// Forbidden: sshd of the host does not allow the forwarding (AllowTcpForwarding), so the address was not tried.
	Forbidden bool
}

// Error is one line: host, address and cause.
func (e *DialError) Error() string {
	return fmt.Sprintf("%s: cannot connect to %s from there: %v", e.Host, e.Addr, e.Cause)
}

// Unwrap gives the cause.
func (e *DialError) Unwrap() error { return e.Cause }

// describe gives a command, shortened, for a message.
func describe(args []string) string {
	if len(args) > 2 && args[0] == "/bin/sh" && args[1] == "-c" {
		args = append([]string{"sh", "-c"}, args[2:]...)
	}
	return shorten(commandLine(args), shortCommand)
}

// round gives a duration as an operator says it.
func round(d time.Duration) time.Duration {
	switch {
	case d >= 10*time.Second:
		return d.Round(time.Second)
	case d >= time.Second:
		return d.Round(100 * time.Millisecond)
	default:
		return d.Round(50 * time.Millisecond)
	}
}
