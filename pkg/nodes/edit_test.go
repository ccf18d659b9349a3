package nodes

import "testing"

func TestEditWatcherValue(t *testing.T) {
	const k = keyInactiveFailover
	for _, tc := range []struct{ name, src, want string }{
		{"plain", "a: 0\npg_watcher:\n  inactive_failover:  1   # 备注\n\n\n  x:   [1,2]\n", "a: 0\npg_watcher:\n  inactive_failover:  0   # 备注\n\n\n  x:   [1,2]\n"},
		{"single quotes", "pg_watcher:\n  inactive_failover: '1'", "pg_watcher:\n  inactive_failover: '0'"},
		{"double quotes", "pg_watcher:\n  \"inactive_failover\" : \"1\" #x\n", "pg_watcher:\n  \"inactive_failover\" : \"0\" #x\n"},
		{"no change", "pg_watcher:\n  inactive_failover: 0\n", "pg_watcher:\n  inactive_failover: 0\n"},
		{"word to digit", "pg_watcher:\n  inactive_failover: true # x\n", "pg_watcher:\n  inactive_failover: 0 # x\n"},
		{"CRLF", "# 中\r\npg_watcher:\r\n  inactive_failover: 1\r\n  b: 2\r\n", "# 中\r\npg_watcher:\r\n  inactive_failover: 0\r\n  b: 2\r\n"},
		{"mark", byteOrderMark + "pg_watcher: {中文: '文', inactive_failover: 1, b: 1}\n", byteOrderMark + "pg_watcher: {中文: '文', inactive_failover: 0, b: 1}\n"},
		{"mark, not on the first line", byteOrderMark + "\npg_watcher:\n  inactive_failover: 1", byteOrderMark + "\npg_watcher:\n  inactive_failover: 0"},
		{"flow", "pg_watcher: {inactive_failover: 1}", "pg_watcher: {inactive_failover: 0}"},
		{"value on its own line", "pg_watcher:\n  inactive_failover:\n    1\n", "pg_watcher:\n  inactive_failover:\n    0\n"},
		{"tag", "pg_watcher:\n  inactive_failover: !!int 1\n", "pg_watcher:\n  inactive_failover: !!int 0\n"},
		{"anchor and tag", "pg_watcher:\n  inactive_failover: &f !!str  '1'\n", "pg_watcher:\n  inactive_failover: &f !!str  '0'\n"},
		{"aliases elsewhere", "x: &x {y: 1}\nz: *x\npg_watcher:\n  inactive_failover: 1\n", "x: &x {y: 1}\nz: *x\npg_watcher:\n  inactive_failover: 0\n"},
		{"repeats elsewhere", "x: 1\nx: 1\npg_watcher:\n  inactive_failover: 1\n", "x: 1\nx: 1\npg_watcher:\n  inactive_failover: 0\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			src := []byte(tc.src)
			got, err := EditWatcherValue(File{"s", src}, k, "0")
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != tc.want {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
			if string(src) != tc.src {
				t.Error("the input has changed")
			}
		})
	}
}

func TestEditWatcherValueRefuses(t *testing.T) {
	const k = keyInactiveFailover
	const cannot = "has a value of inactive_failover that cannot be edited in place, expected a plain or quoted 0 or 1; write it as inactive_failover: 0"
	for _, tc := range []struct{ name, src, key, value, want string }{
		{"other key", "", "port", "0", `s: has no key "port" that can be edited, expected inactive_failover or using_master_by_ts`},
		{"other value", "", k, "2", `s: cannot get the value "2" for inactive_failover, expected 0 or 1`},
		{"empty file", "", k, "0", `s: has no key pg_watcher, expected it to be there for an edit of pg_watcher.inactive_failover; add it by hand`},
		{"no section", "a: 1", k, "0", `s: has no key pg_watcher, expected it to be there for an edit of pg_watcher.inactive_failover; add it by hand`},
		{"no key", "\npg_watcher:\n  port: 1", k, "0", `s:2: has no key inactive_failover, expected it to be there for an edit of pg_watcher.inactive_failover; add it by hand`},
		{"key twice", "pg_watcher:\n  inactive_failover: 1\n  inactive_failover: 1\n", k, "0", `s:3: has the key inactive_failover twice, expected it once; remove one of the two`},
		{"section twice", "pg_watcher:\n  inactive_failover: 1\npg_watcher:\n", k, "0", `s:3: has the key pg_watcher twice, expected it once; remove one of the two`},
		{"alias", "x: &x 1\npg_watcher:\n  inactive_failover: *x\n", k, "0", `s:3: gives inactive_failover an alias ("*x"), expected the value itself; write it out`},
		{"section is an alias", "x: &x {inactive_failover: 1}\npg_watcher: *x\n", k, "0", `s:2: gives pg_watcher an alias ("*x"), expected the value itself; write it out`},
		{"value used elsewhere", "pg_watcher:\n  inactive_failover: &f 1\n  using_master_by_ts: *f\n", k, "0", `s:2: uses the value of inactive_failover elsewhere too (*f), expected it to stand for itself; write both values out`},
		{"block", "pg_watcher:\n  inactive_failover: |\n    1\n", k, "0", "s:2: " + cannot},
		{"folded over lines", "pg_watcher:\n  inactive_failover: 1\n    1\n", k, "0", "s:2: " + cannot},
		{"escapes", "pg_watcher:\n  inactive_failover: \"\\x31\"\n", k, "0", "s:2: " + cannot},
		{"no value", "pg_watcher:\n  inactive_failover:\n", k, "0", "s:2: " + cannot},
		{"empty value", "pg_watcher:\n  inactive_failover: ''\n", k, "0", "s:2: " + cannot},
		{"list", "pg_watcher:\n  inactive_failover: [1]\n", k, "0", `s:2: gives inactive_failover a list, expected 0 or 1; correct the value`},
		{"lone CR", "a: 1\n#\rpg_watcher:\n", k, "0", `s:2: holds the line end U+000D, expected LF or CRLF; replace it, as values cannot be edited safely beside it`},
		{"next line", "# \u0085", k, "0", `s:1: holds the line end U+0085, expected LF or CRLF; replace it, as values cannot be edited safely beside it`},
		{"line separator", "# \u2028", k, "0", `s:1: holds the line end U+2028, expected LF or CRLF; replace it, as values cannot be edited safely beside it`},
		{"paragraph separator", "# \u2029", k, "0", `s:1: holds the line end U+2029, expected LF or CRLF; replace it, as values cannot be edited safely beside it`},
		{"not UTF-8", "# \xff", k, "0", `s:1: holds bytes that are no UTF-8, expected YAML in UTF-8; convert the file, for example with iconv`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := EditWatcherValue(File{"s", []byte(tc.src)}, tc.key, tc.value)
			if err == nil {
				t.Fatalf("accepted: %q", got)
			}
			if err.Error() != tc.want {
				t.Errorf("got  %s\nwant %s", err, tc.want)
			}
		})
	}
}
