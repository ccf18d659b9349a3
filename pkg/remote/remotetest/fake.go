package remotetest

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/pgctl/pgctl/pkg/remote"
)

// Step is one command that a Fake expects, and the answer to it.
type Step struct {
	// Command is the arguments joined by single blanks, as a whole. Where it is
	// empty, Contains is a part of that.
	Command, Contains string
	// Stdin, where set, must be the input.
	Stdin string

	Stdout, Stderr string
	Code           int   // not 0 gives a *remote.ExitError
	Err            error // given as it is
}

// Fake is a host without a machine. It expects the commands of Expect in their
// order; one that is not expected fails the test, and so does one that did not
// come. It is safe for concurrent use.
type Fake struct {
	// RunFunc, where set, answers the commands when no Step is left.
	RunFunc func(ctx context.Context, cmd remote.Command) (remote.Result, error)
	// PipeFunc and DialFunc answer Pipe and Dial, which are unexpected without.
	PipeFunc func(ctx context.Context, cmd remote.Command) (net.Conn, error)
	DialFunc func(ctx context.Context, network, addr string) (net.Conn, error)
	// Err, where set, is what everything gives: an *remote.Unreachable, say.
	Err error

	t    testing.TB
	name string

	mu    sync.Mutex
	steps []Step
	ran   []string
}

// NewFake is a Fake that expects nothing.
func NewFake(t testing.TB, name string) *Fake {
	f := &Fake{t: t, name: name}
	t.Cleanup(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, step := range f.steps {
			t.Errorf("%s: expected command did not come: %s", name, step.what())
		}
	})
	return f
}

// Expect adds commands to those that are expected, and gives f.
func (f *Fake) Expect(steps ...Step) *Fake {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.steps = append(f.steps, steps...)
	return f
}

// Ran are the commands that came, their arguments joined by blanks.
func (f *Fake) Ran() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.ran...)
}

// Name is the name given to NewFake.
func (f *Fake) Name() string { return f.name }

// Run answers the next expected command.
func (f *Fake) Run(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	line := strings.Join(cmd.Args, " ")
	f.mu.Lock()
	f.ran = append(f.ran, line)
	if err := f.ended(ctx); err != nil {
		f.mu.Unlock()
		return remote.Result{}, err
	}
	if len(f.steps) == 0 {
		f.mu.Unlock()
		if f.RunFunc != nil {
			return f.RunFunc(ctx, cmd)
		}
		return remote.Result{}, f.unexpected("command %s", line)
	}
	step := f.steps[0]
	f.steps = f.steps[1:]
	f.mu.Unlock()

	if !step.matches(line) {
		return remote.Result{}, f.unexpected("command %s, in place of %s", line, step.what())
	}
	if err := f.checkInput(step, cmd); err != nil {
		return remote.Result{}, err
	}
	result := remote.Result{Stdout: []byte(step.Stdout), Stderr: []byte(step.Stderr)}
	switch {
	case step.Err != nil:
		return result, step.Err
	case step.Code != 0:
		return result, &remote.ExitError{Host: f.name, Args: cmd.Args, Code: step.Code, Stderr: result.Stderr}
	default:
		return result, nil
	}
}

// checkInput reads the input of a command to its end.
func (f *Fake) checkInput(step Step, cmd remote.Command) error {
	if cmd.Stdin == nil && step.Stdin == "" {
		return nil
	}
	var data []byte
	if cmd.Stdin != nil {
		var err error
		if data, err = io.ReadAll(cmd.Stdin); err != nil {
			return err
		}
	}
	if step.Stdin != "" && step.Stdin != string(data) {
		return f.unexpected("input %q of %s, in place of %q", data, step.what(), step.Stdin)
	}
	return nil
}

// Pipe is PipeFunc.
func (f *Fake) Pipe(ctx context.Context, cmd remote.Command) (net.Conn, error) {
	if err := f.ended(ctx); err != nil {
		return nil, err
	}
	if f.PipeFunc == nil {
		return nil, f.unexpected("pipe to %s", strings.Join(cmd.Args, " "))
	}
	return f.PipeFunc(ctx, cmd)
}

// Dial is DialFunc.
func (f *Fake) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if err := f.ended(ctx); err != nil {
		return nil, err
	}
	if f.DialFunc == nil {
		return nil, f.unexpected("dial of %s %s", network, addr)
	}
	return f.DialFunc(ctx, network, addr)
}

// ended is the error of a host that is not there, or of a context that ended.
func (f *Fake) ended(ctx context.Context) error {
	if f.Err != nil {
		return f.Err
	}
	return ctx.Err()
}

// unexpected fails the test and gives the error for the caller.
func (f *Fake) unexpected(format string, args ...any) error {
	err := fmt.Errorf("%s: unexpected %s", f.name, fmt.Sprintf(format, args...))
	f.t.Error(err)
	return err
}

func (s Step) matches(line string) bool {
	if s.Command != "" {
		return line == s.Command
	}
	return strings.Contains(line, s.Contains)
}

func (s Step) what() string {
	if s.Command != "" {
		return s.Command
	}
	return "... " + s.Contains + " ..."
}
