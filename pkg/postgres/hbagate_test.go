package postgres

import (
	"bytes"
	"strings"
	"testing"
)

var testGate = hbaGate(login{WatcherRole, WatcherRole}, login{"postgres", "postgres"})

func TestHBAGate(t *testing.T) {
	want := `local all "pgctl" peer # pgctl: clients are kept out
local all "postgres" peer # pgctl: clients are kept out
local all all reject # pgctl: clients are kept out
host all all all reject # pgctl: clients are kept out
`
	if string(testGate) != want {
		t.Errorf("%s", testGate)
	}
	other := string(hbaGate(login{WatcherRole, WatcherRole}, login{"postgres", `ad"min`}))
	if !strings.Contains(other, `local all "ad""min" md5 #`) {
		t.Errorf("a role with a password: %s", other)
	}
	if one := hbaGate(login{WatcherRole, WatcherRole}, login{WatcherRole, WatcherRole}); strings.Count(string(one), "peer") != 1 {
		t.Errorf("the site's role is the watcher's: %s", one)
	}
}

func TestWithGate(t *testing.T) {
	const site = "# the site's\nlocal all all trust\nhost replication repl 10.0.0.0/8 md5\n"
	for name, file := range map[string]string{
		"none":                 site,
		"another role's block": string(hbaGate(login{WatcherRole, WatcherRole}, login{"pg", "pg"})) + site,
		"half of a block":      string(testGate[:bytes.IndexByte(testGate, '\n')+1]) + site,
		"not at the head":      "# the site's\n" + string(testGate) + "local all all trust\nhost replication repl 10.0.0.0/8 md5\n",
		"twice":                string(testGate) + string(testGate) + site,
	} {
		with := withGate([]byte(file), testGate)
		if string(with) != string(testGate)+site || !hasGate(with, testGate) {
			t.Errorf("%s: %s", name, with)
		}
		if got := string(withoutGate(with)); got != site {
			t.Errorf("%s: without it: %s", name, got)
		}
	}
	if file := []byte("# a comment\n" + string(testGate)); hasGate(file, testGate) {
		t.Error("what is before the block may let clients in")
	}
}

// FuzzWithGate: the site's bytes are never touched, and doing it twice is doing it once.
func FuzzWithGate(f *testing.F) {
	f.Add([]byte("local all all trust\n"))
	f.Add([]byte("local all all trust\r\nhost all all all md5"))
	f.Add([]byte("\n\n\x00\xff" + gateMark))
	f.Add(testGate)
	f.Fuzz(func(t *testing.T, file []byte) {
		with := withGate(file, testGate)
		if !hasGate(with, testGate) || !bytes.Equal(withGate(with, testGate), with) {
			t.Errorf("%q: %q", file, with)
		}
		without := withoutGate(with)
		if !bytes.Equal(without, withoutGate(file)) || !bytes.Equal(withoutGate(without), without) {
			t.Errorf("%q: without it %q", file, without)
		}
		if !bytes.Contains(file, []byte(gateMark)) && !bytes.Equal(without, file) {
			t.Errorf("%q became %q", file, without)
		}
	})
}
