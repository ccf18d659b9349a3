package consensus

import "strings"

// Role is what a host is to the quorum; its certificate says it (pgctl://HOST/ROLE).
type Role string

// The roles. A pool's host only reports: it has no vote and does not speak raft.
const (
	Server  Role = "server"
	Arbiter Role = "arbiter"
	Pool    Role = "pool"
)

// replicates tells whether hosts of this role hold the replicated state.
func (r Role) replicates() bool { return r == Server || r == Arbiter }

// Host is one line of the inventory.
type Host struct {
	Name    string // as in its certificate; unique
	Address string // HOST:PORT to dial; used for that alone, so a change of it changes no membership
	Zone    string // may be ""
	Role    Role
}

// replicating are the hosts that hold the replicated state.
func replicating(hosts []Host) []Host {
	var out []Host
	for _, h := range hosts {
		if h.Role.replicates() {
			out = append(out, h)
		}
	}
	return out
}

func names(hosts []Host) string {
	var all []string
	for _, h := range hosts {
		all = append(all, h.Name)
	}
	return strings.Join(all, ", ")
}
