package nodes

import (
	"slices"
	"testing"
)

func TestDiffers(t *testing.T) {
	section := func(text string) *Watcher {
		w, _, err := ParseServerYAML("z1", File{"s", []byte("pg_watcher:\n" + text)})
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	const base = "  inactive_failover: 0\n  globals: 'a,b'\n  pg_node_info:\n    db1: {zone_id: z1, pgpools: 'p'}\n"
	one := section(base)
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"nothing", base, nil},
		{"the order of a list does not count", "  inactive_failover: 0\n  globals: 'b,a'\n  pg_node_info:\n    db1: {zone_id: z1, pgpools: 'p'}\n", nil},
		{"a server that is not asked for", base + "    db2: {zone_id: z2}\n", nil},
		{"every kind", "  inactive_failover: 1\n  down_after: 90s\n  globals: 'a'\n  pg_node_info:\n    db1: {zone_id: z1}\n", []string{"globals", "inactive_failover", "pg_node_info", "down_after"}},
	} {
		got := section(tt.text).Differs(one, []string{"db1"})
		slices.Sort(got)
		slices.Sort(tt.want)
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, expected %q", tt.name, got, tt.want)
		}
	}
	if !one.Names("db1") || one.Names("db2") {
		t.Error("it names db1 alone")
	}
}
