package cluster

import "strings"

// links: the nodes must reach each other, and the servers each other's PostgreSQL: else the watchers do not hear of each other, and
// after a failover a standby does not find the new master.
func (d *diagnosis) links(links []Link) {
	open := map[[2]string]bool{}
	for _, l := range links {
		if l.Answer == LinkConnected || l.Answer == LinkRefused {
			open[[2]string{l.From, l.To}] = true
		}
	}
	untried, said := map[string]bool{}, map[[2]string]bool{}
	for _, l := range links {
		pair := [2]string{l.From, l.To}
		switch {
		case l.Answer == LinkUntried && !untried[l.From]:
			untried[l.From] = true
			d.warn(NotExamined, l.From, "set AllowTcpForwarding yes in its sshd_config for root", "whether it reaches the other nodes cannot be seen: %s", l.Failure)
		case l.Answer == LinkUntried:
		case said[pair]:
		case !open[pair]:
			said[pair] = true
			d.critical(LinkDown, l.From, hintLink(l), "does not reach %s: %s", l.To, l.Failure)
		case l.Postgres && l.Answer != LinkConnected && d.answers(l.To):
			d.critical(LinkDown, l.From, "see listen_addresses of "+l.To+" and the firewalls between the two",
				"does not reach PostgreSQL of %s at port %d: %s", l.To, l.Port, l.Failure)
		}
	}
}

func hintLink(l Link) string {
	return "try it: ssh " + strings.Join([]string{l.From, "getent", "hosts", l.To}, " ") + "; then look at the network and the firewalls between the two"
}

// answers tells whether a server's PostgreSQL runs and answers.
func (d *diagnosis) answers(host string) bool {
	for _, s := range d.Servers {
		if s.Host == host {
			return s.SQL != nil
		}
	}
	return false
}
