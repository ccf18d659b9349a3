package nodes

import (
	"strings"
	"testing"
)

func TestCheckHost(t *testing.T) {
	label := strings.Repeat("a", 63)
	for _, tc := range []struct{ name, host, want string }{
		{"plain", "devopsar01n01", ""},
		{"qualified", "db-1.example.com", ""},
		{"address", "192.0.2.7", ""},
		{"longest label", label + ".a", ""},
		{"longest", label + "." + label + "." + label + "." + label[:61], ""},
		{
			"too long", label + "." + label + "." + label + "." + label[:62],
			`"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"... is no host name: it has 254 bytes, expected at most 253`,
		},
		{
			"label too long", "x." + label + "a",
			`"x.` + label + `a" is no host name: one part has 64 bytes, expected at most 63 between two dots`,
		},
		{"empty", "", `the host name is empty, expected 1 to 253 letters, digits, dots and dashes`},
		{"dash first", "-a", `"-a" is no host name: it begins with "-", expected a letter or a digit`},
		{"dot first", ".a", `".a" is no host name: it begins with ".", expected a letter or a digit`},
		{"dot last", "a.", `"a." is no host name: it has nothing before or after a dot`},
		{"two dots", "a..b", `"a..b" is no host name: it has nothing before or after a dot`},
		{"blank", "a b", `"a b" is no host name: it holds ' ', expected only letters, digits, dots and dashes`},
		{"line end", "a\n", `"a\n" is no host name: it holds '\n', expected only letters, digits, dots and dashes`},
		{"not ASCII", "ａ", `"ａ" is no host name: it holds 'ａ', expected only letters, digits, dots and dashes`},
		{"not UTF-8", "a\xff", `"a\xff" is no host name: it holds '�', expected only letters, digits, dots and dashes`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := ""
			if err := CheckHost(tc.host); err != nil {
				got = err.Error()
			}
			if got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

func TestZoneOfFile(t *testing.T) {
	for name, want := range map[string]string{
		"server.yaml.devops1a": "devops1a", "server.yaml.zone-1_b": "zone-1_b",
		"server.yaml": "", "server.yaml.": "", "server.yaml.devops1a.bak": "", "server.yaml.devops1a~": "",
		"server.yaml.devops1a.swp": "", "x.server.yaml.a": "", "server.yaml.a/b": "",
	} {
		if got, ok := ZoneOfFile(name); got != want || ok != (want != "") {
			t.Errorf("ZoneOfFile(%q) = %q, %v, want %q", name, got, ok, want)
		}
	}
}
