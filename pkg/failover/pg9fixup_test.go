package failover_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/failover"
	"github.com/pgctl/pgctl/pkg/nodes"
	"github.com/pgctl/pgctl/pkg/pg9"
)

const (
	configure = "#!/bin/bash\nconfigure\ninstall_failover_cron $1 $2\n"
	post      = "#!/bin/bash\nfor pgpool_server in $pools; do\n\tssh root@${pgpool_server} \"service pgpool2 restart\"\ndone\n"
)

// scripts are a server's, as the installer left them.
func scripts() pg9.Host {
	return pg9.Host{Files: map[string][]byte{
		pg9.Utils: []byte("install_failover_cron() { :; }\n"), pg9.ConfigureMaster: []byte(configure), pg9.ConfigureSlave: []byte(configure),
		pg9.PostFailover: []byte(post), pg9.HostsFile: []byte("db1\ndb2\n"),
	}}
}

// fixed does to a server's files what the plan would.
func fixed(t *testing.T, h pg9.Host) pg9.Host {
	t.Helper()
	for _, script := range pg9.Edited {
		after, err := pg9.Fixed(script, h.Files[script])
		if err != nil {
			t.Fatal(err)
		}
		h.Files[script+pg9.BackupSuffix], h.Files[script] = h.Files[script], after
	}
	h.Files[pg9.Marker] = []byte("pgctl\n")
	return h
}

func TestAutoFailover(t *testing.T) {
	const each = "/pg9.cron H/pg9.keep H/pg9.script H/pg9.keep-2 H/pg9.script-2 H/pg9.keep-3 H/pg9.script-3 H/pg9.mark"
	all := strings.ReplaceAll("H"+each, "H", "db1") + " " + strings.ReplaceAll("H"+each, "H", "db2")
	done := "db1/pg9.cron db1/pg9.script db1/pg9.script-2 db1/pg9.script-3 db1/pg9.mark " + strings.ReplaceAll("H"+each, "H", "db2")
	tests := []struct {
		name    string
		change  func(t *testing.T, s *cluster.Snapshot, hosts map[string]pg9.Host)
		steps   string
		note    string
		refused string
	}{
		{name: "both servers", change: func(*testing.T, *cluster.Snapshot, map[string]pg9.Host) {}, steps: all},
		{name: "done on one: nothing is kept once more", change: func(t *testing.T, _ *cluster.Snapshot, hosts map[string]pg9.Host) {
			hosts["db1"] = fixed(t, hosts["db1"])
		}, steps: done},
		{name: "done by the old script", change: func(t *testing.T, _ *cluster.Snapshot, hosts map[string]pg9.Host) {
			h := fixed(t, hosts["db1"])
			h.Files[pg9.PostFailover] = []byte(strings.NewReplacer("rm -f", "rm", "\tssh", "ssh").Replace(string(h.Files[pg9.PostFailover])))
			h.Files[pg9.Marker] = []byte{}
			hosts["db1"] = h
		}, steps: done, note: "db1: this has been done by the old script auto_failover.sh"},
		{name: "a marker, and a script that was put back since: it is edited again", change: func(t *testing.T, _ *cluster.Snapshot, hosts map[string]pg9.Host) {
			h := fixed(t, hosts["db1"])
			for _, script := range pg9.Edited {
				h.Files[script] = h.Files[script+pg9.BackupSuffix]
			}
			hosts["db1"] = h
		}, steps: all},
		{name: "a backup of another script", change: func(_ *testing.T, _ *cluster.Snapshot, hosts map[string]pg9.Host) {
			hosts["db2"].Files[pg9.PostFailover+pg9.BackupSuffix] = []byte("other")
		}, refused: "db2: /var/lib/postgresql/bin/post_failover.sh.bak is there already"},
		{name: "a file is missing, on each", change: func(_ *testing.T, _ *cluster.Snapshot, hosts map[string]pg9.Host) {
			delete(hosts["db1"].Files, pg9.Utils)
			delete(hosts["db2"].Files, pg9.HostsFile)
		}, refused: "db2: /pitrix/ks/pgserver/conf/pgserver_hosts is not there; db1: /var/lib/postgresql/bin/utils.sh is not there"},
		{name: "a script is not as expected", change: func(_ *testing.T, _ *cluster.Snapshot, hosts map[string]pg9.Host) {
			hosts["db1"].Files[pg9.PostFailover] = []byte("#!/bin/sh\nservice pgpool2 restart\n")
		}, refused: "db1: /var/lib/postgresql/bin/post_failover.sh:2: expected ssh"},
		{name: "the order differs", change: func(_ *testing.T, _ *cluster.Snapshot, hosts map[string]pg9.Host) {
			hosts["db2"].Files[pg9.HostsFile] = []byte("db2 db1")
		}, refused: "differs between the servers"},
		{name: "a server is gone", change: func(_ *testing.T, s *cluster.Snapshot, _ map[string]pg9.Host) {
			s.Servers[1].Unreachable = &cluster.Failure{Message: "gone"}
		}, refused: "db2 is out of reach: gone"},
		{name: "a site with PostgreSQL 10", change: func(_ *testing.T, s *cluster.Snapshot, _ map[string]pg9.Host) { s.Kind = nodes.KindPG10 }, refused: "this is no site with a pgmaster"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			snap, hosts := site9(), map[string]pg9.Host{"db1": scripts(), "db2": scripts()}
			tt.change(t, &snap, hosts)
			p, notes, err := new(failover.Fixup).AutoFailover(snap, hosts)
			var refusal *cluster.Refusal
			if tt.refused != "" {
				if !errors.As(err, &refusal) || !strings.Contains(err.Error(), tt.refused) {
					t.Errorf("got %+v, %v; expected a refusal: %s", p, err, tt.refused)
				}
				return
			}
			var steps []string
			for _, s := range p.Steps {
				steps = append(steps, s.ID)
			}
			note := ""
			for _, n := range notes {
				note += n.Host + ": " + n.Text
			}
			if err != nil || strings.Join(steps, " ") != tt.steps || note != tt.note {
				t.Errorf("got %s, %q, %v\nexpected %s, %q", strings.Join(steps, " "), note, err, tt.steps, tt.note)
			}
		})
	}
}

func TestRemoveAutoFailover(t *testing.T) {
	put := "db1/pg9.script db1/pg9.script-2 db1/pg9.script-3 db1/pg9.unmark"
	tests := []struct {
		name    string
		change  func(h pg9.Host)
		steps   string
		refused string
	}{
		{name: "all three", change: func(pg9.Host) {}, steps: put},
		{name: "broken off: two are back", change: func(h pg9.Host) {
			h.Files[pg9.ConfigureMaster], h.Files[pg9.ConfigureSlave] = []byte(configure), []byte(configure)
		}, steps: put},
		{name: "broken off in its last step", change: func(h pg9.Host) {
			for _, script := range pg9.Edited {
				h.Files[script] = h.Files[script+pg9.BackupSuffix]
			}
			delete(h.Files, pg9.Marker)
			delete(h.Files, pg9.ConfigureMaster+pg9.BackupSuffix)
		}, steps: "db1/pg9.script db1/pg9.script-2 db1/pg9.unmark"},
		{name: "changed since", change: func(h pg9.Host) { h.Files[pg9.ConfigureSlave] = []byte("#!/bin/sh\nours\n") }, refused: "db1: /var/lib/postgresql/bin/configure_slave.sh was changed since the fixup"},
		{name: "no backup", change: func(h pg9.Host) { delete(h.Files, pg9.PostFailover+pg9.BackupSuffix) }, refused: "db1: /var/lib/postgresql/bin/post_failover.sh has no backup"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			hosts := map[string]pg9.Host{"db1": fixed(t, scripts()), "db2": scripts()} // db2 never had it
			tt.change(hosts["db1"])
			p, err := new(failover.Fixup).RemoveAutoFailover(site9(), hosts)
			var refusal *cluster.Refusal
			if tt.refused != "" {
				if !errors.As(err, &refusal) || !strings.Contains(err.Error(), tt.refused) {
					t.Errorf("got %+v, %v; expected a refusal: %s", p, err, tt.refused)
				}
				return
			}
			var steps []string
			for _, s := range p.Steps {
				steps = append(steps, s.ID)
			}
			if err != nil || strings.Join(steps, " ") != tt.steps {
				t.Errorf("got %s, %v\nexpected %s", strings.Join(steps, " "), err, tt.steps)
			}
		})
	}
}
