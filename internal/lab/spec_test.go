package lab

import (
	"io"
	"slices"
	"strings"
	"testing"
)

func mustSpec(t *testing.T, s Spec) Spec {
	t.Helper()
	s.Log = io.Discard
	s, err := s.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSpecHosts(t *testing.T) {
	tests := []struct {
		name  string
		spec  Spec
		hosts string
		pools string
	}{
		{"default", Spec{}, "firstbox db1 db2 arb1 arb2", "db1 db2"},
		{"three zones need no arbiter", Spec{Servers: 3}, "firstbox db1 db2 db3", "db1 db2"},
		{"three zones may have one", Spec{Servers: 3, Arbiters: 1}, "firstbox db1 db2 db3 arb1", "db1 db2"},
		{"no arbiters", Spec{Arbiters: NoArbiters}, "firstbox db1 db2", "db1 db2"},
		{"pools of their own", Spec{OwnPools: true}, "firstbox db1 db2 pool1 pool2 arb1 arb2", "pool1 pool2"},
		{"a 9.x site", Spec{PG9: true}, "firstbox db1 db2 pool1 pool2", "pool1 pool2"},
		{"one server", Spec{Servers: 1}, "firstbox db1 arb1 arb2", "db1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := mustSpec(t, tt.spec)
			if got := strings.Join(s.hostNames(), " "); got != tt.hosts {
				t.Errorf("hosts %q, want %q", got, tt.hosts)
			}
			if got := strings.Join(s.pools(), " "); got != tt.pools {
				t.Errorf("pools %q, want %q", got, tt.pools)
			}
		})
	}
}

func TestSpecRefuses(t *testing.T) {
	tests := []struct {
		name string
		spec Spec
		says string
	}{
		{"name", Spec{Name: "../up"}, "region name"},
		{"too many servers", Spec{Servers: 5}, "5 servers"},
		{"arbiters", Spec{Arbiters: -2}, "-2 arbiters"},
		{"version", Spec{Postgres: "9.3"}, "9.3"},
		{"small disk", Spec{DataBytes: 1}, "256 MiB"},
		{"a 9.x site with three servers", Spec{PG9: true, Servers: 3}, "a 9.x region has two servers"},
		{"a 9.x site with systemd on one host", Spec{PG9: true, NoSystemd: []string{"db1"}}, "a 9.x region has"},
		{"unknown host", Spec{NoSystemd: []string{"db9"}}, "no such host"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := tt.spec.withDefaults(); err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want an error with %q", err, tt.says)
			}
		})
	}
}

func TestNamesAndAddressesAreUnique(t *testing.T) {
	s := mustSpec(t, Spec{Servers: 4, Arbiters: 4, OwnPools: true})
	var seen []string
	for _, h := range s.hosts() {
		if slices.Contains(seen, h.name) || slices.Contains(seen, h.addr) {
			t.Errorf("%s %s twice", h.name, h.addr)
		}
		if len(port(h.name)) > 15 {
			t.Errorf("%s: longer than the name of an interface may be", port(h.name))
		}
		seen = append(seen, h.name, h.addr)
	}
}
