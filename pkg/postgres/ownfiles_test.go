package postgres

import (
	"bytes"
	"strings"
	"testing"
)

func TestWithUpstream(t *testing.T) {
	const site = "# the site's\n[other]\nhost=x\n\n"
	to := ConnInfo{"host": "db1", "port": "5433", "user": "repl", "password": `p'\ w`, "application_name": "db2_ab12", "dbname": "dropped"}
	text, err := withUpstream([]byte(site), to, 7)
	if err != nil {
		t.Fatal(err)
	}
	want := site + "[pgctl_upstream]\n# pgctl.epoch=7\nhost=db1\nport=5433\nuser=repl\npassword=p'\\ w\napplication_name=db2_ab12\n"
	if string(text) != want {
		t.Errorf("%q", text)
	}
	if u := upstreamIn(text); u != (Upstream{Host: "db1", Port: "5433", Name: "db2_ab12", Epoch: 7}) {
		t.Errorf("%+v", u)
	}
	if again, err := withUpstream(text, to, 7); err != nil || !bytes.Equal(again, text) {
		t.Errorf("a second time: %q, %v", again, err)
	}
	if later, err := withUpstream(text, ConnInfo{"hostaddr": "10.0.0.1"}, 8); err != nil || upstreamIn(later) != (Upstream{Host: "10.0.0.1", Epoch: 8}) {
		t.Errorf("%q, %v", later, err)
	}
	if frozen := withoutService(text); string(frozen) != site || upstreamIn(frozen) != (Upstream{}) {
		t.Errorf("without it: %q", frozen)
	}
	for _, value := range []string{"a\nhost=evil", "a\r", " a", "a ", "\x00"} {
		if text, err := withUpstream(nil, ConnInfo{"host": "db1", "password": value}, 1); err == nil {
			t.Errorf("%q: %q", value, text)
		}
	}
}

// TestUpstreamIn: an epoch counts only in the section, and a section that pgctl's older commands wrote has none.
func TestUpstreamIn(t *testing.T) {
	for text, want := range map[string]Upstream{
		"":                                    {},
		"[pgctl_upstream]\n":                  {},
		"[pgctl_upstream]\nhost=a\n":          {Host: "a"},
		"# pgctl.epoch=3\n[pgctl_upstream]\n": {},
		"[pgctl_upstream]\nhost=a\n[b]\n# pgctl.epoch=3\nhost=c\n": {Host: "a"},
		"[pgctl_upstream]\n# pgctl.epoch=x\nhost=a\n":              {Host: "a"},
	} {
		if got := upstreamIn([]byte(text)); got != want {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

func FuzzWithUpstream(f *testing.F) {
	f.Add([]byte("[other]\nhost=x"), "db1", "secret", int64(1))
	f.Add([]byte("[pgctl_upstream]\nhost=x\n[pgctl_upstream]\nhost=y\n"), "db1", "", int64(2))
	f.Fuzz(func(t *testing.T, file []byte, host, password string, epoch int64) {
		text, err := withUpstream(file, ConnInfo{"host": host, "password": password}, epoch)
		if err != nil {
			return
		}
		if u := upstreamIn(text); u.Host != host || u.Epoch != epoch || serviceOf(text)["password"] != password {
			t.Errorf("%q: %+v", text, u)
		}
		if frozen := withoutService(text); upstreamIn(frozen) != (Upstream{}) || serviceOf(frozen) != nil {
			t.Errorf("%q: still led to somebody: %q", text, frozen)
		}
		if again, err := withUpstream(text, ConnInfo{"host": host, "password": password}, epoch); err != nil || !bytes.Equal(again, text) {
			t.Errorf("%q a second time: %q, %v", text, again, err)
		}
	})
}

func TestDebianCluster(t *testing.T) {
	for name, tt := range map[string]struct {
		files map[string]string
		want  string // below the directory; "?" an error
	}{
		"none": {map[string]string{"conf/x": ""}, ""},
		"one":  {map[string]string{"data/15/main/PG_VERSION": "15"}, "/15/main"},
		"one of several is configured": {map[string]string{
			"data/15/main/PG_VERSION": "15", "data/13/main/PG_VERSION": "13", "conf/15/main/postgresql.conf": "",
		}, "/15/main"},
		"several":              {map[string]string{"data/15/main/PG_VERSION": "15", "data/13/main/PG_VERSION": "13"}, "?"},
		"what was set aside":   {map[string]string{"data/15/main/PG_VERSION": "15", "data/15/main.pgctl-20260102T030405Z/PG_VERSION": "15"}, "/15/main"},
		"a renewal broken off": {map[string]string{"data/15/main.pgctl-new/PG_VERSION": "15"}, "/15/main"},
		"no data":              {map[string]string{"data/15/main/x": "15"}, ""},
		"one, and its copy":    {map[string]string{"data/15/main/PG_VERSION": "15", "data/15/main.pgctl-copying/PG_VERSION": "15"}, "/15/main"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			files(t, dir, tt.files)
			got, err := debianCluster(dir+"/data", dir+"/conf")
			if (err != nil) != (tt.want == "?") || err == nil && strings.TrimPrefix(got, dir+"/data") != tt.want {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

// TestConfigured: the command line counts before postgresql.auto.conf, that before postgresql.conf, which may be elsewhere.
func TestConfigured(t *testing.T) {
	dir := t.TempDir()
	files(t, dir, map[string]string{
		"data/postmaster.opts":      `/usr/lib/postgresql/15/bin/postgres "-D" "DIR" "-c" "config_file=` + dir + `/etc/postgresql.conf" "--port=5433"` + "\n",
		"data/postgresql.auto.conf": "b = 'auto'\n",
		"data/postgresql.conf":      "a = 'not this one'\n",
		"etc/postgresql.conf":       "a = 'main'\nb = 'main'\nport = 5432\nhba_file = '" + dir + "/etc/pg_hba.conf'\n",
	})
	for name, want := range map[string]string{"a": "main", "b": "auto", "port": "5433", "c": ""} {
		if got, err := configured(dir+"/data", name); err != nil || got != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	o := OwnServer(nil, Settings{})
	if got, err := o.hbaPath(dir + "/data"); err != nil || got != dir+"/etc/pg_hba.conf" {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := o.hbaPath(dir + "/etc"); err != nil || got != dir+"/etc/"+"pg_hba.conf" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestReadPostmaster(t *testing.T) {
	dir := t.TempDir()
	files(t, dir, map[string]string{
		"whole/postmaster.pid": "4711\n/data\n1795703866\n5433\n/run/postgresql\n*\n  9986669        23\nready   \n",
		"half/postmaster.pid":  "4711\n/data\n17957", "bad/postmaster.pid": "x\n", "none/x": "",
	})
	pm, err := readPostmaster(dir + "/whole")
	if err != nil || pm.pid != 4711 || pm.port != 5433 || pm.started.Unix() != 1795703866 || pm.socketDir != "/run/postgresql" || pm.listen != "*" || pm.status != "ready" {
		t.Errorf("%+v, %v", pm, err)
	}
	if pm, err := readPostmaster(dir + "/half"); err != nil || pm.pid != 4711 || pm.port != 0 || pm.running() {
		t.Errorf("%+v, %v", pm, err)
	}
	if pm, err := readPostmaster(dir + "/none"); err != nil || pm.pid != 0 || pm.running() {
		t.Errorf("%+v, %v", pm, err)
	}
	if _, err := readPostmaster(dir + "/bad"); err == nil {
		t.Error("no number")
	}
}

// TestTitles are what processes of 10 and 15 call themselves, and sessions that mean to look like them.
func TestTitles(t *testing.T) {
	for title, want := range map[string]string{
		"postgres: wal receiver process":                                  "receiver",
		"postgres: wal receiver process   streaming 0/3000148":            "receiver",
		"postgres: walreceiver":                                           "receiver",
		"postgres: walreceiver streaming 0/3000148":                       "receiver",
		"postgres: main: walreceiver streaming 0/3000148":                 "receiver",
		"postgres: walreceiver restarting at 0/3000148":                   "receiver",
		"postgres: walreceiver postgres [local] idle":                     "",
		"postgres: walreceiver streaming 10.0.0.1(4711) idle":             "",
		"postgres: startup process   recovering 000000010000000000000003": "startup",
		"postgres: startup recovering 000000010000000000000003":           "startup",
		"postgres: main: startup waiting for 000000010000000000000003":    "startup",
		"postgres: startup":                                               "startup",
		"postgres: startup postgres [local] idle":                         "",
		"postgres: app db 10.0.0.1(4711) authentication":                  "entering",
		"postgres: wal sender process repl 10.0.0.1(47) authentication":   "entering",
		"postgres: main: app db 10.0.0.1(4711) startup":                   "entering",
		"postgres: app db [local] idle":                                   "",
	} {
		got := ""
		switch {
		case receiverTitle.MatchString(title):
			got = "receiver"
		case startupTitle.MatchString(title):
			got = "startup"
		case entersBy(title):
			got = "entering"
		}
		if got != want {
			t.Errorf("%q: %q, expected %q", title, got, want)
		}
	}
}
