package watch

import (
	"context"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/pgctl/pgctl/pkg/postgres"
)

// directory is what this host knows of the others beside their reports: addresses, ports, and how a standby logs in. It is asked from
// actions as well as from the loop.
type directory struct {
	mu        sync.Mutex
	addresses map[string][]string // by host
	resolved  time.Duration
	resolving bool
	ports     map[string]int    // of PostgreSQL, by host
	login     postgres.ConnInfo // nil none known
	member    string            // of the data here
}

// resolveEvery is how long addresses are believed.
const resolveEvery = 30 * time.Second

func newDirectory() *directory {
	return &directory{addresses: map[string][]string{}, ports: map[string]int{}, resolved: longAgo}
}

// resolve looks the hosts up in the background when that was long ago. A name that cannot be resolved keeps its addresses.
func (d *directory) resolve(hosts []string, now time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.resolving || now-d.resolved < resolveEvery {
		return
	}
	d.resolving = true
	go func() {
		found := map[string][]string{}
		for _, host := range hosts {
			ctx, cancel := context.WithTimeout(context.Background(), lookLimit)
			if all, err := net.DefaultResolver.LookupHost(ctx, host); err == nil {
				found[host] = all
			}
			cancel()
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		maps.Copy(d.addresses, found)
		d.resolving, d.resolved = false, sinceBoot()
	}()
}

// hostOf is the host that an address is of; a name is looked up as it stands. "": nobody's.
func (d *directory) hostOf(address string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	for host, all := range d.addresses {
		if host == address || slices.Contains(all, address) {
			return host
		}
	}
	return ""
}

func (d *directory) addressesOf(host string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.addresses[host])
}

func (d *directory) setPort(host string, port int) {
	if port == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ports[host] = port
}

func (d *directory) portOf(host string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ports[host]
}

// setLogin keeps how a standby logs in; the first that is known stays.
func (d *directory) setLogin(login postgres.ConnInfo) (taken bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.login != nil || login["user"] == "" {
		return false
	}
	d.login = maps.Clone(login)
	return true
}

// loginNow is a copy; nil none is known.
func (d *directory) loginNow() postgres.ConnInfo {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.login)
}

func (d *directory) setMember(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.member = name
}

func (d *directory) memberNow() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.member
}
