package pgpool_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/pgctl/pgctl/pkg/pgpool"
)

const two = "listen_addresses = '*'\nbackend_hostname0 = 'db1'\nbackend_port0 = 5432\nbackend_flag0 = 'DISALLOW_TO_FAILOVER'\n" +
	"backend_hostname1 = 'db2'\nbackend_port1 = 5432\nbackend_flag1 = 'DISALLOW_TO_FAILOVER'\nport = 9999\n"

func TestWithFailover(t *testing.T) {
	on := strings.ReplaceAll(two, "DISALLOW", "ALLOW")
	tests := []struct {
		name, before, after string
		on                  bool
	}{
		{"on", two, on, true},
		{"on already", on, on, true},
		{"off", on, two, false},
		{
			"comments and the commented are left alone", "# DISALLOW_TO_FAILOVER is the default here\n#backend_flag2 = 'DISALLOW_TO_FAILOVER'\n" + two,
			"# DISALLOW_TO_FAILOVER is the default here\n#backend_flag2 = 'DISALLOW_TO_FAILOVER'\n" + on, true,
		},
		{
			"another flag beside it stays", "backend_hostname0 = 'db1'\nbackend_flag0 = 'ALWAYS_PRIMARY|DISALLOW_TO_FAILOVER' # x\n",
			"backend_hostname0 = 'db1'\nbackend_flag0 = 'ALWAYS_PRIMARY|ALLOW_TO_FAILOVER' # x\n", true,
		},
		{"a bare word stays bare", "backend_hostname0 = db1\nbackend_flag0 = ALLOW_TO_FAILOVER\n", "backend_hostname0 = db1\nbackend_flag0 = DISALLOW_TO_FAILOVER\n", false},
		{
			"no line: the default is on", "backend_hostname0 = 'db1'\nport = 9999\nbackend_hostname1 = 'db2'\n",
			"backend_hostname0 = 'db1'\nport = 9999\nbackend_hostname1 = 'db2'\n", true,
		},
		{
			"no line, to be off: one behind each backend's last", "backend_hostname0 = 'db1'\nport = 9999\nbackend_hostname1 = 'db2'\nbackend_port1 = 5432",
			"backend_hostname0 = 'db1'\nbackend_flag0 = 'DISALLOW_TO_FAILOVER'\nport = 9999\nbackend_hostname1 = 'db2'\nbackend_port1 = 5432\nbackend_flag1 = 'DISALLOW_TO_FAILOVER'\n", false,
		},
		{"set twice", "backend_hostname0 = 'db1'\nbackend_flag0 = ''\nbackend_flag0 = 'DISALLOW_TO_FAILOVER'\n", "backend_hostname0 = 'db1'\nbackend_flag0 = 'ALLOW_TO_FAILOVER'\nbackend_flag0 = 'ALLOW_TO_FAILOVER'\n", true},
		{"CRLF", "backend_hostname0 = 'db1'\r\nport = 1\r\n", "backend_hostname0 = 'db1'\r\nbackend_flag0 = 'DISALLOW_TO_FAILOVER'\r\nport = 1\r\n", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := pgpool.WithFailover("pgpool.conf", []byte(tt.before), tt.on)
			if err != nil || string(got) != tt.after {
				t.Errorf("got, %v:\n%s\nexpected:\n%s", err, got, tt.after)
			}
			if again, err := pgpool.WithFailover("pgpool.conf", got, tt.on); err != nil || !bytes.Equal(again, got) {
				t.Errorf("the second edit changed something, %v:\n%s", err, again)
			}
		})
	}
	if _, err := pgpool.WithFailover("pgpool.conf", []byte("port = 9999\n"), true); err == nil || !strings.Contains(err.Error(), "has no backend at all") {
		t.Errorf("no backend: %v", err)
	}
}

func TestWithHosts(t *testing.T) {
	got, err := pgpool.WithHosts("pgpool.conf", []byte(two), []string{"db2", "db1"})
	want := strings.NewReplacer("'db1'", "'db2'", "'db2'", "'db1'").Replace(two)
	if err != nil || string(got) != want {
		t.Errorf("got, %v:\n%s", err, got)
	}
	if same, err := pgpool.WithHosts("pgpool.conf", got, []string{"db2", "db1"}); err != nil || !bytes.Equal(same, got) {
		t.Errorf("the second edit changed something, %v:\n%s", err, same)
	}
	for name, text := range map[string]string{
		"one backend":            "backend_hostname0 = 'db1'\n",
		"three":                  two + "backend_hostname2 = 'db3'\n",
		"numbers 0 and 2":        strings.NewReplacer("hostname1", "hostname2", "port1", "port2").Replace(two),
		"a line in another form": "backend_hostname0 = 'db1'\nbackend_port1 = 5432\n", // the second backend is a socket: there is no line to edit
	} {
		if got, err := pgpool.WithHosts("pgpool.conf", []byte(text), []string{"db2", "db1"}); err == nil && !strings.Contains(string(got), "backend_hostname1 = 'db1'") {
			t.Errorf("%s: accepted:\n%s", name, got)
		}
	}
}

// FuzzWithFailover: an accepted edit has the flags that were wanted, and no line but those of backend flags is touched.
func FuzzWithFailover(f *testing.F) {
	f.Add(two, true)
	f.Add("backend_hostname0 'db1'\r\nbackend_flag0=ALLOW_TO_FAILOVER # x\n", false)
	f.Fuzz(func(t *testing.T, text string, on bool) {
		got, err := pgpool.WithFailover("c", []byte(text), on)
		if err != nil {
			return
		}
		conf, err := pgpool.ParseConf("c", got)
		if err != nil {
			t.Fatal(err)
		}
		backends, err := conf.Backends()
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range backends {
			if b.FailsOver() != on {
				t.Errorf("%q gave %q: %+v", text, got, b)
			}
		}
		rest := func(text string) string {
			var all []string
			for line := range strings.Lines(text) {
				if !strings.Contains(line, "backend_flag") {
					all = append(all, strings.TrimRight(line, "\r\n"))
				}
			}
			return strings.Join(all, "\n")
		}
		if rest(text) != rest(string(got)) {
			t.Errorf("%q gave %q: other lines were touched", text, got)
		}
	})
}
