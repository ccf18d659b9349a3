package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// start starts a command. Where sshd takes fewer sessions than maxSessions the
// client learns it and waits for one of its own to end.
func (c *client) start(ctx context.Context, line string) (*process, error) {
	for {
		select {
		case c.slots <- struct{}{}:
		case <-c.dead:
			return nil, errNotSent
		case <-ctx.Done():
			return nil, &busy{commands: cap(c.slots), cause: ctx.Err()}
		}
		c.hold()
		p, err := within(ctx, c, func() (*process, error) { return c.open(line) })
		if !errors.Is(err, errShrunk) {
			return p, err
		}
	}
}

// open opens a session and starts line in it. It gives back the slot and the
// user of the client when the session has ended.
func (c *client) open(line string) (*process, error) {
	free := func() {
		<-c.slots
		c.drop()
	}
	channel, requests, err := c.ssh.OpenChannel("session", nil)
	var rejected *ssh.OpenChannelError
	switch {
	case errors.As(err, &rejected):
		c.drop()
		return nil, c.shrink(rejected)
	case err != nil:
		free()
		return nil, fmt.Errorf("%w: %w", errNotSent, err)
	}
	p := &process{
		stdin: input{channel}, stdout: &afterMark{from: channel}, stderr: channel.Stderr(),
		kill: sync.OnceFunc(func() { go channel.Close() }),
		done: make(chan struct{}),
	}
	go func() {
		defer free()
		defer close(p.done)
		p.code, p.err = exitStatus(requests)
	}()
	ok, err := channel.SendRequest("exec", true, ssh.Marshal(struct{ Command string }{MarkCommand + line}))
	if err == nil && !ok {
		err = errNoExec
	}
	if err != nil {
		p.kill()
		return nil, err
	}
	return p, nil
}

// shrink gives up a slot for a while after sshd rejected a session. The last one
// cannot be given up.
func (c *client) shrink(rejected *ssh.OpenChannelError) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused++
	if c.refused < cap(c.slots) {
		time.AfterFunc(refusedRest, c.grow)
		return errShrunk
	}
	return fmt.Errorf("%w: %s", errRefused, rejected.Message)
}

// grow takes back a slot that shrink gave up.
func (c *client) grow() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused--
	<-c.slots
}

// input is the standard input of a command over SSH.
type input struct{ channel ssh.Channel }

func (i input) Write(p []byte) (int, error) { return i.channel.Write(p) }
func (i input) Close() error                { return i.channel.CloseWrite() }

// exitStatus reads how the command of a session ended; requests ends with it.
func exitStatus(requests <-chan *ssh.Request) (code int, err error) {
	err = io.ErrUnexpectedEOF
	for r := range requests {
		switch r.Type {
		case "exit-status":
			var status struct{ Code uint32 }
			if ssh.Unmarshal(r.Payload, &status) == nil {
				code, err = int(status.Code), nil
			}
		case "exit-signal":
			var status struct {
				Signal        string
				Core          bool
				Message, Lang string
			}
			if ssh.Unmarshal(r.Payload, &status) == nil {
				code, err = 128+signalNumber(status.Signal), nil
			}
		}
		if r.WantReply {
			_ = r.Reply(false, nil)
		}
	}
	return code, err
}

// signalNumber is the number of a signal that SSH names without SIG.
func signalNumber(name string) int {
	return int(unix.SignalNum("SIG" + name))
}
