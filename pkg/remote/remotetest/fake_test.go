package remotetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/pgctl/pgctl/pkg/remote"
)

// recorder is a test that notes its failures.
type recorder struct {
	testing.TB
	failures []string
	cleanups []func()
}

func (r *recorder) Error(args ...any) { r.failures = append(r.failures, fmt.Sprint(args...)) }
func (r *recorder) Errorf(format string, args ...any) {
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}
func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }

func (r *recorder) end() string {
	for _, f := range r.cleanups {
		f()
	}
	return strings.Join(r.failures, "\n")
}

func TestFakeAnswersInOrder(t *testing.T) {
	r := &recorder{TB: t}
	f := NewFake(r, "db1").Expect(
		Step{Command: "uptime", Stdout: "up"},
		Step{Contains: "pg_ctl", Stdin: "in", Code: 3, Stderr: "no"},
	)
	if out, err := f.Run(t.Context(), remote.Command{Args: []string{"uptime"}}); err != nil || string(out.Stdout) != "up" {
		t.Errorf("%s, %v", out.Stdout, err)
	}
	_, err := f.Run(t.Context(), remote.Command{Args: []string{"pg_ctl", "stop"}, Stdin: strings.NewReader("in")})
	var exit *remote.ExitError
	if !errors.As(err, &exit) || err.Error() != "db1: pg_ctl stop: exit code 3: no" {
		t.Errorf("%v", err)
	}
	if got := r.end(); got != "" {
		t.Errorf("failures: %s", got)
	}
}

func TestFakeFailsTheTest(t *testing.T) {
	for want, use := range map[string]func(f *Fake){
		"db1: unexpected command rm -rf /":                         func(f *Fake) { run(f, "rm", "-rf", "/") },
		"db1: unexpected command reboot, in place of uptime":       func(f *Fake) { f.Expect(Step{Command: "uptime"}); run(f, "reboot") },
		"db1: expected command did not come: uptime":               func(f *Fake) { f.Expect(Step{Command: "uptime"}) },
		"db1: unexpected dial of tcp db:1":                         func(f *Fake) { _, _ = f.Dial(context.Background(), "tcp", "db:1") },
		"db1: unexpected pipe to cat":                              func(f *Fake) { _, _ = f.Pipe(context.Background(), remote.Command{Args: []string{"cat"}}) },
		`db1: unexpected input "" of psql, in place of "select 1"`: func(f *Fake) { f.Expect(Step{Command: "psql", Stdin: "select 1"}); run(f, "psql") },
	} {
		r := &recorder{TB: t}
		use(NewFake(r, "db1"))
		if got := r.end(); got != want {
			t.Errorf("got %s\nwant %s", got, want)
		}
	}
}

func run(f *Fake, args ...string) {
	_, _ = f.Run(context.Background(), remote.Command{Args: args})
}
