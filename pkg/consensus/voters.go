package consensus

import (
	"cmp"
	"slices"
)

// Electorate says who votes when every host is well: all servers and arbiters, but one of an even number. That one is the
// spare, which follows without a vote: an even number of voters survives no more losses than the odd one below it, and
// needs one answer more. The spare is the last arbiter by name; without arbiters the last server by name of those whose
// zone keeps a vote without it. (Where every zone has one server each, no choice keeps all: then the last by name.)
// Without hosts there are no voters. The names come sorted.
func Electorate(hosts []Host) (voters []string, spare string) {
	var all []candidate
	for _, h := range replicating(hosts) {
		all = append(all, candidate{Host: h, wanted: true, votes: true})
	}
	chosen, left := elect(all, odd(len(all)))
	for _, c := range chosen {
		voters = append(voters, c.Name)
	}
	slices.Sort(voters)
	if len(left) == 1 {
		spare = left[0].Name
	}
	return voters, spare
}

// odd is the largest odd number up to n; 0 for 0.
func odd(n int) int {
	if n == 0 {
		return 0
	}
	return n - 1 + n%2
}

// candidate is a host that votes or could vote now.
type candidate struct {
	Host
	wanted bool // the inventory has it
	votes  bool // it has a vote now
	absent bool // silent for too long, or refused: its vote is good for nothing
}

// elect takes the vote from one after the other until k are left. left holds the others, the first to go first.
func elect(all []candidate, k int) (chosen, left []candidate) {
	chosen = slices.Clone(all)
	for len(chosen) > k {
		first := slices.MinFunc(chosen, func(a, b candidate) int { return goesFirst(chosen, a, b) })
		left = append(left, first)
		chosen = slices.DeleteFunc(chosen, func(c candidate) bool { return c.Name == first.Name })
	}
	return chosen, left
}

// goesFirst orders candidates by who goes without a vote first. It is total: names are unique.
func goesFirst(among []candidate, a, b candidate) int {
	return cmp.Or(
		first(!a.wanted, !b.wanted), // what the inventory has no more
		first(a.absent, b.absent),   // who cannot use a vote anyway
		first(a.Role == Arbiter, b.Role == Arbiter),
		first(zoneKept(among, a), zoneKept(among, b)),
		first(!a.votes, !b.votes), // who has a vote keeps it: one who returns becomes the spare
		cmp.Compare(b.Name, a.Name),
	)
}

// first orders the one for which something is true before the one for which it is not.
func first(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// zoneKept tells whether a server's zone keeps another candidate without it. Arbiters hold no data, so theirs does not matter.
func zoneKept(among []candidate, c candidate) bool {
	return c.Role == Arbiter || slices.ContainsFunc(among, func(o candidate) bool { return o.Name != c.Name && o.Zone == c.Zone && o.wanted && !o.absent })
}
