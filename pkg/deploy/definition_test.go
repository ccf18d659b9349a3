package deploy

import "testing"

func TestParseDefinition(t *testing.T) {
	tests := []struct {
		name, path, text string
		command          string
		ours, shared     bool
	}{
		{name: "ours", path: confPath, text: supervisorConf, command: "/usr/local/bin/pgctl watch", ours: true},
		{name: "ours with a flag", path: confPath, text: "[program:pg_watcher]\ncommand=pgctl watch -v\n", command: "pgctl watch -v", ours: true},
		{name: "ours in another file runs beside it", path: "/etc/supervisor/conf.d/x.conf", text: "[program:pg_watcher]\ncommand=pgctl watch\n", command: "pgctl watch"},
		{name: "another command of pgctl", path: confPath, text: "[program:pg_watcher]\ncommand=pgctl overview --watch\n", command: "pgctl overview --watch"},
		{name: "the site's", path: confPath, text: "; old\r\n[program:pg_watcher]\r\ncommand = python /pitrix/bin/pg_watcher.py ; runs\r\nautostart=true\r\n", command: "python /pitrix/bin/pg_watcher.py"},
		{name: "with a colon", path: confPath, text: "[program:pg_watcher]\ncommand: watcher\n", command: "watcher"},
		{name: "among others", path: confPath, text: "[program:a]\ncommand=a\n[program:pg_watcher]\ncommand=watcher\n[program:b]\ncommand=b\n", command: "watcher", shared: true},
		{name: "another program", path: confPath, text: "[program:pg_watcher2]\ncommand=pgctl watch\n", shared: true},
		{name: "none", path: confPath},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := parseDefinition(tt.path, tt.text)
			if d.command != tt.command || d.shared != tt.shared || d.ours() != tt.ours {
				t.Errorf("got %+v, ours %t", d, d.ours())
			}
		})
	}
}

func TestRunsOurs(t *testing.T) {
	for command, want := range map[string]bool{
		"/usr/local/bin/pgctl watch": true, "/usr/local/bin/pgctl watch -v": true, "/usr/local/bin/pgctl overview": false,
		"/bin/sh /opt/watch.sh": false, "/opt/pgctl watch": true, "/opt/notpgctl watch": false, "": false,
	} {
		if got := runsOurs(command); got != want {
			t.Errorf("%q: %t", command, got)
		}
	}
}
