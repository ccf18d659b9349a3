package failover_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/failover"
)

func TestCleanup(t *testing.T) {
	now := time.Date(2026, 1, 10, 12, 0, 0, 0, time.UTC)
	tests := []struct {
		name    string
		change  func(*cluster.Snapshot)
		hosts   []string
		steps   string
		left    string // a part of the reason
		refused string
	}{
		{name: "all that is old enough", steps: "db1/aside.remove/data.pgctl-20260102T000000Z db2/aside.remove/data.pgctl-20260102T000000Z"},
		{name: "one host", hosts: []string{"db2"}, steps: "db2/aside.remove/data.pgctl-20260102T000000Z"},
		{name: "a standby that does not stream", change: func(s *cluster.Snapshot) { s.Servers[1].SQL.Receiver = nil }, steps: "db1/aside.remove/data.pgctl-20260102T000000Z", left: "does not stream"},
		{name: "a standby that is stopped", change: func(s *cluster.Snapshot) {
			s.Servers[1].SQL, s.Servers[1].Data.Postmaster = nil, &cluster.Process{}
		}, steps: "db1/aside.remove/data.pgctl-20260102T000000Z", left: "does not stream"},
		{name: "a data directory that is not there", change: func(s *cluster.Snapshot) {
			s.Servers[1].SQL, s.Servers[1].Data.Postmaster, s.Servers[1].Data.Missing = nil, &cluster.Process{}, true
		}, steps: "db1/aside.remove/data.pgctl-20260102T000000Z", left: "is not there"},
		{name: "a diverged standby", change: func(s *cluster.Snapshot) {
			s.Servers[0].SQL.Standbys = []cluster.Walsender{{ApplicationName: "db2", ClientAddress: "198.51.100.12", Flush: 0x9000000}}
		}, steps: "db1/aside.remove/data.pgctl-20260102T000000Z", left: "has diverged"},
		{name: "another standby does not stream, and has nothing aside", hosts: []string{"db2"}, change: func(s *cluster.Snapshot) {
			s.Servers[1].Asides, s.Servers[1].SQL.Receiver = nil, nil
		}},
		{name: "a server is gone", change: func(s *cluster.Snapshot) {
			s.Servers[1].Unreachable, s.Servers[1].SQL = &cluster.Failure{Message: "no answer"}, nil
		}, refused: "db2 is out of reach"},
		{name: "two masters", change: func(s *cluster.Snapshot) { s.Servers[1].SQL.InRecovery = false }, refused: "2 servers answer as master"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			snap := site()
			for i := range snap.Servers {
				s := &snap.Servers[i]
				s.Data.Path, s.SQL.Position = "/srv/pg/data", 0x3000000
				s.Asides = []cluster.Aside{
					{Path: "/srv/pg/data.pgctl-20260102T000000Z", Made: now.Add(-204 * time.Hour), What: "data", Bytes: 3 << 20},
					{Path: "/srv/pg/data.pgctl-20260110T000000Z", Made: now.Add(-12 * time.Hour), What: "wal"},
				}
			}
			snap.Servers[1].SQL.Receiver = &cluster.Receiver{Status: "streaming", SenderHost: "db1", ApplicationName: "db2"}
			if tt.change != nil {
				tt.change(&snap)
			}
			p, left, err := failover.Cleanup(snap, cluster.Diagnose(snap), tt.hosts, now.Add(-24*time.Hour), now, nil)
			var refusal *cluster.Refusal
			if tt.refused != "" {
				if !errors.As(err, &refusal) || !strings.Contains(err.Error(), tt.refused) || len(p.Steps) > 0 {
					t.Errorf("got %+v, %v; expected a refusal: %s", p, err, tt.refused)
				}
				return
			}
			var steps []string
			for _, s := range p.Steps {
				steps = append(steps, s.ID)
				if want := "remove /srv/pg/data.pgctl-20260102T000000Z (the old data, 3.0 MiB, 8 days old)"; s.Text != want || s.Args["data_dir"] != "/srv/pg/data" || s.Args["path"] != "/srv/pg/data.pgctl-20260102T000000Z" {
					t.Errorf("%+v, expected %q", s, want)
				}
			}
			if err != nil || strings.Join(steps, " ") != tt.steps || !strings.Contains(left["db2"], tt.left) || (tt.left == "") != (len(left) == 0) {
				t.Errorf("steps %q, left %v, %v", steps, left, err)
			}
		})
	}
}
