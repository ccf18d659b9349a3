package pgpool_test

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/pgpool"
)

func TestWithMaster(t *testing.T) {
	const flag = "backend_flag0 = 'DISALLOW_TO_FAILOVER'\n"
	tests := []struct{ name, before, after string }{
		{
			"the guide's file", "listen_addresses = '*'\nbackend_hostname0 = 'db1'\nbackend_port0 = 5433\nbackend_weight0 = 1\n" + flag + "backend_data_directory0 = '/opt/postgresql/data'\nport = 9999\n",
			"listen_addresses = '*'\nbackend_hostname0 = 'db2'\nbackend_port0 = 5433\nbackend_weight0 = 1\n" + flag + "backend_data_directory0 = '/opt/postgresql/data'\nport = 9999\n",
		},
		{"right already", "backend_hostname0 = 'db2' # master\nbackend_port0=5433\n" + flag, "backend_hostname0 = 'db2' # master\nbackend_port0=5433\n" + flag},
		{
			"quotes, blanks and comments kept", "  backend_hostname0='db1'   # 主节点\nbackend_port0 = '5432'\n\tbackend_flag0 = 'ALLOW_TO_FAILOVER'#x\n",
			"  backend_hostname0='db2'   # 主节点\nbackend_port0 = '5433'\n\tbackend_flag0 = 'DISALLOW_TO_FAILOVER'#x\n",
		},
		{"bare words", "backend_hostname0 = db1\nbackend_port0 5432\n" + flag, "backend_hostname0 = db2\nbackend_port0 5433\n" + flag},
		{
			"other backends are commented out, comments stay", "#backend_hostname2 = 'old'\nbackend_hostname0 = 'db1'\nbackend_port0 = 5433\n" + flag + "backend_hostname1 = 'db2'\nbackend_port1 = 5433\n",
			"#backend_hostname2 = 'old'\nbackend_hostname0 = 'db2'\nbackend_port0 = 5433\n" + flag + "#backend_hostname1 = 'db2'\n#backend_port1 = 5433\n",
		},
		{
			"missing settings are added behind backend 0", "backend_hostname0 = 'db1'\nport = 9999\n",
			"backend_hostname0 = 'db2'\nbackend_port0 = 5433\n" + flag + "port = 9999\n",
		},
		{"no line end", "backend_port1 = 5432\nport = 9999", "#backend_port1 = 5432\nport = 9999\nbackend_hostname0 = 'db2'\nbackend_port0 = 5433\n" + flag},
		{"CRLF", "backend_hostname0 = 'db1'\r\nbackend_port0 = 5433\r\nx = 1\r\n", "backend_hostname0 = 'db2'\r\nbackend_port0 = 5433\r\nbackend_flag0 = 'DISALLOW_TO_FAILOVER'\r\nx = 1\r\n"},
		{"set twice", "backend_hostname0 = 'db1'\nbackend_hostname0 = 'db3'\nbackend_port0 = 5433\n" + flag, "backend_hostname0 = 'db2'\nbackend_hostname0 = 'db2'\nbackend_port0 = 5433\n" + flag},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := pgpool.WithMaster("pgpool.conf", []byte(tt.before), "db2", 5433)
			if err != nil || string(got) != tt.after {
				t.Errorf("got, %v:\n%s\nexpected:\n%s", err, got, tt.after)
			}
			again, err := pgpool.WithMaster("pgpool.conf", got, "db2", 5433)
			if err != nil || !bytes.Equal(again, got) {
				t.Errorf("the second edit changed something, %v:\n%s", err, again)
			}
		})
	}
	for _, text := range []string{"", "# nothing\n", "port = 9999\n", "Backend_Hostname0 = 'db1'\n"} {
		if got, err := pgpool.WithMaster("pgpool.conf", []byte(text), "db2", 5433); err == nil || !strings.Contains(err.Error(), "has no backend at all") {
			t.Errorf("%q gave %q, %v", text, got, err)
		}
	}
	if _, err := pgpool.WithMaster("pgpool.conf", []byte("backend_hostname0 = 'db1\n"), "db2", 5433); err == nil || !strings.HasPrefix(err.Error(), "pgpool.conf:1: ") {
		t.Errorf("a file that cannot be read: %v", err)
	}
}

// FuzzWithMaster: an accepted edit has the one backend, and the lines that are not a backend's are untouched.
func FuzzWithMaster(f *testing.F) {
	f.Add([]byte("a = 'b'\nbackend_hostname0 = 'db1' # x\r\nbackend_port1 5432\n"))
	f.Add([]byte("BACKEND_hostname0\n"))
	f.Fuzz(func(t *testing.T, before []byte) {
		after, err := pgpool.WithMaster("f", before, "db-2", 5433)
		if err != nil {
			return
		}
		conf, err := pgpool.ParseConf("f", after)
		if err != nil {
			t.Fatal(err)
		}
		backends, err := conf.Backends()
		if err != nil || !reflect.DeepEqual(backends, []cluster.Backend{{Host: "db-2", Port: 5433, Flag: pgpool.DisallowFailover}}) {
			t.Errorf("%q gave %q, backends %+v, %v", before, after, backends, err)
		}
		if a, b := others(string(before)), others(string(after)); a != b && a+"\n" != b && a+"\r\n" != b {
			t.Errorf("%q gave %q: what is no backend's went from %q to %q", before, after, a, b)
		}
	})
}

// others is a file without its backend lines, commented out or not.
func others(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(strings.TrimLeft(strings.TrimPrefix(line, "#"), " \t\v\f\u0085\u00A0"), "backend_") {
			b.WriteString(line)
		}
	}
	return b.String()
}
