package lab

import (
	"strings"
	"testing"
)

func TestServerYAML(t *testing.T) {
	tests := []struct {
		name   string
		spec   Spec
		has    []string
		hasNot []string
	}{
		{"two zones", Spec{}, []string{
			"  globals: 'arb1,arb2'\n",
			"  inactive_failover: 1\n  # 1: 启用灾难恢复",
			"    db2:\n      zone_id: 'zone1b'\n      pgpools: 'db1,db2'\n",
		}, []string{"@"}},
		{"failover on", Spec{HAOn: true}, []string{"pg_watcher:", "  inactive_failover: 0\n  # 1: 启用灾难恢复"}, nil},
		{"timers", Spec{MasterByTS: true, Watcher: map[string]string{"standby_down_after": "3s", "down_after": "8s"}}, []string{
			"  using_master_by_ts: 1\n  down_after: 8s\n  standby_down_after: 3s\n  pg_node_info:\n",
		}, []string{"@"}},
		{"three zones", Spec{Servers: 3}, []string{"    db3:\n      zone_id: 'zone1c'\n"}, []string{"globals"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			yaml := strings.Replace(serverYAML(mustSpec(t, tt.spec), "zone1a"), "noreply@example.com", "", 1)
			for _, want := range tt.has {
				if !strings.Contains(yaml, want) {
					t.Errorf("no %q in:\n%s", want, yaml)
				}
			}
			for _, bad := range tt.hasNot {
				if strings.Contains(yaml, bad) {
					t.Errorf("%q in:\n%s", bad, yaml)
				}
			}
		})
	}
}

func TestServerConfNamesEveryOtherServer(t *testing.T) {
	conf := serverConf(mustSpec(t, Spec{Servers: 3, ServerConf: map[string]string{"wal_sender_timeout": "5s"}}), "db2")
	for _, want := range []string{
		`synchronous_standby_names = 'FIRST 2 ("db1","db3")'`, "wal_sender_timeout = '5s'", "max_connections = 50\n", "port = 5432\n",
	} {
		if !strings.Contains(conf, want) {
			t.Errorf("no %q in:\n%s", want, conf)
		}
	}
	if alone := serverConf(mustSpec(t, Spec{Servers: 1}), "db1"); !strings.Contains(alone, "synchronous_standby_names = ''") {
		t.Errorf("a single server waits for a standby:\n%s", alone)
	}
}

func TestStandbyConf(t *testing.T) {
	ten := standbyConf(mustSpec(t, Spec{Postgres: "10"}), "db2")
	for _, want := range []string{"standby_mode = 'on'", "port=5433", "application_name=db2", "recovery_target_timeline = 'latest'"} {
		if !strings.Contains(ten, want) {
			t.Errorf("no %q in:\n%s", want, ten)
		}
	}
	if fifteen := standbyConf(mustSpec(t, Spec{}), "db2"); strings.Contains(fifteen, "standby_mode") {
		t.Errorf("a setting that 15 refuses:\n%s", fifteen)
	}
}

func TestSetValue(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"set", "a = 1\nport = 5\n", "a = 1\nport = 9999\n"},
		{"commented out", "#port = 5433\n   # why\n", "port = 9999\n   # why\n"},
		{"absent", "a = 1\n", "a = 1\nport = 9999\n"},
		{"not another key", "pcp_port = 9898\n", "pcp_port = 9898\nport = 9999\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := setValue(tt.text, "port", "9999"); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestHostsAndNodesFiles(t *testing.T) {
	hosts := hostsFile(mustSpec(t, Spec{}))
	for _, want := range []string{"127.0.0.1 localhost\n", "198.51.100.10 firstbox\n", "198.51.100.32 arb2\n"} {
		if !strings.Contains(hosts, want) {
			t.Errorf("no %q in:\n%s", want, hosts)
		}
	}
	if got, want := nodesFile([]string{"db1", "db2"}), "nodes=\"db1 db2\"\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestUnescapeMount(t *testing.T) {
	if got := unescapeMount(`/run/a\040b\`); got != `/run/a b\` {
		t.Errorf("got %q", got)
	}
}
