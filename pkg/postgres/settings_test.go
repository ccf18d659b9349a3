package postgres

import "testing"

func TestWithSettings(t *testing.T) {
	before := "# Do not edit\nwork_mem = '4MB'\nPrimary_ConnInfo = 'host=db1' # old\n  primary_slot_name='db2'\n#primary_conninfo = ''"
	after := string(WithSettings([]byte(before), []Setting{{"primary_conninfo", new(`service='a' b\c`)}, {"primary_slot_name", nil}, {"standby_mode", new("on")}}))
	want := "# Do not edit\nwork_mem = '4MB'\n#primary_conninfo = ''\nprimary_conninfo = 'service=''a'' b\\\\c'\nstandby_mode = 'on'\n"
	if after != want {
		t.Errorf("got %q\nexpected %q", after, want)
	}
	if got, ok := SettingOf([]byte(after), "PRIMARY_CONNINFO"); !ok || got != `service='a' b\c` {
		t.Errorf("read back %q, %v", got, ok)
	}
}

func TestSettingOf(t *testing.T) {
	for text, want := range map[string]string{
		"port = 5433 # here": "5433", "port 5432\nport=5433\n": "5433", "port = '54''33'": "54'33", `port = 'a\'b'`: "a'b", "port = ''": "",
	} {
		if got, ok := SettingOf([]byte(text), "port"); !ok || got != want {
			t.Errorf("%q: got %q, %v, expected %q", text, got, ok, want)
		}
	}
	if got, ok := SettingOf([]byte("# port = 1\nports = 2\n"), "port"); ok {
		t.Errorf("found %q", got)
	}
}
