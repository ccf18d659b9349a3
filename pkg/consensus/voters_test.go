package consensus

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// hosts reads "db1@z1 db2@z2 arb1@global": a name that begins with arb is an arbiter's, with pool a pool's.
func hosts(text string) []Host {
	var out []Host
	for _, word := range strings.Fields(text) {
		name, zone, _ := strings.Cut(word, "@")
		h := Host{Name: name, Zone: zone, Role: Server}
		switch {
		case strings.HasPrefix(name, "arb"):
			h.Role = Arbiter
		case strings.HasPrefix(name, "pool"):
			h.Role = Pool
		}
		out = append(out, h)
	}
	return out
}

func TestElectorate(t *testing.T) {
	tests := []struct{ name, hosts, voters, spare string }{
		{"nobody", "", "", ""},
		{"one server", "db1@a", "db1", ""},
		{"two servers in one zone: one of them", "db1@a db2@a", "db1", "db2"},
		{"two servers, two zones: no choice keeps both", "db1@a db2@b", "db1", "db2"},
		{"two and an arbiter", "db2@b arb1@global db1@a", "arb1 db1 db2", ""},
		{"two and two: the last arbiter", "db1@a db2@b arb2@global arb1@global", "arb1 db1 db2", "arb2"},
		{"an arbiter is spare before a server, in whatever zone", "db1@a db2@a db3@b arb1@c", "db1 db2 db3", "arb1"},
		{"three zones", "db1@a db2@b db3@c", "db1 db2 db3", ""},
		{"the last server", "db1@a db2@b db3@c db4@c", "db1 db2 db3", "db4"},
		{"not the one whose zone would have no vote", "db1@a db2@b db3@b db4@c", "db1 db2 db4", "db3"},
		{"four zones: the last by name", "db1@a db2@b db3@c db4@d", "db1 db2 db3", "db4"},
		{"five", "db1@a db2@b db3@c db4@d arb1@e", "arb1 db1 db2 db3 db4", ""},
		{"pools do not vote", "db1@a pool1@a pool2@b", "db1", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := hosts(tt.hosts)
			voters, spare := Electorate(in)
			if got := strings.Join(voters, " "); got != tt.voters || spare != tt.spare {
				t.Errorf("voters %q, spare %q; expected %q and %q", got, spare, tt.voters, tt.spare)
			}
			slices.Reverse(in)
			if again, s := Electorate(in); !slices.Equal(again, voters) || s != spare {
				t.Errorf("in another order: voters %q, spare %q", again, s)
			}
		})
	}
}

// TestElectorateOfEverySite goes through all sites of up to six hosts in up to three zones.
func TestElectorateOfEverySite(t *testing.T) {
	kinds := []string{"db%d@a", "db%d@b", "db%d@c", "arb%d@a", "arb%d@g"}
	var walk func(site string, n int)
	sites := 0
	walk = func(site string, n int) {
		sites++
		all := hosts(site)
		voters, spare := Electorate(all)
		if n > 0 && len(voters)%2 == 0 || len(voters) != n && (len(voters) != n-1 || spare == "") {
			t.Fatalf("%s: voters %q, spare %q", site, voters, spare)
		}
		if spare != "" && slices.ContainsFunc(all, func(h Host) bool { return h.Role == Arbiter }) && !strings.HasPrefix(spare, "arb") {
			t.Fatalf("%s: the spare is %s, a server", site, spare)
		}
		checkZones(t, site, all, spare)
		for _, kind := range kinds[:min(len(kinds), (6-n)*len(kinds))] {
			walk(site+" "+fmt.Sprintf(kind, n+1), n+1)
		}
	}
	walk("", 0)
	t.Logf("%d sites", sites)
}

// checkZones: a server is the spare of a zone that keeps a vote, if there is such a zone.
func checkZones(t *testing.T, site string, all []Host, spare string) {
	t.Helper()
	inZone := map[string]int{}
	for _, h := range all {
		inZone[h.Zone]++
	}
	for _, h := range all {
		if h.Name != spare || h.Role == Arbiter || inZone[h.Zone] > 1 {
			continue
		}
		for zone, n := range inZone {
			if n > 1 {
				t.Fatalf("%s: without %s zone %s has no vote, and %s would have kept one", site, spare, h.Zone, zone)
			}
		}
	}
}
