package nodes

import (
	"reflect"
	"testing"
)

const fullConfig = `# 配置
ssh:
  user: root
  port: 2222
  identity_files: [/root/.ssh/id_rsa, ~/.ssh/id_ed25519]
postgres:
  data_dir: /var/lib/postgresql/15/main
  port: 5432
  os_user: postgres
  user: postgres
  dbname: postgres
  bin_dir: "/usr/lib/postgresql/15/bin"
  service: postgresql@15-main
replication:
  user: repl
  passfile: /etc/pgctl/repl.pass
pgpool:
  conf: /etc/pgpool2/pgpool.conf
  service: pgpool2
  user: sr check
  dbname: postgres
watch:
  listen: :5480
  metrics: '[::1]:9187'
  watchdog: off
  zones:
    arb1: global
    arb2.example.com: ks1
  notify: /usr/local/bin/tell
`

func wantFullConfig() Config {
	return Config{
		SSH: SSHConfig{User: "root", Port: 2222, IdentityFiles: []string{"/root/.ssh/id_rsa", "~/.ssh/id_ed25519"}},
		Postgres: PostgresConfig{
			DataDir: "/var/lib/postgresql/15/main", Port: 5432, OSUser: "postgres", User: "postgres",
			DBName: "postgres", BinDir: "/usr/lib/postgresql/15/bin", Service: "postgresql@15-main",
		},
		Replication: ReplicationConfig{User: "repl", PassFile: "/etc/pgctl/repl.pass"},
		Pgpool:      PgpoolConfig{Conf: "/etc/pgpool2/pgpool.conf", Service: "pgpool2", User: "sr check", DBName: "postgres"},
		Watch: WatchConfig{
			Listen: ":5480", Metrics: "[::1]:9187", Watchdog: "off",
			Zones: map[string]string{"arb1": "global", "arb2.example.com": "ks1"}, Notify: "/usr/local/bin/tell",
		},
	}
}

func TestParseConfig(t *testing.T) {
	for _, tc := range []struct {
		name, src string
		want      Config
	}{
		{"empty", "", Config{}},
		{"only comments", "# a\n", Config{}},
		{"section commented out", "ssh:\n  # user: root\nwatch:\n", Config{}},
		{"full", fullConfig, wantFullConfig()},
		{"flow, mark, CRLF", byteOrderMark + "ssh: {port: 22}\r\n", Config{SSH: SSHConfig{Port: 22}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := ParseConfig(File{"c", []byte(tc.src)})
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got  %+v\nwant %+v", got, tc.want)
			}
		})
	}
}

func TestParseConfigRefuses(t *testing.T) {
	for _, tc := range []struct{ name, src, want string }{
		{"unknown section", "pgpol:\n  conf: /x\n", `c:1: has the unknown section "pgpol" (did you mean "pgpool"?), expected one of ssh, postgres, replication, pgpool, watch; correct or remove it`},
		{"unknown key", "ssh:\n  usr: x\n", `c:2: has the unknown key "usr" in the section ssh (did you mean "user"?), expected one of user, port, identity_files; correct or remove it`},
		{"key twice", "ssh:\n  user: x\n  user: y\n", `c:3: has the key "user" twice, first on line 2, expected it once; remove one of the two`},
		{"section twice", "ssh:\nssh:\n", `c:2: has the key "ssh" twice, first on line 1, expected it once; remove one of the two`},
		{"section with a value", "ssh: root\n", `c:1: gives the section ssh the value "root", expected keys such as "user:"; correct the section`},
		{"list for a value", "ssh:\n  user: [a]\n", `c:2: gives ssh.user a list, expected one value; correct or remove the key`},
		{"no value", "ssh:\n  user:\n", `c:2: gives ssh.user no value, expected one value; correct or remove the key`},
		{"empty value", "ssh:\n  user: ''\n", `c:2: gives ssh.user an empty value, expected one; correct the value or remove the key`},
		{"value for a list", "ssh:\n  identity_files: /a\n", `c:2: gives ssh.identity_files the value "/a", expected a list such as [/root/.ssh/id_ed25519]; correct the value`},
		{"list in a list", "ssh:\n  identity_files: [[/a]]\n", `c:2: gives ssh.identity_files a list in its list, expected one value; correct the list`},
		{"relative identity", "ssh:\n  identity_files: [a]\n", `c:2: gives ssh.identity_files the value "a", expected an absolute path; correct the value`},
		{"port", "postgres:\n  port: no\n", `c:2: gives postgres.port the value "no", expected a TCP port from 1 to 65535; correct the value`},
		{"port 0", "ssh:\n  port: 0\n", `c:2: gives ssh.port the value "0", expected a TCP port from 1 to 65535; correct the value`},
		{"relative path", "postgres:\n  data_dir: data\n", `c:2: gives postgres.data_dir the value "data", expected an absolute path; correct the value`},
		{"line end", "postgres:\n  data_dir: \"/a\\nb\"\n", `c:2: gives postgres.data_dir the value "/a\nb" with a control character, expected printable text; correct the value`},
		{"NUL", "ssh:\n  user: \"a\\0\"\n", `c:2: gives ssh.user the value "a\x00" with a control character, expected printable text; correct the value`},
		{"block", "ssh:\n  user: |\n    root\n", `c:2: gives ssh.user the value "root\n" with a control character, expected printable text; correct the value`},
		{"dash", "ssh:\n  user: -oX\n", `c:2: gives ssh.user the value "-oX", expected a name that begins with no dash; correct the value`},
		{"blank", "ssh:\n  user: ' a'\n", `c:2: gives ssh.user the value " a" with a blank at an end, expected none; correct the value`},
		{"service", "pgpool:\n  service: a b\n", `c:2: gives pgpool.service the value "a b", expected the name of a service: letters, digits and @ . _ : -; correct the value`},
		{"listen", "watch:\n  listen: 5480\n", `c:2: gives watch.listen the value "5480", expected HOST:PORT or :PORT; correct the value`},
		{"listen host", "watch:\n  listen: 'a b:1'\n", `c:2: gives watch.listen the value "a b:1": "a b" is no host name: it holds ' ', expected only letters, digits, dots and dashes; correct the value`},
		{"listen brackets", "watch:\n  listen: '[a]:1'\n", `c:2: gives watch.listen the value "[a]:1", expected an IPv6 address between the brackets; correct the value`},
		{"listen off", "watch:\n  listen: off\n", `c:2: gives watch.listen the value "off", expected HOST:PORT or :PORT; correct the value`},
		{"zones", "watch:\n  zones:\n    a_b: z\n    c: z z\n    d: [z]\n", `c:3: gives watch.zones a bad host: "a_b" is no host name: it holds '_', expected only letters, digits, dots and dashes; correct the name
c:4: gives watch.zones a bad zone for c: "z z" is no zone id: it holds ' ', expected only letters, digits, dashes and underscores; correct the zone
c:5: gives d of watch.zones a list, expected one value; correct it`},
		{"zones list", "watch:\n  zones: [a]\n", `c:2: gives watch.zones a list, expected one line HOST: ZONE for every host; correct the value`},
		{"two problems", "ssh:\n  port: x\n  usr: y\n", `c:2: gives ssh.port the value "x", expected a TCP port from 1 to 65535; correct the value
c:3: has the unknown key "usr" in the section ssh (did you mean "user"?), expected one of user, port, identity_files; correct or remove it`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := ParseConfig(File{"c", []byte(tc.src)})
			if err == nil {
				t.Fatalf("accepted: %+v", got)
			}
			if err.Error() != tc.want {
				t.Errorf("got  %s\nwant %s", err, tc.want)
			}
		})
	}
}

func TestConfigSet(t *testing.T) {
	var c Config
	for _, a := range []string{
		"ssh.user=root", "ssh.port=1", "ssh.port=2222", "ssh.identity_files=/root/.ssh/id_rsa,~/.ssh/id_ed25519",
		"postgres.data_dir=/var/lib/postgresql/15/main", "postgres.port=5432", "postgres.os_user=postgres",
		"postgres.user=postgres", "postgres.dbname=postgres", "postgres.bin_dir=/usr/lib/postgresql/15/bin",
		"postgres.service=postgresql@15-main", "replication.user=repl", "replication.passfile=/etc/pgctl/repl.pass",
		"pgpool.conf=/etc/pgpool2/pgpool.conf", "pgpool.service=pgpool2", "pgpool.user=sr check", "pgpool.dbname=postgres",
		"watch.listen=:5480", "watch.metrics=[::1]:9187", "watch.watchdog=off", "watch.zones.arb1=global",
		"watch.zones.arb2.example.com=ks1", "watch.notify=/usr/local/bin/tell",
	} {
		if err := c.Set(a); err != nil {
			t.Fatal(err)
		}
	}
	if want := wantFullConfig(); !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

func TestConfigSetRefuses(t *testing.T) {
	for _, tc := range []struct{ assignment, want string }{
		{"ssh.user", `"ssh.user" is no setting, expected SECTION.KEY=VALUE such as postgres.port=5433`},
		{"ssh.port=x", `ssh.port is given the value "x", expected a TCP port from 1 to 65535; correct the value`},
		{"ssh.user=", `ssh.user is given an empty value, expected one; correct the value or remove the key`},
		{"ssh.identity_files=/a,,/b", `ssh.identity_files is given an empty value, expected one; correct the value or remove the key`},
		{"ssh.user=a\nb", `ssh.user is given the value "a\nb" with a control character, expected printable text; correct the value`},
		{"watch.zones=a:b", `watch.zones takes one host at a time, expected watch.zones.HOST=ZONE`},
		{"watch.zones.-a=b", `watch.zones.-a is given a bad host: "-a" is no host name: it begins with "-", expected a letter or a digit; correct the name`},
		{"ssh=x", `"ssh" is no setting, expected one of ssh.user, ssh.port, ssh.identity_files, postgres.data_dir, postgres.port, postgres.os_user, postgres.user, postgres.dbname, postgres.bin_dir, postgres.service, replication.user, replication.passfile, pgpool.conf, pgpool.service, pgpool.user, pgpool.dbname, watch.listen, watch.metrics, watch.watchdog, watch.zones, watch.notify`},
	} {
		t.Run(tc.assignment, func(t *testing.T) {
			var c Config
			err := c.Set(tc.assignment)
			if err == nil || err.Error() != tc.want {
				t.Errorf("got  %v\nwant %s", err, tc.want)
			}
			if !reflect.DeepEqual(c, Config{}) {
				t.Errorf("changed by a refused setting: %+v", c)
			}
		})
	}
}
