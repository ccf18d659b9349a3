package watch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// The limits of telling: how many events wait, how long the program may take for one, how much of what it prints is kept, and how long an
// ending watcher waits for it.
const (
	tellQueue  = 64
	tellLimit  = 10 * time.Second
	tellOutput = 2 << 10
	tellEnd    = 3 * time.Second
)

// teller hands events to the program of watch.notify: one after the other, each as JSON on its standard input. It never holds up who tells.
type teller struct {
	program string
	limit   time.Duration
	log     *slog.Logger

	queue   chan Event
	untold  atomic.Int64           // dropped since the last event that arrived
	dropped atomic.Int64           // ever
	failed  atomic.Int64           // ever: handed over, and the program did not end well
	problem atomic.Pointer[string] // of the last one; nil none
	ended   chan struct{}
	kill    context.CancelFunc
}

func newTeller(program string, limit time.Duration, log *slog.Logger) *teller {
	ctx, kill := context.WithCancel(context.Background())
	t := &teller{program: program, limit: limit, log: log, queue: make(chan Event, tellQueue), ended: make(chan struct{}), kill: kill}
	go t.run(ctx)
	return t
}

// tell puts an event in the queue; where that is full it is dropped, and counted.
func (t *teller) tell(e Event) {
	select {
	case t.queue <- e:
	default:
		t.untold.Add(1)
		t.dropped.Add(1)
	}
}

func (t *teller) run(ctx context.Context) {
	defer close(t.ended)
	for e := range t.queue {
		e.Dropped = t.untold.Swap(0)
		output, err := t.hand(ctx, e)
		if err != nil {
			t.untold.Add(e.Dropped)
			t.failed.Add(1)
			text := fmt.Sprintf("%s: %s", t.program, problem(err))
			t.problem.Store(&text)
		} else {
			t.problem.Store(nil)
		}
		if err != nil || output != "" {
			t.log.Info("notify", "event", e.Kind, "output", output, "error", problem(err))
		}
	}
}

// hand runs the program for one event. It is killed at the limit with all of its process group, and so is what it leaves behind that keeps its
// output open.
func (t *teller) hand(ctx context.Context, e Event) (output string, err error) {
	text, err := json.Marshal(e)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, t.limit)
	defer cancel()
	var out clipped
	cmd := exec.CommandContext(ctx, t.program)
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = "/", strings.NewReader(string(text)+"\n"), &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	err = cmd.Run()
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		err = fmt.Errorf("it did not end within %s and was killed", t.limit)
	case ctx.Err() != nil:
		err = errors.New("it was killed, as the watcher ends")
	case errors.Is(err, exec.ErrWaitDelay):
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		err = errors.New("it left processes behind that keep its output open: they were killed")
	}
	return out.String(), err
}

// close has what is in the queue told, for as long as the limit says.
func (t *teller) close(limit time.Duration) {
	if t == nil {
		return
	}
	close(t.queue)
	select {
	case <-t.ended:
	case <-time.After(limit):
		t.kill()
		<-t.ended
	}
	t.kill()
}

// fault says what is wrong with the program; "" nothing.
func (t *teller) fault() string {
	if t == nil {
		return ""
	}
	if text := t.problem.Load(); text != nil {
		return *text
	}
	return ""
}

// clipped keeps the beginning of what is written to it.
type clipped struct {
	text []byte
	cut  bool
}

// Write takes everything.
func (c *clipped) Write(p []byte) (int, error) {
	room := max(0, tellOutput-len(c.text))
	c.cut = c.cut || len(p) > room
	c.text = append(c.text, p[:min(len(p), room)]...)
	return len(p), nil
}

// String is what was kept, and whether that is all.
func (c *clipped) String() string {
	text := strings.TrimSpace(strings.ToValidUTF8(string(c.text), "?"))
	if c.cut {
		text += " ..."
	}
	return text
}
