package watch

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// factsHeard are the facts of the servers that are heard now. It is the loop's.
func (w *watcher) factsHeard() map[string]*cluster.Facts {
	all := map[string]*cluster.Facts{}
	for host := range w.heard {
		if r := w.fresh(host); r != nil {
			all[host] = r.Facts
		}
	}
	return all
}

// adopt takes the one server that runs as master for the region's, whoever made it that. Where none does, it is the quorum's last master, if it is seen to
// have served, and that nobody who is heard was promoted since: it had stopped for want of the quorum, and has all that it acknowledged. What makes it safe
// is that every other server is seen to be none, by its own watcher; of one that is not heard the operator has to say that it is dead, and answers for it (docs/safety.md, "Adoption").
func (q *Wish) adopt(s *cluster.State, servers []string, seen map[string]*cluster.Facts, nonce string) (*cluster.Command, string) {
	if adopted := s.Phase == cluster.Elected && s.Election.Base == 0; s.Halted == "" && !adopted { // one that was adopted and does not get there may be given up
		return nil, "the quorum has not halted: it knows who is master"
	}
	var masters, evidence []string
	var above int64
	for _, host := range servers {
		f := seen[host]
		switch {
		case f == nil && !q.Dead:
			return nil, fmt.Sprintf("%s is not heard, so whether it is a master cannot be known: start its watcher, or, if the host is dead for certain, --accept=unfenced-master", host)
		case f == nil:
			evidence = append(evidence, host+" is not heard; "+q.By+" says that it is dead")
		case f.Running && f.Silent > 0:
			return nil, fmt.Sprintf("PostgreSQL on %s runs and does not answer, so whether it is a master cannot be known", host)
		case f.Running && !f.Recovery:
			masters = append(masters, host)
		case f.Running:
			evidence = append(evidence, host+" runs read-only, as its watcher says")
		case !f.Gate:
			return nil, fmt.Sprintf("PostgreSQL on %s does not run, and its next start would make it a master: start it read-only, or have it rejoin (pgctl upmaster %s)", host, host)
		default:
			evidence = append(evidence, host+" does not run, and starts read-only, as its watcher says")
		}
		if f != nil {
			for _, row := range f.Rows {
				above = max(above, row.Epoch)
			}
		}
	}
	if last := s.Master; len(masters) == 0 && s.Phase == cluster.Serving {
		if why := mayNotReturn(last, seen); why != "" {
			return nil, fmt.Sprintf("exactly one server has to run as master, and 0 do; and %s, which was it last, cannot return: %s", last, why)
		}
		masters = []string{last}
		evidence = append(evidence, fmt.Sprintf("%s served epoch %d, and on no server that is heard a later one is signed", last, s.Epoch))
	}
	if len(masters) != 1 {
		return nil, fmt.Sprintf("exactly one server has to run as master, and %d do (%s)", len(masters), strings.Join(masters, ", "))
	}
	f := seen[masters[0]]
	if len(f.Rows) == 0 {
		return nil, masters[0] + " bears no signature: pgctl deploy leaves one"
	}
	return &cluster.Command{
		Kind: cluster.Adopt, Epoch: s.Epoch, Gen: s.Gen, Host: f.Host, Nonce: nonce, System: f.System, Rows: f.Rows, Above: above,
		Record: cluster.Record{Rule: "as " + q.By + " wished", Evidence: evidence},
	}, ""
}

// mayNotReturn says why the server that was master last cannot be taken for it again: it and every other one that is heard has to be seen to be the same
// history. That no rows are known is no proof that there are none: those of a PostgreSQL that has not run since its host booted are not.
func mayNotReturn(host string, seen map[string]*cluster.Facts) string {
	f := seen[host]
	switch {
	case f == nil:
		return host + " is not heard"
	case !f.Running || f.Silent > 0 || len(f.Rows) == 0:
		return fmt.Sprintf("what %s has signed is not known: start its PostgreSQL, which starts read-only", host)
	case f.Rows[len(f.Rows)-1].Master != host:
		return fmt.Sprintf("the last promotion that %s knows of is that of %s", host, f.Rows[len(f.Rows)-1].Master)
	}
	for _, other := range slices.Sorted(maps.Keys(seen)) {
		rows := seen[other].Rows
		if len(rows) == 0 {
			return fmt.Sprintf("what %s has signed is not known: start its PostgreSQL, which starts read-only", other)
		}
		for _, row := range rows {
			if !slices.Contains(f.Rows, row) {
				return fmt.Sprintf("%s has the row of a promotion of %s (epoch %d), which %s lacks: what was acknowledged then would be lost", other, row.Master, row.Epoch, host)
			}
		}
	}
	return ""
}
