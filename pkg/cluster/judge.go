package cluster

import (
	"fmt"
	"time"
)

// quiet is for how long nobody has seen progress of the master: the least over all observers of what each saw, aged since it said so.
// Progress is an answer to a startup packet (an authentication error and "too many clients" are answers), a position that moves, a
// write that succeeded. A keepalive, a socket that accepts, a receiver that says "streaming" are none: a stopped postmaster or a hung
// disk gives all three. An observer that has fallen silent still counts with the last that it saw.
func quiet(s *State, v *Sight) time.Duration {
	least := Never
	for i := range v.Heard {
		h := &v.Heard[i]
		age := v.Now - h.At
		for j := range h.Probes {
			if h.Probes[j].Host == s.Master {
				least = min(least, age+h.Probes[j].Quiet)
			}
		}
		f := h.Facts
		switch {
		case f == nil:
		case h.Host == s.Master && !f.Recovery:
			least = min(least, age+f.WriteAge)
		case f.Upstream.Receiver == s.Master:
			least = min(least, age+f.Upstream.Moved)
		}
	}
	return least
}

// quiet is for how long the serving master counts as down: nobody has seen progress of it. That is not longer than its epoch serves, as what was
// seen of it before was not seen of a master; and starts of it that fail one after the other are no progress, whatever answered for a moment.
func (d *decider) quiet() time.Duration {
	q := d.Quiet(d.s, d.v)
	if f := d.facts(d.s.Master); f != nil {
		q = max(q, d.p.failing(f))
	}
	_, serving := d.age()
	return min(q, serving)
}

// majority tells whether a majority of the voters is heard: less than that judges nobody.
func majority(v *Sight, p *Policy) bool {
	n := 0
	for _, voter := range p.Voters {
		if v.fresh(voter, p.Fresh) != nil {
			n++
		}
	}
	return n > len(p.Voters)/2
}

// evidence is what each observer saw of a server, with its age, for people.
func evidence(s *State, v *Sight, p *Policy) []string {
	var all []string
	for _, host := range append(append([]string{}, p.Servers...), p.Voters...) {
		r, age := v.of(host)
		if r == nil || len(all) > 0 && seen(all, host) {
			continue
		}
		text := host + ":"
		for i := range r.Probes {
			if pr := &r.Probes[i]; pr.Host == s.Master {
				text += fmt.Sprintf(" %s from %s, last sign of life %s ago", pr.Answer, pr.Host, short(pr.Quiet+age))
			}
		}
		if f := r.Facts; f != nil && f.Upstream.Receiver == s.Master {
			text += fmt.Sprintf(", receives, moved %s ago", short(f.Upstream.Moved+age))
		}
		if f := r.Facts; f != nil && host == s.Master && p.failing(f) > 0 {
			text += fmt.Sprintf(", %d starts in a row have failed, no progress for %s", f.Starts, short(p.failing(f)+age))
		}
		all = append(all, fmt.Sprintf("%s (said %s ago)", text, short(age)))
	}
	return all
}

func seen(all []string, host string) bool {
	for _, a := range all {
		if len(a) > len(host) && a[:len(host)+1] == host+":" {
			return true
		}
	}
	return false
}

func short(d time.Duration) string {
	if d >= Never {
		return "ever"
	}
	return d.Round(100 * time.Millisecond).String()
}
