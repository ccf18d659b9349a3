package remote

import (
	"maps"
	"os"
	"slices"
	"sync"
)

// Options says how hosts are reached. The zero value is what ssh(1) of the user
// would do, as root.
type Options struct {
	// User, Port and IdentityFiles override ~/.ssh/config. Without either the
	// user is root, the port 22 and the keys ~/.ssh/id_ed25519, id_ecdsa, id_rsa.
	User          string
	Port          int
	IdentityFiles []string
	// ConfigFile is read in place of ~/.ssh/config and /etc/ssh/ssh_config.
	ConfigFile string
	// Home is the folder that ~ stands for; empty is the user's.
	Home string
	// KnownHostsFiles override those of ~/.ssh/config. Without either they are
	// ~/.ssh/known_hosts and /etc/ssh/ssh_known_hosts. One that does not exist
	// knows no host.
	KnownHostsFiles []string
	// AcceptNewHostKeys writes the key of a host never seen before to the first
	// of the known hosts files. A changed key is never accepted.
	AcceptNewHostKeys bool
	// AgentSocket is the socket of the SSH agent; empty is IdentityAgent of the
	// configuration, else $SSH_AUTH_SOCK.
	AgentSocket string
	// LocalName is the name of this machine, which is not reached over SSH;
	// empty is os.Hostname.
	LocalName string
	// NoSudo runs commands as the login user, also when that is not root.
	NoSudo bool
	// Log is called once for every command, in its final form on one line and
	// without its standard input, before it is started. It may be called from
	// several goroutines at once.
	Log func(host, command string)
}

// Pool holds the connections to the hosts. It is safe for concurrent use.
type Pool struct {
	opts     Options
	config   *sshConfig
	hostKeys hostKeys
	agents   agents
	keyFiles cache[keyFile]

	mu     sync.Mutex
	hosts  map[string]Host
	links  map[string]*link
	closed bool
}

// NewPool is a Pool that has connected to nothing yet.
func NewPool(opts Options) *Pool {
	if opts.LocalName == "" {
		opts.LocalName, _ = os.Hostname()
	}
	return &Pool{
		opts:     opts,
		config:   newSSHConfig(opts),
		hostKeys: hostKeys{acceptNew: opts.AcceptNewHostKeys},
		hosts:    make(map[string]Host),
		links:    make(map[string]*link),
	}
}

// Host gives the host of that name. The connection is made on first use, shared
// by all its users, and made again when it has died. The name of this machine
// gives this machine, without SSH.
func (p *Pool) Host(name string) Host {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.hosts[name]
	switch {
	case h != nil:
		return h
	case name == p.opts.LocalName && name != "":
		h = &localHost{name: name, sudo: os.Geteuid() != 0 && !p.opts.NoSudo, log: p.log}
	default:
		h = &sshHost{pool: p, name: name}
	}
	p.hosts[name] = h
	return h
}

// link gives the one link to a target.
func (p *Pool) link(t *target) *link {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := t.key()
	l := p.links[key]
	if l == nil {
		l = &link{target: t, dial: p.connect, closed: p.closed}
		p.links[key] = l
	}
	return l
}

// log passes a command on to Options.Log.
func (p *Pool) log(host string, argv []string) {
	if p.opts.Log != nil {
		p.opts.Log(host, logLine(argv))
	}
}

// Close ends all connections, also those in use. Hosts of the Pool then give
// errors.
func (p *Pool) Close() error {
	p.mu.Lock()
	p.closed = true
	links := slices.Collect(maps.Values(p.links))
	p.mu.Unlock()
	for _, l := range links {
		l.close()
	}
	p.agents.close()
	return nil
}
