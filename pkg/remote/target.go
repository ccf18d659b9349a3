package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	defaultUser = "root"
	defaultPort = 22
	// maxHops bounds a chain of jump hosts, so that a circle of them ends.
	maxHops = 8
)

// target is one SSH server and how to log in there.
type target struct {
	name           string // as the operator calls it
	host           string // to connect to
	port           int
	user           string
	hostKeyAlias   string
	identities     []identity
	identitiesOnly bool
	agent          string // socket; empty is none
	knownHosts     []string
	via            *target // the jump host; nil is none
}

// identity is one private key file.
type identity struct {
	path      string
	byDefault bool // nobody asked for it, so it may be missing
}

// addr is where t is connected to.
func (t *target) addr() string { return net.JoinHostPort(t.host, strconv.Itoa(t.port)) }

// hostKeyAddr is what known hosts files call t.
func (t *target) hostKeyAddr() string {
	if t.hostKeyAlias != "" {
		return net.JoinHostPort(t.hostKeyAlias, strconv.Itoa(defaultPort))
	}
	return net.JoinHostPort(strings.ToLower(t.host), strconv.Itoa(t.port))
}

// key tells targets that can share a connection from those that cannot.
func (t *target) key() string {
	key := fmt.Sprintf("%s@%s %s", t.user, t.name, t.addr())
	if t.via != nil {
		key = t.via.key() + " > " + key
	}
	return key
}

// hop is one host as a user names it: [user@]host[:port].
type hop struct {
	user, name string
	port       int
}

// parseHop reads one element of ProxyJump.
func parseHop(s string) (hop, error) {
	rest := strings.TrimPrefix(strings.TrimSpace(s), "ssh://")
	var h hop
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		h.user, rest = rest[:i], rest[i+1:]
	}
	h.name = strings.TrimSuffix(strings.TrimPrefix(rest, "["), "]")
	if host, port, err := net.SplitHostPort(rest); err == nil {
		h.name = host
		if h.port, err = parsePort(port); err != nil {
			return hop{}, fmt.Errorf("jump host %q: %w", s, err)
		}
	}
	if err := checkName(h.name); err != nil {
		return hop{}, fmt.Errorf("jump host %q: %w", s, err)
	}
	return h, nil
}

func parsePort(s string) (int, error) {
	port, err := strconv.Atoi(s)
	if err != nil || port < 1 || port > 65535 {
		return 0, fmt.Errorf("port %q is not a number from 1 to 65535", s)
	}
	return port, nil
}

// checkName refuses what is no host name and might be taken for something else.
func checkName(name string) error {
	if name == "" || strings.HasPrefix(name, "-") || strings.Trim(name, alphanumeric+"._:%-") != "" {
		return fmt.Errorf("%q is not a host name", name)
	}
	return nil
}

// resolve finds out how to reach the host of that name.
func (p *Pool) resolve(ctx context.Context, name string) (*target, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	return p.resolveHop(ctx, hop{name: name, user: p.opts.User, port: p.opts.Port}, 0, nil, false)
}

// resolveHop resolves one host: what h says, then the configuration, then the
// defaults. A jump host that follows another in a list is reached through that
// one (via), whatever its own configuration says; for the rest it is a host like
// any other, except that Options.Port is not meant for it.
func (p *Pool) resolveHop(ctx context.Context, h hop, depth int, via *target, listed bool) (*target, error) {
	if depth > maxHops {
		return nil, fmt.Errorf("more than %d jump hosts: is there a circle in ProxyJump?", maxHops)
	}
	set, err := p.config.settings(ctx, h.name)
	if err != nil {
		return nil, err
	}
	t := &target{name: h.name, via: via}
	t.user = firstOf(h.user, set.get("User"), p.opts.User, defaultUser)
	t.port = h.port
	if text := set.get("Port"); t.port == 0 && text != "" {
		if t.port, err = parsePort(text); err != nil {
			return nil, err
		}
	}
	if t.port == 0 {
		t.port = defaultPort
	}
	t.host = h.name
	if text := set.get("HostName"); text != "" {
		t.host = strings.NewReplacer("%%", "%", "%h", h.name, "%n", h.name).Replace(text)
	}
	t.hostKeyAlias = set.get("HostKeyAlias")
	t.identitiesOnly = set.get("IdentitiesOnly") == "yes"
	t.agent = p.agentSocket(set, t)
	t.identities = p.identities(set, t, depth > 0)
	t.knownHosts = p.knownHosts(set, t)
	if !listed {
		if t.via, err = p.jump(ctx, set, t, depth); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// jump gives the last of the jump hosts in front of t, nil where there is none.
func (p *Pool) jump(ctx context.Context, set settings, t *target, depth int) (*target, error) {
	list := set.get("ProxyJump")
	if list == "" || list == "none" {
		if command := set.get("ProxyCommand"); list == "" && command != "" && command != "none" {
			return nil, errors.New("the SSH configuration reaches it by a ProxyCommand, which is not supported: use ProxyJump")
		}
		return nil, nil
	}
	var via *target
	for i, text := range strings.Split(list, ",") {
		h, err := parseHop(p.config.expand(text, t))
		if err != nil {
			return nil, err
		}
		if via, err = p.resolveHop(ctx, h, depth+1+i, via, i > 0); err != nil {
			return nil, err
		}
	}
	return via, nil
}

// identities gives the key files for t. Of a jump host the configuration comes
// first, for the options are about the hosts behind it.
func (p *Pool) identities(set settings, t *target, isJump bool) []identity {
	var configured []string
	for _, file := range set.all("IdentityFile") {
		if file != "none" {
			configured = append(configured, p.config.expand(file, t))
		}
	}
	var own []string
	for _, file := range p.opts.IdentityFiles {
		own = append(own, p.config.expand(file, t))
	}
	switch {
	case isJump:
		own = append(configured, own...)
	case len(own) == 0:
		own = configured
	}
	defaults := []string{"id_ed25519", "id_ecdsa", "id_rsa"}
	var identities []identity
	for _, path := range own {
		// ssh -G lists the defaults as if they had been configured.
		usual := filepath.Dir(path) == filepath.Join(p.config.home, ".ssh") && strings.HasPrefix(filepath.Base(path), "id_")
		identities = append(identities, identity{path, usual && p.config.bySSH()})
	}
	if len(own) == 0 && len(set.all("IdentityFile")) == 0 {
		for _, name := range defaults {
			identities = append(identities, identity{filepath.Join(p.config.home, ".ssh", name), true})
		}
	}
	return identities
}

func (p *Pool) agentSocket(set settings, t *target) string {
	if p.opts.AgentSocket != "" {
		return p.opts.AgentSocket
	}
	switch text := set.get("IdentityAgent"); {
	case text == "none":
		return ""
	case text == "" || text == "SSH_AUTH_SOCK":
		return os.Getenv("SSH_AUTH_SOCK")
	case strings.HasPrefix(text, "$") && !strings.HasPrefix(text, "${"):
		return os.Getenv(text[1:])
	default:
		return p.config.expand(text, t)
	}
}

func (p *Pool) knownHosts(set settings, t *target) []string {
	if len(p.opts.KnownHostsFiles) > 0 {
		return slices.Clone(p.opts.KnownHostsFiles)
	}
	own := firstOf(set.get("UserKnownHostsFile"), "~/.ssh/known_hosts ~/.ssh/known_hosts2")
	global := firstOf(set.get("GlobalKnownHostsFile"), "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2")
	var files []string
	for _, file := range append(words(own), words(global)...) {
		if file != "none" {
			files = append(files, p.config.expand(file, t))
		}
	}
	return files
}

// firstOf gives the first that is not empty.
func firstOf(values ...string) string {
	for _, value := range values {
		if value != "" {
			return value
		}
	}
	return ""
}

// userName is the name of the user who runs the program.
func userName() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return ""
}
