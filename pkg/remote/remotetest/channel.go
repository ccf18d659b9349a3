package remotetest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/pgctl/pgctl/pkg/remote"
)

// channel serves one channel that the client opens.
func (s *Server) channel(c ssh.NewChannel, sessions *atomic.Int32) {
	if s.hangs(HangOpen) {
		return
	}
	switch c.ChannelType() {
	case "session":
		if n := sessions.Add(1); s.config.MaxSessions > 0 && int(n) > s.config.MaxSessions {
			sessions.Add(-1)
			_ = c.Reject(ssh.ConnectionFailed, "open failed")
			return
		}
		if channel, requests, err := c.Accept(); err == nil {
			s.session(channel, requests)
			sessions.Add(-1) // before the client hears that the session has ended
			channel.Close()
		}
	case "direct-tcpip":
		var to struct {
			Host       string
			Port       uint32
			OriginHost string
			OriginPort uint32
		}
		if ssh.Unmarshal(c.ExtraData(), &to) == nil {
			forward(c, s.config.NoTCP, "tcp", net.JoinHostPort(to.Host, strconv.Itoa(int(to.Port))))
		}
	case "direct-streamlocal@openssh.com":
		var to struct {
			Path, Origin string
			OriginPort   uint32
		}
		if ssh.Unmarshal(c.ExtraData(), &to) == nil {
			forward(c, s.config.NoStreamLocal, "unix", to.Path)
		}
	default:
		_ = c.Reject(ssh.UnknownChannelType, "open failed")
	}
}

// forward joins the channel with an address.
func forward(c ssh.NewChannel, off bool, network, addr string) {
	if off {
		_ = c.Reject(ssh.Prohibited, "open failed")
		return
	}
	there, err := net.Dial(network, addr)
	if err != nil {
		_ = c.Reject(ssh.ConnectionFailed, "Connection refused")
		return
	}
	defer there.Close()
	channel, requests, err := c.Accept()
	if err != nil {
		return
	}
	defer channel.Close()
	go ssh.DiscardRequests(requests)
	go func() {
		_, _ = io.Copy(there, channel)
		if half, ok := there.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	}()
	_, _ = io.Copy(channel, there)
}

// session runs the one command of a session.
func (s *Server) session(channel ssh.Channel, requests <-chan *ssh.Request) {
	for r := range requests {
		var exec struct{ Command string }
		if r.Type != "exec" || ssh.Unmarshal(r.Payload, &exec) != nil {
			_ = r.Reply(false, nil)
			continue
		}
		s.mu.Lock()
		s.commands = append(s.commands, strings.TrimPrefix(exec.Command, remote.MarkCommand))
		s.mu.Unlock()
		if s.hangs(HangExec) {
			return
		}
		_ = r.Reply(true, nil)
		if s.hangs(HangOutput) {
			return
		}
		go ssh.DiscardRequests(requests)
		time.Sleep(s.config.Delay)
		line, marked := strings.CutPrefix(exec.Command, remote.MarkCommand)
		if marked {
			_, _ = io.WriteString(channel, s.config.Greeting+remote.Mark)
		}
		code := s.config.Handler(line, channel, channel, channel.Stderr())
		_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Code uint32 }{uint32(code)}))
		return
	}
}

// RunShell is the Handler that runs the command by /bin/sh on this machine.
func RunShell(cmd string, stdin io.Reader, stdout, stderr io.Writer) int {
	c := exec.Command("/bin/sh", "-c", cmd)
	c.Stdout, c.Stderr = stdout, stderr
	input, err := c.StdinPipe()
	if err != nil {
		return 255
	}
	if err := c.Start(); err != nil {
		return 127
	}
	go func() {
		_, _ = io.Copy(input, stdin)
		_ = input.Close()
	}()
	err = c.Wait()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.ExitCode() < 0:
		return 255
	case errors.As(err, &exit):
		return exit.ExitCode()
	case err != nil:
		return 255
	default:
		return 0
	}
}

// Echo is the Handler that prints the command line and its input.
func Echo(cmd string, stdin io.Reader, stdout, _ io.Writer) int {
	var input bytes.Buffer
	_, _ = io.Copy(&input, stdin)
	_, _ = io.WriteString(stdout, cmd+"\n"+input.String())
	return 0
}
