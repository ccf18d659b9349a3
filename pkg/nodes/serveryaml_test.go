package nodes

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseServerYAML(t *testing.T) {
	defaults := func(change func(*Watcher)) *Watcher {
		w := &Watcher{
			DownAfter: 2 * time.Minute, StandbyDownAfter: 30 * time.Second, Lease: 10 * time.Second,
			SpareAfter: time.Minute, Port: 5480, SyncMode: "all",
		}
		change(w)
		return w
	}
	const on = "pg_watcher:\n  inactive_failover: 0\n"
	for _, tc := range []struct {
		name, src string
		want      *Watcher
		warning   string
	}{
		{"empty file", "", nil, ""},
		{"only comments", "# 无\n", nil, ""},
		{"null", "~\n", nil, ""},
		{"no section", "a: {a: 1}\n", nil, ""},
		{"nested section does not count", "a:\n  pg_watcher: {port: x}\n", nil, ""},
		{"defaults", on, defaults(func(*Watcher) {}), ""},
		{
			"quoted flags", "pg_watcher: {inactive_failover: '1', using_master_by_ts: \"1\"}",
			defaults(func(w *Watcher) { w.InactiveFailover, w.UsingMasterByTS = true, true }), "",
		},
		{
			"missing flag", "\npg_watcher:\n  port: 1", defaults(func(w *Watcher) { w.InactiveFailover, w.Port = true, 1 }),
			"s:2: has no key inactive_failover in pg_watcher, which counts as 1 (automatic failover off), expected 0 or 1; add the key",
		},
		{"other sections hold anything", "a: 1\na: 2\n? [x]\n: {y: *z, z: &q !foo 'bar'}\n" + on, nil, "error"},
		{"other sections repeat keys", "a: 1\na: 2\n? [x]\n: y\n" + on, defaults(func(*Watcher) {}), ""},
		{
			"mark and CRLF", byteOrderMark + "# 一\r\npg_watcher:\r\n  inactive_failover: 0\r\n  pg_node_info:\r\n    h: {zone_id: z}\r\n",
			defaults(func(w *Watcher) { w.Nodes = []WatchedNode{{Host: "h", Zone: "z", Line: 5, ZoneLine: 5}} }), "",
		},
		{"mark on the first line", byteOrderMark + "pg_watcher: {inactive_failover: 0}", defaults(func(*Watcher) {}), ""},
		{"alias", "x: &w {inactive_failover: 0}\npg_watcher: *w\n", defaults(func(*Watcher) {}), ""},
		{"globals list", on + "  globals: [a, b]\n", defaults(func(w *Watcher) { w.Globals = []string{"a", "b"} }), ""},
		{"globals without quotes", on + "  globals: a , b\n", defaults(func(w *Watcher) { w.Globals = []string{"a", "b"} }), ""},
		{"globals empty", on + "  globals: ''\n", defaults(func(*Watcher) {}), ""},
		{"globals null", on + "  globals:\n", defaults(func(*Watcher) {}), ""},
		{
			"globals with a comma too many", on + "  globals: 'a,,b'\n", defaults(func(w *Watcher) { w.Globals = []string{"a", "b"} }),
			"s:3: has a comma too many in globals, expected one comma between two hosts; remove it",
		},
		{
			"short down_after gets a legal lease", on + "  down_after: 8s\n",
			defaults(func(w *Watcher) { w.DownAfter, w.Lease = 8*time.Second, 2*time.Second }), "",
		},
		{
			"shortest down_after gets a legal lease", on + "  down_after: 5s\n",
			defaults(func(w *Watcher) { w.DownAfter, w.Lease = 5*time.Second, 2*time.Second }), "",
		},
		{
			"shortest lease fits every down_after", on + "  down_after: 6500ms\n  lease: 2s\n",
			defaults(func(w *Watcher) { w.DownAfter, w.Lease = 6500*time.Millisecond, 2*time.Second }), "",
		},
		{
			"lease is half of down_after", on + "  down_after: 14\n",
			defaults(func(w *Watcher) { w.DownAfter, w.Lease = 14*time.Second, 7*time.Second }), "",
		},
		{
			"lease just fits", on + "  down_after: 16\n  lease: 10s\n",
			defaults(func(w *Watcher) { w.DownAfter, w.Lease = 16*time.Second, 10*time.Second }), "",
		},
		{"sync_mode", on + "  sync_mode: Any  2\n", defaults(func(w *Watcher) { w.SyncMode = "any 2" }), ""},
		{
			"unknown key", on + "  down_afer: 3\n", defaults(func(*Watcher) {}),
			`s:3: has the unknown key "down_afer" in pg_watcher (did you mean "down_after"?), expected one of ` +
				strings.Join(watcherKeys(), ", ") + "; it is ignored: correct or remove it",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, warnings, err := ParseServerYAML("z", File{"s", []byte(tc.src)})
			if tc.warning == "error" {
				if err == nil {
					t.Fatal("an alias to nothing is accepted")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got  %+v\nwant %+v", got, tc.want)
			}
			if text := Problems(warnings).Error(); text != tc.warning {
				t.Errorf("got warning  %s\nwant warning %s", text, tc.warning)
			}
		})
	}
}

func TestParseServerYAMLRefuses(t *testing.T) {
	const head = "pg_watcher:\n  inactive_failover: 0\n  "
	for _, tc := range []struct{ name, src, want string }{
		{"list", "- a", `s:1: begins with a list, expected sections such as "name:"; correct the file`},
		{"text", "\na", `s:2: begins with the value "a", expected sections such as "name:"; correct the file`},
		{"not UTF-8", "a: 1\n# \xca\xfd\n", `s:2: holds bytes that are no UTF-8, expected YAML in UTF-8; convert the file, for example with iconv`},
		{"two documents", head + "port: 1\n---\na: 1\n", `s:4: begins a second YAML document, expected one; remove the line ---`},
		{"empty section", "a: 1\npg_watcher:\n", `s:2: gives pg_watcher no value, expected keys such as inactive_failover; write the keys or remove the section`},
		{"section is a list", "pg_watcher: [1]", `s:1: gives pg_watcher a list, expected keys such as inactive_failover; write the keys or remove the section`},
		{"section twice", head + "port: 1\npg_watcher: {}\n", `s:4: has the section pg_watcher twice, first on line 1, expected it once; remove one of the two`},
		{"key twice", head + "inactive_failover: 1\n", `s:3: has the key "inactive_failover" twice, first on line 2, expected it once; remove one of the two`},
		{"merge", "x: &x {port: 1}\n" + head + "<<: *x\n", `s:4: merges another mapping with <<, expected plain keys here; write the merged keys out`},
		{"flag", "pg_watcher:\n  inactive_failover: true\n", `s:2: gives inactive_failover the value "true", expected 1 (automatic failover off) or 0 (on); correct the value`},
		{"flag 2", head + "using_master_by_ts: 2", `s:3: gives using_master_by_ts the value "2", expected 1 (an old master rejoins by itself) or 0 (it waits for the operator); correct the value`},
		{"flag without value", "pg_watcher:\n  inactive_failover:\n", `s:2: gives inactive_failover no value, expected 1 (automatic failover off) or 0 (on); correct the value`},
		{"globals mapping", head + "globals: {a: b}", `s:3: gives globals a mapping, expected host names with commas between them; correct the value`},
		{"globals with a blank", head + "globals: 'a b'", `s:3: has a bad name in globals: "a b" is no host name: it holds ' ', expected only letters, digits, dots and dashes; correct the name`},
		{"globals twice", head + "globals: [a,\n    A]", `s:4: lists the host "A" twice in globals, expected every host once; remove one of the two`},
		{"globals list of lists", head + "globals: [[a]]", `s:3: lists a list in globals, expected a host name; correct the list`},
		{"node info list", head + "pg_node_info: [a]", `s:3: gives pg_node_info a list, expected a mapping of every server to its zone_id and pgpools; correct the value`},
		{"node twice", head + "pg_node_info:\n    a: {zone_id: z}\n    a: {zone_id: z}", `s:5: has the key "a" twice, first on line 4, expected it once; remove one of the two`},
		{"node twice in another case", head + "pg_node_info:\n    a: {zone_id: z}\n    A: {zone_id: z}", `s:5: has the server "A" twice in pg_node_info, expected it once; remove one of the two`},
		{"bad node", head + "pg_node_info:\n    $(x): {zone_id: z}", `s:4: has a bad name in pg_node_info: "$(x)" is no host name: it holds '$', expected only letters, digits, dots and dashes; correct the name`},
		{"node without zone", head + "pg_node_info:\n    a: {pgpools: p}", `s:4: has no zone_id for the server a, expected the id of its zone; add the key`},
		{"node without keys", head + "pg_node_info:\n    a:", `s:4: gives a no value, expected the keys zone_id and pgpools; correct the value`},
		{"bad zone", head + "pg_node_info:\n    a: {zone_id: 'x y'}", `s:4: has a bad zone_id for a: "x y" is no zone id: it holds ' ', expected only letters, digits, dashes and underscores; correct the zone_id`},
		{"duration", head + "down_after: soon", `s:3: gives down_after the value "soon", expected a duration such as 90s or 2m, or a whole number of seconds; correct the value`},
		{"down_after range", head + "down_after: 4999ms", `s:3: gives down_after 4.999s, expected 5s to 24h0m0s; correct the value`},
		{"standby_down_after range", head + "standby_down_after: -3", `s:3: gives standby_down_after -3s, expected 2s to 24h0m0s; correct the value`},
		{"lease range", head + "lease: 1s", `s:3: gives lease 1s, expected 2s to 1h0m0s; correct the value`},
		{"spare_after range", head + "spare_after: 25h", `s:3: gives spare_after 25h0m0s, expected 5s to 24h0m0s; correct the value`},
		{"relation", head + "down_after: 15s\n  lease: 10s", `s:4: has lease 10s and down_after 15s, expected down_after to be at least 16s (lease + 5s to stop + 1s of clock drift), as two masters could serve at once; lower lease or raise down_after`},
		{"relation with a short stop time", head + "down_after: 5s\n  lease: 2.5s", `s:4: has lease 2.5s and down_after 5s, expected down_after to be at least 8.5s (lease + 5s to stop + 1s of clock drift), as two masters could serve at once; lower lease or raise down_after`},
		{"relation with default", head + "lease: 2m", `s:3: has lease 2m0s and down_after 2m0s, expected down_after to be at least 2m6s (lease + 5s to stop + 1s of clock drift), as two masters could serve at once; lower lease or raise down_after`},
		{"port", head + "port: 65536", `s:3: gives port the value "65536", expected a TCP port from 1 to 65535; correct the value`},
		{"port octal", head + "port: 0777", `s:3: gives port the value "0777", expected a TCP port from 1 to 65535; correct the value`},
		{"sync_mode", head + "sync_mode: any 0", `s:3: gives sync_mode the value "any 0", expected "all" or "any N" with N from 1; correct the value`},
		{"not YAML", "a: 1\npg_watcher:\n\tx: 1\n", `s:3: is no valid YAML: found character that cannot start any token; correct this line or the one before`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, _, err := ParseServerYAML("z", File{"s", []byte(tc.src)})
			if err == nil {
				t.Fatalf("accepted: %+v", got)
			}
			if err.Error() != tc.want {
				t.Errorf("got  %s\nwant %s", err, tc.want)
			}
		})
	}
	if _, _, err := ParseServerYAML("z.bak", File{"s", nil}); err == nil || err.Error() !=
		`s: "z.bak" is no zone id: it holds '.', expected only letters, digits, dashes and underscores; rename the file to server.yaml.ZONE_ID` {
		t.Errorf("zone z.bak: got %v", err)
	}
}
