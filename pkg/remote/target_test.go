package remote

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// resolveWith resolves a name with a configuration and gives what came out.
func resolveWith(t *testing.T, opts Options, config, name string) string {
	t.Helper()
	dir := t.TempDir()
	opts.Home = dir
	opts.ConfigFile = filepath.Join(dir, "config")
	if err := os.WriteFile(opts.ConfigFile, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	target, err := NewPool(opts).resolve(t.Context(), name)
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	for hop := target; hop != nil; hop = hop.via {
		fmt.Fprintf(&b, "%s@%s", hop.user, hop.addr())
		for _, id := range hop.identities {
			fmt.Fprintf(&b, " %s", id.path)
		}
		if hop.via != nil {
			b.WriteString(" via ")
		}
	}
	return strings.ReplaceAll(b.String(), dir, "HOME")
}

func TestResolve(t *testing.T) {
	const defaults = " HOME/.ssh/id_ed25519 HOME/.ssh/id_ecdsa HOME/.ssh/id_rsa"
	for name, c := range map[string]struct {
		opts         Options
		config, want string
	}{
		"defaults": {want: "root@db1:22" + defaults},
		"config": {
			config: "Host db*\n\tHostName %h.example\n\tUser ops\n\tPort 2222\n\tIdentityFile ~/keys/%h-%r\n\tIdentityFile \"/my keys/k\"\nHost *\n\tUser nobody\n\tIdentityFile /last\n",
			want:   "ops@db1.example:2222 HOME/keys/db1.example-ops /my keys/k /last",
		},
		"options": {
			opts:   Options{User: "admin", Port: 99, IdentityFiles: []string{"~/k"}},
			config: "Host db1\n User ops\n Port 2222\n IdentityFile /x\n",
			want:   "admin@db1:99 HOME/k",
		},
		"no identity": {config: "IdentityFile none\n", want: "root@db1:22"},
		"jump": {
			opts:   Options{Port: 99, User: "ops"},
			config: "Host db1\n ProxyJump a,me@[::1]:77\nHost a\n ProxyJump ssh://b:7\n User au\nHost ::1\n ProxyJump never\nIdentityFile none\n",
			want:   "ops@db1:99" + defaults + " via me@[::1]:77 via au@a:22" + defaults + " via ops@b:7" + defaults,
		},
		"no jump": {config: "Host db1\n ProxyJump none\nHost *\n ProxyJump a\n ProxyCommand x\n", want: "root@db1:22" + defaults},
	} {
		t.Run(name, func(t *testing.T) {
			if got := resolveWith(t, c.opts, c.config, "db1"); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestKnownHostsFiles(t *testing.T) {
	pool := NewPool(Options{Home: "/h", ConfigFile: os.DevNull})
	target, err := pool.resolve(t.Context(), "db1")
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(target.knownHosts, " "); got != "/h/.ssh/known_hosts /h/.ssh/known_hosts2 /etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2" {
		t.Errorf("known hosts %s", got)
	}
	config := filepath.Join(t.TempDir(), "c")
	if err := os.WriteFile(config, []byte("UserKnownHostsFile ~/a \"/b c\"\nGlobalKnownHostsFile none\nHostKeyAlias Alias\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if target, err = NewPool(Options{Home: "/h", ConfigFile: config}).resolve(t.Context(), "db1"); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(target.knownHosts, "|"); got != "/h/a|/b c" || target.hostKeyAddr() != "Alias:22" {
		t.Errorf("known hosts %s of %s", got, target.hostKeyAddr())
	}
}

func TestConfigScan(t *testing.T) {
	for text, want := range map[string]configScan{
		"Host a\n User b\n":       {},
		"match all\n":             {match: true},
		"  Match=host x\n":        {match: true},
		"#Match all\n":            {},
		"IdentityFile ~/Match x ": {},
	} {
		var got configScan
		got.file([]byte(text), "/nowhere", false, 0)
		if got.match != want.match || got.relativeInclude {
			t.Errorf("%q: %+v", text, got)
		}
	}
	var system configScan
	system.file([]byte("Include ssh_config.d/*.conf\n"), "/nowhere", true, 0)
	if !system.relativeInclude {
		t.Error("relative include not seen")
	}
}

// TestDumpDefaults: what ssh -G prints without being told is not taken for the
// wish of the operator.
func TestDumpDefaults(t *testing.T) {
	c := &sshConfig{}
	me := userName()
	if got := c.readDump("user " + me + "\nport 22\n").get("User"); got != "" {
		t.Errorf("default user taken: %s", got)
	}
	c.scan.users = map[string]bool{me: true}
	if got := c.readDump("user " + me + "\n").get("User"); got != me {
		t.Errorf("configured user lost: %q", got)
	}
}
