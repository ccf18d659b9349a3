package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
)

// stage is how far the making of a connection has come.
type stage int

const (
	stagePrepare stage = iota // reading keys, asking the agent
	stageConnect              // TCP, or the channel through a jump host
	stageGreet                // connected; nothing received yet
	stageKeys                 // greeted; exchanging keys
	stageLogin                // the host has proven its key
)

// progress is how far the making of a connection has come, for the sentence that
// says why it failed. It is written by the attempt and read by those who waited.
type progress struct {
	target *target

	mu      sync.Mutex
	stage   stage
	addr    string // host:port, with the IP address once that is known
	hop     *progress
	hostKey error
	creds   credentials
}

func newProgress(t *target) *progress { return &progress{target: t, addr: t.addr()} }

// reach notes that a stage has begun.
func (p *progress) reach(s stage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stage = max(p.stage, s)
}

// waitFor notes that the connection of a jump host is waited for.
func (p *progress) waitFor(hop *progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hop = hop
}

// set changes p under its lock.
func (p *progress) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

// say makes the error of this target.
func (p *progress) say(cause error, hint, format string, args ...any) *Unreachable {
	return &Unreachable{
		Host: p.target.name, Cause: cause, Hint: hint,
		Message: p.target.name + ": " + fmt.Sprintf(format, args...),
	}
}

// throughHop makes the error of this target from that of its jump host.
func throughHop(t *target, err error) *Unreachable {
	var hop *Unreachable
	if !errors.As(err, &hop) {
		hop = &Unreachable{Message: t.via.name + ": " + err.Error(), Hint: "look at the jump host"}
	}
	return &Unreachable{Host: t.name, Cause: err, Hint: hop.Hint, Message: t.name + ": jump host " + hop.Message}
}

// late says what was still missing when the time was over.
func (p *progress) late(cause error, waited time.Duration) *Unreachable {
	p.mu.Lock()
	defer p.mu.Unlock()
	if errors.Is(cause, context.Canceled) {
		return p.say(cause, "run it again", "interrupted while connecting to %s", p.addr)
	}
	if p.hop != nil && p.stage < stageConnect {
		return throughHop(p.target, p.hop.late(cause, waited))
	}
	after := round(waited)
	switch p.stage {
	case stagePrepare:
		return p.say(cause, "does the SSH agent answer? ssh-add -l", "the SSH agent gave no keys within %s", after)
	case stageConnect:
		return p.say(cause, "is the host up, and does a firewall drop the packets? try ping and the console", "no answer from %s within %s", p.addr, after)
	case stageGreet:
		return p.say(cause, "it may hang (disk, memory) or sshd may be overloaded: look at its console", "%s accepts connections but sent no SSH greeting within %s", p.addr, after)
	case stageKeys:
		return p.say(cause, "it may be overloaded, or the network path may drop large packets (MTU)", "the SSH key exchange with %s did not end within %s", p.addr, after)
	default:
		return p.say(cause, "it may hang in PAM, DNS (UseDNS) or a home directory; or the agent waits for a confirmation", "the login as %s at %s did not end within %s", p.target.user, p.addr, after)
	}
}

// failed says why the connection could not be made.
func (p *progress) failed(err error) *Unreachable {
	p.mu.Lock()
	defer p.mu.Unlock()
	var own *Unreachable
	if errors.As(err, &own) {
		return own
	}
	if p.stage <= stageConnect {
		return p.notConnected(err)
	}
	var problem *hostKeyProblem
	if errors.As(p.hostKey, &problem) {
		return p.say(err, problem.hint, "%s", problem.message)
	}
	var none *ssh.AlgorithmNegotiationError
	switch {
	case errors.As(err, &none) && none.What == "host key":
		return p.say(err, fmt.Sprintf("if the host was installed anew, compare its fingerprint, then: ssh-keygen -R %s", quote(p.target.name)),
			"%s has no host key of a kind that it is known by: it offers %s", p.addr, strings.Join(none.RequestedAlgorithms, ", "))
	case errors.As(err, &none):
		return p.say(err, "its sshd is too old or too strict: look at its sshd_config",
			"no %s in common with %s, which offers %s", none.What, p.addr, strings.Join(none.RequestedAlgorithms, ", "))
	case p.stage == stageLogin && !hungUp(err):
		return p.notLetIn(err)
	case hungUp(err):
		return p.say(err, "sshd may be at its limit (MaxStartups) or refuse this address (fail2ban, hosts.deny): journalctl -u ssh",
			"%s closed the connection during the SSH handshake", p.addr)
	default:
		return p.say(err, "is it an SSH server?", "the SSH handshake with %s failed: %s", p.addr, plain(err))
	}
}

func (p *progress) notConnected(err error) *Unreachable {
	var dns *net.DNSError
	var op *net.OpError
	if errors.As(err, &op) && op.Addr != nil {
		p.addr = op.Addr.String()
	}
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return p.say(err, "add it to /etc/hosts, or HostName to ~/.ssh/config", "unknown host name %s", p.target.host)
	case errors.As(err, &dns):
		return p.say(err, "add it to /etc/hosts, or HostName to ~/.ssh/config, or see why the name server in /etc/resolv.conf is silent",
			"unknown host name %s: it is not in /etc/hosts, and no name server answered", p.target.host)
	case errors.Is(err, syscall.ECONNREFUSED):
		return p.say(err, "is sshd running on it? systemctl status ssh", "connection refused at %s", p.addr)
	case errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH):
		return p.say(err, "is the host up and in this network? ip route get", "no route to %s", p.addr)
	case errors.Is(err, syscall.ETIMEDOUT):
		return p.say(err, "is the host up, and does a firewall drop the packets? try ping and the console", "no answer from %s", p.addr)
	default:
		return p.say(err, "see ssh -v "+quote(p.target.name), "cannot connect to %s: %s", p.addr, plain(err))
	}
}

func (p *progress) notLetIn(err error) *Unreachable {
	tried, skipped := "no key, there is none", ""
	if len(p.creds.tried) > 0 {
		tried = strings.Join(p.creds.tried, ", ")
	}
	if len(p.creds.skipped) > 0 {
		skipped = "; skipped " + strings.Join(p.creds.skipped, ", ")
	}
	hint := fmt.Sprintf("add one of your public keys to authorized_keys of %s there (ssh-copy-id); load an encrypted key into the agent: ssh-add", p.target.user)
	if strings.Contains(err.Error(), "Too many authentication failures") {
		hint = "name the right key and set IdentitiesOnly yes in ~/.ssh/config: sshd gave up before it came to it"
	}
	return p.say(err, hint, "%s is not let in at %s (tried %s%s)", p.target.user, p.addr, tried, skipped)
}
