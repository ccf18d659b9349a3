package pgpool_test

import (
	"reflect"
	"testing"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/pgpool"
)

func TestBackends(t *testing.T) {
	const flag = "DISALLOW_TO_FAILOVER"
	tests := []struct {
		name, conf string
		want       []cluster.Backend
		err        string
	}{
		{name: "the guide's", conf: "backend_hostname0 = 'devopsar01n01'\nbackend_port0 = 5433\nbackend_weight0 = 1\nbackend_flag0 = 'DISALLOW_TO_FAILOVER'\n", want: []cluster.Backend{{Host: "devopsar01n01", Port: 5433, Flag: flag}}},
		{name: "comments, blanks, no equals sign, upper case is another name", conf: "# backend_hostname1 = 'old'\n  backend_hostname0 'db1' # master\nbackend_port0=5432#x\nBackend_Hostname2 = 'unknown to pgpool'\n\n", want: []cluster.Backend{{Host: "db1", Port: 5432, Flag: "ALLOW_TO_FAILOVER"}}},
		{name: "by number, not by line", conf: "backend_hostname10='c'\nbackend_hostname2='b'\nbackend_hostname0='a'\n", want: []cluster.Backend{{Host: "a", Port: 5432, Flag: "ALLOW_TO_FAILOVER"}, {Host: "b", Port: 5432, Flag: "ALLOW_TO_FAILOVER"}, {Host: "c", Port: 5432, Flag: "ALLOW_TO_FAILOVER"}}},
		{name: "the last of two counts", conf: "backend_hostname0='a'\nbackend_hostname0='b'\n", want: []cluster.Backend{{Host: "b", Port: 5432, Flag: "ALLOW_TO_FAILOVER"}}},
		{name: "a port alone is a backend", conf: "backend_port1 = 5434\n", want: []cluster.Backend{{Port: 5434, Flag: "ALLOW_TO_FAILOVER"}}},
		{name: "an empty name is no backend", conf: "backend_hostname0=''\n", want: []cluster.Backend{}},
		{name: "a part of a password is not told", conf: "sr_check_password = 'TOPse'cret'\n", err: "pgpool.conf:1: sr_check_password: found text behind the closing quote, expected the end of the line or a comment"},
		{name: "include", conf: "include = 'x'\n", err: "pgpool.conf:1: it includes another file, which pgctl does not read: put the backends into this one"},
		{name: "CRLF and BOM", conf: "\uFEFFbackend_hostname0 = 'a'\r\nbackend_port0 = 5433\r\n", want: []cluster.Backend{{Host: "a", Port: 5433, Flag: "ALLOW_TO_FAILOVER"}}},
		{name: "quotes inside quotes", conf: `backend_hostname0 = 'a''b\'c' # d`, want: []cluster.Backend{{Host: "a'b'c", Port: 5432, Flag: "ALLOW_TO_FAILOVER"}}},
		{name: "no closing quote", conf: "x = 1\nbackend_hostname0 = 'a\n", err: "pgpool.conf:2: backend_hostname0: found an opening quote without a closing one"},
		{name: "text behind the quote", conf: "a = 'b' c\n", err: `pgpool.conf:1: a: found text behind the closing quote, expected the end of the line or a comment`},
		{name: "no name", conf: "= 3\n", err: `pgpool.conf:1: expected name = value`},
		{name: "no port", conf: "backend_hostname0 = 'a'\nbackend_port0 = 'x'\n", err: `pgpool.conf: backend_port0 is "x", expected a port number`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			conf, err := pgpool.ParseConf("pgpool.conf", []byte(tt.conf))
			var got []cluster.Backend
			if err == nil {
				got, err = conf.Backends()
			}
			if tt.err != "" {
				if err == nil || err.Error() != tt.err {
					t.Errorf("error %v, expected %s", err, tt.err)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, %v; expected %+v", got, err, tt.want)
			}
		})
	}
}

func FuzzParseConf(f *testing.F) {
	f.Add([]byte("backend_hostname0 = 'db1'\nbackend_port0 = 5432 # x\n"))
	f.Add([]byte("a 'b\\'"))
	f.Fuzz(func(t *testing.T, data []byte) {
		conf, err := pgpool.ParseConf("f", data)
		if err != nil {
			return
		}
		backends, err := conf.Backends()
		for _, b := range backends {
			if err == nil && (b.Port < 1 || b.Port > 65535) {
				t.Errorf("%q gave the backend %+v", data, b)
			}
		}
	})
}
